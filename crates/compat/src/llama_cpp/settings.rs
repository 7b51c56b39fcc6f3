//! Sampling settings in llama.cpp's form: `generation_settings` of a response and the defaults of `/props`.

use lar_inference::{Constraint, SamplerName, Sampling};
use serde_json::{Value, json};

/// The seed that means a random one, in the default settings of `/props`.
pub const RANDOM_SEED: u32 = u32::MAX;

/// The default `adaptive_decay` of llama.cpp. It is reported although Lar does not have the adaptive sampler.
const ADAPTIVE_DECAY: f64 = 0.9;

/// Returns the settings of an answer, with llama.cpp's defaults for unset fields.
///
/// `n_probs` is the number of candidates in the probabilities of each token, and `timings_per_token` says
/// whether every part of a stream has timings.
#[must_use]
pub fn of(sampling: &Sampling, stream: bool, n_probs: u32, timings_per_token: bool) -> Value {
    let extra = sampling.extra.as_deref().cloned().unwrap_or_default();
    let tokens_max = match sampling.tokens_max {
        0 => -1,
        tokens => i64::from(tokens),
    };
    let default_breakers = || ["\n", ":", "\"", "*"].map(ToOwned::to_owned).to_vec();
    let grammar = match &sampling.constraint {
        Some(Constraint::Gbnf(source)) => source.as_str(),
        _ => "",
    };
    let mut settings = json!({
        "n_predict": tokens_max,
        "max_tokens": tokens_max,
        "seed": sampling.seed,
        "stream": stream,
        "n_probs": n_probs,
        "temperature": sampling.temperature.unwrap_or(0.8),
        "top_k": sampling.top_k.unwrap_or(40),
        "top_p": sampling.top_p.unwrap_or(0.95),
        "min_p": sampling.min_p.unwrap_or(0.05),
        "repeat_last_n": sampling.repeat_last_n.unwrap_or(64),
        "repeat_penalty": sampling.repeat_penalty.unwrap_or(1.0),
        "presence_penalty": sampling.presence_penalty.unwrap_or(0.0),
        "frequency_penalty": sampling.frequency_penalty.unwrap_or(0.0),
        "stop": sampling.stop,
        "ignore_eos": sampling.ignore_eos,
        "logit_bias": logit_bias(&sampling.logit_bias),
        "grammar": grammar,
        "n_keep": sampling.shift_keep.unwrap_or(0),
        "timings_per_token": timings_per_token,
        "post_sampling_probs": sampling.post_sampling,
        "lora": [],
    });
    let extra = json!({
        "typical_p": extra.typical_p.unwrap_or(1.0),
        "top_n_sigma": extra.top_n_sigma.unwrap_or(-1.0),
        "xtc_probability": extra.xtc_probability.unwrap_or(0.0),
        "xtc_threshold": extra.xtc_threshold.unwrap_or(0.1),
        "dynatemp_range": extra.dynatemp_range.unwrap_or(0.0),
        "dynatemp_exponent": extra.dynatemp_exponent.unwrap_or(1.0),
        "dry_multiplier": extra.dry_multiplier.unwrap_or(0.0),
        "dry_base": extra.dry_base.unwrap_or(1.75),
        "dry_allowed_length": extra.dry_allowed_length.unwrap_or(2),
        "dry_penalty_last_n": extra.dry_penalty_last_n.unwrap_or(-1),
        "dry_sequence_breakers": extra.dry_sequence_breakers.unwrap_or_else(default_breakers),
        "mirostat": extra.mirostat.unwrap_or(0),
        "mirostat_tau": extra.mirostat_tau.unwrap_or(5.0),
        "mirostat_eta": extra.mirostat_eta.unwrap_or(0.1),
        "min_keep": extra.min_keep.unwrap_or(0),
        // A negative target switches the adaptive sampler off.
        "adaptive_target": -1.0,
        "adaptive_decay": ADAPTIVE_DECAY,
        "samplers": extra.samplers.unwrap_or_else(|| SamplerName::ORDER.to_vec()),
    });
    if let (Value::Object(settings), Value::Object(extra)) = (&mut settings, extra) {
        settings.extend(extra);
    }
    settings
}

fn logit_bias(biases: &[(i32, f32)]) -> Value {
    biases.iter().map(|(token, bias)| json!({ "token": token, "bias": bias })).collect()
}

/// Replaces the biases of tokens.
pub(super) fn set_logit_bias(settings: &mut Value, biases: &[(i32, f32)]) {
    settings["logit_bias"] = logit_bias(biases);
}

/// Adds the biases of `ignore_eos`, which bans the tokens that end an answer.
///
/// Their bias is negative infinity, which JSON can only represent as null.
pub(super) fn forbid(settings: &mut Value, tokens: &[u32]) {
    if let Some(biases) = settings["logit_bias"].as_array_mut() {
        biases.extend(tokens.iter().map(|token| json!({ "token": token, "bias": null })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_tokens_are_listed_with_a_null_bias() {
        let sampling = Sampling { logit_bias: vec![(5, 0.5)], ignore_eos: true, ..Sampling::default() };
        let mut settings = of(&sampling, false, 0, false);
        forbid(&mut settings, &[0, 2]);
        let expected = json!([
            { "token": 5, "bias": 0.5 }, { "token": 0, "bias": null }, { "token": 2, "bias": null },
        ]);
        assert_eq!(settings["logit_bias"], expected);
        assert_eq!((&settings["adaptive_target"], &settings["adaptive_decay"]), (&json!(-1.0), &json!(0.9)));
    }
}
