//! Chooses an answer's next token: the constraint leaves out what may not come, llama.cpp's samplers choose
//! from the rest.

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llama_cpp_2::token::logit_bias::LlamaLogitBias;
use llama_cpp_2::vocab::LlamaVocab;
use llguidance::Matcher;

use crate::driver::{Candidate, RareSampling, Sampling, TokenLogprobs};

/// How far back the penalties look unless told otherwise, as llama.cpp's own programs do.
const PENALTY_TOKENS: i32 = 64;

/// What chooses the tokens of one answer.
pub(super) struct Sampler {
    chain: LlamaSampler,
    matcher: Option<Matcher>,
    top_logprobs: Option<usize>,
}

/// A token that was chosen.
pub(super) struct Choice {
    pub(super) token: LlamaToken,
    pub(super) logprobs: Option<TokenLogprobs>,
    /// Nothing can follow it.
    pub(super) last: bool,
}

impl Sampler {
    /// A sampler for what follows `prompt`; penalties look back into it.
    pub(super) fn new(
        model: &LlamaModel,
        sampling: &Sampling,
        matcher: Option<Matcher>,
        context_tokens: usize,
        prompt: &[u32],
    ) -> Self {
        let mut chain = chain(model, sampling, i32::try_from(context_tokens).unwrap_or(i32::MAX));
        chain.accept_many(prompt.iter().map(|token| LlamaToken(token.cast_signed())));
        Self { chain, matcher, top_logprobs: sampling.logprobs.map(|top| top as usize) }
    }

    /// Chooses from the logits that the context has at `output`.
    ///
    /// # Errors
    /// When the model computed no numbers, or the constraint lets nothing follow.
    pub(super) fn choose(
        &mut self,
        vocab: &LlamaVocab<'_>,
        context: &LlamaContext<'_>,
        output: i32,
    ) -> Result<Choice, String> {
        let logits = context.get_logits_ith(output);
        if logits.iter().fold(false, |found, logit| found | logit.is_nan()) {
            return Err("the model computed something that is not a number".into());
        }
        let Some(matcher) = &mut self.matcher else {
            let token = self.chain.sample(context, output);
            let logprobs = self.top_logprobs.map(|top| logprobs(vocab, logits, token, top));
            return Ok(Choice { token, logprobs, last: false });
        };
        let stuck = |error: &dyn std::fmt::Display| {
            let error = error.to_string();
            format!("the grammar cannot continue: {}", error.lines().next().unwrap_or_default())
        };
        let mask = matcher.compute_mask_or_eos().map_err(|error| stuck(&error))?;
        let mut allowed = Vec::new();
        mask.iter_set_entries(|id| {
            if let (Some(logit), Ok(id)) = (logits.get(id), i32::try_from(id)) {
                allowed.push(LlamaTokenData::new(LlamaToken(id), *logit, 0.0));
            }
        });
        if allowed.is_empty() {
            return Err(stuck(&"no token of the model fits"));
        }
        let mut array = LlamaTokenDataArray::new(allowed, false);
        array.apply_sampler(&mut self.chain);
        let token = array.selected_token().ok_or("the samplers chose nothing")?;
        self.chain.accept(token);
        let end = vocab.is_eog(token);
        if !end {
            matcher.consume_token(token.0.unsigned_abs()).map_err(|error| stuck(&error))?;
        }
        let logprobs = self.top_logprobs.map(|top| logprobs(vocab, logits, token, top));
        Ok(Choice { token, logprobs, last: !end && matcher.is_stopped() })
    }
}

/// The order and the defaults are llama.cpp's own.
fn chain(model: &LlamaModel, sampling: &Sampling, context_tokens: i32) -> LlamaSampler {
    let vocab = model.vocab();
    let vocabulary = vocab.n_tokens();
    let rare = sampling.rare.as_deref().cloned().unwrap_or_default();
    let keep = rare.min_keep.unwrap_or(0) as usize;
    let mut chain = Vec::new();
    let mut biases: Vec<LlamaLogitBias> = sampling
        .logit_bias
        .iter()
        .filter(|(token, _)| (0..vocabulary).contains(token))
        .map(|(token, bias)| LlamaLogitBias::new(LlamaToken(*token), *bias))
        .collect();
    if sampling.ignore_eos {
        let ends = vocab.tokens().filter(|token| vocab.is_eog(*token));
        biases.extend(ends.map(|token| LlamaLogitBias::new(token, f32::NEG_INFINITY)));
    }
    if !biases.is_empty() {
        chain.push(LlamaSampler::logit_bias(vocabulary, &biases));
    }
    let repeat = sampling.repeat_penalty.unwrap_or(1.0);
    let frequency = sampling.frequency_penalty.unwrap_or(0.0);
    let presence = sampling.presence_penalty.unwrap_or(0.0);
    if (repeat, frequency, presence) != (1.0, 0.0, 0.0) {
        let last = match sampling.repeat_last_n.unwrap_or(PENALTY_TOKENS) {
            ..0 => context_tokens,
            // The sampler takes memory for as many.
            last => last.min(context_tokens),
        };
        chain.push(LlamaSampler::penalties(vocabulary, last, repeat, frequency, presence));
    }
    if rare.dry_multiplier.is_some_and(|strength| strength != 0.0) {
        chain.push(dry(model, &rare, context_tokens));
    }
    let temperature = sampling.temperature.unwrap_or(0.8);
    if temperature <= 0.0 {
        chain.push(LlamaSampler::greedy());
        return LlamaSampler::chain_simple(chain);
    }
    let (tau, eta) = (rare.mirostat_tau.unwrap_or(5.0), rare.mirostat_eta.unwrap_or(0.1));
    match rare.mirostat {
        Some(1) => {
            chain.push(LlamaSampler::temp(temperature));
            chain.push(LlamaSampler::mirostat(vocabulary, sampling.seed, tau, eta, 100));
            return LlamaSampler::chain_simple(chain);
        }
        Some(2) => {
            chain.push(LlamaSampler::temp(temperature));
            chain.push(LlamaSampler::mirostat_v2(sampling.seed, tau, eta));
            return LlamaSampler::chain_simple(chain);
        }
        _ => {}
    }
    if let Some(sigmas) = rare.top_n_sigma {
        chain.push(LlamaSampler::top_n_sigma(sigmas));
    }
    match sampling.top_k.unwrap_or(40) {
        0 => {}
        k => chain.push(LlamaSampler::top_k(k.max(i32::try_from(keep).unwrap_or(i32::MAX)))),
    }
    if let Some(p) = rare.typical_p {
        chain.push(LlamaSampler::typical(p, keep));
    }
    chain.push(LlamaSampler::top_p(sampling.top_p.unwrap_or(0.95), keep));
    chain.push(LlamaSampler::min_p(sampling.min_p.unwrap_or(0.05), keep));
    if let Some(p) = rare.xtc_probability {
        chain.push(LlamaSampler::xtc(p, rare.xtc_threshold.unwrap_or(0.1), keep, sampling.seed));
    }
    let (range, exponent) = (rare.dynatemp_range.unwrap_or(0.0), rare.dynatemp_exponent.unwrap_or(1.0));
    chain.push(LlamaSampler::temp_ext(temperature, range, exponent));
    chain.push(LlamaSampler::dist(sampling.seed));
    LlamaSampler::chain_simple(chain)
}

fn dry(model: &LlamaModel, rare: &RareSampling, context_tokens: i32) -> LlamaSampler {
    let usual = || ["\n", ":", "\"", "*"].map(ToOwned::to_owned).to_vec();
    let breakers = rare.dry_sequence_breakers.clone().unwrap_or_else(usual);
    let last = match rare.dry_penalty_last_n.unwrap_or(-1) {
        ..0 => context_tokens,
        last => last.min(context_tokens),
    };
    LlamaSampler::dry(
        model,
        rare.dry_multiplier.unwrap_or(0.0),
        rare.dry_base.unwrap_or(1.75),
        rare.dry_allowed_length.unwrap_or(2),
        last,
        // The binding takes no text with a null byte.
        breakers.into_iter().filter(|text| !text.contains('\0')),
    )
}

/// Of the distribution that the model computed, before any sampler changed it.
fn logprobs(vocab: &LlamaVocab<'_>, logits: &[f32], token: LlamaToken, top: usize) -> TokenLogprobs {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - largest).exp())).sum();
    let all = largest + sum.ln() as f32;
    let candidate = |id: usize| {
        let token = LlamaToken(i32::try_from(id).unwrap_or(0));
        let bytes = vocab.token_to_piece(token, true, None);
        Candidate { bytes, logprob: logits.get(id).map_or(f32::NEG_INFINITY, |logit| logit - all) }
    };
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let top = top.min(order.len());
    let likelier = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]);
    if top > 0 && top < order.len() {
        order.select_nth_unstable_by(top - 1, likelier);
    }
    order.truncate(top);
    order.sort_by(likelier);
    TokenLogprobs {
        chosen: candidate(token.0.unsigned_abs() as usize),
        top: order.into_iter().map(candidate).collect(),
    }
}
