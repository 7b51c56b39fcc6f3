//! `POST /v1/chat/completions`, and the count of the tokens of such a request.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use lar_agents::about_model;
use lar_base::TaskId;
use lar_compat::openai::chat_completions::ChatCompletions;
use lar_compat::openai::responses::wire::InputTokens;
use lar_compat::{Codec as _, DecodedRequest, plain_name};
use lar_gateway::Gateway;

use crate::answers::{self, AnswerState};
use crate::auth::Inference;
use crate::compat_caller::CompatCaller;
use crate::errors::Failure;
use crate::extract::JsonBody;
use crate::response_headers::with_ignored;

/// The name of this API in usage records.
const API: &str = "openai.chat";

pub(crate) async fn create(
    State(state): State<AnswerState>,
    compat_caller: CompatCaller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    Ok(answers::answer::<ChatCompletions>(&state, &compat_caller, API, body).await?)
}

pub(crate) async fn input_tokens(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let DecodedRequest { request, .. } = body.read(|body| ChatCompletions::decode(body, TaskId::new()))?;
    let model = plain_name(&request.model);
    let counted = gateway.count_tokens_for(caller.key(), model, &request.prompt).await;
    let input_tokens = counted.map_err(about_model)?.tokens;
    let response = axum::Json(InputTokens { object: "response.input_tokens", input_tokens }).into_response();
    Ok(with_ignored(response, &request.ignored))
}
