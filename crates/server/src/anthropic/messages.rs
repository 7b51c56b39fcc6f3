//! `POST /v1/messages`: the complete response and its stream.

use axum::extract::State;
use axum::response::Response;
use lar_base::TaskId;
use lar_compat::ToolSchemas;
use lar_compat::anthropic::{MessageEncoder, MessagesInput, decode, whole};

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
    let MessagesInput { request, style } = body.read(|body| decode(body, TaskId::new()))?;
    let (schemas, stream) = (ToolSchemas::of(&request), request.stream);
    let answers = answers::begin(&state, &compat_caller, API, request).await?;
    if stream {
        return Ok(answers.stream(|head| MessageEncoder::new(head, style), None));
    }
    Ok(answers.whole(&schemas, |head, answers| whole(head, answers, &style)).await?)
}
