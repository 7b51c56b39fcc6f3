//! `POST /api/embed`, and the older `POST /api/embeddings`.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use lar_api::ollama::{EMBED_FIELDS, EMBEDDINGS_FIELDS, EmbedRequest, EmbedResponse, OllamaEmbedding};
use lar_api::openai::OneOrMany;
use lar_base::{Caller, Instant, Problem};

use super::strip_tag;
use crate::auth::Inference;
use crate::errors::Failure;
use crate::fields::{read, with_ignored};
use crate::generate::about_model;
use crate::openai::embeddings::{TextField, Texts, check_dimensions, compute_embeddings};
use crate::{App, State, extract};

/// The maximum number of texts in a request.
const INPUTS_MAX: usize = 2048;

/// One of the two paths, which have different fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmbedPath {
    /// `/api/embed`.
    Embed,
    /// `/api/embeddings`, the older path.
    Embeddings,
}

/// A decoded and validated request for embeddings.
#[derive(Debug)]
pub(crate) struct OllamaEmbedInput {
    model: String,
    /// The texts; empty if the request has none or a single empty text.
    texts: Texts,
    /// Whether a text that is too long is truncated.
    truncate: bool,
    dimensions: Option<usize>,
    /// The fields that have no effect.
    ignored: Vec<String>,
}

pub(crate) async fn embed(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let received_at = Instant::now();
    let mut input = decode(&extract::body(request, &app).await?, EmbedPath::Embed)?;
    let (model, ignored) = (input.model.clone(), std::mem::take(&mut input.ignored));
    let (embeddings, prompt_eval_count) = vectors(&app, caller, input).await?;
    let took = u64::try_from(received_at.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let total_duration = if embeddings.is_empty() { 0 } else { took };
    let embedded = EmbedResponse { model, embeddings, total_duration, load_duration: 0, prompt_eval_count };
    Ok(with_ignored(axum::Json(embedded).into_response(), &ignored))
}

pub(crate) async fn embeddings(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let mut input = decode(&extract::body(request, &app).await?, EmbedPath::Embeddings)?;
    let ignored = std::mem::take(&mut input.ignored);
    let (embeddings, _) = vectors(&app, caller, input).await?;
    let embedding = embeddings.into_iter().next().unwrap_or_default();
    Ok(with_ignored(axum::Json(OllamaEmbedding { embedding }).into_response(), &ignored))
}

/// Decodes a request body.
pub(crate) fn decode(body: &[u8], path: EmbedPath) -> Result<OllamaEmbedInput, Problem> {
    let (table, name) = match path {
        EmbedPath::Embed => (EMBED_FIELDS, "input"),
        EmbedPath::Embeddings => (EMBEDDINGS_FIELDS, "prompt"),
    };
    let (body, ignored) = read(body, table)?;
    let request: EmbedRequest = extract::from_value(&body)?;
    // Each path has its own name for the field and ignores the other name.
    let is_list = path == EmbedPath::Embed && matches!(request.input, Some(OneOrMany::Many(_)));
    let all: Vec<String> = match path {
        EmbedPath::Embed => match request.input {
            // As at Ollama, a single empty text is no text.
            Some(OneOrMany::One(text)) if text.is_empty() => Vec::new(),
            input => input.map(OneOrMany::into_vec).unwrap_or_default(),
        },
        EmbedPath::Embeddings => request.prompt.into_iter().filter(|prompt| !prompt.is_empty()).collect(),
    };
    if all.len() > INPUTS_MAX {
        let reason = format!("must have at most {INPUTS_MAX} strings, got {}", all.len());
        return Err(Problem::invalid(name, reason));
    }
    Ok(OllamaEmbedInput {
        model: strip_tag(request.model),
        texts: Texts { all, field: TextField { name, is_list } },
        truncate: request.truncate != Some(false),
        dimensions: request.dimensions.filter(|dimensions| *dimensions > 0),
        ignored,
    })
}

/// Computes the embeddings of a request. Also returns the number of tokens in its texts.
async fn vectors(
    app: &App,
    caller: Caller,
    input: OllamaEmbedInput,
) -> Result<(Vec<Vec<f32>>, u64), Problem> {
    let OllamaEmbedInput { model, texts, truncate, dimensions, .. } = input;
    if texts.all.is_empty() {
        // Ollama checks the model even without texts.
        let known = app.catalog.resolve_for(&model, Some(lar_catalog::Kind::Embedding));
        known.map_err(|error| about_model(error.into()))?;
        return Ok((Vec::new(), 0));
    }
    let found = compute_embeddings(app, caller, "ollama.embed", &model, texts, truncate).await?;
    check_dimensions(&found.vectors, dimensions)?;
    Ok((found.vectors.vectors.clone(), found.tokens))
}
