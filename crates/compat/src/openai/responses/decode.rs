//! Decodes requests for responses.
//!
//! The items of a request are converted in [`super::input_items`], its tools in [`super::offered_tools`].

use std::collections::HashMap;

use lar_base::default_models::DEFAULT_CHAT;
use lar_base::{Code, Problem, TaskId, Timestamp};
use lar_inference::{Constraint, Prompt, Sampling, in_range};
use serde_json::{Map, Value, json};

use super::input_items::{chat, items, reference};
use super::offered_tools::OfferedTools;
use super::response_ids::{id_of, task_of};
use super::wire::{
    INPUT_TOKENS_FIELDS, InputItem, RESPONSE_FIELDS, Response, ResponseRequest, Status, TextFormat,
    Truncation,
};
use crate::fields::{Field, read};
use crate::lenient::{self, OutOfRange};
use crate::model_name::model_or;
use crate::request::json_schema;
use crate::sampling::top_logprobs;
use crate::{Request, TokenLimit, reasoning_effort};

/// The maximum number of pairs in `metadata`, as at OpenAI.
const METADATA_PAIRS_MAX: usize = 16;
/// The maximum length of a key in `metadata`, as at OpenAI.
const METADATA_KEY_CHARS_MAX: usize = 64;
/// The maximum length of a value in `metadata`, as at OpenAI.
const METADATA_VALUE_CHARS_MAX: usize = 512;
/// The value of `include` that adds logprobs to the output.
const LOGPROBS: &str = "message.output_text.logprobs";

/// A request whose fields are read, without the stored items that it refers to.
#[derive(Debug)]
pub struct UndecodedResponseRequest {
    wire: ResponseRequest,
    raw: Value,
    ignored: Vec<String>,
}

/// A decoded and validated request.
#[derive(Debug)]
pub struct ResponsesInput {
    /// The request.
    pub request: Request,
    /// The response before any output. Its model is the requested name, not yet resolved.
    pub response: Response,
    /// The tools of the request.
    pub tools: OfferedTools,
    /// The request's own items as a JSON array, in the form in which they are stored.
    pub input: String,
    /// The treatment of an input that exceeds the context.
    pub truncation: Truncation,
}

/// Decodes a request that refers to no stored items; `id` is the id of its task.
///
/// # Errors
/// [`Code::InvalidParams`] or [`Code::UnsupportedParam`] with the field and the reason.
pub fn decode(body: &[u8], id: TaskId) -> Result<Request, Problem> {
    let request = UndecodedResponseRequest::read(body)?;
    // The time is only in the response, which is not returned.
    Ok(request.decode(Vec::new(), id, Timestamp::from_millis(0))?.request)
}

/// Decodes a request to count tokens that refers to no stored items; `id` is the id of its task.
///
/// # Errors
/// As [`decode`](fn@decode).
pub fn decode_to_count(body: &[u8], id: TaskId) -> Result<Request, Problem> {
    let request = UndecodedResponseRequest::read_to_count(body)?;
    Ok(request.decode(Vec::new(), id, Timestamp::from_millis(0))?.request)
}

impl UndecodedResponseRequest {
    /// Reads a request for a response.
    ///
    /// # Errors
    /// [`Code::InvalidParams`] or [`Code::UnsupportedParam`] with the field and the reason. The items are not
    /// checked yet.
    pub fn read(body: &[u8]) -> Result<Self, Problem> {
        Self::read_by(body, RESPONSE_FIELDS)
    }

    /// Reads a request to count tokens.
    ///
    /// # Errors
    /// As [`UndecodedResponseRequest::read`].
    pub fn read_to_count(body: &[u8]) -> Result<Self, Problem> {
        Self::read_by(body, INPUT_TOKENS_FIELDS)
    }

    fn read_by(body: &[u8], table: &[Field]) -> Result<Self, Problem> {
        let (raw, ignored) = read(body, table)?;
        Ok(Self { wire: lenient::from_value(&raw, OutOfRange::Refused)?, raw, ignored })
    }

    /// Returns the task of the previous response, if the request names one.
    ///
    /// # Errors
    /// [`Code::NotFound`] if the request names something else than a response's id.
    pub fn previous(&self) -> Result<Option<TaskId>, Problem> {
        let previous = self.wire.previous_response_id.as_deref();
        previous.map(|id| task_of("previous_response_id", id)).transpose()
    }

    /// Returns the ids of the items that the request references, one for each reference.
    #[must_use]
    pub fn references(&self) -> Vec<String> {
        let items = self.wire.input.as_array().into_iter().flatten();
        items.filter_map(|item| reference(item).map(ToOwned::to_owned)).collect()
    }

    /// Replaces references by the items, which `items` has by id.
    ///
    /// # Errors
    /// [`Code::NotFound`] for the first reference whose item is missing.
    pub fn replace_references(&mut self, items: &HashMap<String, Value>) -> Result<(), Problem> {
        let Value::Array(input) = &mut self.wire.input else { return Ok(()) };
        let mut changed = false;
        for (index, item) in input.iter_mut().enumerate() {
            let Some(id) = reference(item) else { continue };
            let found = items.get(id).cloned();
            *item = found.ok_or_else(|| {
                let reason = format!(
                    "is `{id:.80}`, which is not an item of a stored response of this key; send the item \
                     itself, or set `store` to true when you create the response"
                );
                Problem::about(Code::NotFound, format!("input[{index}].id"), reason)
            })?;
            changed = true;
        }
        if changed {
            self.raw["input"] = self.wire.input.clone();
        }
        Ok(())
    }

    /// Returns `store` and `background`, with their defaults.
    #[must_use]
    pub fn store_and_background(&self) -> (bool, bool) {
        (self.wire.store != Some(false), self.wire.background == Some(true))
    }

    /// Decodes the request. The items `earlier` come before its own.
    ///
    /// `id` is the id of the request's task, and `received_at` the time at which the request arrived.
    ///
    /// # Errors
    /// [`Code::InvalidParams`] or [`Code::UnsupportedParam`] with the field and the reason.
    pub fn decode(
        self,
        earlier: Vec<InputItem>,
        id: TaskId,
        received_at: Timestamp,
    ) -> Result<ResponsesInput, Problem> {
        let (store, background) = self.store_and_background();
        let Self { wire, raw, mut ignored } = self;
        if background && !store {
            return Err(Problem::invalid(
                "background",
                "requires `store`, so that the response can be retrieved",
            ));
        }
        let tokens_max = wire.max_output_tokens.and_then(TokenLimit::get);
        if tokens_max == Some(0) {
            return Err(Problem::invalid("max_output_tokens", "must be at least 1"));
        }
        let metadata = check_metadata(wire.metadata.unwrap_or_default())?;
        let top = top_logprobs("top_logprobs", wire.top_logprobs.unwrap_or(0))?;
        let includes_logprobs = wire.include.iter().any(|name| name == LOGPROBS);
        if top > 0 && !includes_logprobs {
            return Err(Problem::invalid("top_logprobs", format!("requires `{LOGPROBS}` in `include`")));
        }
        ignored.extend(wire.include.iter().filter(|name| *name != LOGPROBS).map(|name| {
            let name: String = name.chars().filter(char::is_ascii_graphic).take(40).collect();
            format!("include.{name}")
        }));
        let sampling = Sampling {
            temperature: in_range("temperature", wire.temperature, 0.0, 2.0)?,
            top_p: in_range("top_p", wire.top_p, 0.0, 1.0)?,
            seed: Sampling::derived_seed(id),
            tokens_max: tokens_max.unwrap_or(0),
            strict: wire.text.as_ref().and_then(|text| text.format.as_ref()?.strict) == Some(true),
            constraint: wire.text.and_then(|text| text.format).map(constraint).transpose()?.flatten(),
            logprobs: includes_logprobs.then_some(top),
            ..Sampling::default()
        };
        let input = items(wire.input)?;
        let mut chat = chat(wire.instructions.clone(), earlier, input)?;
        chat.parallel_calls = wire.parallel_tool_calls != Some(false);
        let tools = OfferedTools::add(&mut chat, wire.tools, &mut ignored)?;
        tools.choose(&mut chat, wire.tool_choice)?;
        if let Some(effort) = wire.reasoning.and_then(|reasoning| reasoning.effort) {
            chat.variables = reasoning_effort::effort("reasoning.effort", &effort)?;
        }
        let model = model_or(wire.model, DEFAULT_CHAT);
        let truncation = truncation(wire.truncation.as_deref())?;
        let echo_field = |field: &str, default: Value| raw.get(field).cloned().unwrap_or(default);
        let response = Response {
            id: id_of(id),
            object: "response".into(),
            created_at: received_at.as_seconds(),
            status: Status::InProgress,
            background,
            completed_at: None,
            error: None,
            incomplete_details: None,
            instructions: wire.instructions,
            max_output_tokens: tokens_max,
            metadata,
            model: model.clone(),
            output: Vec::new(),
            parallel_tool_calls: wire.parallel_tool_calls != Some(false),
            previous_response_id: wire.previous_response_id,
            store,
            temperature: wire.temperature,
            text: echo_field("text", json!({ "format": { "type": "text" } })),
            tool_choice: echo_field("tool_choice", json!("auto")),
            tools: echo_field("tools", json!([])),
            top_logprobs: top,
            top_p: wire.top_p,
            truncation,
            usage: None,
            timings: None,
        };
        let request = Request {
            id,
            model,
            constraint_field: "text.format",
            prompt: Prompt::Chat(chat),
            sampling,
            n: 1,
            stream: wire.stream == Some(true),
            ignored,
        };
        let input = match echo_field("input", json!([])) {
            Value::Null => json!([]),
            Value::String(text) => json!([{ "type": "message", "role": "user", "content": text }]),
            items => items,
        };
        Ok(ResponsesInput { request, response, tools, input: input.to_string(), truncation })
    }
}

fn truncation(named: Option<&str>) -> Result<Truncation, Problem> {
    match named {
        None | Some("" | "disabled") => Ok(Truncation::Disabled),
        Some("auto") => Ok(Truncation::Auto),
        Some(_) => Err(Problem::invalid("truncation", "must be auto or disabled")),
    }
}

fn check_metadata(metadata: Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    if metadata.len() > METADATA_PAIRS_MAX {
        let reason = format!("has {} pairs; the limit is {METADATA_PAIRS_MAX}", metadata.len());
        return Err(Problem::invalid("metadata", reason));
    }
    let fits = |(key, value): (&String, &Value)| {
        key.chars().count() <= METADATA_KEY_CHARS_MAX
            && value.as_str().is_some_and(|value| value.chars().count() <= METADATA_VALUE_CHARS_MAX)
    };
    if metadata.iter().all(fits) {
        return Ok(metadata);
    }
    let reason = format!(
        "must map keys of up to {METADATA_KEY_CHARS_MAX} characters to strings of up to \
         {METADATA_VALUE_CHARS_MAX} characters"
    );
    Err(Problem::invalid("metadata", reason))
}

fn constraint(format: TextFormat) -> Result<Option<Constraint>, Problem> {
    match format.kind.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(Constraint::JsonObject)),
        "json_schema" => {
            let field = "text.format.schema";
            let schema = format.schema.ok_or_else(|| Problem::invalid(field, "is missing"))?;
            json_schema(field, &schema).map(Some)
        }
        _ => Err(Problem::invalid("text.format.type", "must be text, json_object or json_schema")),
    }
}
