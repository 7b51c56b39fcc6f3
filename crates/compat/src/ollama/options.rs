//! The sampling fields of chat and generate: `options`, `format`, `logprobs`, `top_logprobs` and `shift`.

use lar_base::{Problem, TaskId};
use lar_inference::{Constraint, Sampling};
use serde_json::{Map, Value};

use super::wire::{OPTIONS, OllamaAnswerFields};
use crate::fields::{FieldSupport, check_fields};
use crate::lenient::{self, OutOfRange, normalize_values};
use crate::request::json_schema;
use crate::sampling::{sampling_clamped, top_logprobs};

/// The number of prompt tokens that a context shift keeps without `num_keep`: Ollama's default.
const SHIFT_KEEP: i64 = 4;
/// The smallest `num_ctx` in tokens, as at Ollama.
const CONTEXT_TOKENS_MIN: usize = 4;

/// Reads `num_ctx` of a request's options. A number below 1 sets no limit, as at Ollama.
///
/// # Errors
/// If it is not a number.
pub(super) fn context_max(options: &Map<String, Value>) -> Result<Option<usize>, Problem> {
    let Some(tokens) = options.get("num_ctx").filter(|tokens| !tokens.is_null()) else { return Ok(None) };
    let tokens =
        tokens.as_f64().ok_or_else(|| Problem::invalid("options.num_ctx", "must be a number of tokens"))?;
    Ok((tokens >= 1.0).then_some((tokens as usize).max(CONTEXT_TOKENS_MIN)))
}

/// Converts the sampling fields. The names of options without effect are added to `ignored`.
///
/// # Errors
/// If a field or an option has the wrong type, or `top_logprobs` is set without `logprobs`.
pub(super) fn sampling(
    fields: OllamaAnswerFields,
    id: TaskId,
    ignored: &mut Vec<String>,
) -> Result<Sampling, Problem> {
    let OllamaAnswerFields { options, format, logprobs, top_logprobs: top, shift, .. } = fields;
    let mut sampling = read_options(options, shift == Some(true), id, ignored)?;
    let top = top_logprobs("top_logprobs", top.unwrap_or(0))?;
    match (logprobs, top) {
        (Some(true), top) => sampling.logprobs = Some(top),
        (_, 0) => {}
        _ => return Err(Problem::invalid("top_logprobs", "requires `logprobs` to be true")),
    }
    sampling.constraint = match format {
        None => None,
        Some(Value::String(name)) if name.is_empty() => None,
        Some(Value::String(name)) if name == "json" => Some(Constraint::JsonObject),
        Some(schema) if schema.is_object() => Some(json_schema("format", &schema)?),
        Some(_) => {
            return Err(Problem::invalid("format", "must be `json` or a JSON Schema object"));
        }
    };
    Ok(sampling)
}

/// Converts the options. `shifts` says whether a full context drops its oldest tokens.
fn read_options(
    options: Map<String, Value>,
    shifts: bool,
    id: TaskId,
    ignored: &mut Vec<String>,
) -> Result<Sampling, Problem> {
    let within = |problem: Problem| problem.within("options");
    let mut options = Value::Object(options);
    normalize_values(&mut options);
    let unused = check_fields(&mut options, OPTIONS)?;
    let is_supported = |name: &str| {
        OPTIONS.iter().any(|option| option.name == name && option.support == FieldSupport::Supported)
    };
    let Value::Object(all) = options else { return Err(Problem::invalid("options", "must be an object")) };
    let mut wire: Map<String, Value> = all.into_iter().filter(|(name, _)| is_supported(name)).collect();
    ignored.extend(unused.into_iter().map(|name| format!("options.{name}")));
    // It limits the prompt and is read by `context_max`.
    wire.remove("num_ctx");
    let tokens_max = match wire.remove("num_predict") {
        None => None,
        Some(number) => {
            let wrong = |_| Problem::invalid("options.num_predict", "must be a number");
            let number: i64 = lenient::from_value(&number, OutOfRange::Nearest).map_err(wrong)?;
            // -1 and -2 mean no limit, and so does 0, which clients send that always send all options.
            u32::try_from(number).ok().filter(|number| *number > 0)
        }
    };
    // A negative number turns `top_k` off in llama.cpp.
    if wire.get("top_k").and_then(Value::as_i64).is_some_and(|k| k < 0) {
        wire.insert("top_k".into(), 0.into());
    }
    if wire.get("seed").and_then(Value::as_i64) == Some(-1) {
        wire.remove("seed");
    }
    let keep = wire.remove("num_keep");
    if shifts {
        wire.insert("context_shift".into(), true.into());
        wire.insert("n_keep".into(), keep.unwrap_or_else(|| SHIFT_KEEP.into()));
    } else if keep.is_some() {
        ignored.push("options.num_keep".into());
    }
    let wire = lenient::from_value(&Value::Object(wire), OutOfRange::Nearest).map_err(within)?;
    sampling_clamped(wire, tokens_max, id).map_err(within)
}
