//! The decoded request of chat and generate, and the fields that both share.

use std::time::Duration;

use lar_base::{Problem, TaskId};
use lar_inference::{ChatMessage, Prompt, Sampling, TemplateVariable};
use serde_json::Value;

use super::models::strip_tag;
use super::wire::OllamaAnswerFields;
use super::{keep_alive, options};
use crate::lenient::{self, OutOfRange};
use crate::{Request, reasoning_effort};

/// The maximum number of messages in a chat or in a `context`.
pub(super) const MESSAGES_MAX: usize = 10_000;

/// A decoded request for an answer, or to load or unload a model.
#[derive(Debug)]
pub struct OllamaInput {
    /// The request for the text; `None` without a prompt: the request only loads or unloads the model.
    pub request: Option<Request>,
    /// The style of the response.
    pub style: OllamaStyle,
    /// Whether the response is a stream of lines.
    pub stream: bool,
    /// The time that the model stays loaded after its last use, at most [`FOREVER`](super::FOREVER).
    ///
    /// Zero without a prompt unloads the model. `None` leaves the time unchanged.
    pub keep_alive: Option<Duration>,
    /// Whether a prompt that exceeds the context is truncated.
    pub truncates: bool,
    /// `num_ctx`: the context in tokens to which a prompt is truncated, if it is smaller than the model's.
    pub context_max: Option<usize>,
}

/// The path of a request, on which the form of the response depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OllamaPath {
    /// `/api/chat`, whose response has a message.
    Chat,
    /// `/api/generate`, whose response has a text.
    Generate,
}

/// The parts of a request that its response depends on.
#[derive(Debug, Clone)]
pub struct OllamaStyle {
    /// The path of the request.
    pub(super) path: OllamaPath,
    /// The model's name in the request, with the memory suffix if it has one, without the tag `:latest`.
    pub model: String,
    /// Whether the response contains the model's thinking.
    pub(super) shows_thinking: bool,
    /// The conversation before the answer, for the `context` of the response; `None` if it has none.
    pub(super) context: Option<Vec<ChatMessage>>,
}

impl OllamaStyle {
    /// Copies the conversation of a prompt for the `context` of the response, which `/api/generate` has unless the
    /// prompt is a plain text.
    ///
    /// Call this after the prompt is truncated to the model's context: the conversation that the client sends back
    /// then has the length that the model can read.
    pub fn set_context(&mut self, prompt: &Prompt) {
        if let (OllamaPath::Generate, Prompt::Chat(chat)) = (self.path, prompt) {
            self.context = Some(chat.messages.clone());
        }
    }

    /// Returns whether the style has a copy of the conversation, which it keeps until the response ends.
    #[must_use]
    pub fn has_context(&self) -> bool {
        self.context.is_some()
    }
}

/// The decoded fields that chat and generate share.
#[derive(Debug)]
pub(super) struct SharedInput {
    id: TaskId,
    model: String,
    stream: bool,
    shows_thinking: bool,
    /// The chat template variables for `think`.
    pub(super) variables: Vec<TemplateVariable>,
    keep_alive: Option<Duration>,
    truncates: bool,
    context_max: Option<usize>,
    pub(super) sampling: Sampling,
    /// The fields and options that have no effect.
    ignored: Vec<String>,
}

impl SharedInput {
    /// Decodes the shared fields of a body; `id` is the id of its task, and `ignored` has the ignored fields.
    ///
    /// # Errors
    /// If a shared field is not valid.
    pub(super) fn decode(body: &Value, id: TaskId, mut ignored: Vec<String>) -> Result<Self, Problem> {
        let fields: OllamaAnswerFields = lenient::from_value(body, OutOfRange::Refused)?;
        let model = strip_tag(&fields.model).to_owned();
        let stream = fields.stream != Some(false);
        let shows_thinking = fields.think != Some(Value::Bool(false));
        let variables = thinking(fields.think.as_ref())?;
        let keep_alive = keep_alive::read(fields.keep_alive.as_ref())?;
        let truncates = fields.truncate != Some(false);
        let context_max = options::context_max(&fields.options)?;
        let sampling = options::sampling(fields, id, &mut ignored)?;
        Ok(Self {
            id,
            model,
            stream,
            shows_thinking,
            variables,
            keep_alive,
            truncates,
            context_max,
            sampling,
            ignored,
        })
    }

    /// Returns a request that only loads or unloads the model.
    pub(super) fn without_prompt(self, path: OllamaPath) -> OllamaInput {
        OllamaInput {
            request: None,
            style: OllamaStyle { path, model: self.model, shows_thinking: false, context: None },
            stream: self.stream,
            keep_alive: self.keep_alive,
            truncates: false,
            context_max: None,
        }
    }

    /// Returns a request for an answer to a prompt.
    pub(super) fn with_prompt(self, path: OllamaPath, prompt: Prompt) -> OllamaInput {
        let request = Request {
            id: self.id,
            model: self.model.clone(),
            prompt,
            sampling: self.sampling,
            n: 1,
            constraint_field: "format",
            stream: self.stream,
            ignored: self.ignored,
        };
        OllamaInput {
            request: Some(request),
            style: OllamaStyle {
                path,
                model: self.model,
                shows_thinking: self.shows_thinking,
                context: None,
            },
            stream: self.stream,
            keep_alive: self.keep_alive,
            truncates: self.truncates,
            context_max: self.context_max,
        }
    }
}

/// Returns the chat template variables for `think`.
fn thinking(think: Option<&Value>) -> Result<Vec<TemplateVariable>, Problem> {
    match think {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Bool(on)) => Ok(reasoning_effort::thinking("think", *on)),
        Some(Value::String(effort)) => reasoning_effort::effort("think", effort),
        Some(_) => {
            Err(Problem::invalid("think", "must be a boolean, or a level such as low, medium or high"))
        }
    }
}
