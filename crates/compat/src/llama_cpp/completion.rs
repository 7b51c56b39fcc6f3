//! Decodes requests of `/completion`, `/completions` and `/infill` in llama.cpp's native form.

use std::time::Duration;

use lar_base::default_models::DEFAULT_CHAT;
use lar_base::{Problem, TaskId};
use lar_inference::{Constraint, Prompt};
use serde_json::Value;

use super::logit_bias::{self, TokenBias};
use super::settings;
use super::style::LlamaCppStyle;
use super::wire::{COMPLETION_FIELDS, LlamaCppCompletionRequest};
use crate::fields;
use crate::lenient::{self, OutOfRange};
use crate::model_name::model_or;
use crate::prompts::{self, PromptInput};
use crate::token_limit::TokenLimit;
use crate::{LineLimits, Request, sampling};

/// The maximum number of files in `input_extra`.
const EXTRA_MAX: usize = 256;
/// The fields that only llama.cpp's form has. A body with one of them gets a response in that form.
const OWN_NAMES: [&str; 3] = ["n_predict", "input_prefix", "input_suffix"];

/// Returns whether a body of `/completions` is a request of OpenAI's API.
///
/// It is if it names a model and has no field that only llama.cpp's form has. Clients of OpenAI's API use
/// this path if their base URL has no `/v1`.
///
/// # Errors
/// If the body is not valid JSON.
pub fn has_openais_form(body: &[u8]) -> Result<bool, Problem> {
    let body = lenient::parse(body)?;
    Ok(body.get("model").is_some_and(Value::is_string)
        && OWN_NAMES.iter().all(|name| body.get(name).is_none()))
}

/// A decoded and validated request for completions, whose prompts and texts in `logit_bias` are not yet tokenized.
#[derive(Debug)]
pub struct LlamaCppInput {
    /// The request without its prompts: its prompt is a placeholder, unless it fills in the middle.
    ///
    /// With line limits its answers are streamed from the engine even if the response is not streamed.
    pub request: Request,
    /// The prompts, 1 to 128. Each has [`Request::n`] answers.
    pub prompts: Vec<PromptInput>,
    /// The entries of `logit_bias`. They have no effect before [`Self::set_logit_bias`].
    pub biases: Vec<TokenBias>,
    /// The contents of the response.
    pub style: LlamaCppStyle,
    /// Whether the response is streamed.
    pub stream: bool,
    /// The limits that end an answer at a line.
    pub limits: LineLimits,
    /// The field that sets the number of answers per prompt, for errors.
    pub n_field: &'static str,
}

impl LlamaCppInput {
    /// Sets the biases of tokens: the entries of [`Self::biases`], with the ids of the tokens of each text.
    ///
    /// Of several biases of a token, the last one counts.
    ///
    /// # Errors
    /// [`Code::InvalidParams`](lar_base::Code::InvalidParams) for too many biases or an invalid id.
    pub fn set_logit_bias(&mut self, biases: impl IntoIterator<Item = (String, f64)>) -> Result<(), Problem> {
        let biases = sampling::logit_bias(logit_bias::by_token(biases), OutOfRange::Nearest)?;
        self.style.set_logit_bias(&biases);
        self.request.sampling.logit_bias = biases;
        Ok(())
    }
}

/// The prompts of a request: that of a task if it is no text, and the prompts as they were sent.
type Prompts = (Prompt, Vec<PromptInput>);

/// Decodes a request body; `id` is the id of the task of its first prompt. `read_prompts` reads the prompts.
///
/// # Errors
/// [`Code::InvalidParams`](lar_base::Code::InvalidParams) or
/// [`Code::UnsupportedParam`](lar_base::Code::UnsupportedParam) with the field and the reason.
pub(super) fn decode(
    body: &[u8],
    id: TaskId,
    read_prompts: fn(&LlamaCppCompletionRequest) -> Result<Prompts, Problem>,
) -> Result<LlamaCppInput, Problem> {
    let (mut body, mut ignored) = fields::read(body, COMPLETION_FIELDS)?;
    remove_infill_sampler(&mut body, &mut ignored);
    let biases = take_logit_bias(&mut body)?;
    let wire: LlamaCppCompletionRequest = lenient::from_value(&body, OutOfRange::Nearest)?;
    let (prompt, prompts) = read_prompts(&wire)?;
    let tokens_max = wire.n_predict.or(wire.max_tokens).and_then(TokenLimit::get);
    let prefill_only = tokens_max == Some(0);
    let tokens_max = tokens_max.map(|tokens| tokens.max(1));
    let sampling_fields = lenient::from_value(&body, OutOfRange::Nearest)?;
    let mut sampling = sampling::sampling_clamped(sampling_fields, tokens_max, id)?;
    let n_probs = wire.n_probs.unwrap_or(0).min(sampling::TOP_LOGPROBS_MAX);
    let (n, n_field) = match wire.n_cmpl {
        None => (wire.n, "n"),
        n_cmpl => (n_cmpl, "n_cmpl"),
    };
    let n = sampling::answers(n_field, n, &body)?;
    let stream = wire.stream == Some(true);
    let limits = line_limits(&wire);
    let timings_per_token = wire.timings_per_token == Some(true);
    let tokens = stream || wire.return_tokens == Some(true);
    sampling.logprobs = (n_probs > 0 || tokens).then_some(n_probs);
    sampling.post_sampling = wire.post_sampling_probs == Some(true);
    let style = LlamaCppStyle {
        fields: wire.response_fields,
        tokens,
        n_probs,
        post_sampling: sampling.post_sampling,
        timings_per_token,
        prefill_only,
        tokens_max: sampling.tokens_max.into(),
        stop: sampling.stop.clone(),
        settings: settings::of(&sampling, stream, n_probs, timings_per_token),
        prompts: Vec::new(),
        answers_per_prompt: n as usize,
    };
    let request = Request {
        id,
        model: model_or(wire.model, DEFAULT_CHAT),
        prompt,
        n,
        constraint_field: match &sampling.constraint {
            Some(Constraint::Gbnf(_)) => "grammar",
            _ => "json_schema",
        },
        // With line limits, the engine sends each token separately, as for a stream.
        stream: stream || limits.is_any(),
        ignored,
        sampling,
    };
    Ok(LlamaCppInput { request, prompts, biases, style, stream, limits, n_field })
}

/// Removes `logit_bias` from a body and returns its entries; none if the request has no such field.
fn take_logit_bias(body: &mut Value) -> Result<Vec<TokenBias>, Problem> {
    let biases = body.as_object_mut().and_then(|fields| fields.remove("logit_bias"));
    biases.map_or_else(|| Ok(Vec::new()), |biases| logit_bias::read(&biases))
}

/// Returns the prompts of `/completion`. The tasks' prompts are made from them.
pub(super) fn read_prompts(wire: &LlamaCppCompletionRequest) -> Result<Prompts, Problem> {
    Ok((Prompt::Text(String::new()), prompts::read(&wire.prompt)?))
}

/// Removes the sampler `infill`, which editors name and which Lar does not have, and adds it to `ignored`.
fn remove_infill_sampler(body: &mut Value, ignored: &mut Vec<String>) {
    if let Some(Value::Array(names)) = body.get_mut("samplers") {
        let before = names.len();
        names.retain(|name| name != "infill");
        if names.len() < before {
            ignored.push("samplers.infill".into());
        }
    }
}

fn line_limits(wire: &LlamaCppCompletionRequest) -> LineLimits {
    LineLimits {
        indent_min: wire.n_indent.and_then(|indent| usize::try_from(indent).ok()).unwrap_or(0),
        time_max: wire
            .t_max_predict_ms
            .and_then(|millis| u64::try_from(millis).ok())
            .filter(|millis| *millis > 0)
            .map(Duration::from_millis),
    }
}

/// Returns the fill-in-the-middle prompt. `prompt` is the end of the text before the gap.
pub(super) fn read_infill(wire: &LlamaCppCompletionRequest) -> Result<Prompts, Problem> {
    let missing = |field: &str| Problem::invalid(field, "is missing");
    let before = wire.input_prefix.as_deref().ok_or_else(|| missing("input_prefix"))?;
    let suffix = wire.input_suffix.clone().ok_or_else(|| missing("input_suffix"))?;
    if wire.input_extra.len() > EXTRA_MAX {
        let reason = format!("has {} files; the limit is {EXTRA_MAX}", wire.input_extra.len());
        return Err(Problem::invalid("input_extra", reason));
    }
    let end = match &wire.prompt {
        Value::Null => "",
        Value::String(text) => text,
        _ => return Err(Problem::invalid("prompt", "must be a string")),
    };
    let mut prefix = String::new();
    for extra in &wire.input_extra {
        for part in [extra.filename.as_deref().unwrap_or_default(), &extra.text] {
            prefix.push_str(part);
            if !part.is_empty() && !part.ends_with('\n') {
                prefix.push('\n');
            }
        }
    }
    prefix.push_str(before);
    prefix.push_str(end);
    let sent = PromptInput::Text(prefix.clone());
    Ok((Prompt::Infill { prefix, suffix }, vec![sent]))
}
