//! `POST /embedding`: vectors in llama.cpp's own form.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use lar_api::llama_cpp::{EMBEDDING_FIELDS, Embedding, EmbeddingRequest};
use lar_base::Problem;
use lar_catalog::DEFAULT_EMBEDDING;

use crate::auth::Inference;
use crate::errors::Failure;
use crate::fields::{read, with_ignored};
use crate::lenient::model_or;
use crate::openai::embeddings::{checked, computed};
use crate::{State, extract};

pub(crate) async fn create(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let (body, ignored) = read(&extract::body(request, &app).await?, EMBEDDING_FIELDS)?;
    let request: EmbeddingRequest = extract::from_value(&body)?;
    let texts = request.content.or(request.input).ok_or_else(|| Problem::invalid("content", "is missing"))?;
    let texts = checked("content", texts.into_vec())?;
    let model = model_or(request.model, DEFAULT_EMBEDDING);
    let found = computed(&app, caller, "llama.embedding", &model, texts, false).await?.vectors;
    let embedding = |(index, vector): (usize, &Vec<f32>)| Embedding { index, embedding: [vector.clone()] };
    let answer: Vec<Embedding> = found.vectors.iter().enumerate().map(embedding).collect();
    Ok(with_ignored(axum::Json(answer).into_response(), &ignored))
}
