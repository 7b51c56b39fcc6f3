//! Decodes requests for completions.

use lar_base::default_models::DEFAULT_CHAT;
use lar_base::{Code, Problem, TaskId};
use lar_inference::Prompt;

use super::style::CompletionStyle;
use crate::fields::read;
use crate::lenient::{self, OutOfRange};
use crate::model_name::model_or;
use crate::openai::wire::{COMPLETION_FIELDS, CompletionRequest};
use crate::prompts::{self, PromptInput};
use crate::token_limit::TokenLimit;
use crate::{Request, sampling};

/// OpenAI's default for `max_tokens` on this path.
const TOKENS_DEFAULT: u32 = 16;

/// A decoded and validated request for completions, whose prompts are not yet tokenized.
#[derive(Debug)]
pub struct CompletionsInput {
    /// The request without its prompts: its prompt is a placeholder, unless it fills in the middle.
    pub request: Request,
    /// The prompts, 1 to 128. Each has [`Request::n`] answers.
    pub prompts: Vec<PromptInput>,
    /// Whether each answer starts with its prompt, so that the style needs the texts of the prompts.
    pub echo: bool,
    /// The contents of the response.
    pub style: CompletionStyle,
}

/// Decodes a request body; `id` is the id of the task of its first prompt.
///
/// # Errors
/// [`Code::InvalidParams`] or [`Code::UnsupportedParam`] with the field and the reason.
pub(super) fn decode(body: &[u8], id: TaskId) -> Result<CompletionsInput, Problem> {
    let (body, mut ignored) = read(body, COMPLETION_FIELDS)?;
    ignored.extend(sampling::unused_of_constraint(&body));
    let wire: CompletionRequest = lenient::from_value(&body, OutOfRange::Refused)?;
    let prompts = prompts::read(&wire.prompt)?;
    let suffix = wire.suffix.filter(|suffix| !suffix.is_empty());
    let prompt = match (prompts.as_slice(), suffix) {
        ([PromptInput::Text(prefix)], Some(suffix)) => Prompt::Infill { prefix: prefix.clone(), suffix },
        (_, Some(_)) => {
            return Err(Problem::invalid("suffix", "requires a `prompt` that is a single string"));
        }
        (_, None) => Prompt::Text(String::new()),
    };
    let tokens_max = wire.max_tokens.unwrap_or(TokenLimit::AtMost(TOKENS_DEFAULT)).get();
    let prefill_only = tokens_max == Some(0);
    let tokens_max = tokens_max.map(|tokens| tokens.max(1));
    let mut sampling = sampling::sampling(lenient::from_value(&body, OutOfRange::Refused)?, tokens_max, id)?;
    sampling.logprobs = wire.logprobs.map(|top| sampling::top_logprobs("logprobs", top)).transpose()?;
    let n = sampling::answers("n", wire.n, &body)?;
    if wire.best_of.is_some_and(|best_of| best_of > n) {
        let reason = "must not be greater than `n`, because all answers are returned";
        return Err(Problem::about(Code::UnsupportedParam, "best_of", reason));
    }
    let echo = wire.echo == Some(true);
    sampling.prompt_logprobs = echo && sampling.logprobs.is_some();
    let style = CompletionStyle {
        answers_per_prompt: n as usize,
        logprobs: sampling.logprobs.is_some(),
        prompt_logprobs: sampling.prompt_logprobs,
        prefill_only,
        include_usage: wire.stream_options.is_some_and(|options| options.include_usage),
        echoed: Vec::new(),
    };
    let request = Request {
        id,
        model: model_or(wire.model, DEFAULT_CHAT),
        prompt,
        n,
        constraint_field: sampling::constraint_field(&body, "json_schema"),
        stream: wire.stream == Some(true),
        ignored,
        sampling,
    };
    Ok(CompletionsInput { request, prompts, echo, style })
}
