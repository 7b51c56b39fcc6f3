//! `POST /api/chat`: decodes chats, and matches tool results with their calls.

use axum::extract::Request;
use axum::response::Response;
use lar_api::ollama::{CHAT_FIELDS, OllamaChatRequest, OllamaMessage};
use lar_base::{Code, Instant, Problem, TaskId};
use lar_inference::{Chat, ChatMessage, Prompt, ToolCall};
use serde_json::Value;

use super::lines::AnswerForm;
use super::{AnswerOptions, OllamaInput, answer, parse_keep_alive, sampling, shows_thinking, strip_tag};
use crate::compat_caller::CompatCaller;
use crate::errors::Failure;
use crate::fields::read;
use crate::generate::{self, GenerationRequest};
use crate::{State, extract};

/// The maximum number of messages in a request.
pub(super) const MESSAGES_MAX: usize = 10_000;

pub(crate) async fn create(
    app: State,
    compat_caller: CompatCaller,
    request: Request,
) -> Result<Response, Failure> {
    let received_at = Instant::now();
    let read = decode(&extract::body(request, &app).await?, TaskId::new())?;
    Ok(answer(&app, &compat_caller, AnswerForm::Chat, read, received_at).await?)
}

/// Decodes a request body; `id` is the id of its task.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<OllamaInput, Problem> {
    let (body, mut ignored) = read(body, CHAT_FIELDS)?;
    let request: OllamaChatRequest = extract::from_value(&body)?;
    let (model, stream) = (strip_tag(request.model), request.stream != Some(false));
    let (thinking, variables) =
        (shows_thinking(request.think.as_ref()), super::thinking(request.think.as_ref())?);
    let keep_alive = parse_keep_alive(request.keep_alive.as_ref())?;
    let truncates = request.truncate != Some(false);
    let context_max = super::context_max(&request.options)?;
    let answer_options = AnswerOptions {
        options: request.options,
        format: request.format,
        logprobs: request.logprobs,
        top_logprobs: request.top_logprobs,
        shift: request.shift,
    };
    let sampling = sampling(answer_options, id, &mut ignored)?;
    if request.messages.is_empty() {
        return Ok(OllamaInput::load(model, stream, keep_alive));
    }
    if request.messages.len() > MESSAGES_MAX {
        let reason = format!("has {} messages; the limit is {MESSAGES_MAX}", request.messages.len());
        return Err(Problem::invalid("messages", reason));
    }
    let mut chat = Chat { variables, ..Chat::default() };
    let mut open = OpenCalls::default();
    for (index, message) in request.messages.into_iter().enumerate() {
        let message = convert(&format!("messages[{index}]"), message, &mut open)?;
        chat.messages.push(message);
    }
    for (index, tool) in request.tools.into_iter().enumerate() {
        let names = ["name", "parameters"].map(|rest| format!("tools[{index}].function.{rest}"));
        let function = tool.function;
        let lar_api::ollama::Function { name, description, parameters } = function;
        generate::add_tool(&mut chat.tools, names, name, description, parameters, None)?;
    }
    if sampling.constraint.is_none() {
        generate::take_prefill(&mut chat);
    }
    let generation = GenerationRequest {
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
    let context = None;
    Ok(OllamaInput {
        request: Some(generation),
        model,
        stream,
        thinking,
        keep_alive,
        truncates,
        context_max,
        context,
    })
}

/// The maximum number of calls in a message that are matched with results.
const OPEN_MAX: usize = 1_024;

/// The calls of the last message with calls that have no result yet.
#[derive(Debug, Default)]
struct OpenCalls(Vec<ToolCall>);

impl OpenCalls {
    /// Takes the call of a result: the call with this id, else the first call of this tool, else the first call.
    fn take(&mut self, id: Option<&str>, tool: Option<&str>) -> Option<ToolCall> {
        let at = match (id, tool) {
            (Some(id), _) => self.0.iter().position(|call| call.id == id)?,
            (None, Some(tool)) => self.0.iter().position(|call| call.name == tool)?,
            (None, None) => 0,
        };
        (at < self.0.len()).then(|| self.0.remove(at))
    }
}

fn convert(field: &str, message: OllamaMessage, open: &mut OpenCalls) -> Result<ChatMessage, Problem> {
    let role = message.role.as_str();
    if !matches!(role, "system" | "user" | "assistant" | "tool") {
        return Err(Problem::invalid(format!("{field}.role"), "must be system, user, assistant or tool"));
    }
    if !message.images.is_empty() {
        let reason = "is not supported: this model reads text only";
        return Err(Problem::about(Code::UnsupportedParam, format!("{field}.images"), reason));
    }
    if role != "assistant" && !message.tool_calls.is_empty() {
        return Err(Problem::invalid(format!("{field}.tool_calls"), "is only allowed in assistant messages"));
    }
    let mut tool_calls = Vec::with_capacity(message.tool_calls.len());
    for call in message.tool_calls {
        let arguments = match call.function.arguments {
            Value::Null => "{}".into(),
            // Some clients send a string, as in other APIs.
            Value::String(text) => text,
            arguments => arguments.to_string(),
        };
        let id = call.id.unwrap_or_else(generate::call_id);
        tool_calls.push(ToolCall { id, name: call.function.name, arguments });
    }
    if !tool_calls.is_empty() {
        open.0 = tool_calls.iter().take(OPEN_MAX).cloned().collect();
    }
    let (mut tool_call_id, mut name) = (None, None);
    if role == "tool" {
        let tool = message.tool_name.filter(|name| !name.is_empty());
        let id = message.tool_call_id.filter(|id| !id.is_empty());
        let call = open.take(id.as_deref(), tool.as_deref());
        let of_call = call.as_ref().map(|call| call.id.clone());
        tool_call_id = Some(id.or(of_call).unwrap_or_else(generate::call_id));
        name = tool.or_else(|| call.map(|call| call.name));
    }
    Ok(ChatMessage {
        role: message.role,
        content: message.content,
        reasoning: message.thinking,
        tool_calls,
        tool_call_id,
        name,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns the ids of the calls, and the call id and the tool of each result.
    fn calls_and_results(messages: Value) -> (Vec<String>, Vec<(String, Option<String>)>) {
        let body = json!({ "model": "m", "messages": messages }).to_string();
        let Prompt::Chat(chat) = decode(body.as_bytes(), TaskId::new()).unwrap().request.unwrap().prompt
        else {
            panic!("a chat");
        };
        let calls = chat.messages.iter().flat_map(|message| &message.tool_calls).map(|call| call.id.clone());
        let results = chat.messages.iter().filter(|message| message.role == "tool");
        let results = results.map(|result| (result.tool_call_id.clone().unwrap(), result.name.clone()));
        (calls.collect(), results.collect())
    }

    #[test]
    fn each_result_is_matched_with_its_call() {
        let call = |name: &str| json!({ "function": { "name": name, "arguments": {} } });
        let calls = json!({ "role": "assistant", "tool_calls": [call("a"), call("b"), call("a")] });
        let result = |more: Value| {
            let mut result = json!({ "role": "tool", "content": "x" });
            result.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            result
        };
        let named = |name: &str| result(json!({ "tool_name": name }));
        let bare = || result(json!({}));
        for (results, expected) in [
            // Matched by tool, in any order.
            (vec![named("b"), named("a"), named("a")], vec![(1, "b"), (0, "a"), (2, "a")]),
            // Matched in order without the name of a tool.
            (vec![bare(), bare(), bare()], vec![(0, "a"), (1, "b"), (2, "a")]),
        ] {
            let mut messages = vec![json!({ "role": "user", "content": "?" }), calls.clone()];
            messages.extend(results);
            let (ids, answers) = calls_and_results(Value::from(messages));
            let expected: Vec<(String, Option<String>)> = expected
                .into_iter()
                .map(|(at, name): (usize, &str)| (ids[at].clone(), Some(name.to_owned())))
                .collect();
            assert_eq!(answers, expected);
        }
        let (ids, answers) = calls_and_results(json!([
            { "role": "assistant", "tool_calls": [{ "id": "call_x", "function": { "name": "a" } }] },
            result(json!({ "tool_call_id": "call_x" })), bare(), named("c"),
            { "role": "user", "content": "?" },
        ]));
        assert_eq!(answers[0], (ids[0].clone(), Some("a".into())));
        assert!(answers[1].0 != ids[0] && answers[1].1.is_none(), "the result has no call");
        assert_eq!(answers[2].1.as_deref(), Some("c"), "the client's name is kept");
    }
}
