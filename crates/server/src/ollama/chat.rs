//! `POST /api/chat`: answers a chat.

use axum::extract::State;
use axum::response::Response;
use lar_compat::ollama::OllamaChat;

use super::answer;
use crate::answers::AnswerState;
use crate::compat_caller::CompatCaller;
use crate::errors::Failure;
use crate::extract::JsonBody;

/// The name of this API in usage records.
const API: &str = "ollama.chat";

pub(crate) async fn create(
    State(state): State<AnswerState>,
    compat_caller: CompatCaller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    Ok(answer::<OllamaChat>(&state, &compat_caller, API, body).await?)
}
