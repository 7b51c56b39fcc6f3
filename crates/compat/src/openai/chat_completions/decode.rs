//! Decodes requests for chat completions.

use std::collections::HashMap;

use lar_base::default_models::DEFAULT_CHAT;
use lar_base::{Code, Problem, TaskId};
use lar_inference::{Chat, ChatMessage, Constraint, Prompt};

use super::tools::{self, CallShape};
use crate::fields::read;
use crate::lenient::{self, OutOfRange};
use crate::model_name::model_or;
use crate::openai::wire::{
    CHAT_FIELDS, ChatCompletionMessage, ChatCompletionRequest, ChatContent, ContentPart, ResponseFormat,
};
use crate::request::{json_schema, take_prefill};
use crate::token_limit::TokenLimit;
use crate::{DecodedRequest, Request, reasoning_effort, sampling};

/// The maximum number of messages in a request.
const MESSAGES_MAX: usize = 10_000;

/// The form of a response, as the request asks for it.
#[derive(Debug, Clone, Default)]
pub struct ChatStyle {
    pub(super) shape: CallShape,
    /// Whether choices have logprobs.
    pub(super) logprobs: bool,
    /// Whether a stream ends with the usage.
    pub(super) include_usage: bool,
    /// Whether every chunk of a stream but the first has timings.
    pub(super) timings_per_token: bool,
}

/// Decodes a request body; `id` is the id of the first answer's task.
///
/// # Errors
/// [`Code::InvalidParams`] or [`Code::UnsupportedParam`] with the field and the reason.
pub(super) fn decode(body: &[u8], id: TaskId) -> Result<DecodedRequest<ChatStyle>, Problem> {
    let (body, mut ignored) = read(body, CHAT_FIELDS)?;
    ignored.extend(sampling::unused_of_constraint(&body));
    let wire: ChatCompletionRequest = lenient::from_value(&body, OutOfRange::Refused)?;
    if wire.n_predict == Some(TokenLimit::AtMost(0)) {
        return Err(Problem::invalid("n_predict", "must be at least 1"));
    }
    let limits = [wire.max_completion_tokens, wire.max_tokens, wire.n_predict];
    let tokens_max = limits.into_iter().flatten().next().and_then(TokenLimit::get);
    let mut sampling = sampling::sampling(lenient::from_value(&body, OutOfRange::Refused)?, tokens_max, id)?;
    let constraint_field = sampling::constraint_field(&body, "response_format");
    if let Some(format) = wire.response_format {
        sampling.strict = format.json_schema.as_ref().is_some_and(|schema| schema.strict == Some(true));
        sampling.constraint = response_format(format)?.or(sampling.constraint);
    }
    let top = sampling::top_logprobs("top_logprobs", wire.top_logprobs.unwrap_or(0))?;
    if wire.logprobs == Some(true) {
        sampling.logprobs = Some(top);
    } else if top > 0 {
        return Err(Problem::invalid("top_logprobs", "requires `logprobs` to be true"));
    }
    let mut chat = Chat::from(messages(wire.messages)?);
    chat.parallel_calls = wire.parallel_tool_calls != Some(false);
    let shape = tools::offer(
        &mut chat,
        wire.tools.unwrap_or_default(),
        wire.tool_choice,
        wire.functions.unwrap_or_default(),
        wire.function_call,
    )?;
    if let Some(effort) = wire.reasoning_effort {
        chat.variables.extend(reasoning_effort::effort("reasoning_effort", &effort)?);
    }
    chat.variables.extend(reasoning_effort::kwargs(&wire.chat_template_kwargs)?);
    if !chat.tools.is_empty()
        && matches!(sampling.constraint, Some(Constraint::Gbnf(_) | Constraint::Lark(_)))
    {
        return Err(Problem::invalid(constraint_field, "cannot be used together with tools"));
    }
    continue_answer(
        &mut chat,
        wire.continue_final_message,
        wire.add_generation_prompt,
        sampling.constraint.is_some(),
    )?;
    let style = ChatStyle {
        shape,
        logprobs: sampling.logprobs.is_some(),
        include_usage: wire.stream_options.is_some_and(|options| options.include_usage),
        timings_per_token: wire.timings_per_token == Some(true),
    };
    let request = Request {
        id,
        model: model_or(wire.model, DEFAULT_CHAT),
        constraint_field,
        prompt: Prompt::Chat(chat),
        sampling,
        n: sampling::answers("n", wire.n, &body)?,
        stream: wire.stream == Some(true),
        ignored,
    };
    Ok(DecodedRequest { request, style })
}

/// Makes a final assistant message the prefill of the answer, unless `continue_final_message` is false or the
/// answer is constrained.
///
/// Without a prefill, `add_generation_prompt` decides whether the prompt ends with the header of an assistant message.
fn continue_answer(
    chat: &mut Chat,
    continue_final_message: Option<bool>,
    add_generation_prompt: Option<bool>,
    constrained: bool,
) -> Result<(), Problem> {
    if add_generation_prompt == Some(true) && continue_final_message == Some(true) {
        let reason = "cannot be true together with `continue_final_message`";
        return Err(Problem::invalid("add_generation_prompt", reason));
    }
    if !constrained && continue_final_message != Some(false) {
        take_prefill(chat);
    }
    if continue_final_message == Some(true) && chat.assistant_prefill.is_empty() {
        let reason = "requires an assistant message at the end of `messages`, no structured output and no \
                      required tool call";
        return Err(Problem::invalid("continue_final_message", reason));
    }
    chat.adds_generation_prompt = add_generation_prompt != Some(false) || !chat.assistant_prefill.is_empty();
    Ok(())
}

fn response_format(format: ResponseFormat) -> Result<Option<Constraint>, Problem> {
    match format.kind.as_str() {
        "text" => Ok(None),
        "json_object" => match &format.schema {
            Some(schema) => json_schema("response_format.schema", schema).map(Some),
            None => Ok(Some(Constraint::JsonObject)),
        },
        "json_schema" => {
            let schema = format.json_schema.and_then(|schema| schema.schema).or(format.schema);
            let field = "response_format.json_schema.schema";
            let schema = schema.ok_or_else(|| Problem::invalid(field, "is missing"))?;
            json_schema(field, &schema).map(Some)
        }
        _ => Err(Problem::invalid("response_format.type", "must be text, json_object or json_schema")),
    }
}

/// Converts a request's messages and joins their text parts.
fn messages(wire: Vec<ChatCompletionMessage>) -> Result<Vec<ChatMessage>, Problem> {
    if wire.is_empty() {
        return Err(Problem::invalid("messages", "must have at least one message"));
    }
    if wire.len() > MESSAGES_MAX {
        let reason = format!("has {} messages; the limit is {MESSAGES_MAX}", wire.len());
        return Err(Problem::invalid("messages", reason));
    }
    let (mut messages, mut earlier) = (Vec::with_capacity(wire.len()), EarlierCalls::default());
    for (index, message) in wire.into_iter().enumerate() {
        messages.push(convert(index, message, &mut earlier)?);
    }
    Ok(messages)
}

/// The tool calls of the messages before a message.
#[derive(Debug, Default)]
struct EarlierCalls {
    /// The name of each call's tool, by the call's id.
    tools: HashMap<String, String>,
    /// The id of the last call.
    last: Option<String>,
}

fn convert(
    index: usize,
    mut message: ChatCompletionMessage,
    earlier: &mut EarlierCalls,
) -> Result<ChatMessage, Problem> {
    let role = match message.role.as_str() {
        "system" | "developer" => "system",
        "user" => "user",
        "assistant" => "assistant",
        "tool" | "function" => "tool",
        _ => {
            let field = format!("messages[{index}].role");
            return Err(Problem::invalid(field, "must be system, developer, user, assistant or tool"));
        }
    };
    let tool_calls = tools::calls(index, &mut message)?;
    if role != "assistant" && !tool_calls.is_empty() {
        let field = format!("messages[{index}].tool_calls");
        return Err(Problem::invalid(field, "is only allowed in assistant messages"));
    }
    let mut tool_call_id = message.tool_call_id;
    let mut name = message.name.filter(|name| !name.is_empty());
    if role == "tool" {
        // Older clients send only the function's name. The result then belongs to the last call.
        tool_call_id = tool_call_id.or_else(|| earlier.last.clone());
        let id = tool_call_id.as_ref();
        let id =
            id.ok_or_else(|| Problem::invalid(format!("messages[{index}].tool_call_id"), "is missing"))?;
        name = name.or_else(|| earlier.tools.get(id).cloned());
    }
    earlier.tools.extend(tool_calls.iter().map(|call| (call.id.clone(), call.name.clone())));
    if let Some(last) = tool_calls.last() {
        earlier.last = Some(last.id.clone());
    }
    let content = match message.content {
        Some(ChatContent::Text(text)) => text,
        Some(ChatContent::Parts(parts)) => texts(&format!("messages[{index}].content"), parts)?,
        None if role == "user" || role == "system" => {
            return Err(Problem::invalid(format!("messages[{index}].content"), "is missing"));
        }
        None => message.refusal.unwrap_or_default(),
    };
    let reasoning = message.reasoning_content.or(message.reasoning).filter(|_| role == "assistant");
    let (role, reasoning) = (role.into(), reasoning.unwrap_or_default());
    Ok(ChatMessage { role, content, reasoning, tool_calls, tool_call_id, name })
}

/// Joins the texts of content parts, each on a line of its own, as in the other APIs.
fn texts(field: &str, parts: Vec<ContentPart>) -> Result<String, Problem> {
    let text = |(index, part): (usize, ContentPart)| {
        let field = format!("{field}[{index}].type");
        match (part.kind.as_str(), part.text, part.refusal) {
            ("text" | "input_text" | "output_text", Some(text), _) | ("refusal", _, Some(text)) => Ok(text),
            (kind @ ("text" | "input_text" | "output_text" | "refusal"), ..) => {
                let member = if kind == "refusal" { kind } else { "text" };
                Err(Problem::invalid(field, format!("is `{kind}`, but the part has no `{member}`")))
            }
            (kind, ..) => {
                let reason = format!("is `{kind:.64}`, which is not supported: this model reads text only");
                Err(Problem::about(Code::UnsupportedParam, field, reason))
            }
        }
    };
    Ok(parts.into_iter().enumerate().map(text).collect::<Result<Vec<String>, Problem>>()?.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn message_names_and_tool_names_reach_the_template() {
        let call = |id: &str, name: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": "{}" } });
        let body = json!({ "model": "m", "messages": [
            { "role": "user", "content": "?", "name": "Eve" },
            { "role": "assistant", "tool_calls": [call("1", "a"), call("2", "b")] },
            { "role": "tool", "tool_call_id": "2", "content": "x" },
            { "role": "tool", "tool_call_id": "1", "content": "x", "name": "own" },
            { "role": "function", "name": "b", "content": "x" },
            { "role": "tool", "content": "x", "name": "" },
        ] });
        let DecodedRequest { request, .. } = decode(body.to_string().as_bytes(), TaskId::new()).unwrap();
        let Prompt::Chat(chat) = request.prompt else { panic!("a chat") };
        let named: Vec<_> = chat
            .messages
            .iter()
            .map(|message| (message.tool_call_id.as_deref(), message.name.as_deref()))
            .collect();
        let expected = [
            (None, Some("Eve")),
            (None, None),
            (Some("2"), Some("b")),
            (Some("1"), Some("own")),
            (Some("2"), Some("b")),
            (Some("2"), Some("b")),
        ];
        assert_eq!(named, expected);
    }
}
