//! `POST /lar/v1/memories/smart`: remembering with regard to what is known.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use lar_api::memories::{Decided as Wire, Difference, NewMemory};
use lar_memory::{Decided, Decision};

use super::{Writing, item, wire};
use crate::State;
use crate::errors::Failure;
use crate::idempotency::{self, Creating};

/// Remembers something with regard to what is known, and says what became of it: 201 when a memory was made, else 200.
#[utoipa::path(post, path = "/lar/v1/memories/smart", tag = "memories", request_body = NewMemory,
    params(("idempotency-key" = Option<String>, Header), ("x-agent-id" = Option<String>, Header)),
    responses((status = 201, body = Wire), (status = 200, body = Wire), (status = 400, body = lar_api::ProblemBody)))]
pub(crate) async fn smart(
    app: State,
    Writing(writer): Writing,
    new: Creating<NewMemory>,
) -> Result<Response, Failure> {
    let (new, once) = new.by(writer.caller());
    if let Some(made) = idempotency::made::<String>(&app, once.as_ref()).await? {
        return Ok(idempotency::replayed(answer(&app.memories.decided_before(&writer, &made).await?)));
    }
    Ok(answer(&app.memories.ingest_smart(&writer, item(new)?, once).await?))
}

fn answer(decided: &Decided) -> Response {
    let status = match decided.decision {
        Decision::Create | Decision::Supersede => StatusCode::CREATED,
        Decision::Reinforce | Decision::Update | Decision::Merge | Decision::Reject => StatusCode::OK,
    };
    (status, axum::Json(told(decided))).into_response()
}

pub(crate) fn told(decided: &Decided) -> Wire {
    let part =
        |part: &lar_memory::Difference| Difference { change: part.change.into(), text: part.text.clone() };
    Wire {
        decision: decided.decision.as_str().into(),
        reason: decided.reason.clone(),
        confidence: decided.confidence,
        against: decided.against.as_ref().map(wire),
        memory: decided.memory.as_ref().map(wire),
        diff: decided.diff.iter().map(part).collect(),
        redacted: decided.redacted.clone(),
        unembedded: decided.unembedded.clone(),
    }
}
