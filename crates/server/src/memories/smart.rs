//! `POST /lar/v1/memories/smart`: smart ingest, which compares a text with existing memories.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use lar_api::memories::{NewMemory, SmartIngestResult as Wire};
use lar_memory::{Decision, Memories, SmartIngestResult};
use lar_store::Store;

use super::access::Writing;
use super::parse::parse_item;
use super::view::WriterView;
use crate::errors::Failure;
use crate::idempotency::{self, IdempotentJson};

/// Save a memory by smart ingest
///
/// Compares the text with existing memories, and then creates, reinforces, updates or supersedes a memory,
/// or rejects the text. Links a new memory to one that it may make outdated. Returns 201 if it created a
/// memory, and 200 otherwise.
#[utoipa::path(post, path = "/lar/v1/memories/smart", tag = "memories", request_body = NewMemory,
    params(("idempotency-key" = Option<String>, Header), ("x-agent-id" = Option<String>, Header)),
    responses((status = 201, body = Wire), (status = 200, body = Wire), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn smart(
    State(memories): State<Memories>,
    State(store): State<Store>,
    Writing(writer): Writing,
    new: IdempotentJson<NewMemory>,
) -> Result<Response, Failure> {
    let view = WriterView::of(&writer);
    let (new, once) = new.into_parts(writer.caller());
    if let Some(made) = idempotency::earlier_id::<String>(&store, once.as_ref()).await? {
        return Ok(idempotency::mark_replayed(answer(
            view,
            &memories.find_past_decision(&writer, &made).await?,
        )));
    }
    Ok(answer(view, &memories.ingest_smart(&writer, parse_item(new)?, once).await?))
}

fn answer(view: WriterView, decided: &SmartIngestResult) -> Response {
    let status = match decided.decision {
        Decision::Create | Decision::Supersede => StatusCode::CREATED,
        Decision::Reinforce | Decision::Update | Decision::Merge | Decision::Reject => StatusCode::OK,
    };
    (status, axum::Json(view.show_decision(decided))).into_response()
}
