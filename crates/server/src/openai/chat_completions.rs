//! `POST /v1/chat/completions`. The stream of an answer is in [`stream`], tools are in [`tools`].

mod stream;
mod tools;

use std::collections::HashMap;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use lar_api::fields::TokenLimit;
use lar_api::openai::{
    AnswerMessage, CHAT_FIELDS, ChatChoice, ChatCompletion, ChatLogprobs, ChatMessage, ChatRequest, Content,
    ContentPart, MessageToolCall, ResponseFormat, TokenLogprob,
};
use lar_base::{Code, Problem, TaskId, Timestamp};
use lar_catalog::DEFAULT_CHAT;
use lar_engines::driver::{self, Chat, Constraint, Prompt, TokenLogprobs};

use self::stream::ChatStream;
use self::tools::CallShape;
use super::sampling;
use crate::compat_caller::{CompatCaller, with_lar_headers};
use crate::errors::Failure;
use crate::fields::read;
use crate::generate::{self, GenerationRequest};
use crate::lenient::model_or;
use crate::tool_call_check::ToolSchemas;
use crate::{State, extract, sse, variables};

/// How a request's caller is told of its answer.
#[derive(Debug)]
pub(crate) struct Style {
    shape: CallShape,
    /// Whether every chunk of a stream but the first tells how fast the answer is made.
    timings_per_token: bool,
}

/// Messages of a request at most.
const MESSAGES_MAX: usize = 10_000;

pub(crate) async fn create(
    app: State,
    compat_caller: CompatCaller,
    request: Request,
) -> Result<Response, Failure> {
    let (generation, style) = decode(&extract::body(request, &app).await?, TaskId::new())?;
    let (stream, include_usage) = (generation.stream, generation.include_usage);
    let (id, created) = (format!("chatcmpl-{}", generation.id), Timestamp::now().as_seconds());
    let logprobs = generation.sampling.logprobs.is_some();
    let schemas = ToolSchemas::of(&generation);
    let answer_stream = generate::begin(&app, &compat_caller, "openai.chat", generation).await?;
    let (memory_activity, mut ignored) =
        (answer_stream.memory_activity.clone(), answer_stream.ignored.clone());
    let model = answer_stream.model.clone();
    let system_fingerprint = sampling::fingerprint(&app, &model);
    let response = if stream {
        let answers = answer_stream.answers();
        let ends = vec![None; answers];
        sse::response(ChatStream {
            id,
            created,
            model,
            system_fingerprint,
            include_usage,
            answer_stream,
            ends,
            custom: vec![None; answers],
            style,
            over: false,
        })
    } else {
        let answers = answer_stream.collect().await?;
        ignored.extend(answers.iter().flat_map(|answer| schemas.violations(answer.named_calls())));
        let (usage, timings) = (sampling::usage_of(&answers, answers.len()), sampling::timings_of(&answers));
        let choices = answers.into_iter().enumerate();
        axum::Json(ChatCompletion {
            id,
            object: "chat.completion",
            created,
            model,
            choices: choices.map(|(index, answer)| choice(index, answer, logprobs, &style.shape)).collect(),
            usage,
            system_fingerprint,
            timings,
        })
        .into_response()
    };
    Ok(with_lar_headers(response, &ignored, memory_activity.as_ref()))
}

fn choice(index: usize, answer: generate::Answer, logprobs: bool, shape: &CallShape) -> ChatChoice {
    let finish_reason = shape.finish_reason(answer.finish_reason());
    let silent = answer.content.is_empty() && !answer.calls.is_empty();
    let mut calls: Vec<MessageToolCall> = answer.calls.into_iter().map(|call| shape.call(call)).collect();
    let function_call = calls.pop_if(|_| shape.legacy).and_then(|call| call.function);
    ChatChoice {
        index,
        logprobs: logprobs.then(|| logprobs_to_wire(&answer.logprobs)),
        message: AnswerMessage {
            role: "assistant",
            content: (!silent).then_some(answer.content),
            reasoning_content: (!answer.reasoning.is_empty()).then_some(answer.reasoning),
            refusal: None,
            tool_calls: calls,
            function_call,
        },
        finish_reason,
    }
}

fn logprobs_to_wire(logprobs: &[TokenLogprobs]) -> ChatLogprobs {
    let token = |token: &TokenLogprobs| TokenLogprob {
        chosen: sampling::top_logprob(&token.chosen),
        top_logprobs: token.top.iter().map(sampling::top_logprob).collect(),
    };
    ChatLogprobs { content: logprobs.iter().map(token).collect(), refusal: None }
}

/// Reads a request's body; `id` is the task it becomes.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<(GenerationRequest, Style), Problem> {
    let (body, mut ignored) = read(body, CHAT_FIELDS)?;
    ignored.extend(sampling::unused_of_constraint(&body));
    let request: ChatRequest = extract::from_value(&body)?;
    if request.n_predict == Some(TokenLimit::AtMost(0)) {
        return Err(Problem::invalid("n_predict", "must be at least 1"));
    }
    let limits = [request.max_completion_tokens, request.max_tokens, request.n_predict];
    let tokens_max = limits.into_iter().flatten().next().and_then(TokenLimit::get);
    let mut sampling = sampling::sampling(extract::from_value(&body)?, tokens_max, id)?;
    let constraint_field = sampling::constraint_field(&body, "response_format");
    if let Some(format) = request.response_format {
        sampling.strict = format.json_schema.as_ref().is_some_and(|schema| schema.strict == Some(true));
        sampling.constraint = response_format(format)?.or(sampling.constraint);
    }
    let top = sampling::top_logprobs("top_logprobs", request.top_logprobs.unwrap_or(0))?;
    if request.logprobs == Some(true) {
        sampling.logprobs = Some(top);
    } else if top > 0 {
        return Err(Problem::invalid("top_logprobs", "needs `logprobs` set to true"));
    }
    let mut chat = Chat::from(messages(request.messages)?);
    chat.parallel_calls = request.parallel_tool_calls != Some(false);
    let shape = tools::offer(
        &mut chat,
        request.tools.unwrap_or_default(),
        request.tool_choice,
        request.functions.unwrap_or_default(),
        request.function_call,
    )?;
    if let Some(effort) = request.reasoning_effort {
        chat.variables.extend(variables::effort("reasoning_effort", &effort)?);
    }
    chat.variables.extend(variables::kwargs(&request.chat_template_kwargs)?);
    if !chat.tools.is_empty()
        && matches!(sampling.constraint, Some(Constraint::Gbnf(_) | Constraint::Lark(_)))
    {
        return Err(Problem::invalid(constraint_field, "cannot be used together with tools"));
    }
    continue_answer(
        &mut chat,
        request.continue_final_message,
        request.add_generation_prompt,
        sampling.constraint.is_some(),
    )?;
    let generation = GenerationRequest {
        id,
        model: model_or(request.model, DEFAULT_CHAT),
        constraint_field,
        prompt: Prompt::Chat(chat),
        sampling,
        n: sampling::answers("n", request.n, &body)?,
        stream: request.stream == Some(true),
        include_usage: request.stream_options.is_some_and(|options| options.include_usage),
        ignored,
    };
    Ok((generation, Style { shape, timings_per_token: request.timings_per_token == Some(true) }))
}

/// Has an assistant's message at the end continued, unless `continue_final_message` or a constraint forbids it. Where
/// nothing is continued, `add_generation_prompt` says whether the prompt ends with the head of an answer.
fn continue_answer(
    chat: &mut Chat,
    continues: Option<bool>,
    begins: Option<bool>,
    constrained: bool,
) -> Result<(), Problem> {
    if begins == Some(true) && continues == Some(true) {
        let reason = "must not be true together with `continue_final_message`: an answer begins a message or continues one";
        return Err(Problem::invalid("add_generation_prompt", reason));
    }
    if !constrained && continues != Some(false) {
        generate::take_prefill(chat);
    }
    if continues == Some(true) && chat.assistant_prefill.is_empty() {
        let reason =
            "needs an assistant's message at the end, no form of the answer, and no tool that must be called";
        return Err(Problem::invalid("continue_final_message", reason));
    }
    chat.adds_generation_prompt = begins != Some(false) || !chat.assistant_prefill.is_empty();
    Ok(())
}

fn response_format(format: ResponseFormat) -> Result<Option<Constraint>, Problem> {
    match format.kind.as_str() {
        "text" => Ok(None),
        "json_object" => match &format.schema {
            Some(schema) => generate::json_schema("response_format.schema", schema).map(Some),
            None => Ok(Some(Constraint::JsonObject)),
        },
        "json_schema" => {
            let schema = format.json_schema.and_then(|schema| schema.schema).or(format.schema);
            let field = "response_format.json_schema.schema";
            let schema = schema.ok_or_else(|| Problem::invalid(field, "is missing"))?;
            generate::json_schema(field, &schema).map(Some)
        }
        _ => Err(Problem::invalid("response_format.type", "must be text, json_object or json_schema")),
    }
}

/// Converts a request's messages, joining text parts.
fn messages(wire: Vec<ChatMessage>) -> Result<Vec<driver::ChatMessage>, Problem> {
    if wire.is_empty() {
        return Err(Problem::invalid("messages", "must hold at least one message"));
    }
    if wire.len() > MESSAGES_MAX {
        return Err(Problem::invalid("messages", format!("holds more than {MESSAGES_MAX} messages")));
    }
    let (mut messages, mut called) = (Vec::with_capacity(wire.len()), EarlierCalls::default());
    for (index, message) in wire.into_iter().enumerate() {
        messages.push(convert(index, message, &mut called)?);
    }
    Ok(messages)
}

/// The calls of a history so far.
#[derive(Debug, Default)]
struct EarlierCalls {
    /// The tool of each, by the call's id.
    tools: HashMap<String, String>,
    /// The id of the last.
    last: Option<String>,
}

fn convert(
    index: usize,
    mut message: ChatMessage,
    called: &mut EarlierCalls,
) -> Result<driver::ChatMessage, Problem> {
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
        return Err(Problem::invalid(field, "belongs to an assistant's message"));
    }
    let mut tool_call_id = message.tool_call_id;
    let mut name = message.name.filter(|name| !name.is_empty());
    if role == "tool" {
        // Older clients name the function alone: the last call is meant.
        tool_call_id = tool_call_id.or_else(|| called.last.clone());
        let id = tool_call_id.as_ref();
        let id =
            id.ok_or_else(|| Problem::invalid(format!("messages[{index}].tool_call_id"), "is missing"))?;
        name = name.or_else(|| called.tools.get(id).cloned());
    }
    called.tools.extend(tool_calls.iter().map(|call| (call.id.clone(), call.name.clone())));
    if let Some(last) = tool_calls.last() {
        called.last = Some(last.id.clone());
    }
    let content = match message.content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => texts(&format!("messages[{index}].content"), parts)?,
        None if role == "user" || role == "system" => {
            return Err(Problem::invalid(format!("messages[{index}].content"), "is missing"));
        }
        None => message.refusal.unwrap_or_default(),
    };
    let reasoning = message.reasoning_content.or(message.reasoning).filter(|_| role == "assistant");
    let (role, reasoning) = (role.into(), reasoning.unwrap_or_default());
    Ok(driver::ChatMessage { role, content, reasoning, tool_calls, tool_call_id, name })
}

/// The text of parts, which are lines of their own, as in the other APIs.
fn texts(field: &str, parts: Vec<ContentPart>) -> Result<String, Problem> {
    let text = |(index, part): (usize, ContentPart)| {
        let field = format!("{field}[{index}].type");
        match (part.kind.as_str(), part.text, part.refusal) {
            ("text" | "input_text" | "output_text", Some(text), _) | ("refusal", _, Some(text)) => Ok(text),
            (kind @ ("text" | "input_text" | "output_text" | "refusal"), ..) => {
                let member = if kind == "refusal" { kind } else { "text" };
                Err(Problem::invalid(field, format!("`{kind}` needs a `{member}` beside it")))
            }
            _ => {
                let reason = "must be `text`: this model reads text only";
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
        let (generation, _) = decode(body.to_string().as_bytes(), TaskId::new()).unwrap();
        let Prompt::Chat(chat) = generation.prompt else { panic!("a chat") };
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
