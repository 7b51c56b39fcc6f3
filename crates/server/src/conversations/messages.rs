//! `/lar/v1/conversations/{id}/messages`: sending and editing messages, and regenerating and rating answers.
//!
//! An answer is the event stream of its task. A turn continues when its reader disconnects.

use std::collections::VecDeque;

use axum::extract::State;
use axum::response::Response;
use lar_agents::{AnswerCitations, Turn, TurnRequest};
use lar_api::conversations::{Citations, Feedback, Message as Wire, NewMessage, Retry, TurnStarted};
use lar_base::json::to_json;
use lar_base::{Caller, MessageId, Problem, Scope, TaskId};
use lar_inference::{Sampling, in_range};
use lar_store::{Message, NewMessage as NewUserMessage, OwnedConversation, Rating, Role};

use super::{ConversationState, find_owned};
use crate::auth::Conversing;
use crate::errors::Failure;
use crate::extract::{self, Json, Path};
use crate::idempotency::{self, IdempotentJson};
use crate::{sse, tasks};

/// The maximum size of a message in bytes.
pub(crate) const CONTENT_BYTES_MAX: usize = 1 << 20;

/// Send a message
///
/// Adds a user message to the conversation and streams the answer.
#[utoipa::path(post, path = "/lar/v1/conversations/{id}/messages", tag = "conversations",
    params(("id" = String, Path), ("idempotency-key" = Option<String>, Header)), request_body = NewMessage,
    responses((status = 200, content_type = "text/event-stream", body = TurnStarted), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    State(state): State<ConversationState>,
    Conversing(caller): Conversing,
    Path(id): Path<String>,
    new: IdempotentJson<NewMessage>,
) -> Result<Response, Failure> {
    let (new, once) = new.into_parts(&caller);
    let conversation = find_owned(&state, &caller, &id).await?;
    let parent = match new.parent {
        Some(parent) => parent.map(|parent| extract::id(&parent, "message")).transpose()?,
        None => conversation.get().head,
    };
    let sampling = sampling(new.temperature, new.max_tokens, new.seed)?;
    let user_message = Some(NewUserMessage { parent, content: check_content("content", new.content)? });
    begin(
        &state,
        caller,
        TurnRequest { conversation, user_message, answer_to: None, model: new.model, sampling, once },
    )
    .await
}

/// Edit a user message
///
/// Adds the new text on a new branch next to the old message, and streams the answer.
#[utoipa::path(post, path = "/lar/v1/conversations/{id}/messages/{message}/branch", tag = "conversations",
    params(("id" = String, Path), ("message" = String, Path), ("idempotency-key" = Option<String>, Header)), request_body = Retry,
    responses((status = 200, content_type = "text/event-stream", body = TurnStarted), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn branch(
    State(state): State<ConversationState>,
    Conversing(caller): Conversing,
    Path((id, message)): Path<(String, String)>,
    retry: IdempotentJson<Retry>,
) -> Result<Response, Failure> {
    let (retry, once) = retry.into_parts(&caller);
    let (conversation, message) =
        (find_owned(&state, &caller, &id).await?, extract::id(&message, "message")?);
    let content = retry.content.ok_or_else(|| Problem::invalid("content", "is missing"))?;
    let replaced = state.store.message_get(&conversation, message).await?;
    if replaced.role != Role::User {
        return Err(Problem::new(lar_base::Code::Conflict, "only user messages can be edited").into());
    }
    let content = check_content("content", content)?;
    let user_message = Some(NewUserMessage { parent: replaced.parent, content });
    let sampling = sampling(retry.temperature, retry.max_tokens, retry.seed)?;
    begin(
        &state,
        caller,
        TurnRequest { conversation, user_message, answer_to: None, model: retry.model, sampling, once },
    )
    .await
}

/// Regenerate an answer
///
/// Streams a new answer on a new branch. The path names the old answer or its user message.
#[utoipa::path(post, path = "/lar/v1/conversations/{id}/messages/{message}/regenerate", tag = "conversations",
    params(("id" = String, Path), ("message" = String, Path), ("idempotency-key" = Option<String>, Header)), request_body = Retry,
    responses((status = 200, content_type = "text/event-stream", body = TurnStarted), (status = 409, body = lar_api::ProblemBody)))]
pub(crate) async fn regenerate(
    State(state): State<ConversationState>,
    Conversing(caller): Conversing,
    Path((id, message)): Path<(String, String)>,
    retry: IdempotentJson<Retry>,
) -> Result<Response, Failure> {
    let (retry, once) = retry.into_parts(&caller);
    let (conversation, message) =
        (find_owned(&state, &caller, &id).await?, extract::id(&message, "message")?);
    let found = state.store.message_get(&conversation, message).await?;
    let answer_to = if found.role == Role::User { Some(found.id) } else { found.parent };
    let sampling = sampling(retry.temperature, retry.max_tokens, retry.seed)?;
    begin(
        &state,
        caller,
        TurnRequest { conversation, user_message: None, answer_to, model: retry.model, sampling, once },
    )
    .await
}

/// Rate an answer
///
/// The rating `good` also strengthens the memories that the answer recalled, if the key has the scope
/// `memory:write`.
#[utoipa::path(post, path = "/lar/v1/conversations/{id}/messages/{message}/feedback", tag = "conversations",
    params(("id" = String, Path), ("message" = String, Path)), request_body = Feedback,
    responses((status = 200, body = Wire), (status = 404, body = lar_api::ProblemBody)))]
pub(crate) async fn feedback(
    State(state): State<ConversationState>,
    Conversing(caller): Conversing,
    Path((id, message)): Path<(String, String)>,
    Json(feedback): Json<Feedback>,
) -> Result<axum::Json<Wire>, Failure> {
    let (conversation, message) =
        (find_owned(&state, &caller, &id).await?, extract::id(&message, "message")?);
    let rating = match feedback.rating.as_deref() {
        None => None,
        Some("good") => Some(Rating::Good),
        Some("bad") => Some(Rating::Bad),
        Some(_) => return Err(Problem::invalid("rating", "must be `good`, `bad` or null").into()),
    };
    let rated =
        lar_agents::rate_answer(&state.store, &state.memories, &caller, &conversation, message, rating)
            .await?;
    Ok(axum::Json(message_for(&caller, &rated)))
}

/// Returns a message on the wire for a caller.
///
/// Without the scope `memory:read`, the message names the memories that the turn used and changed, but not
/// their texts.
pub(super) fn message_for(caller: &Caller, message: &Message) -> Wire {
    let mut shown = to_wire(message);
    if let Some(memory) = shown.memory.as_mut().filter(|_| !caller.has(Scope::MemoryRead)) {
        let recalled = memory.recalled.iter_mut().map(|one| &mut one.content);
        let saved = memory.saved.iter_mut().map(|one| &mut one.content);
        let forgotten = memory.forgotten.iter_mut().map(|one| &mut one.content);
        let listed = memory.listed.iter_mut().map(|one| &mut one.content);
        let reminders = memory.reminders.iter_mut().chain(&mut memory.scheduled);
        let reminders = reminders.flat_map(|one| [&mut one.content, &mut one.reason]);
        recalled.chain(saved).chain(forgotten).chain(listed).chain(reminders).for_each(String::clear);
        for suggested in memory.suggested.iter_mut().chain(&mut memory.waiting) {
            suggested.outdated_content = None;
        }
        for saved in &mut memory.saved {
            (saved.superseded_content, saved.instead_of) = (None, None);
        }
    }
    shown
}

/// Returns a message on the wire.
pub(super) fn to_wire(message: &Message) -> Wire {
    let text = |id: MessageId| id.to_string();
    Wire {
        id: text(message.id),
        parent: message.parent.map(text),
        role: message.role.as_str().into(),
        content: message.content.clone(),
        reasoning: message.reasoning.clone(),
        status: message.status.as_str().into(),
        model: message.model.clone(),
        task_id: message.task.map(|id| id.to_string()),
        error_code: message.error.map(|code| code.as_str().into()),
        tokens_in: message.tokens_in,
        tokens_out: message.tokens_out,
        ttft_ms: message.ttft_ms,
        decode_ms: message.decode_ms,
        finish_reason: message.finish_reason.clone(),
        rating: message
            .rating
            .map(|rating| if rating == Rating::Good { "good".into() } else { "bad".into() }),
        memory: message.memory.as_deref().and_then(activity_to_wire),
        created_at: message.created_at.to_string(),
    }
}

/// Returns the memory activity of a turn on the wire.
///
/// The stored JSON has the field names that are deprecated on the wire, so this adds the new ones.
fn activity_to_wire(stored: &str) -> Option<lar_api::conversations::MemoryActivity> {
    let mut activity: lar_api::conversations::MemoryActivity = serde_json::from_str(stored).ok()?;
    activity.suggested = activity.waiting.clone();
    for saved in &mut activity.saved {
        saved.superseded_content = saved.instead_of.clone();
        saved.superseded_id = saved.instead_of_id.clone();
    }
    Some(activity)
}

async fn begin(state: &ConversationState, caller: Caller, request: TurnRequest) -> Result<Response, Failure> {
    let conversation = request.conversation.clone();
    if let Some(answer) = idempotency::earlier_id(&state.store, request.once.as_ref()).await? {
        return Ok(idempotency::mark_replayed(replay(state, &caller, &conversation, answer).await?));
    }
    let Turn { answer, question, task, citations } = state.turns.begin(caller.clone(), request).await?;
    let first = first_event(state, &caller, &conversation, &question, &answer).await?;
    let rest = tasks::TaskStream::new(task, state.gateway.engines().clone(), 0);
    Ok(sse::response(TurnStream {
        parts: VecDeque::from([first]),
        rest: Some(rest),
        citations: Some(citations),
    }))
}

/// Returns the stream of a turn that an earlier copy of the request started.
///
/// The stream is that of the turn's task while the gateway has its events. Later it is the stored answer in
/// one event.
async fn replay(
    state: &ConversationState,
    caller: &Caller,
    conversation: &OwnedConversation,
    answer: MessageId,
) -> Result<Response, Problem> {
    let mut answer = state.store.message_get(conversation, answer).await?;
    let (Some(parent), Some(task)) = (answer.parent, answer.task) else {
        return Err(Problem::not_found("task of this turn"));
    };
    let question = state.store.message_get(conversation, parent).await?;
    let content = std::mem::take(&mut answer.content);
    let first = first_event(state, caller, conversation, &question, &answer).await?;
    if let Some(task) = state.gateway.find(caller.visible_keys(), task) {
        let rest = tasks::TaskStream::new(task, state.gateway.engines().clone(), 0);
        return Ok(sse::response(TurnStream {
            parts: VecDeque::from([first]),
            rest: Some(rest),
            citations: None,
        }));
    }
    let record = state.store.task_get(caller.visible_keys(), task).await?.and_then(|record| record.end);
    let kept = tasks::stored_events(&content, answer.tokens_out, record.as_ref());
    let parts = std::iter::once(first).chain(kept).collect();
    Ok(sse::response(TurnStream { parts, rest: None, citations: None }))
}

/// Returns the first event of a turn's stream.
async fn first_event(
    state: &ConversationState,
    caller: &Caller,
    conversation: &OwnedConversation,
    question: &Message,
    answer: &Message,
) -> Result<String, Problem> {
    // The conversation is read again, because its first turn has just set its title.
    let now = state.store.conversation_get(conversation.user(), conversation.id()).await?;
    let event = TurnStarted {
        title: now.get().title.clone(),
        question: message_for(caller, question),
        answer: message_for(caller, answer),
        task_id: answer.task.map(|id| id.to_string()).unwrap_or_default(),
    };
    Ok(sse::event(Some("message"), None, &to_json(&event)))
}

/// Checks the text of a message in this field.
pub(super) fn check_content(field: &str, content: String) -> Result<String, Problem> {
    if content.trim().is_empty() {
        return Err(Problem::invalid(field, "must not be empty"));
    }
    if content.len() > CONTENT_BYTES_MAX {
        return Err(Problem::invalid(
            field,
            format!("has {} bytes; the limit is {CONTENT_BYTES_MAX}", content.len()),
        ));
    }
    Ok(content)
}

fn sampling(temperature: Option<f32>, tokens: Option<u32>, seed: Option<u32>) -> Result<Sampling, Problem> {
    Ok(Sampling {
        temperature: in_range("temperature", temperature, 0.0, 2.0)?,
        seed: seed.unwrap_or_else(|| Sampling::derived_seed(TaskId::new())),
        tokens_max: tokens.unwrap_or(0),
        ..Sampling::default()
    })
}

struct TurnStream {
    /// The parts before `rest`, and later the last event, which waits for `citations`.
    parts: VecDeque<String>,
    rest: Option<tasks::TaskStream>,
    /// The citations, which follow `rest`; `None` for the replay of an earlier turn.
    citations: Option<AnswerCitations>,
}

impl sse::Source for TurnStream {
    async fn next(&mut self) -> Option<String> {
        if let Some(part) = self.parts.pop_front() {
            return Some(part);
        }
        if let Some(rest) = &mut self.rest {
            match rest.next_event().await? {
                (part, false) => return Some(part),
                // The last event waits for the citations, and so until the answer is stored.
                (part, true) => {
                    self.parts.push_back(part);
                    self.rest = None;
                }
            }
        }
        if let Some(citations) = &self.citations {
            let memories = citations.memory_ids().await;
            self.citations = None;
            if !memories.is_empty() {
                return Some(sse::event(Some("citations"), None, &to_json(&Citations { memories })));
            }
        }
        self.parts.pop_front()
    }
}
