//! `POST /v1/chat/completions`.

use std::collections::VecDeque;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use lar_api::openai::{
    AnswerMessage, CHAT_FIELDS, ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatMessage,
    ChatRequest, Content, Delta,
};
use lar_base::{Code, Problem, TaskId, Timestamp};
use lar_engines::driver::{self, Prompt};
use lar_gateway::{LogReader, TaskEvent};

use super::generate::{self, Wanted};
use super::{read, with_ignored};
use crate::auth::Inference;
use crate::errors::{self, Failure};
use crate::{State, extract, sse};

/// Messages of a request at most.
const MESSAGES_MAX: usize = 10_000;

pub(crate) async fn create(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let wanted = decode(&extract::body(request, &app).await?, TaskId::new())?;
    let (stream, include_usage, ignored) = (wanted.stream, wanted.include_usage, wanted.ignored.clone());
    let (id, created) = (format!("chatcmpl-{}", wanted.id), Timestamp::now().as_seconds());
    let begun = generate::begin(&app, caller, "openai.chat", wanted).await?;
    let model = begun.handle.model().to_owned();
    let system_fingerprint = generate::fingerprint(&app, &model);
    let response = if stream {
        sse::response(Stream {
            id,
            created,
            model,
            system_fingerprint,
            include_usage,
            reader: begun.reader,
            waiting: VecDeque::from([begun.first]),
            state: StreamState::Beginning,
        })
    } else {
        let (content, end) = generate::collect(begun).await?;
        let message = AnswerMessage { role: "assistant", content, refusal: None };
        let finish_reason = end.reason.as_str();
        axum::Json(ChatCompletion {
            id,
            object: "chat.completion",
            created,
            model,
            choices: [ChatChoice { index: 0, message, logprobs: None, finish_reason }],
            usage: generate::usage(&end),
            system_fingerprint,
        })
        .into_response()
    };
    Ok(with_ignored(response, &ignored))
}

/// Reads a request's body; `id` is the task it becomes.
pub(crate) fn decode(body: &[u8], id: TaskId) -> Result<Wanted, Problem> {
    let (body, ignored) = read(body, CHAT_FIELDS)?;
    let request: ChatRequest = extract::from_value(&body)?;
    let tokens_max = request.max_completion_tokens.or(request.max_tokens);
    Ok(Wanted {
        id,
        model: request.model,
        prompt: Prompt::Chat(messages(request.messages)?),
        sampling: generate::sampling(extract::from_value(&body)?, tokens_max, id)?,
        stream: request.stream == Some(true),
        include_usage: request.stream_options.is_some_and(|options| options.include_usage),
        ignored,
    })
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
        "tool" | "function" => {
            let field = format!("messages[{index}].role");
            return Err(Problem::about(
                Code::UnsupportedParam,
                field,
                "`tool` is not supported by this engine yet",
            ));
        }
        _ => {
            let field = format!("messages[{index}].role");
            return Err(Problem::invalid(field, "must be system, developer, user or assistant"));
        }
    };
    if message.tool_calls.is_some_and(|calls| !calls.is_empty()) {
        let field = format!("messages[{index}].tool_calls");
        return Err(Problem::about(Code::UnsupportedParam, field, "is not supported by this engine yet"));
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
    Ok(driver::ChatMessage { role: role.into(), content })
}

struct Stream {
    id: String,
    created: i64,
    model: String,
    system_fingerprint: String,
    include_usage: bool,
    reader: LogReader,
    waiting: VecDeque<TaskEvent>,
    state: StreamState,
}

enum StreamState {
    /// The role has not been sent.
    Beginning,
    Writing,
    Over,
}

impl sse::Source for Stream {
    async fn next(&mut self) -> Option<String> {
        loop {
            let event = match self.waiting.pop_front() {
                Some(event) => event,
                None => self.reader.next().await?.1,
            };
            let part = self.part(event);
            if !part.is_empty() {
                return Some(part);
            }
        }
    }
}

impl Stream {
    /// What one event adds to the stream; nothing for some.
    fn part(&mut self, event: TaskEvent) -> String {
        if matches!(self.state, StreamState::Over) {
            return String::new();
        }
        match event {
            // Clients and proxies learn that it is alive; a comment is no event to them.
            TaskEvent::Queued { position, predicted_start_ms, .. } => {
                format!(": queued, position {position}, starts in about {predicted_start_ms} ms\n\n")
            }
            TaskEvent::Started { .. } => {
                self.state = StreamState::Writing;
                self.chunk(Delta { role: Some("assistant"), content: Some("") }, None)
            }
            TaskEvent::Token { text, .. } if text.is_empty() => String::new(),
            TaskEvent::Token { text, .. } => self.chunk(Delta { role: None, content: Some(&text) }, None),
            TaskEvent::Vectors(_) => String::new(),
            TaskEvent::End(end) => {
                self.state = StreamState::Over;
                let mut part = self.chunk(Delta::default(), Some(end.reason.as_str()));
                if self.include_usage {
                    part.push_str(&self.encode(Vec::new(), Some(generate::usage(&end))));
                }
                part + "data: [DONE]\n\n"
            }
            TaskEvent::Error(problem) => self.fail(&problem),
            TaskEvent::Cancelled => self.fail(&Problem::new(Code::EngineFailed, "the task was stopped")),
        }
    }

    fn fail(&mut self, problem: &Problem) -> String {
        self.state = StreamState::Over;
        sse::event(None, None, &serde_json::to_string(&errors::openai(problem)).unwrap_or_default())
    }

    fn chunk(&self, delta: Delta<'_>, finish_reason: Option<&'static str>) -> String {
        self.encode(vec![ChatChunkChoice { index: 0, delta, logprobs: None, finish_reason }], None)
    }

    fn encode(&self, choices: Vec<ChatChunkChoice<'_>>, usage: Option<lar_api::openai::Usage>) -> String {
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
