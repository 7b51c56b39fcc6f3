//! `POST /v1/rerank`, as in Jina's and Cohere's APIs. Their clients expect it beside OpenAI's paths.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use lar_agents::{ComputedRanking, rank};
use lar_compat::openai::rerank::{self, RerankInput};
use lar_gateway::Gateway;

use crate::auth::Inference;
use crate::errors::Failure;
use crate::extract::JsonBody;
use crate::response_headers::{with_ignored, with_truncated_texts};

/// The name of this API in usage records.
const API: &str = "jina.rerank";

pub(crate) async fn create(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let RerankInput { model, query, texts, style, ignored } = body.read(rerank::decode)?;
    let ComputedRanking { task, scores, tokens, model } =
        rank(&gateway, caller, API, model, query, texts).await?;
    let ranking = rerank::whole(&scores, task, model, tokens, &style);
    let response = axum::Json(ranking).into_response();
    Ok(with_ignored(with_truncated_texts(response, &scores.truncated), &ignored))
}
