//! `POST /v1/chat/completions`, and the count of the tokens of such a request.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use lar_agents::about_model;
use lar_base::TaskId;
use lar_compat::openai::chat_completions::{ChatEncoder, ChatInput, decode, whole};
use lar_compat::openai::responses::wire::InputTokens;
use lar_compat::{ToolSchemas, plain_name};
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
    let ChatInput { request, style } = body.read(|body| decode(body, TaskId::new()))?;
    let (schemas, stream) = (ToolSchemas::of(&request), request.stream);
    let answers = answers::begin(&state, &compat_caller, API, request).await?;
    if stream {
        return Ok(answers.stream(|head| ChatEncoder::new(head, style), None));
    }
    Ok(answers.whole(&schemas, |head, answers| whole(head, answers, &style)).await?)
}

pub(crate) async fn input_tokens(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let ChatInput { request, .. } = body.read(|body| decode(body, TaskId::new()))?;
    let model = plain_name(&request.model);
    let counted = gateway.count_tokens_for(caller.key(), model, &request.prompt).await;
    let input_tokens = counted.map_err(about_model)?.tokens;
    let response = axum::Json(InputTokens { object: "response.input_tokens", input_tokens }).into_response();
    Ok(with_ignored(response, &request.ignored))
}
