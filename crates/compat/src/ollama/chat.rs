//! `POST /api/chat`: decodes chats, and matches tool results with their calls.

use std::collections::HashSet;

use lar_base::{Code, Problem, TaskId};
use lar_inference::{Chat, ChatMessage, Prompt, ToolCall};
use serde_json::Value;

use super::input::{MESSAGES_MAX, OllamaInput, OllamaPath, SharedInput};
use super::wire::{CHAT_FIELDS, Function, OllamaChatRequest, OllamaMessage};
use crate::call_id::earlier_call_id;
use crate::fields::read;
use crate::lenient::{self, OutOfRange};
use crate::request::take_prefill;
use crate::tools::add_tool;

/// The maximum number of calls in a message that are matched with results.
const OPEN_MAX: usize = 1_024;

/// Decodes a request body; `id` is the id of its task.
///
/// # Errors
/// If the body is not a valid request. The error names the field.
pub(super) fn decode(body: &[u8], id: TaskId) -> Result<OllamaInput, Problem> {
    let (body, ignored) = read(body, CHAT_FIELDS)?;
    let request: OllamaChatRequest = lenient::from_value(&body, OutOfRange::Refused)?;
    let mut shared = SharedInput::decode(&body, id, ignored)?;
    if request.messages.is_empty() {
        return Ok(shared.without_prompt(OllamaPath::Chat));
    }
    if request.messages.len() > MESSAGES_MAX {
        let reason = format!("has {} messages; the limit is {MESSAGES_MAX}", request.messages.len());
        return Err(Problem::invalid("messages", reason));
    }
    let mut chat = Chat { variables: std::mem::take(&mut shared.variables), ..Chat::default() };
    let mut calls = UnansweredCalls::of(&request.messages);
    for (index, message) in request.messages.into_iter().enumerate() {
        let message = convert(&format!("messages[{index}]"), message, &mut calls)?;
        chat.messages.push(message);
    }
    for (index, tool) in request.tools.into_iter().enumerate() {
        let names = ["name", "parameters"].map(|rest| format!("tools[{index}].function.{rest}"));
        let Function { name, description, parameters } = tool.function;
        add_tool(&mut chat.tools, names, name, description, parameters, None)?;
    }
    if shared.sampling.constraint.is_none() {
        take_prefill(&mut chat);
    }
    Ok(shared.with_prompt(OllamaPath::Chat, Prompt::Chat(chat)))
}

/// The tool calls of the messages so far.
struct UnansweredCalls {
    /// The ids of all calls and results that came with one.
    ids: HashSet<String>,
    /// The calls of the last message with calls that have no result yet.
    open: Vec<ToolCall>,
    /// The number of the next id for a call or a result that came without one.
    next: usize,
}

impl UnansweredCalls {
    /// Creates the state before the first of a chat's messages.
    fn of(messages: &[OllamaMessage]) -> Self {
        let of_calls = messages.iter().flat_map(|message| &message.tool_calls).map(|call| &call.id);
        let of_results = messages.iter().map(|message| &message.tool_call_id);
        let ids = of_calls.chain(of_results).flatten().cloned().collect();
        Self { ids, open: Vec::new(), next: 0 }
    }

    /// Takes the call of a result: the call with this id, else the first call of this tool.
    ///
    /// A result without an id and a tool takes the first call.
    fn take(&mut self, id: Option<&str>, tool: Option<&str>) -> Option<ToolCall> {
        let at = match (id, tool) {
            (Some(id), _) => self.open.iter().position(|call| call.id == id)?,
            (None, Some(tool)) => self.open.iter().position(|call| call.name == tool)?,
            (None, None) => 0,
        };
        (at < self.open.len()).then(|| self.open.remove(at))
    }

    /// Returns an id for a call or a result that came without one. No other call of the chat has it.
    fn new_id(&mut self) -> String {
        loop {
            self.next += 1;
            let id = earlier_call_id(self.next - 1);
            if !self.ids.contains(&id) {
                return id;
            }
        }
    }
}

fn convert(field: &str, message: OllamaMessage, calls: &mut UnansweredCalls) -> Result<ChatMessage, Problem> {
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
        let id = call.id.unwrap_or_else(|| calls.new_id());
        tool_calls.push(ToolCall { id, name: call.function.name, arguments });
    }
    if !tool_calls.is_empty() {
        calls.open = tool_calls.iter().take(OPEN_MAX).cloned().collect();
    }
    let (mut tool_call_id, mut name) = (None, None);
    if role == "tool" {
        let tool = message.tool_name.filter(|name| !name.is_empty());
        let id = message.tool_call_id.filter(|id| !id.is_empty());
        let call = calls.take(id.as_deref(), tool.as_deref());
        let of_call = call.as_ref().map(|call| call.id.clone());
        tool_call_id = Some(id.or(of_call).unwrap_or_else(|| calls.new_id()));
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

    #[test]
    fn ids_of_calls_without_one_depend_on_the_chat_only() {
        let call = |id: Option<&str>| json!({ "id": id, "function": { "name": "a" } });
        let calls = [call(None), call(Some("call_0001")), call(None)];
        let chat = json!([{ "role": "assistant", "tool_calls": calls }, { "role": "user", "content": "?" }]);
        let (ids, _) = calls_and_results(chat.clone());
        assert_eq!(ids, ["call_0000", "call_0001", "call_0002"]);
        assert_eq!(calls_and_results(chat).0, ids);
    }
}
