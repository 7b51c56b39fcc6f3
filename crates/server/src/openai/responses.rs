//! `/v1/responses`: OpenAI's Responses API.
//!
//! The codec is in [`lar_compat::openai::responses`]. [`lar_agents::Responses`] runs and stores responses.

use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse as _, Response};
use lar_agents::Responses;
use lar_agents::responses::{CountedInput, CreatedContent, CreatedResponse, InputItemsQuery, ResponseFrames};
use lar_base::TaskId;
use lar_compat::openai::responses::wire::{Deleted, InputItems, InputTokens, Response as WireResponse};
use lar_compat::openai::responses::{ResponsesEncoder, UndecodedResponseRequest, id_of, task_of};
use lar_compat::{Encoder, Frame};
use serde::Deserialize;

use crate::auth::Inference;
use crate::compat_caller::CompatCaller;
use crate::errors::Failure;
use crate::extract::{self, JsonBody, Path};
use crate::response_headers::{with_ignored, with_memory_activity, with_removed_messages};
use crate::sse;

/// The name of this API in usage records.
const API: &str = "openai.responses";
/// The media type of a response's stream.
const EVENT_STREAM: &str = <ResponsesEncoder as Encoder>::MEDIA_TYPE;

impl sse::FrameSource for ResponseFrames {
    async fn next(&mut self) -> Option<Vec<Frame>> {
        // The method of the type, not of the trait.
        ResponseFrames::next(self).await
    }
}

pub(crate) async fn create(
    State(responses): State<Responses>,
    compat_caller: CompatCaller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let request = body.read(UndecodedResponseRequest::read)?;
    let requester = compat_caller.requester(API);
    let share: Box<dyn Send + Sync> = Box::new(compat_caller.body);
    let created = responses.create(&requester, request, Some(share)).await?;
    let CreatedResponse { content, ignored, removed_messages, memory_activity } = created;
    let response = match content {
        CreatedContent::Whole(response) => axum::Json(response).into_response(),
        CreatedContent::Stream(frames) => sse::frames_response(*frames, EVENT_STREAM),
    };
    let response = with_ignored(with_removed_messages(response, removed_messages), &ignored);
    Ok(with_memory_activity(response, memory_activity.as_ref()))
}

/// Counts the tokens of a request's prompt.
pub(crate) async fn input_tokens(
    State(responses): State<Responses>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let request = body.read(UndecodedResponseRequest::read_to_count)?;
    let CountedInput { tokens, ignored, removed_messages } =
        responses.count_tokens(caller.key(), request).await?;
    let body = InputTokens { object: "response.input_tokens", input_tokens: tokens };
    let response = with_removed_messages(axum::Json(body).into_response(), removed_messages);
    Ok(with_ignored(response, &ignored))
}

/// The query parameters of a response.
#[derive(Debug, Deserialize)]
struct ShowQuery {
    #[serde(default)]
    stream: bool,
    starting_after: Option<u64>,
}

pub(crate) async fn show(
    State(responses): State<Responses>,
    Inference(caller): Inference,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Failure> {
    let task = task_in_path(&id)?;
    let query: ShowQuery = extract::query(&uri)?;
    if query.stream {
        let frames = responses.show_stream(&caller, task, query.starting_after).await?;
        return Ok(sse::frames_response(frames, EVENT_STREAM));
    }
    Ok(axum::Json(responses.show(caller.key(), task).await?).into_response())
}

pub(crate) async fn remove(
    State(responses): State<Responses>,
    Inference(caller): Inference,
    Path(id): Path<String>,
) -> Result<axum::Json<Deleted>, Failure> {
    let task = task_in_path(&id)?;
    responses.remove(&caller, task).await?;
    Ok(axum::Json(Deleted { id: id_of(task), object: "response", deleted: true }))
}

/// Cancels a background response. A response that has ended is returned unchanged.
pub(crate) async fn cancel(
    State(responses): State<Responses>,
    Inference(caller): Inference,
    Path(id): Path<String>,
) -> Result<axum::Json<WireResponse>, Failure> {
    Ok(axum::Json(responses.cancel(&caller, task_in_path(&id)?).await?))
}

/// The query parameters of a page of input items.
#[derive(Debug, Deserialize)]
struct ItemsQuery {
    limit: Option<usize>,
    order: Option<String>,
    after: Option<String>,
}

pub(crate) async fn input_items(
    State(responses): State<Responses>,
    Inference(caller): Inference,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<axum::Json<InputItems>, Failure> {
    let task = task_in_path(&id)?;
    let ItemsQuery { limit, order, after } = extract::query(&uri)?;
    let query = InputItemsQuery { limit, order, after };
    Ok(axum::Json(responses.input_items(caller.key(), task, &query).await?))
}

/// Returns the task of the response that a path names.
fn task_in_path(id: &str) -> Result<TaskId, Failure> {
    Ok(task_of("response_id", id)?)
}
