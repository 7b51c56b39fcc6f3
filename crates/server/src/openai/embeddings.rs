//! `POST /v1/embeddings`: the embeddings of texts.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use lar_agents::{ComputedEmbeddings, embed};
use lar_base::Caller;
use lar_compat::openai::embeddings::{self, EmbeddingsInput, check_dimensions};
use lar_gateway::Gateway;

use crate::auth::Inference;
use crate::errors::Failure;
use crate::extract::JsonBody;
use crate::response_headers::{with_ignored, with_truncated_texts};

/// The name of this API in usage records.
const API: &str = "openai.embedding";

pub(crate) async fn create(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    respond(&gateway, caller, body.read(embeddings::decode)?).await
}

/// Responds to a decoded request.
pub(crate) async fn respond(
    gateway: &Gateway,
    caller: Caller,
    input: EmbeddingsInput,
) -> Result<Response, Failure> {
    let EmbeddingsInput { model, texts, base64, dimensions, truncate, ignored } = input;
    let ComputedEmbeddings { vectors, tokens, model } =
        embed(gateway, caller, API, &model, texts, truncate).await?;
    check_dimensions(&vectors, dimensions)?;
    let response = axum::Json(embeddings::whole(&vectors, model, tokens, base64)).into_response();
    Ok(with_ignored(with_truncated_texts(response, &vectors.truncated), &ignored))
}
