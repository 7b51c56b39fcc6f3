//! `POST /v1/chat/completions`.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use lar_api::openai::{
    AnswerMessage, CHAT_FIELDS, CalledFunction, ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion,
    ChatLogprobs, ChatMessage, ChatRequest, Content, Delta, FunctionDelta, ResponseFormat, TokenLogprob,
    Tool, ToolCall, ToolCallDelta, ToolChoice, Usage,
};
use lar_base::{Code, Problem, TaskId, Timestamp};
use lar_engines::driver::{self, Chat, Constraint, Prompt, TokenLogprobs};
use lar_gateway::{End, TaskEvent};

use super::sampling;
use crate::asker::{Asker, with_told};
use crate::errors::{self, Failure};
use crate::fields::read;
use crate::generate::{self, Begun, Wanted};
use crate::{State, extract, sse, turns};

/// Messages of a request at most.
const MESSAGES_MAX: usize = 10_000;

pub(crate) async fn create(app: State, asker: Asker, request: Request) -> Result<Response, Failure> {
    let wanted = decode(&extract::body(request, &app).await?, TaskId::new())?;
    let (stream, include_usage, ignored) = (wanted.stream, wanted.include_usage, wanted.ignored.clone());
    let (id, created) = (format!("chatcmpl-{}", wanted.id), Timestamp::now().as_seconds());
    let logprobs = wanted.sampling.logprobs.is_some();
    let begun = generate::begin(&app, &asker, "openai.chat", wanted).await?;
    let noted = begun.noted.clone();
    let model = begun.model.clone();
    let system_fingerprint = sampling::fingerprint(&app, &model);
    let response = if stream {
        let ends = vec![None; begun.answers()];
        sse::response(Stream {
            id,
            created,
            model,
            system_fingerprint,
            include_usage,
            begun,
            ends,
            over: false,
        })
    } else {
        let answers = begun.collect().await?;
        let usage = sampling::usage_of(&answers);
        let choices = answers.into_iter().enumerate();
        axum::Json(ChatCompletion {
            id,
            object: "chat.completion",
            created,
            model,
            choices: choices.map(|(index, answer)| choice(index, answer, logprobs)).collect(),
            usage,
            system_fingerprint,
        })
        .into_response()
    };
    Ok(with_told(response, &ignored, noted.as_ref()))
}

fn choice(index: usize, answer: generate::Answer, logprobs: bool) -> ChatChoice {
    let finish_reason = answer.finish_reason();
    let silent = answer.content.is_empty() && !answer.calls.is_empty();
    ChatChoice {
        index,
        logprobs: logprobs.then(|| told(&answer.logprobs)),
        message: AnswerMessage {
            role: "assistant",
            content: (!silent).then_some(answer.content),
            reasoning_content: (!answer.reasoning.is_empty()).then_some(answer.reasoning),
            refusal: None,
            tool_calls: answer.calls.into_iter().map(called).collect(),
        },
        finish_reason,
    }
}

fn called(call: driver::ToolCall) -> ToolCall {
    let function = CalledFunction { name: call.name, arguments: call.arguments };
    ToolCall { id: call.id, kind: "function".into(), function }
}

fn told(logprobs: &[TokenLogprobs]) -> ChatLogprobs {
    let token = |token: &TokenLogprobs| TokenLogprob {
        chosen: sampling::top_logprob(&token.chosen),
        top_logprobs: token.top.iter().map(sampling::top_logprob).collect(),
    };
    ChatLogprobs { content: logprobs.iter().map(token).collect(), refusal: None }
}

/// Reads a request's body; `id` is the task it becomes.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<Wanted, Problem> {
    let (body, ignored) = read(body, CHAT_FIELDS)?;
    let request: ChatRequest = extract::from_value(&body)?;
    let tokens_max = request.max_completion_tokens.or(request.max_tokens);
    let mut sampling = sampling::sampling(extract::from_value(&body)?, tokens_max, id)?;
    let constraint_field = match &sampling.constraint {
        Some(Constraint::Gbnf(_)) => "grammar",
        Some(_) => "json_schema",
        None => "response_format",
    };
    if let Some(format) = request.response_format {
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
    chat.tools = tools(request.tools.unwrap_or_default())?;
    choose_tools(&mut chat, request.tool_choice)?;
    if !chat.tools.is_empty() && sampling.constraint.is_some() {
        return Err(Problem::invalid(constraint_field, "cannot be used together with tools"));
    }
    if sampling.constraint.is_none() {
        generate::go_on(&mut chat);
    }
    Ok(Wanted {
        id,
        model: request.model,
        // Without another constraint, what cannot be expressed is a tool's schema.
        constraint_field: if chat.tools.is_empty() { constraint_field } else { "tools" },
        prompt: Prompt::Chat(chat),
        sampling,
        n: sampling::answers(request.n)?,
        stream: request.stream == Some(true),
        include_usage: request.stream_options.is_some_and(|options| options.include_usage),
        ignored,
    })
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

fn tools(wire: Vec<Tool>) -> Result<Vec<driver::Tool>, Problem> {
    let mut tools = Vec::new();
    for (index, tool) in wire.into_iter().enumerate() {
        let field = |rest: &str| format!("tools[{index}].{rest}");
        if tool.kind != "function" {
            return Err(Problem::about(Code::UnsupportedParam, field("type"), "must be `function`"));
        }
        let function = tool.function.ok_or_else(|| Problem::invalid(field("function"), "is missing"))?;
        let names = ["function.name", "function.parameters"].map(field);
        generate::add_tool(&mut tools, names, function.name, function.description, function.parameters)?;
    }
    Ok(tools)
}

fn choose_tools(chat: &mut Chat, choice: Option<ToolChoice>) -> Result<(), Problem> {
    match choice {
        None => Ok(()),
        Some(ToolChoice::Mode(mode)) => generate::choose_mode(chat, &mode),
        Some(ToolChoice::Named { function }) => generate::choose_named(chat, function.name),
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
    wire.into_iter().enumerate().map(|(index, message)| convert(index, message)).collect()
}

fn convert(index: usize, message: ChatMessage) -> Result<driver::ChatMessage, Problem> {
    let role = match message.role.as_str() {
        "system" | "developer" => "system",
        "user" => "user",
        "assistant" => "assistant",
        "tool" => "tool",
        _ => {
            let field = format!("messages[{index}].role");
            return Err(Problem::invalid(field, "must be system, developer, user, assistant or tool"));
        }
    };
    let calls = message.tool_calls.unwrap_or_default();
    if role != "assistant" && !calls.is_empty() {
        let field = format!("messages[{index}].tool_calls");
        return Err(Problem::invalid(field, "belongs to an assistant's message"));
    }
    if role == "tool" && message.tool_call_id.is_none() {
        return Err(Problem::invalid(format!("messages[{index}].tool_call_id"), "is missing"));
    }
    let mut tool_calls = Vec::with_capacity(calls.len());
    for (call_index, call) in calls.into_iter().enumerate() {
        let field = || format!("messages[{index}].tool_calls[{call_index}].function.arguments");
        let arguments = turns::arguments(field, call.function.arguments)?;
        tool_calls.push(driver::ToolCall { id: call.id, name: call.function.name, arguments });
    }
    let content = match message.content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => {
            let mut text = String::new();
            for (part_index, part) in parts.into_iter().enumerate() {
                let field = format!("messages[{index}].content[{part_index}].type");
                match (part.kind.as_str(), part.text) {
                    ("text", Some(part)) => text.push_str(&part),
                    ("text", None) => return Err(Problem::invalid(field, "`text` needs a `text` beside it")),
                    _ => {
                        return Err(Problem::about(
                            Code::UnsupportedParam,
                            field,
                            "must be `text`: this model reads text only",
                        ));
                    }
                }
            }
            text
        }
        None if role == "assistant" => String::new(),
        None => return Err(Problem::invalid(format!("messages[{index}].content"), "is missing")),
    };
    Ok(driver::ChatMessage { role: role.into(), content, tool_calls, tool_call_id: message.tool_call_id })
}

struct Stream {
    id: String,
    created: i64,
    model: String,
    system_fingerprint: String,
    include_usage: bool,
    begun: Begun,
    /// Of the answers that are whole.
    ends: Vec<Option<End>>,
    over: bool,
}

impl sse::Source for Stream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if self.over {
                return None;
            }
            let (answer, event) = self.begun.next().await?;
            let part = self.part(answer, event);
            if !part.is_empty() {
                return Some(part);
            }
        }
    }
}

impl Stream {
    /// What one event adds to the stream; nothing for some.
    fn part(&mut self, answer: usize, event: TaskEvent) -> String {
        match event {
            // Clients and proxies learn that it is alive; a comment is no event to them.
            TaskEvent::Queued { position, predicted_start_ms, .. } => {
                format!(": queued, position {position}, starts in about {predicted_start_ms} ms\n\n")
            }
            TaskEvent::Started { .. } => {
                self.chunk(answer, Delta { role: Some("assistant"), content: Some(""), ..Delta::default() })
            }
            TaskEvent::Token { text, logprobs, .. } if text.is_empty() && logprobs.is_empty() => {
                String::new()
            }
            TaskEvent::Token { text, logprobs, .. } => {
                let delta = Delta { content: Some(&text), ..Delta::default() };
                let logprobs = (!logprobs.is_empty()).then(|| told(&logprobs));
                self.choice(ChatChunkChoice { index: answer, delta, logprobs, finish_reason: None })
            }
            TaskEvent::Reasoning { text, .. } => {
                self.chunk(answer, Delta { reasoning_content: Some(&text), ..Delta::default() })
            }
            TaskEvent::Call(call) => {
                let first = call.name.is_some();
                let delta = ToolCallDelta {
                    index: call.index,
                    id: first.then(generate::call_id),
                    kind: first.then_some("function"),
                    function: FunctionDelta { name: call.name.as_deref(), arguments: &call.arguments },
                };
                self.chunk(answer, Delta { tool_calls: Some([delta]), ..Delta::default() })
            }
            TaskEvent::Vectors(_) | TaskEvent::Scores(_) => String::new(),
            TaskEvent::End(end) => self.end(answer, end),
            TaskEvent::Error(problem) => self.fail(&problem),
            TaskEvent::Cancelled => self.fail(&Problem::new(Code::EngineFailed, "the task was stopped")),
        }
    }

    fn end(&mut self, answer: usize, end: End) -> String {
        let mut part = self.choice(ChatChunkChoice {
            index: answer,
            delta: Delta::default(),
            logprobs: None,
            finish_reason: Some(end.reason.as_str()),
        });
        self.ends[answer] = Some(end);
        if self.ends.iter().all(Option::is_some) {
            self.over = true;
            if self.include_usage {
                let usage = sampling::usage(self.ends.iter().flatten());
                part.push_str(&self.encode(Vec::new(), Some(usage)));
            }
            part.push_str("data: [DONE]\n\n");
        }
        part
    }

    fn fail(&mut self, problem: &Problem) -> String {
        self.over = true;
        sse::event(None, None, &serde_json::to_string(&errors::openai(problem)).unwrap_or_default())
    }

    fn chunk(&self, answer: usize, delta: Delta<'_>) -> String {
        self.choice(ChatChunkChoice { index: answer, delta, logprobs: None, finish_reason: None })
    }

    fn choice(&self, choice: ChatChunkChoice<'_>) -> String {
        self.encode(vec![choice], None)
    }

    fn encode(&self, choices: Vec<ChatChunkChoice<'_>>, usage: Option<Usage>) -> String {
        let chunk = ChatChunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            system_fingerprint: &self.system_fingerprint,
            choices,
            usage,
        };
        sse::event(None, None, &serde_json::to_string(&chunk).unwrap_or_default())
    }
}
