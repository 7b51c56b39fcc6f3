//! `POST /v1/messages`: the complete response and its stream.

use axum::extract::State;
use axum::response::Response;
use lar_compat::anthropic::Messages;

use crate::answers::{self, AnswerState};
use crate::compat_caller::CompatCaller;
use crate::errors::Failure;
use crate::extract::JsonBody;

/// The name of this API in usage records.
const API: &str = "anthropic.messages";

pub(crate) async fn create(
    State(state): State<AnswerState>,
    compat_caller: CompatCaller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    Ok(answers::answer::<Messages>(&state, &compat_caller, API, body).await?)
}
