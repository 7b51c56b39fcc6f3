//! `POST /completion`, `/completions` and `/infill`: completion and fill-in-the-middle in llama.cpp's native
//! form.

use axum::extract::State;
use axum::response::Response;
use lar_agents::{about_model, about_prompt, prompt_texts};
use lar_base::{KeyId, Problem, TaskId};
use lar_compat::llama_cpp::{
    BiasTarget, LlamaCppCompletion, LlamaCppInfill, LlamaCppInput, LlamaCppStyle, TokenBias, has_openais_form,
};
use lar_compat::{Codec, ToolSchemas, plain_name};
use lar_gateway::Gateway;
use lar_inference::TokenizerQuery;

use crate::answers::{self, AnswerState};
use crate::body_limits::ReceivedBody;
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
    respond::<LlamaCppCompletion>(&state, &compat_caller, body).await
}

pub(crate) async fn infill(
    State(state): State<AnswerState>,
    compat_caller: CompatCaller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    respond::<LlamaCppInfill>(&state, &compat_caller, body).await
}

/// Handles `/completions`, whose body has OpenAI's or llama.cpp's form ([`has_openais_form`]).
pub(crate) async fn create_in_either_form(
    State(state): State<AnswerState>,
    compat_caller: CompatCaller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    if has_openais_form(&body)? {
        return completions::respond(&state, &compat_caller, body).await;
    }
    respond::<LlamaCppCompletion>(&state, &compat_caller, body).await
}

/// Responds to a body of a path with this codec.
async fn respond<C: Codec<Input = LlamaCppInput, Style = LlamaCppStyle>>(
    state: &AnswerState,
    compat_caller: &CompatCaller,
    body: ReceivedBody,
) -> Result<Response, Failure> {
    let mut input = body.read(|body| C::decode(body, TaskId::new()))?;
    let (key, model) = (compat_caller.key(), plain_name(&input.request.model).to_owned());
    let biases = std::mem::take(&mut input.biases);
    let biases = tokenize_biases(&state.gateway, key, &model, biases).await.map_err(about_model)?;
    input.set_logit_bias(biases)?;
    let LlamaCppInput { request, prompts, mut style, stream, limits, n_field, .. } = input;
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
    // The style keeps the prompts in memory until the response ends.
    let share = compat_caller.body.clone();
    Ok(answers.respond::<C>(stream, style, &schemas, Some(share)).await?)
}

/// Returns the biases of tokens by their ids. All tokens of a text get the bias of the text.
async fn tokenize_biases(
    gateway: &Gateway,
    key: KeyId,
    model: &str,
    biases: Vec<TokenBias>,
) -> Result<Vec<(String, f64)>, Problem> {
    let mut by_token = Vec::with_capacity(biases.len());
    for TokenBias { target, bias } in biases {
        match target {
            BiasTarget::Token(id) => by_token.push((id, bias)),
            BiasTarget::Text(text) => {
                let query = TokenizerQuery::Tokenize { text, add_special: false, parse_special: true };
                let tokens = gateway.text_for(key, model, query).await?.tokens;
                by_token.extend(tokens.into_iter().map(|token| (token.to_string(), bias)));
            }
        }
    }
    Ok(by_token)
}
