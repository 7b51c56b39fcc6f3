//! Chooses an answer's next token: the constraint excludes tokens, and llama.cpp's samplers choose from the
//! rest.

use std::sync::Arc;

use super::backend::Progress;
use super::grammars::Grammars;
use super::llama_cpp::{CandidatesAfter, Chain, Link, Vocab};
use super::shortlist::{Shortlist, likeliest};
use super::timed::TimedMatcher;
use super::tool_call_constraint::ToolCallConstraint;
use lar_chat_format::gbnf;
use lar_inference::{Candidate, Constraint, ExtraSampling, SamplerName, Sampling, TokenLogprobs};

/// The default range of the penalties, as in llama.cpp's own programs.
const PENALTY_TOKENS: i32 = 64;

/// The sampler of one answer.
pub(super) struct Sampler<'model> {
    chain: Chain<'model>,
    /// The excluded tokens, if sampling is greedy and nothing else changes the logits. No chain is needed
    /// then.
    plain: Option<Vec<u32>>,
    /// Finds the most likely tokens before the chain, if the chain keeps only a few.
    shortlist: Option<Shortlist>,
    constraint: Option<ConstraintState<'model>>,
    top_logprobs: Option<usize>,
    /// Whether logprobs are those after the samplers.
    post_sampling: bool,
}

/// The state of the constraint.
#[expect(clippy::large_enum_variant, reason = "there is one for each sequence, and it is never moved")]
enum ConstraintState<'model> {
    Matcher(TimedMatcher),
    /// llama.cpp's own grammar, for recursive ones.
    Grammar(Chain<'model>),
    ToolCalls(ToolCallConstraint),
}

/// The reason why no token was chosen.
#[derive(Debug)]
pub(super) enum Failure {
    /// The model's output cannot be used.
    Model(String),
    /// The constraint allows no next token, or takes too long.
    Constraint(String),
}

impl Failure {
    pub(super) fn progress(self) -> Progress {
        match self {
            Self::Model(reason) => Progress::Failed(reason),
            Self::Constraint(reason) => Progress::ConstraintFailed(reason),
        }
    }
}

/// A chosen token.
pub(super) struct SampledToken {
    pub(super) token: u32,
    pub(super) logprobs: Option<TokenLogprobs>,
    /// Whether the answer is complete with it.
    pub(super) last: bool,
}

impl<'model> Sampler<'model> {
    /// Makes a sampler for the text after `prompt`; penalties include the prompt. `ends` are the tokens that
    /// end an answer.
    ///
    /// # Errors
    /// The constraint is invalid.
    pub(super) fn new(
        vocab: Vocab<'model>,
        ends: &[u32],
        sampling: &Sampling,
        grammars: &mut Option<Arc<Grammars>>,
        context_tokens: usize,
        prompt: &[u32],
    ) -> Result<Self, String> {
        let left_out = if sampling.ignore_eos { ends } else { &[] };
        let links = links(vocab, left_out, sampling, i32::try_from(context_tokens).unwrap_or(i32::MAX));
        let plain = match links.as_slice() {
            [Link::Greedy] => Some(Vec::new()),
            [Link::LogitBias(_), Link::Greedy] if sampling.logit_bias.is_empty() => Some(left_out.to_vec()),
            _ => None,
        };
        let mut grammars = || match grammars {
            Some(grammars) => Ok(grammars.clone()),
            None => Grammars::of(vocab).map(|made| grammars.insert(Arc::new(made)).clone()),
        };
        let constraint = match &sampling.constraint {
            None => None,
            Some(Constraint::ToolCalls(rules)) => {
                Some(ConstraintState::ToolCalls(ToolCallConstraint::new(rules, grammars()?)?))
            }
            Some(Constraint::Gbnf(source)) if gbnf::parse(source)? == gbnf::Kind::Other => {
                Some(ConstraintState::Grammar(Chain::new(vocab, vec![Link::Grammar(source.clone())])?))
            }
            Some(constraint) => Some(ConstraintState::Matcher(grammars()?.start_timed(constraint)?)),
        };
        let shortlist = Shortlist::before(&links, left_out, sampling);
        // With greedy sampling the most likely token is the only candidate after the samplers.
        let draws = !matches!(links.last(), Some(Link::Greedy));
        let mut chain = Chain::new(vocab, links)?;
        let top_logprobs = sampling.logprobs.map(|top| top as usize);
        let post_sampling = sampling.post_sampling;
        if let Some(top) = top_logprobs.filter(|_| post_sampling && draws) {
            chain.keep_candidates(top);
        }
        if plain.is_none() {
            for token in prompt {
                chain.accept(*token);
            }
        }
        Ok(Self { chain, plain, shortlist, constraint, top_logprobs, post_sampling })
    }

    /// Chooses a token.
    ///
    /// # Errors
    /// The model computed no numbers, or the constraint allows no next token.
    pub(super) fn choose(&mut self, vocab: Vocab<'_>, logits: &[f32]) -> Result<SampledToken, Failure> {
        if logits.is_empty() {
            return Err(Failure::Model("the model computed nothing".into()));
        }
        if logits.iter().fold(false, |found, logit| found | logit.is_nan()) {
            return Err(Failure::Model("the model computed something that is not a number".into()));
        }
        let stuck = |error: &dyn std::fmt::Display| {
            let error = error.to_string();
            let reason = error.lines().next().unwrap_or_default();
            Failure::Constraint(format!("the grammar cannot continue: {reason}"))
        };
        let nothing = || Failure::Model("the samplers left no token".into());
        let fits_none = || stuck(&"no token of the vocabulary matches");
        let all = || (0..).zip(logits.iter().copied());
        let only = |tokens: Vec<u32>| {
            tokens.into_iter().filter_map(|token| Some((token, *logits.get(token as usize)?)))
        };
        let Self { chain, plain, shortlist, constraint, .. } = self;
        let free = || match (plain, shortlist) {
            (Some(left_out), _) => Some(likeliest(logits, left_out)),
            (None, Some(shortlist)) => chain.choose(shortlist.of(logits)),
            (None, None) => chain.choose(all()),
        };
        let token = match constraint {
            None => free().ok_or_else(nothing)?,
            Some(ConstraintState::ToolCalls(calls)) => {
                match calls.allowed_tokens(&vocab).map_err(|error| stuck(&error))? {
                    None => free().ok_or_else(nothing)?,
                    Some(allowed) => chain.choose(only(allowed)).ok_or_else(fits_none)?,
                }
            }
            Some(ConstraintState::Matcher(matcher)) => {
                let mask = matcher.mask().map_err(|error| stuck(&error))?;
                let mut allowed = Vec::new();
                mask.iter_set_entries(|id| allowed.extend(u32::try_from(id)));
                chain.choose(only(allowed)).ok_or_else(fits_none)?
            }
            Some(ConstraintState::Grammar(grammar)) => {
                // Testing one token is cheap, and it usually matches.
                let free = chain.choose(all()).filter(|token| !grammar.keep([(*token, 0.0)]).is_empty());
                let token = match free {
                    Some(token) => token,
                    None => chain.choose(grammar.keep(all()).into_iter()).ok_or_else(fits_none)?,
                };
                grammar.accept(token);
                token
            }
        };
        if self.plain.is_none() {
            self.chain.accept(token);
        }
        let mut last = false;
        match &mut self.constraint {
            Some(ConstraintState::Matcher(matcher)) if !vocab.ends(token) => {
                matcher.take(token).map_err(|error| stuck(&error))?;
                last = matcher.is_whole();
            }
            Some(ConstraintState::ToolCalls(calls)) if !vocab.ends(token) => {
                calls.take(&vocab, token);
                last = calls.is_whole();
            }
            _ => {}
        }
        let logprobs = self.top_logprobs.map(|top| match self.post_sampling {
            true => post_sampling_logprobs(vocab, self.chain.candidates_after(), token, top),
            false => logprobs(vocab, logits, token, top),
        });
        Ok(SampledToken { token, logprobs, last })
    }
}

/// Returns the samplers of an answer. Their defaults, and their order unless the request sets one, are
/// llama.cpp's.
fn links(vocab: Vocab<'_>, left_out: &[u32], sampling: &Sampling, context_tokens: i32) -> Vec<Link> {
    let extra = sampling.extra.as_deref().cloned().unwrap_or_default();
    let mut links = Vec::new();
    let mut biases: Vec<(u32, f32)> = sampling
        .logit_bias
        .iter()
        .filter_map(|(token, bias)| Some((u32::try_from(*token).ok()?, *bias)))
        .filter(|(token, _)| *token < vocab.len())
        .collect();
    biases.extend(left_out.iter().map(|token| (*token, f32::NEG_INFINITY)));
    if !biases.is_empty() {
        links.push(Link::LogitBias(biases));
    }
    let temperature = sampling.temperature.unwrap_or(0.8);
    let order = extra.samplers.clone().unwrap_or_else(|| SamplerName::ORDER.to_vec());
    let mirostat = extra.mirostat.filter(|version| *version > 0);
    for name in order {
        let changes_scores = matches!(name, SamplerName::Penalties | SamplerName::Dry);
        // Without a random choice, or with Mirostat, the others have no effect.
        if changes_scores || (temperature > 0.0 && mirostat.is_none()) {
            links.extend(link(name, sampling, &extra, temperature, context_tokens));
        }
    }
    if temperature <= 0.0 {
        links.push(Link::Greedy);
        return links;
    }
    let (seed, tau, eta) =
        (sampling.seed, extra.mirostat_tau.unwrap_or(5.0), extra.mirostat_eta.unwrap_or(0.1));
    let plain = Link::Temperature { value: temperature, range: 0.0, exponent: 1.0 };
    match mirostat {
        Some(1) => links.extend([plain, Link::Mirostat { seed, tau, eta }]),
        Some(_) => links.extend([plain, Link::MirostatV2 { seed, tau, eta }]),
        None => links.push(Link::Draw { seed }),
    }
    links
}

/// Returns one sampler if it has an effect.
fn link(
    name: SamplerName,
    sampling: &Sampling,
    extra: &ExtraSampling,
    temperature: f32,
    context_tokens: i32,
) -> Option<Link> {
    let keep = extra.min_keep.unwrap_or(0) as usize;
    // A sampler allocates memory for as many tokens as it looks back.
    let look_back = |last: i32| if last < 0 { context_tokens } else { last.min(context_tokens) };
    match name {
        SamplerName::Penalties => {
            let repeat = sampling.repeat_penalty.unwrap_or(1.0);
            let frequency = sampling.frequency_penalty.unwrap_or(0.0);
            let presence = sampling.presence_penalty.unwrap_or(0.0);
            let last = look_back(sampling.repeat_last_n.unwrap_or(PENALTY_TOKENS));
            let some = (repeat, frequency, presence) != (1.0, 0.0, 0.0);
            some.then_some(Link::Penalties { last, repeat, frequency, presence })
        }
        SamplerName::Dry => {
            let multiplier = extra.dry_multiplier.filter(|strength| *strength != 0.0)?;
            let usual = || ["\n", ":", "\"", "*"].map(ToOwned::to_owned).to_vec();
            Some(Link::Dry {
                multiplier,
                base: extra.dry_base.unwrap_or(1.75),
                allowed_length: extra.dry_allowed_length.unwrap_or(2),
                last: look_back(extra.dry_penalty_last_n.unwrap_or(-1)),
                breakers: extra.dry_sequence_breakers.clone().unwrap_or_else(usual),
            })
        }
        SamplerName::TopNSigma => extra.top_n_sigma.map(Link::TopNSigma),
        SamplerName::TopK => match sampling.top_k.unwrap_or(40) {
            0 => None,
            k => Some(Link::TopK(k.max(i32::try_from(keep).unwrap_or(i32::MAX)))),
        },
        SamplerName::TypicalP => extra.typical_p.map(|p| Link::Typical { p, keep }),
        SamplerName::TopP => Some(Link::TopP { p: sampling.top_p.unwrap_or(0.95), keep }),
        SamplerName::MinP => Some(Link::MinP { p: sampling.min_p.unwrap_or(0.05), keep }),
        SamplerName::Xtc => {
            let (threshold, seed) = (extra.xtc_threshold.unwrap_or(0.1), sampling.seed);
            extra.xtc_probability.map(|probability| Link::Xtc { probability, threshold, keep, seed })
        }
        SamplerName::Temperature => Some(Link::Temperature {
            value: temperature,
            range: extra.dynatemp_range.unwrap_or(0.0),
            exponent: extra.dynatemp_exponent.unwrap_or(1.0),
        }),
    }
}

/// Returns the logprobs of the model's distribution, before any sampler.
pub(super) fn logprobs(vocab: Vocab<'_>, logits: &[f32], token: u32, top: usize) -> TokenLogprobs {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - largest).exp())).sum();
    let all = largest + sum.ln() as f32;
    let candidate = |id: usize| {
        let token = u32::try_from(id).unwrap_or(u32::MAX);
        let logprob = logits.get(id).map_or(f32::NEG_INFINITY, |logit| logit - all);
        Candidate { id: token, bytes: vocab.bytes(token, true), logprob }
    };
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let top = top.min(order.len());
    let likelier = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]);
    if top > 0 && top < order.len() {
        order.select_nth_unstable_by(top - 1, likelier);
    }
    order.truncate(top);
    order.sort_by(likelier);
    TokenLogprobs { chosen: candidate(token as usize), top: order.into_iter().map(candidate).collect() }
}

/// Returns the logprobs of the candidates from which `token` was drawn. Without candidates it was not drawn
/// and is the only one.
fn post_sampling_logprobs(
    vocab: Vocab<'_>,
    candidates: Option<&CandidatesAfter>,
    token: u32,
    top: usize,
) -> TokenLogprobs {
    let only = [(token, 1.0)];
    let (probability, likeliest) = match candidates {
        Some(candidates) => (candidates.chosen, candidates.likeliest.as_slice()),
        None => (1.0, only.as_slice()),
    };
    let candidate = |(id, probability): (u32, f32)| Candidate {
        id,
        bytes: vocab.bytes(id, true),
        logprob: probability.ln(),
    };
    let chosen = candidate((token, probability));
    TokenLogprobs { chosen, top: likeliest.iter().take(top).copied().map(candidate).collect() }
}
