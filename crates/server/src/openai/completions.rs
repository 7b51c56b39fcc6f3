//! `POST /v1/completions`: continues prompts without a chat template.

use axum::extract::State;
use axum::response::Response;
use lar_agents::{about_prompt, prompt_texts};
use lar_base::TaskId;
use lar_compat::openai::completions::{self, CompletionEncoder, CompletionsInput};
use lar_compat::{ToolSchemas, plain_name};

use crate::answers::{self, AnswerState};
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
    let input = body.read(|body| completions::decode(body, TaskId::new()))?;
    respond(&state, &compat_caller, input).await
}

/// Responds to a decoded request.
pub(crate) async fn respond(
    state: &AnswerState,
    compat_caller: &CompatCaller,
    input: CompletionsInput,
) -> Result<Response, Failure> {
    let CompletionsInput { request, prompts, echo, mut style } = input;
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
    if stream {
        // With `echo`, the style keeps the prompts in memory until the stream ends.
        let share = echo.then(|| compat_caller.body.clone());
        Ok(answers.stream(|head| CompletionEncoder::new(head, style), share))
    } else {
        Ok(answers.whole(&schemas, |head, answers| completions::whole(head, answers, &style)).await?)
    }
}
