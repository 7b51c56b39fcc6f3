//! `POST /api/embed`, and the older `POST /api/embeddings`.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use lar_agents::{about_model, embed as embed_texts};
use lar_base::{Caller, Instant, Problem};
use lar_compat::ollama::embed::{EmbedPath, OllamaEmbedInput, decode, whole, whole_single};
use lar_compat::openai::embeddings::check_dimensions;

use crate::answers::AnswerState;
use crate::auth::Inference;
use crate::errors::Failure;
use crate::extract::JsonBody;
use crate::response_headers::with_ignored;

/// The name of this API in usage records.
const API: &str = "ollama.embed";

pub(crate) async fn embed(
    State(state): State<AnswerState>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let received_at = Instant::now();
    let mut input = body.read(|body| decode(body, EmbedPath::Embed))?;
    let (model, ignored) = (input.model.clone(), std::mem::take(&mut input.ignored));
    let (embeddings, tokens) = vectors(&state, caller, input).await?;
    let embedded = whole(model, embeddings, tokens, received_at.elapsed());
    Ok(with_ignored(axum::Json(embedded).into_response(), &ignored))
}

pub(crate) async fn embeddings(
    State(state): State<AnswerState>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let mut input = body.read(|body| decode(body, EmbedPath::Embeddings))?;
    let ignored = std::mem::take(&mut input.ignored);
    let (embeddings, _) = vectors(&state, caller, input).await?;
    Ok(with_ignored(axum::Json(whole_single(embeddings)).into_response(), &ignored))
}

/// Computes the embeddings of a request. Also returns the number of tokens in its texts.
async fn vectors(
    state: &AnswerState,
    caller: Caller,
    input: OllamaEmbedInput,
) -> Result<(Vec<Vec<f32>>, u64), Problem> {
    let OllamaEmbedInput { model, texts, truncates, dimensions, .. } = input;
    if texts.all.is_empty() {
        // Ollama checks the model even without texts.
        let known = state.catalog.resolve_for(&model, Some(lar_catalog::Kind::Embedding));
        known.map_err(|error| about_model(error.into()))?;
        return Ok((Vec::new(), 0));
    }
    let found = embed_texts(&state.gateway, caller, API, &model, texts, truncates).await?;
    check_dimensions(&found.vectors, dimensions)?;
    Ok((found.vectors.vectors.clone(), found.tokens))
}
