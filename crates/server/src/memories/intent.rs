//! `POST /lar/v1/memories/heard`: what a person said in an app that has a chat of its own. It is looked at as a message in
//! Lar's chat is: requests and corrections are done, what may be lasting waits in the inbox, the rest is let go.

use lar_api::memories::{IntentOutcome, UserMessage};
use lar_base::Problem;
use lar_memory::Origin;

use super::Writing;
use crate::State;
use crate::errors::Failure;
use crate::extract::Json;

/// What the memories of it are said to come from.
const SOURCE: &str = "app";

/// Does what a person's message asks of memory.
#[utoipa::path(post, path = "/lar/v1/memories/heard", tag = "memories", request_body = UserMessage,
    params(("x-agent-id" = Option<String>, Header)),
    responses((status = 200, body = IntentOutcome), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn create(
    app: State,
    Writing(writer): Writing,
    Json(message): Json<UserMessage>,
) -> Result<axum::Json<IntentOutcome>, Failure> {
    if message.content.trim().is_empty() {
        return Err(Problem::invalid("content", "must not be empty").into());
    }
    let origin = Origin { conversation: None, source: SOURCE };
    let done = app.memories.apply_intents(&writer, &message.content, origin, &[]).await?;
    let activity = done.ids().unwrap_or_default();
    Ok(axum::Json(IntentOutcome {
        saved: activity.saved,
        forgotten: activity.forgotten,
        waiting: done.waiting.len(),
        refused: done.refused,
    }))
}
