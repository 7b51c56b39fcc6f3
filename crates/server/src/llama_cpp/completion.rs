//! `POST /completion`, `/completions` and `/infill`: completion and fill-in-the-middle in llama.cpp's native
//! form.

use axum::extract::State;
use axum::response::Response;
use lar_agents::{about_model, about_prompt, prompt_texts};
use lar_base::{KeyId, Problem, TaskId};
use lar_compat::llama_cpp::{
    self, BiasTarget, LlamaCppEncoder, LlamaCppInput, TokenBias, UndecodedCompletion, is_openais,
};
use lar_compat::{ToolSchemas, openai};
use lar_gateway::Gateway;
use lar_inference::TokenizerQuery;

use crate::answers::{self, AnswerState};
use crate::compat_caller::CompatCaller;
use crate::errors::Failure;
use crate::extract::JsonBody;
use crate::openai::completions;

/// The name of this API in usage records.
const API: &str = "llama.completion";

pub(crate) async fn create(
    State(state): State<AnswerState>,
    compat_caller: CompatCaller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let undecoded = body.read(|body| UndecodedCompletion::read(body, false))?;
    respond(&state, &compat_caller, undecoded).await
}

pub(crate) async fn infill(
    State(state): State<AnswerState>,
    compat_caller: CompatCaller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let undecoded = body.read(|body| UndecodedCompletion::read(body, true))?;
    respond(&state, &compat_caller, undecoded).await
}

/// Handles `/completions`, whose body has OpenAI's or llama.cpp's form ([`is_openais`]).
pub(crate) async fn either(
    State(state): State<AnswerState>,
    compat_caller: CompatCaller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    if is_openais(&body)? {
        let input = body.read(|body| openai::completions::decode(body, TaskId::new()))?;
        return completions::respond(&state, &compat_caller, input).await;
    }
    let undecoded = body.read(|body| UndecodedCompletion::read(body, false))?;
    respond(&state, &compat_caller, undecoded).await
}

async fn respond(
    state: &AnswerState,
    compat_caller: &CompatCaller,
    mut undecoded: UndecodedCompletion,
) -> Result<Response, Failure> {
    let (key, model) = (compat_caller.key(), undecoded.model());
    tokenize_biases(&state.gateway, key, &model, &mut undecoded).await.map_err(about_model)?;
    let LlamaCppInput { request, prompts, mut style, stream, limits, n_field } =
        undecoded.decode(TaskId::new())?;
    let sent = if style.has_prompts() { prompts.clone() } else { Vec::new() };
    let (id, schemas) = (request.id, ToolSchemas::of(&request));
    let all = state.generations.for_prompts(key, request, prompts, n_field).await?;
    let requester = compat_caller.requester(API);
    let admitted = state.generations.admit(&requester, all).await.map_err(about_prompt)?;
    style.set_prompts(prompt_texts(&state.gateway, key, &model, sent).await?);
    let mut answers = answers::dispatch(state, compat_caller, id, admitted).await.map_err(about_prompt)?;
    if limits.is_any() {
        answers.stream.limit_lines(limits);
    }
    if style.has_end_tokens() {
        // Without the end tokens, the settings stay as they are.
        let ends = state.gateway.text_for(key, &model, TokenizerQuery::EndTokens).await;
        style.ban_end_tokens(&ends.unwrap_or_default().tokens);
    }
    if stream {
        // The style keeps the prompts in memory until the stream ends.
        let share = compat_caller.body.clone();
        Ok(answers.stream(|head| LlamaCppEncoder::new(head, style), Some(share)))
    } else {
        Ok(answers.whole(&schemas, |head, answers| llama_cpp::whole(head, answers, &style)).await?)
    }
}

/// Replaces each text in `logit_bias` by its tokens, which all get its bias.
async fn tokenize_biases(
    gateway: &Gateway,
    key: KeyId,
    model: &str,
    undecoded: &mut UndecodedCompletion,
) -> Result<(), Problem> {
    let mut biases = Vec::new();
    for TokenBias { target, bias } in undecoded.logit_bias()? {
        match target {
            BiasTarget::Token(id) => biases.push((id, bias)),
            BiasTarget::Text(text) => {
                let query = TokenizerQuery::Tokenize { text, add_special: false, parse_special: true };
                let tokens = gateway.text_for(key, model, query).await?.tokens;
                biases.extend(tokens.into_iter().map(|token| (token.to_string(), bias)));
            }
        }
    }
    undecoded.set_logit_bias(biases);
    Ok(())
}
