//! `/lar/v1/conversations/{id}/messages`: saying something, saying it otherwise, having it answered again,
//! rating the answer. The answers are streams of their task; the turn goes on when the reader goes away.

use std::collections::VecDeque;

use axum::extract::Path;
use axum::response::Response;
use lar_agents::{Turn, TurnRequest};
use lar_api::conversations::{Feedback, Message as Wire, NewMessage, Retry, TurnBegun};
use lar_base::{Caller, ConversationId, MessageId, Problem, TaskId};
use lar_engines::driver::Sampling;
use lar_store::{Message, NewMessage as Said, Rating, Role};

use crate::auth::Inference;
use crate::errors::Failure;
use crate::extract::{self, Json};
use crate::openai::{derived_seed, in_range};
use crate::{App, State, sse, tasks};

/// Bytes of one message at most.
const CONTENT_BYTES_MAX: usize = 1 << 20;

/// Says something and streams the answer.
#[utoipa::path(post, path = "/lar/v1/conversations/{id}/messages", tag = "conversations",
    params(("id" = String, Path)), request_body = NewMessage,
    responses((status = 200, content_type = "text/event-stream", body = TurnBegun), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    app: State,
    Inference(caller): Inference,
    Path(id): Path<String>,
    Json(new): Json<NewMessage>,
) -> Result<Response, Failure> {
    let conversation: ConversationId = extract::id(&id, "conversation")?;
    let parent = match new.parent {
        Some(parent) => parent.map(|parent| extract::id(&parent, "message")).transpose()?,
        None => app.store.conversation_get(caller.user, conversation).await?.head,
    };
    let sampling = Sampling {
        temperature: in_range("temperature", new.temperature, 0.0, 2.0)?,
        seed: new.seed.unwrap_or_else(|| derived_seed(TaskId::new())),
        tokens_max: new.max_tokens.unwrap_or(0),
        ..Sampling::default()
    };
    let said = Some(Said { parent, content: checked(new.content)? });
    begin(&app, caller, TurnRequest { conversation, said, answer_to: None, model: new.model, sampling }).await
}

/// Says something else in place of a person's message, on a branch of its own.
#[utoipa::path(post, path = "/lar/v1/conversations/{id}/messages/{message}/branch", tag = "conversations",
    params(("id" = String, Path), ("message" = String, Path)), request_body = Retry,
    responses((status = 200, content_type = "text/event-stream", body = TurnBegun), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn branch(
    app: State,
    Inference(caller): Inference,
    Path((id, message)): Path<(String, String)>,
    Json(retry): Json<Retry>,
) -> Result<Response, Failure> {
    let (conversation, message) = (extract::id(&id, "conversation")?, extract::id(&message, "message")?);
    let content = retry.content.ok_or_else(|| Problem::invalid("content", "is missing"))?;
    let replaced = app.store.message_get(caller.user, conversation, message).await?;
    if replaced.role != Role::User {
        return Err(
            Problem::new(lar_base::Code::Conflict, "only what a person said can be said otherwise").into()
        );
    }
    let said = Some(Said { parent: replaced.parent, content: checked(content)? });
    let sampling = fresh();
    begin(&app, caller, TurnRequest { conversation, said, answer_to: None, model: retry.model, sampling })
        .await
}

/// Has the message that an answer belongs to answered again.
#[utoipa::path(post, path = "/lar/v1/conversations/{id}/messages/{message}/regenerate", tag = "conversations",
    params(("id" = String, Path), ("message" = String, Path)), request_body = Retry,
    responses((status = 200, content_type = "text/event-stream", body = TurnBegun), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn regenerate(
    app: State,
    Inference(caller): Inference,
    Path((id, message)): Path<(String, String)>,
    Json(retry): Json<Retry>,
) -> Result<Response, Failure> {
    let (conversation, message) = (extract::id(&id, "conversation")?, extract::id(&message, "message")?);
    let found = app.store.message_get(caller.user, conversation, message).await?;
    let answer_to = if found.role == Role::User { Some(found.id) } else { found.parent };
    let sampling = fresh();
    begin(&app, caller, TurnRequest { conversation, said: None, answer_to, model: retry.model, sampling })
        .await
}

/// Rates an answer.
#[utoipa::path(post, path = "/lar/v1/conversations/{id}/messages/{message}/feedback", tag = "conversations",
    params(("id" = String, Path), ("message" = String, Path)), request_body = Feedback,
    responses((status = 200, body = Wire), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn feedback(
    app: State,
    Inference(caller): Inference,
    Path((id, message)): Path<(String, String)>,
    Json(feedback): Json<Feedback>,
) -> Result<axum::Json<Wire>, Failure> {
    let (conversation, message) = (extract::id(&id, "conversation")?, extract::id(&message, "message")?);
    let rating = match feedback.rating.as_deref() {
        None => None,
        Some("good") => Some(Rating::Good),
        Some("bad") => Some(Rating::Bad),
        Some(_) => return Err(Problem::invalid("rating", "must be `good`, `bad` or null").into()),
    };
    let rated = app.store.message_rate(caller.user, conversation, message, rating).await?;
    Ok(axum::Json(wire(&rated)))
}

/// A message on the wire.
pub(super) fn wire(message: &Message) -> Wire {
    let text = |id: MessageId| id.to_string();
    Wire {
        id: text(message.id),
        parent: message.parent.map(text),
        role: message.role.as_str().into(),
        content: message.content.clone(),
        status: message.status.as_str().into(),
        model: message.model.clone(),
        task_id: message.task.map(|id| id.to_string()),
        error_code: message.error.map(|code| code.as_str().into()),
        tokens_in: message.tokens_in,
        tokens_out: message.tokens_out,
        ttft_ms: message.ttft_ms,
        decode_ms: message.decode_ms,
        rating: message
            .rating
            .map(|rating| if rating == Rating::Good { "good".into() } else { "bad".into() }),
        created_at: message.created_at.to_string(),
    }
}

async fn begin(app: &App, caller: Caller, request: TurnRequest) -> Result<Response, Failure> {
    let (user, conversation) = (caller.user, request.conversation);
    let Turn { answer, question, task } = app.turns.begin(caller, request).await?;
    let begun = TurnBegun {
        title: app.store.conversation_get(user, conversation).await?.title,
        question: wire(&question),
        answer: wire(&answer),
        task_id: task.id().to_string(),
    };
    let first = sse::event(Some("message"), None, &serde_json::to_string(&begun).unwrap_or_default());
    let rest = tasks::Stream::new(task, app.gateway.engines().clone(), 0);
    Ok(sse::response(Stream { first: VecDeque::from([first]), rest }))
}

fn checked(content: String) -> Result<String, Problem> {
    if content.trim().is_empty() {
        return Err(Problem::invalid("content", "must not be empty"));
    }
    if content.len() > CONTENT_BYTES_MAX {
        return Err(Problem::invalid(
            "content",
            format!("has {} bytes; {CONTENT_BYTES_MAX} at most", content.len()),
        ));
    }
    Ok(content)
}

fn fresh() -> Sampling {
    Sampling { seed: derived_seed(TaskId::new()), ..Sampling::default() }
}

struct Stream {
    first: VecDeque<String>,
    rest: tasks::Stream,
}

impl sse::Source for Stream {
    async fn next(&mut self) -> Option<String> {
        match self.first.pop_front() {
            Some(first) => Some(first),
            None => self.rest.next().await,
        }
    }
}
