//! `POST /v1/messages/count_tokens`: counts the tokens of a request's prompt.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use lar_agents::about_model;
use lar_compat::anthropic::wire::TokenCount;
use lar_compat::anthropic::{CountTokensInput, decode_count};
use lar_compat::plain_name;
use lar_gateway::Gateway;

use crate::auth::Inference;
use crate::errors::Failure;
use crate::extract::JsonBody;
use crate::response_headers::with_ignored;

pub(crate) async fn create(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let CountTokensInput { model, prompt, ignored } = body.read(decode_count)?;
    let counted = gateway.count_tokens_for(caller.key(), plain_name(&model), &prompt).await;
    let counted = counted.map_err(about_model)?;
    let response = axum::Json(TokenCount { input_tokens: counted.tokens }).into_response();
    Ok(with_ignored(response, &ignored))
}
