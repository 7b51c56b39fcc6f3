//! `POST /api/chat`.

use axum::extract::Request;
use axum::response::Response;
use lar_api::ollama::{CHAT_FIELDS, ChatRequest, Message};
use lar_base::{Code, Instant, Problem, TaskId};
use lar_engines::driver::{self, Chat, ChatMessage, Prompt};
use serde_json::{Value, json};

use super::lines::Form;
use super::{Read, answer, lasting, sampling, shows_thinking, untagged};
use crate::asker::Asker;
use crate::errors::Failure;
use crate::fields::read;
use crate::generate::{self, Wanted};
use crate::{State, extract};

/// Messages of a request at most.
const MESSAGES_MAX: usize = 10_000;

pub(crate) async fn create(app: State, asker: Asker, request: Request) -> Result<Response, Failure> {
    let asked = Instant::now();
    let read = decode(&extract::body(request, &app).await?, TaskId::new())?;
    Ok(answer(&app, &asker, Form::Chat, read, asked).await?)
}

/// Reads a request's body; `id` is the task it becomes.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<Read, Problem> {
    let (body, mut ignored) = read(body, CHAT_FIELDS)?;
    refuse_logprobs(&body)?;
    let request: ChatRequest = extract::from_value(&body)?;
    let (model, stream) = (untagged(request.model), request.stream != Some(false));
    let thinking = shows_thinking(request.think.as_ref());
    let keep_alive = lasting(request.keep_alive.as_ref())?;
    let sampling = sampling(request.options, request.format, id, &mut ignored)?;
    if request.messages.is_empty() {
        return Ok(Read { wanted: None, model, stream, thinking, keep_alive });
    }
    if request.messages.len() > MESSAGES_MAX {
        return Err(Problem::invalid("messages", format!("holds more than {MESSAGES_MAX} messages")));
    }
    let mut chat = Chat::default();
    for (index, message) in request.messages.into_iter().enumerate() {
        let message = said(&format!("messages[{index}]"), message, chat.messages.last())?;
        chat.messages.push(message);
    }
    for (index, tool) in request.tools.into_iter().enumerate() {
        let names = ["name", "parameters"].map(|rest| format!("tools[{index}].function.{rest}"));
        let function = tool.function;
        generate::add_tool(&mut chat.tools, names, function.name, function.description, function.parameters)?;
    }
    if !chat.tools.is_empty() && sampling.constraint.is_some() {
        return Err(Problem::invalid("format", "cannot be used together with tools"));
    }
    if sampling.constraint.is_none() {
        generate::go_on(&mut chat);
    }
    let wanted = Wanted {
        id,
        model: model.clone(),
        constraint_field: if chat.tools.is_empty() { "format" } else { "tools" },
        prompt: Prompt::Chat(chat),
        sampling,
        n: 1,
        stream,
        include_usage: true,
        ignored,
    };
    Ok(Read { wanted: Some(wanted), model, stream, thinking, keep_alive })
}

/// Probabilities are not told in Ollama's shape.
pub(super) fn refuse_logprobs(body: &Value) -> Result<(), Problem> {
    if body["logprobs"] == json!(true) {
        return Err(Problem::about(Code::UnsupportedParam, "logprobs", "are told by `/v1/chat/completions`"));
    }
    Ok(())
}

fn said(field: &str, message: Message, before: Option<&ChatMessage>) -> Result<ChatMessage, Problem> {
    let role = message.role.as_str();
    if !matches!(role, "system" | "user" | "assistant" | "tool") {
        return Err(Problem::invalid(format!("{field}.role"), "must be system, user, assistant or tool"));
    }
    if !message.images.is_empty() {
        let reason = "must be empty: this model reads text only";
        return Err(Problem::about(Code::UnsupportedParam, format!("{field}.images"), reason));
    }
    if role != "assistant" && !message.tool_calls.is_empty() {
        return Err(Problem::invalid(format!("{field}.tool_calls"), "belongs to an assistant's message"));
    }
    let mut tool_calls = Vec::with_capacity(message.tool_calls.len());
    for (index, call) in message.tool_calls.into_iter().enumerate() {
        let arguments = match call.function.arguments {
            Value::Null => json!({}),
            arguments if arguments.is_object() => arguments,
            _ => {
                let field = format!("{field}.tool_calls[{index}].function.arguments");
                return Err(Problem::invalid(field, "must be an object"));
            }
        };
        let id = call.id.unwrap_or_else(generate::call_id);
        tool_calls.push(driver::ToolCall { id, name: call.function.name, arguments: arguments.to_string() });
    }
    // Older clients do not say which call a result is of: it is that of the message before.
    let of_before = before.and_then(|before| before.tool_calls.first()).map(|call| call.id.clone());
    let known = message.tool_call_id.or(of_before);
    let tool_call_id = (role == "tool").then(|| known.unwrap_or_else(generate::call_id));
    Ok(ChatMessage { role: message.role, content: message.content, tool_calls, tool_call_id })
}
