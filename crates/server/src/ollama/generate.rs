//! `POST /api/generate`: answers a prompt, and continues a conversation with `context`.

use axum::extract::State;
use axum::response::Response;
use lar_compat::ollama::OllamaGenerate;

use super::answer;
use crate::answers::AnswerState;
use crate::compat_caller::CompatCaller;
use crate::errors::Failure;
use crate::extract::JsonBody;

/// The name of this API in usage records.
const API: &str = "ollama.generate";

pub(crate) async fn create(
    State(state): State<AnswerState>,
    compat_caller: CompatCaller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    Ok(answer::<OllamaGenerate>(&state, &compat_caller, API, body).await?)
}
