//! `/lar/v1/conversations/export` and `/import`: all conversations of a user as JSON lines.
//!
//! A line is one conversation with all its branches, as `GET conversations/{id}` returns it. All ids are
//! kept, so a second import changes nothing, and an export from another Lar can be imported in full.

use std::collections::{HashSet, VecDeque};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use lar_api::conversations::{Conversation as Wire, ImportResult, Message as WireMessage};
use lar_base::{Caller, Code, ConversationId, MessageId, Problem, Timestamp, error_chain};
use lar_store::{Conversation, Message, Rating, Role, Status, Store};

use super::ConversationState;
use super::messages::CONTENT_BYTES_MAX;
use crate::auth::Conversing;
use crate::body_limits::BodyReceiver;
use crate::errors::Failure;
use crate::extract;

/// The maximum length of a model's name, as in the catalog.
const MODEL_CHARS_MAX: usize = 128;

/// Export conversations
///
/// Streams all conversations of the user as JSON lines, except deleted ones.
#[utoipa::path(get, path = "/lar/v1/conversations/export", tag = "conversations",
    responses((status = 200, content_type = "application/x-ndjson", body = Wire)))]
pub(crate) async fn export(
    State(state): State<ConversationState>,
    Conversing(caller): Conversing,
) -> Result<Response, Failure> {
    let waiting = state.store.conversation_ids(caller.user()).await?.into();
    let lines = ConversationLines { state, caller, waiting, unreadable: 0, ended: false };
    let kind = [
        (header::CONTENT_TYPE, extract::JSON_LINES),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"conversations.ndjson\""),
    ];
    Ok((kind, Body::from_stream(stream::try_unfold(lines, ConversationLines::next))).into_response())
}

/// Import conversations
///
/// Adds exported conversations. Conversations that exist already stay unchanged. Imports all lines or none.
#[utoipa::path(post, path = "/lar/v1/conversations/import", tag = "conversations",
    request_body(content = Wire, content_type = "application/x-ndjson"),
    responses((status = 200, body = ImportResult), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn import(
    State(store): State<Store>,
    State(receiver): State<BodyReceiver>,
    Conversing(caller): Conversing,
    request: Request,
) -> Result<axum::Json<ImportResult>, Failure> {
    let read = extract::json_lines(request, &receiver, |wire: Wire| conversation(&caller, wire)).await?;
    let all = read.len();
    let imported = store.conversations_import(read).await?;
    Ok(axum::Json(ImportResult { imported, unchanged: all - imported }))
}

/// The lines of an export. Each conversation is read when its line is sent.
struct ConversationLines {
    state: ConversationState,
    caller: Caller,
    waiting: VecDeque<ConversationId>,
    unreadable: u64,
    ended: bool,
}

impl ConversationLines {
    /// Returns the next line. If conversations could not be read because of damage, a last line states how
    /// many.
    ///
    /// # Errors
    /// When the database fails otherwise. This aborts the connection, so that no caller mistakes a part for
    /// the whole.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, axum::BoxError> {
        while let Some(id) = self.waiting.pop_front() {
            let found = match self.state.store.conversation_get(self.caller.user(), id).await {
                Ok(owned) => super::whole(&self.state, &self.caller, &owned).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(found) => {
                    let mut line = serde_json::to_vec(&found)?;
                    line.push(b'\n');
                    return Ok(Some((line.into(), self)));
                }
                // The conversation was erased after the export started.
                Err(lar_store::Error::NotFound(_)) => {}
                Err(error) if error.is_damage() => {
                    tracing::error!(
                        error = %error_chain(&error),
                        conversation = %id,
                        "skipped an unreadable conversation"
                    );
                    self.unreadable += 1;
                }
                Err(error) => {
                    tracing::error!(error = %error_chain(&error), conversation = %id, "an export failed");
                    return Err(error.into());
                }
            }
        }
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        Ok(extract::unreadable_line("conversations", self.unreadable).map(|line| (line, self)))
    }
}

fn conversation(caller: &Caller, wire: Wire) -> Result<(Conversation, Vec<Message>), Problem> {
    let id: ConversationId = parse_id("id", &wire.id)?;
    let title = if wire.title.is_empty() { wire.title } else { super::check_title(&wire.title)? };
    let mut known: HashSet<MessageId> = HashSet::new();
    let mut messages = Vec::new();
    for (index, message) in wire.messages.unwrap_or_default().into_iter().enumerate() {
        let read = parse_message(id, message, &known)
            .map_err(|problem| problem.within(&format!("messages[{index}]")))?;
        if !known.insert(read.id) {
            return Err(Problem::invalid(format!("messages[{index}].id"), "appears twice"));
        }
        messages.push(read);
    }
    let head: Option<MessageId> = wire.head.map(|head| parse_id("head", &head)).transpose()?;
    if head.is_some_and(|head| !known.contains(&head)) {
        return Err(Problem::invalid("head", "is not the id of a message in this line"));
    }
    let conversation = Conversation {
        id,
        user: caller.user(),
        title,
        model: wire.model.map(check_model).transpose()?,
        head,
        temporary: false,
        version: wire.version.max(1),
        created_at: parse_time("created_at", &wire.created_at)?,
        updated_at: parse_time("updated_at", &wire.updated_at)?,
        deleted_at: None,
    };
    Ok((conversation, messages))
}

/// Parses a message, whose parent must be one of the `known` messages before it.
fn parse_message(
    conversation: ConversationId,
    wire: WireMessage,
    known: &HashSet<MessageId>,
) -> Result<Message, Problem> {
    let parent: Option<MessageId> = wire.parent.map(|parent| parse_id("parent", &parent)).transpose()?;
    if parent.is_some_and(|parent| !known.contains(&parent)) {
        return Err(Problem::invalid("parent", "is not the id of a preceding message"));
    }
    if wire.content.len() > CONTENT_BYTES_MAX {
        return Err(Problem::invalid("content", format!("must have at most {CONTENT_BYTES_MAX} bytes")));
    }
    if wire.reasoning.as_ref().is_some_and(|reasoning| reasoning.len() > CONTENT_BYTES_MAX) {
        return Err(Problem::invalid("reasoning", format!("must have at most {CONTENT_BYTES_MAX} bytes")));
    }
    let role: Role =
        wire.role.parse().map_err(|_| Problem::invalid("role", "must be system, user or assistant"))?;
    let status = match wire.status.as_str() {
        // An answer that was still being written at the time of the export is not continued.
        "streaming" => Status::Stopped,
        text => text
            .parse()
            .map_err(|_| Problem::invalid("status", "must be complete, stopped, failed or streaming"))?,
    };
    let rating = match wire.rating.as_deref() {
        None => None,
        Some("good") => Some(Rating::Good),
        Some("bad") => Some(Rating::Bad),
        Some(_) => return Err(Problem::invalid("rating", "must be good or bad")),
    };
    let finish_reason = match wire.finish_reason.as_deref() {
        None | Some("stop" | "length") => wire.finish_reason,
        Some(_) => return Err(Problem::invalid("finish_reason", "must be stop or length")),
    };
    Ok(Message {
        id: parse_id("id", &wire.id)?,
        conversation,
        parent,
        role,
        content: wire.content,
        reasoning: wire.reasoning,
        status,
        model: wire.model.map(check_model).transpose()?,
        task: wire.task_id.map(|id| parse_id("task_id", &id)).transpose()?,
        error: wire.error_code.as_deref().and_then(Code::parse),
        tokens_in: wire.tokens_in,
        tokens_out: wire.tokens_out,
        ttft_ms: wire.ttft_ms,
        decode_ms: wire.decode_ms,
        finish_reason,
        rating,
        memory: None,
        created_at: parse_time("created_at", &wire.created_at)?,
    })
}

fn check_model(name: String) -> Result<String, Problem> {
    match name.chars().count() {
        1..=MODEL_CHARS_MAX => Ok(name),
        _ => Err(Problem::invalid("model", format!("must have 1 to {MODEL_CHARS_MAX} characters"))),
    }
}

fn parse_id<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::invalid(field, "is not a valid id"))
}

fn parse_time(field: &str, text: &str) -> Result<Timestamp, Problem> {
    text.parse().map_err(|_| Problem::invalid(field, "must be an RFC 3339 time"))
}
