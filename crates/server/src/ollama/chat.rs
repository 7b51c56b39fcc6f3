//! `POST /api/chat`.

use axum::extract::Request;
use axum::response::Response;
use lar_api::ollama::{CHAT_FIELDS, ChatRequest, Message};
use lar_base::{Code, Instant, Problem, TaskId};
use lar_engines::driver::{self, Chat, ChatMessage, Prompt};
use serde_json::Value;

use super::lines::Form;
use super::{Read, Wishes, answer, lasting, sampling, shows_thinking, untagged};
use crate::asker::Asker;
use crate::errors::Failure;
use crate::fields::read;
use crate::generate::{self, Wanted};
use crate::{State, extract};

/// Messages of a request at most.
pub(super) const MESSAGES_MAX: usize = 10_000;

pub(crate) async fn create(app: State, asker: Asker, request: Request) -> Result<Response, Failure> {
    let asked = Instant::now();
    let read = decode(&extract::body(request, &app).await?, TaskId::new())?;
    Ok(answer(&app, &asker, Form::Chat, read, asked).await?)
}

/// Reads a request's body; `id` is the task it becomes.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<Read, Problem> {
    let (body, mut ignored) = read(body, CHAT_FIELDS)?;
    let request: ChatRequest = extract::from_value(&body)?;
    let (model, stream) = (untagged(request.model), request.stream != Some(false));
    let (thinking, variables) =
        (shows_thinking(request.think.as_ref()), super::thinking(request.think.as_ref())?);
    let keep_alive = lasting(request.keep_alive.as_ref())?;
    let truncates = request.truncate != Some(false);
    let wishes = Wishes {
        options: request.options,
        format: request.format,
        logprobs: request.logprobs,
        top_logprobs: request.top_logprobs,
        shift: request.shift,
    };
    let sampling = sampling(wishes, id, &mut ignored)?;
    if request.messages.is_empty() {
        return Ok(Read::load(model, stream, keep_alive));
    }
    if request.messages.len() > MESSAGES_MAX {
        return Err(Problem::invalid("messages", format!("holds more than {MESSAGES_MAX} messages")));
    }
    let mut chat = Chat { variables, ..Chat::default() };
    for (index, message) in request.messages.into_iter().enumerate() {
        let message = said(&format!("messages[{index}]"), message, chat.messages.last())?;
        chat.messages.push(message);
    }
    for (index, tool) in request.tools.into_iter().enumerate() {
        let names = ["name", "parameters"].map(|rest| format!("tools[{index}].function.{rest}"));
        let function = tool.function;
        let lar_api::ollama::Function { name, description, parameters } = function;
        generate::add_tool(&mut chat.tools, names, name, description, parameters, None)?;
    }
    if sampling.constraint.is_none() {
        generate::go_on(&mut chat);
    }
    let wanted = Wanted {
        id,
        model: model.clone(),
        constraint_field: "format",
        prompt: Prompt::Chat(chat),
        sampling,
        n: 1,
        stream,
        include_usage: true,
        ignored,
    };
    Ok(Read { wanted: Some(wanted), model, stream, thinking, keep_alive, truncates, context: None })
}

fn said(field: &str, message: Message, before: Option<&ChatMessage>) -> Result<ChatMessage, Problem> {
    let role = message.role.as_str();
    if !matches!(role, "system" | "user" | "assistant" | "tool") {
        return Err(Problem::invalid(format!("{field}.role"), "must be system, user, assistant or tool"));
    }
    if !message.images.is_empty() {
        let reason = "must be empty: this model reads text only, no pictures";
        return Err(Problem::about(Code::UnsupportedParam, format!("{field}.images"), reason));
    }
    if role != "assistant" && !message.tool_calls.is_empty() {
        return Err(Problem::invalid(format!("{field}.tool_calls"), "belongs to an assistant's message"));
    }
    let mut tool_calls = Vec::with_capacity(message.tool_calls.len());
    for call in message.tool_calls {
        let arguments = match call.function.arguments {
            Value::Null => "{}".into(),
            // Some clients send the text that other APIs have there.
            Value::String(text) => text,
            arguments => arguments.to_string(),
        };
        let id = call.id.unwrap_or_else(generate::call_id);
        tool_calls.push(driver::ToolCall { id, name: call.function.name, arguments });
    }
    // Older clients do not say which call a result is of: it is that of the message before.
    let of_before = before.and_then(|before| before.tool_calls.first()).map(|call| call.id.clone());
    let known = message.tool_call_id.or(of_before);
    let tool_call_id = (role == "tool").then(|| known.unwrap_or_else(generate::call_id));
    Ok(ChatMessage {
        role: message.role,
        content: message.content,
        reasoning: message.thinking,
        tool_calls,
        tool_call_id,
    })
}
