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
use crate::model_name::{model_or, plain_name};
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
pub fn is_openais(body: &[u8]) -> Result<bool, Problem> {
    let body = lenient::parse(body)?;
    Ok(body.get("model").is_some_and(Value::is_string)
        && OWN_NAMES.iter().all(|name| body.get(name).is_none()))
}

/// A request whose texts in `logit_bias` are not yet tokenized, and whose other fields are not yet decoded.
#[derive(Debug)]
pub struct UndecodedCompletion {
    body: Value,
    /// The fields that have no effect.
    ignored: Vec<String>,
    is_infill: bool,
}

/// A decoded and validated request for completions, whose prompts are not yet tokenized.
#[derive(Debug)]
pub struct LlamaCppInput {
    /// The request without its prompts: its prompt is a placeholder, unless it fills in the middle.
    ///
    /// With line limits its answers are streamed from the engine even if the response is not streamed.
    pub request: Request,
    /// The prompts, 1 to 128. Each has [`Request::n`] answers.
    pub prompts: Vec<PromptInput>,
    /// The contents of the response.
    pub style: LlamaCppStyle,
    /// Whether the response is streamed.
    pub stream: bool,
    /// The limits that end an answer at a line.
    pub limits: LineLimits,
    /// The field that sets the number of answers per prompt, for errors.
    pub n_field: &'static str,
}

impl UndecodedCompletion {
    /// Reads a body of `/completion` or, if `is_infill` is set, of `/infill`.
    ///
    /// # Errors
    /// If the body is not a JSON object, or has a field that Lar rejects.
    pub fn read(body: &[u8], is_infill: bool) -> Result<Self, Problem> {
        let (mut body, mut ignored) = fields::read(body, COMPLETION_FIELDS)?;
        remove_infill_sampler(&mut body, &mut ignored);
        Ok(Self { body, ignored, is_infill })
    }

    /// Returns the name of the model without the memory suffix.
    #[must_use]
    pub fn model(&self) -> String {
        let named = self.body["model"].as_str().map(ToOwned::to_owned);
        plain_name(&model_or(named, DEFAULT_CHAT)).to_owned()
    }

    /// Returns the entries of `logit_bias`; empty if the request has none.
    ///
    /// # Errors
    /// If the field is neither an object nor an array of pairs, or has more than 64 texts.
    pub fn logit_bias(&self) -> Result<Vec<TokenBias>, Problem> {
        self.body.get("logit_bias").map_or_else(|| Ok(Vec::new()), logit_bias::read)
    }

    /// Replaces `logit_bias` by biases of token ids. Of several biases of a token, the last one counts.
    ///
    /// [`Self::decode`] refuses texts, so this must be called if [`Self::logit_bias`] has any.
    pub fn set_logit_bias(&mut self, biases: impl IntoIterator<Item = (String, f64)>) {
        self.body["logit_bias"] = logit_bias::by_token(biases);
    }

    /// Decodes the request; `id` is the id of the task of its first prompt.
    ///
    /// # Errors
    /// [`Code::InvalidParams`](lar_base::Code::InvalidParams) or
    /// [`Code::UnsupportedParam`](lar_base::Code::UnsupportedParam) with the field and the reason.
    pub fn decode(self, id: TaskId) -> Result<LlamaCppInput, Problem> {
        let Self { body, ignored, is_infill } = self;
        let wire: LlamaCppCompletionRequest = lenient::from_value(&body, OutOfRange::Nearest)?;
        let (prompt, prompts) = if is_infill {
            read_infill(&wire)?
        } else {
            (Prompt::Text(String::new()), prompts::read(&wire.prompt)?)
        };
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
        Ok(LlamaCppInput { request, prompts, style, stream, limits, n_field })
    }
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
pub(super) fn read_infill(wire: &LlamaCppCompletionRequest) -> Result<(Prompt, Vec<PromptInput>), Problem> {
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
