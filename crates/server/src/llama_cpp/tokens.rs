//! `POST /tokenize`, `/detokenize`, `/apply-template`: tokenizes and renders prompts.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use lar_agents::about_model;
use lar_base::{Code, KeyId, Problem, TaskId};
use lar_compat::llama_cpp::tokens::{self, DetokenizeInput, TokenizeInput};
use lar_compat::llama_cpp::wire::RenderedPrompt;
use lar_compat::openai::chat_completions::ChatCompletions;
use lar_compat::{Codec as _, DecodedRequest, plain_name};
use lar_gateway::Gateway;
use lar_inference::{Prompt, TokenizerQuery};

use crate::auth::Inference;
use crate::errors::Failure;
use crate::extract::JsonBody;
use crate::response_headers::with_ignored;

pub(crate) async fn tokenize(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let TokenizeInput { model, text, add_special, parse_special, with_pieces, ignored } =
        body.read(tokens::decode_text)?;
    let key = caller.key();
    let query = TokenizerQuery::Tokenize { text, add_special, parse_special };
    let tokens = gateway.text_for(key, &model, query).await.map_err(about_model)?.tokens;
    let pieces = if with_pieces { Some(pieces(&gateway, key, &model, &tokens).await?) } else { None };
    Ok(with_ignored(axum::Json(tokens::tokenized(tokens, pieces)).into_response(), &ignored))
}

pub(crate) async fn detokenize(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let DetokenizeInput { model, tokens, ignored } = body.read(tokens::decode_tokens)?;
    let pieces = pieces(&gateway, caller.key(), &model, &tokens).await?;
    Ok(with_ignored(axum::Json(tokens::detokenized(&pieces)).into_response(), &ignored))
}

pub(crate) async fn apply_template(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let DecodedRequest { request, .. } = body.read(|body| ChatCompletions::decode(body, TaskId::new()))?;
    let Prompt::Chat(chat) = request.prompt else {
        return Err(Problem::invalid("messages", "must be a chat").into());
    };
    let query = TokenizerQuery::Render(chat);
    let model = plain_name(&request.model);
    let answer = gateway.text_for(caller.key(), model, query).await.map_err(about_model)?;
    let response = axum::Json(RenderedPrompt { prompt: answer.text }).into_response();
    Ok(with_ignored(response, &request.ignored))
}

/// Returns the bytes of each token.
async fn pieces(gateway: &Gateway, key: KeyId, model: &str, tokens: &[u32]) -> Result<Vec<Vec<u8>>, Problem> {
    let pieces = lar_agents::detokenize(gateway, key, model, tokens).await;
    pieces.map_err(|problem| match problem.code {
        Code::InvalidParams => {
            Problem::invalid("tokens", "has a token that is not in the model's vocabulary")
        }
        _ => about_model(problem),
    })
}
