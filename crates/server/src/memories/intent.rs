//! `POST /lar/v1/memories/intents`: a message that a user wrote in an app with its own chat.
//!
//! Lar treats it like a message in its own chat: it carries out requests and corrections, puts statements
//! that may be lasting into the inbox, and drops the rest.

use axum::extract::State;
use lar_api::memories::{IntentOutcome, UserMessage};
use lar_base::{Problem, deprecation};
use lar_memory::{Memories, Origin};

use super::access::Writing;
use crate::errors::Failure;
use crate::extract::Json;

/// The source of the memories that these messages create.
const SOURCE: &str = "app";

/// Apply the memory intents of a message
///
/// Saves, corrects and forgets memories and sets reminders as the user's message asks. Puts statements that may be
/// lasting into the inbox.
#[utoipa::path(post, path = "/lar/v1/memories/intents", tag = "memories", request_body = UserMessage,
    params(("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = IntentOutcome), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    State(memories): State<Memories>,
    Writing(writer): Writing,
    Json(message): Json<UserMessage>,
) -> Result<axum::Json<IntentOutcome>, Failure> {
    if message.content.trim().is_empty() {
        return Err(Problem::invalid("content", "must not be empty").into());
    }
    let origin = Origin { conversation: None, source: SOURCE };
    let done = memories.apply_intents(&writer, &message.content, origin, &[]).await?;
    let activity = done.ids().unwrap_or_default();
    Ok(axum::Json(IntentOutcome {
        saved: activity.saved,
        forgotten: activity.forgotten,
        scheduled: activity.scheduled,
        suggested: done.suggested.len(),
        waiting: done.suggested.len(),
        refused: done.refused,
    }))
}

/// Apply the memory intents of a message (old path)
///
/// Use `/lar/v1/memories/intents`, which does the same.
#[utoipa::path(post, path = "/lar/v1/memories/heard", tag = "memories", request_body = UserMessage,
    params(("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = IntentOutcome), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create_by_old_path(
    memories: State<Memories>,
    writer: Writing,
    message: Json<UserMessage>,
) -> Result<axum::Json<IntentOutcome>, Failure> {
    deprecation::warn_once("POST /lar/v1/memories/heard", "POST /lar/v1/memories/intents");
    create(memories, writer, message).await
}
