//! `POST /embedding`, and `/embeddings` for bodies with `content`: embeddings in llama.cpp's native form.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use lar_agents::embed;
use lar_base::Caller;
use lar_compat::llama_cpp::embedding::{self, LlamaCppEmbeddingInput};
use lar_compat::openai;
use lar_gateway::Gateway;

use crate::auth::Inference;
use crate::errors::Failure;
use crate::extract::JsonBody;
use crate::openai::embeddings;
use crate::response_headers::{with_ignored, with_truncated_texts};

/// The name of this API in usage records.
const API: &str = "llama.embedding";

pub(crate) async fn create(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let input = body.read(embedding::decode)?;
    respond(&gateway, caller, input).await
}

/// Handles `/embeddings`: llama.cpp's form if the body has `content` and no `input`, else OpenAI's form.
pub(crate) async fn create_in_either_form(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    if embedding::has_llama_cpps_form(&body)? {
        return respond(&gateway, caller, body.read(embedding::decode)?).await;
    }
    embeddings::respond(&gateway, caller, body.read(openai::embeddings::decode)?).await
}

async fn respond(
    gateway: &Gateway,
    caller: Caller,
    input: LlamaCppEmbeddingInput,
) -> Result<Response, Failure> {
    let LlamaCppEmbeddingInput { model, texts, norm, truncate, ignored } = input;
    let found = embed(gateway, caller, API, &model, texts, truncate).await?.vectors;
    let response = axum::Json(embedding::whole(&found, norm)).into_response();
    Ok(with_ignored(with_truncated_texts(response, &found.truncated), &ignored))
}
