//! `POST /tokenize`, `/detokenize`, `/apply-template`, `/v1/chat/completions/input_tokens`: tokenizes and
//! renders prompts.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use lar_api::llama_cpp::{
    DETOKENIZE_FIELDS, DetokenizeRequest, DetokenizeResponse, Piece, RenderedPrompt, TOKENIZE_FIELDS,
    TokenPiece, TokenizeRequest, Tokens,
};
use lar_api::openai::responses::InputTokens;
use lar_base::{Code, KeyId, Problem, TaskId};
use lar_catalog::DEFAULT_CHAT;
use lar_inference::{Prompt, TokenizerQuery};
use serde_json::Value;

use crate::auth::Inference;
use crate::compat_caller::plain_name;
use crate::errors::Failure;
use crate::fields::{read, with_ignored};
use crate::generate::about_model;
use crate::lenient::model_or;
use crate::openai::{chat_completions, prompts};
use crate::{App, State, extract};

/// The maximum size of a text in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// The maximum number of tokens in a request.
const TOKENS_MAX: usize = 1 << 18;

/// A decoded and validated request to tokenize a text.
#[derive(Debug)]
pub(crate) struct TokenizeInput {
    model: String,
    text: String,
    add_special: bool,
    parse_special: bool,
    with_pieces: bool,
    /// The fields that have no effect.
    ignored: Vec<String>,
}

/// A decoded and validated request to convert tokens to text.
#[derive(Debug)]
pub(crate) struct DetokenizeInput {
    model: String,
    tokens: Vec<u32>,
    /// The fields that have no effect.
    ignored: Vec<String>,
}

/// Decodes the body of a request to tokenize a text.
pub(crate) fn decode_text(body: &[u8]) -> Result<TokenizeInput, Problem> {
    let (body, ignored) = read(body, TOKENIZE_FIELDS)?;
    let request: TokenizeRequest = extract::from_value(&body)?;
    let text = match request.content {
        Value::Null => String::new(),
        Value::String(text) => text,
        _ => return Err(Problem::invalid("content", "must be a string")),
    };
    if text.len() > TEXT_BYTES_MAX {
        let reason = format!("has {} bytes; the limit is {TEXT_BYTES_MAX}", text.len());
        return Err(Problem::invalid("content", reason));
    }
    Ok(TokenizeInput {
        model: plain_name(&model_or(request.model, DEFAULT_CHAT)).to_owned(),
        text,
        add_special: request.add_special == Some(true),
        parse_special: request.parse_special != Some(false),
        with_pieces: request.with_pieces == Some(true),
        ignored,
    })
}

/// Decodes the body of a request to convert tokens to text.
pub(crate) fn decode_tokens(body: &[u8]) -> Result<DetokenizeInput, Problem> {
    let (body, ignored) = read(body, DETOKENIZE_FIELDS)?;
    let request: DetokenizeRequest = extract::from_value(&body)?;
    if request.tokens.len() > TOKENS_MAX {
        let reason = format!("has {} tokens; the limit is {TOKENS_MAX}", request.tokens.len());
        return Err(Problem::invalid("tokens", reason));
    }
    let model = plain_name(&model_or(request.model, DEFAULT_CHAT)).to_owned();
    Ok(DetokenizeInput { model, tokens: request.tokens, ignored })
}

pub(crate) async fn tokenize(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let TokenizeInput { model, text, add_special, parse_special, with_pieces, ignored } =
        decode_text(&extract::body(request, &app).await?)?;
    let query = TokenizerQuery::Tokenize { text, add_special, parse_special };
    let tokens = app.gateway.text_for(caller.key(), &model, query).await.map_err(about_model)?.tokens;
    let answer = if with_pieces {
        let pieces = pieces(&app, caller.key(), &model, &tokens).await?;
        let piece = |bytes: Vec<u8>| match String::from_utf8(bytes) {
            Ok(text) => Piece::Text(text),
            Err(error) => Piece::Bytes(error.into_bytes()),
        };
        let pairs = tokens.into_iter().zip(pieces);
        Tokens::Pieces { tokens: pairs.map(|(id, bytes)| TokenPiece { id, piece: piece(bytes) }).collect() }
    } else {
        Tokens::Numbers { tokens }
    };
    Ok(with_ignored(axum::Json(answer).into_response(), &ignored))
}

pub(crate) async fn detokenize(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let DetokenizeInput { model, tokens, ignored } = decode_tokens(&extract::body(request, &app).await?)?;
    let bytes = pieces(&app, caller.key(), &model, &tokens).await?.concat();
    let content = String::from_utf8_lossy(&bytes).into_owned();
    Ok(with_ignored(axum::Json(DetokenizeResponse { content }).into_response(), &ignored))
}

pub(crate) async fn apply_template(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let (generation, _) = chat_completions::decode(&extract::body(request, &app).await?, TaskId::new())?;
    let Prompt::Chat(chat) = generation.prompt else {
        return Err(Problem::invalid("messages", "must be a chat").into());
    };
    let query = TokenizerQuery::Render(chat);
    let model = plain_name(&generation.model);
    let answer = app.gateway.text_for(caller.key(), model, query).await.map_err(about_model)?;
    let response = axum::Json(RenderedPrompt { prompt: answer.text }).into_response();
    Ok(with_ignored(response, &generation.ignored))
}

pub(crate) async fn input_tokens(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let (generation, _) = chat_completions::decode(&extract::body(request, &app).await?, TaskId::new())?;
    let model = plain_name(&generation.model);
    let counted = app.gateway.count_tokens_for(caller.key(), model, &generation.prompt).await;
    let input_tokens = counted.map_err(about_model)?.tokens;
    let response = axum::Json(InputTokens { object: "response.input_tokens", input_tokens }).into_response();
    Ok(with_ignored(response, &generation.ignored))
}

/// Returns the bytes of each token.
async fn pieces(app: &App, key: KeyId, model: &str, tokens: &[u32]) -> Result<Vec<Vec<u8>>, Problem> {
    prompts::detokenize(app, key, model, tokens).await.map_err(|problem| match problem.code {
        Code::InvalidParams => {
            Problem::invalid("tokens", "has a token that is not in the model's vocabulary")
        }
        _ => about_model(problem),
    })
}
