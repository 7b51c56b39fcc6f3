//! The sampling fields, as chat completions, completions, Ollama's options and llama.cpp's paths share them.

mod structured_output;

use lar_base::{Problem, TaskId};
use lar_inference::{ExtraSampling, SamplerName, Sampling, in_range};
use serde_json::Value;

pub(crate) use self::structured_output::{field as constraint_field, unused as unused_of_constraint};
use crate::lenient::OutOfRange;
use crate::openai::wire::{OneOrMany, Sampling as WireSampling};
use crate::request::{STOP_BYTES_MAX, STOP_MAX, stop_texts};

/// The maximum number of entries in `logit_bias`.
const BIAS_MAX: usize = 1024;
/// The largest absolute value of a bias.
const BIAS_LIMIT: f32 = 100.0;
/// The newest version of Mirostat.
const MIROSTAT_MAX: u8 = 2;
/// The maximum number of answers to a prompt.
const ANSWERS_MAX: u32 = 16;
/// The maximum number of candidates in the logprobs of a token.
pub(crate) const TOP_LOGPROBS_MAX: u32 = 20;

impl OutOfRange {
    /// Checks that a number is in the first range, or clamps it to the second, which is wider.
    fn check(
        self,
        field: &str,
        value: Option<f32>,
        (low, high): (f32, f32),
        (lowest, highest): (f32, f32),
    ) -> Result<Option<f32>, Problem> {
        match self {
            OutOfRange::Refused => in_range(field, value, low, high),
            OutOfRange::Nearest => Ok(value.map(|value| value.clamp(lowest, highest))),
        }
    }

    /// Checks or clamps a number like [`OutOfRange::check`], with the same range for both.
    fn within(self, field: &str, value: Option<f32>, low: f32, high: f32) -> Result<Option<f32>, Problem> {
        self.check(field, value, (low, high), (low, high))
    }
}

/// Converts the sampling fields. Numbers that are out of range are errors.
pub(crate) fn sampling(
    wire: WireSampling,
    tokens_max: Option<u32>,
    task: TaskId,
) -> Result<Sampling, Problem> {
    read(wire, tokens_max, task, OutOfRange::Refused)
}

/// Converts the sampling fields like [`sampling`], but clamps numbers that are out of range.
///
/// This is for the paths of Ollama and llama.cpp, whose servers accept any number. The caller must have read
/// the fields with [`OutOfRange::Nearest`], too.
pub(crate) fn sampling_clamped(
    wire: WireSampling,
    tokens_max: Option<u32>,
    task: TaskId,
) -> Result<Sampling, Problem> {
    read(wire, tokens_max, task, OutOfRange::Nearest)
}

fn read(
    mut wire: WireSampling,
    tokens_max: Option<u32>,
    task: TaskId,
    out_of_range: OutOfRange,
) -> Result<Sampling, Problem> {
    if tokens_max == Some(0) {
        return Err(Problem::invalid("max_tokens", "must be at least 1"));
    }
    let extra = extra(&wire, out_of_range)?;
    let constraint = structured_output::read(&mut wire)?;
    let mut stop = wire.stop.map(OneOrMany::into_vec).unwrap_or_default();
    // As in llama.cpp: some clients send empty strings for unset stop sequences.
    stop.retain(|text| !text.is_empty());
    let stop = stop_texts("stop", stop)?;
    let logit_bias = logit_bias(wire.logit_bias.unwrap_or_default(), out_of_range)?;
    let shift_keep = match (wire.context_shift, wire.n_keep.unwrap_or(0)) {
        (Some(true), ..=-2) => return Err(Problem::invalid("n_keep", "must be at least -1")),
        // llama.cpp's -1 keeps the whole prompt; the engine keeps at most half of the context.
        (Some(true), keep) => Some(u32::try_from(keep).unwrap_or(u32::MAX)),
        (_, 0) => None,
        _ => return Err(Problem::invalid("n_keep", "requires `context_shift` to be true")),
    };
    // vLLM's `repetition_penalty` applies to all earlier tokens.
    let (repeat, repeat_field) = match wire.repeat_penalty {
        None => (wire.repetition_penalty, "repetition_penalty"),
        penalty => (penalty, "repeat_penalty"),
    };
    let everywhere = wire.repeat_penalty.is_none() && wire.repetition_penalty.is_some();
    let penalty = |field, value| out_of_range.check(field, value, (-2.0, 2.0), (-100.0, 100.0));
    Ok(Sampling {
        temperature: out_of_range.check("temperature", wire.temperature, (0.0, 2.0), (0.0, 100.0))?,
        top_p: out_of_range.within("top_p", wire.top_p, 0.0, 1.0)?,
        // No limit is -1 in vLLM and Ollama, and 0 in llama.cpp.
        top_k: wire.top_k.map(|k| k.max(0)),
        min_p: out_of_range.within("min_p", wire.min_p, 0.0, 1.0)?,
        presence_penalty: penalty("presence_penalty", wire.presence_penalty)?,
        frequency_penalty: penalty("frequency_penalty", wire.frequency_penalty)?,
        repeat_penalty: out_of_range.within(repeat_field, repeat, 0.1, 10.0)?,
        repeat_last_n: wire.repeat_last_n.or(everywhere.then_some(-1)),
        extra,
        logit_bias,
        ignore_eos: wire.ignore_eos == Some(true),
        constraint,
        strict: false,
        // SDKs send 64-bit seeds and engines accept 32 bits, so a seed is folded. -1 means a random seed.
        seed: match wire.seed {
            None | Some(-1) => Sampling::derived_seed(task),
            Some(seed) => seed as u32 ^ (seed >> 32) as u32,
        },
        stop,
        tokens_max: tokens_max.unwrap_or(0),
        logprobs: None,
        post_sampling: false,
        prompt_logprobs: false,
        preserved: Vec::new(),
        shift_keep,
        grouped: false,
        reports_prefill: wire.return_progress == Some(true),
    })
}

/// Reads `logit_bias`: an object, as in OpenAI's API, or an array of pairs, as in llama.cpp's.
///
/// # Errors
/// If it has another form, too many entries, or a key that is not a token id.
pub(crate) fn logit_bias(biases: Value, out_of_range: OutOfRange) -> Result<Vec<(i32, f32)>, Problem> {
    let wrong = |reason: String| Problem::invalid("logit_bias", reason);
    let entries: Vec<(String, Value)> = match biases {
        Value::Null => Vec::new(),
        Value::Object(members) => members.into_iter().filter(|(_, bias)| !bias.is_null()).collect(),
        Value::Array(pairs) => {
            let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
                Some([token @ Value::Number(_), bias]) => Ok((token.to_string(), bias.clone())),
                _ => Err(wrong("must be an object, or an array of pairs of a token id and a number".into())),
            };
            pairs.iter().map(pair).collect::<Result<_, Problem>>()?
        }
        _ => return Err(wrong("must map token ids to numbers".into())),
    };
    if entries.len() > BIAS_MAX {
        return Err(wrong(format!("has {} entries; the limit is {BIAS_MAX}", entries.len())));
    }
    let entry = |(token, bias): (String, Value)| {
        let id = token.parse::<i32>().ok().filter(|id| *id >= 0);
        let id = id.ok_or_else(|| wrong(format!("has `{token:.40}`, which is not a token id")))?;
        let bias = match bias {
            // In llama.cpp's API, false bans a token.
            Value::Bool(false) => -BIAS_LIMIT,
            bias => bias.as_f64().ok_or_else(|| wrong("must map token ids to numbers".into()))? as f32,
        };
        let bias = out_of_range.within("logit_bias", Some(bias), -BIAS_LIMIT, BIAS_LIMIT)?;
        Ok((id, bias.unwrap_or_default()))
    };
    entries.into_iter().map(entry).collect()
}

/// Reads the fields of llama.cpp's other samplers. Returns `None` if none is set.
fn extra(wire: &WireSampling, out_of_range: OutOfRange) -> Result<Option<Box<ExtraSampling>>, Problem> {
    let unit = |field, value| out_of_range.within(field, value, 0.0, 1.0);
    let positive = |field, value| out_of_range.within(field, value, 0.0, 100.0);
    if out_of_range == OutOfRange::Refused && wire.mirostat.is_some_and(|version| version > MIROSTAT_MAX) {
        return Err(Problem::invalid("mirostat", "must be 0, 1 or 2"));
    }
    if let Some(breakers) = &wire.dry_sequence_breakers
        && (breakers.len() > STOP_MAX
            || breakers
                .iter()
                .any(|text| text.is_empty() || text.len() > STOP_BYTES_MAX || text.contains('\0')))
    {
        let reason = format!(
            "must have at most {STOP_MAX} strings of 1 to {STOP_BYTES_MAX} bytes without null characters"
        );
        return Err(Problem::invalid("dry_sequence_breakers", reason));
    }
    if wire.dry_allowed_length.is_some_and(|length| length < 0) {
        return Err(Problem::invalid("dry_allowed_length", "must not be negative"));
    }
    let extra = ExtraSampling {
        typical_p: unit("typical_p", wire.typical_p)?,
        top_n_sigma: out_of_range.within("top_n_sigma", wire.top_n_sigma, -1.0, 100.0)?,
        xtc_probability: unit("xtc_probability", wire.xtc_probability)?,
        xtc_threshold: unit("xtc_threshold", wire.xtc_threshold)?,
        dynatemp_range: positive("dynatemp_range", wire.dynatemp_range)?,
        dynatemp_exponent: positive("dynatemp_exponent", wire.dynatemp_exponent)?,
        dry_multiplier: positive("dry_multiplier", wire.dry_multiplier)?,
        dry_base: positive("dry_base", wire.dry_base)?,
        dry_allowed_length: wire.dry_allowed_length,
        dry_penalty_last_n: wire.dry_penalty_last_n,
        dry_sequence_breakers: wire.dry_sequence_breakers.clone(),
        mirostat: wire.mirostat.map(|version| version.min(MIROSTAT_MAX)),
        mirostat_tau: positive("mirostat_tau", wire.mirostat_tau)?,
        mirostat_eta: positive("mirostat_eta", wire.mirostat_eta)?,
        min_keep: wire.min_keep,
        samplers: wire.samplers.as_deref().map(samplers).transpose()?,
    };
    Ok((extra != ExtraSampling::default()).then(|| Box::new(extra)))
}

/// Reads llama.cpp's sampler names.
fn samplers(names: &[String]) -> Result<Vec<SamplerName>, Problem> {
    let mut samplers = Vec::with_capacity(names.len().min(SamplerName::ORDER.len()));
    for name in names {
        let known: Result<SamplerName, _> = serde_json::from_value(name.as_str().into());
        let known = known.map_err(|_| {
            Problem::invalid("samplers", format!("has `{name:.40}`, which is not a supported sampler"))
        })?;
        if samplers.contains(&known) {
            return Err(Problem::invalid("samplers", format!("has `{name}` twice")));
        }
        samplers.push(known);
    }
    Ok(samplers)
}

/// Checks the number of answers to a prompt. The error shows the field's value in `body` as it was sent.
pub(crate) fn answers(field: &str, n: Option<u32>, body: &Value) -> Result<u32, Problem> {
    match n.unwrap_or(1) {
        n @ 1..=ANSWERS_MAX => Ok(n),
        _ => {
            let reason = format!("must be between 1 and {ANSWERS_MAX}, got {}", body[field]);
            Err(Problem::invalid(field, reason))
        }
    }
}

/// Checks the number of candidates in the logprobs of each token.
pub(crate) fn top_logprobs(field: &str, top: u32) -> Result<u32, Problem> {
    if top <= TOP_LOGPROBS_MAX {
        Ok(top)
    } else {
        Err(Problem::invalid(field, format!("must be at most {TOP_LOGPROBS_MAX}, got {top}")))
    }
}
