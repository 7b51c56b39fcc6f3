//! `POST /v1/completions`: continues prompts without a chat template.

use axum::extract::State;
use axum::response::Response;
use lar_agents::{about_prompt, prompt_texts};
use lar_base::TaskId;
use lar_compat::openai::completions::{Completions, CompletionsInput};
use lar_compat::{Codec as _, ToolSchemas, plain_name};

use crate::answers::{self, AnswerState};
use crate::body_limits::ReceivedBody;
use crate::compat_caller::CompatCaller;
use crate::errors::Failure;
use crate::extract::JsonBody;

/// The name of this API in usage records.
const API: &str = "openai.completion";

pub(crate) async fn create(
    State(state): State<AnswerState>,
    compat_caller: CompatCaller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    respond(&state, &compat_caller, body).await
}

/// Responds to a body.
pub(crate) async fn respond(
    state: &AnswerState,
    compat_caller: &CompatCaller,
    body: ReceivedBody,
) -> Result<Response, Failure> {
    let CompletionsInput { request, prompts, echo, mut style } =
        body.read(|body| Completions::decode(body, TaskId::new()))?;
    let sent = if echo { prompts.clone() } else { Vec::new() };
    let (key, id, stream) = (compat_caller.key(), request.id, request.stream);
    let (model, schemas) = (plain_name(&request.model).to_owned(), ToolSchemas::of(&request));
    let all = state.generations.for_prompts(key, request, prompts, "n").await?;
    let requester = compat_caller.requester(API);
    let admitted = state.generations.admit(&requester, all).await.map_err(about_prompt)?;
    style.set_echoed(prompt_texts(&state.gateway, key, &model, sent).await?)?;
    if !echo {
        compat_caller.body.release();
    }
    let answers = answers::dispatch(state, compat_caller, id, admitted).await.map_err(about_prompt)?;
    // With `echo`, the style keeps the prompts in memory until the response ends.
    let share = echo.then(|| compat_caller.body.clone());
    Ok(answers.respond::<Completions>(stream, style, &schemas, share).await?)
}
