//! `POST /v1/rerank`, as in Jina's and Cohere's APIs. Their clients expect it beside OpenAI's paths.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use lar_api::rerank::{
    Document, RERANK_FIELDS, RankedDocument, Ranking, RerankRequest, RerankResult, RerankUsage, ScoredText,
};
use lar_base::{Code, Problem, TaskId};
use lar_catalog::DEFAULT_RERANK;
use lar_gateway::{OnDisconnect, Task, Work};
use lar_inference::{Priority, TaskEvent};

use super::with_truncated;
use crate::auth::Inference;
use crate::errors::Failure;
use crate::fields::{read, with_ignored};
use crate::generate::about_model;
use crate::lenient::model_or;
use crate::{State, extract};

/// The maximum number of documents in a request, as at Cohere.
const DOCUMENTS_MAX: usize = 1000;

/// A decoded and validated request for a ranking.
#[derive(Debug)]
pub(crate) struct RerankInput {
    model: String,
    query: String,
    texts: Vec<String>,
    top: usize,
    return_documents: bool,
    /// Whether the response is only an array of scores, as in Text Embeddings Inference.
    plain: bool,
    /// The fields that have no effect.
    ignored: Vec<String>,
}

/// Decodes a request body.
pub(crate) fn decode(body: &[u8]) -> Result<RerankInput, Problem> {
    let (body, ignored) = read(body, RERANK_FIELDS)?;
    let request: RerankRequest = extract::from_value(&body)?;
    if request.query.trim().is_empty() {
        return Err(Problem::invalid("query", "must not be empty"));
    }
    let plain = request.texts.is_some();
    let documents = || request.documents.into_iter().map(Document::into_text).collect();
    let texts: Vec<String> = request.texts.unwrap_or_else(documents);
    if texts.is_empty() || texts.len() > DOCUMENTS_MAX {
        let field = if plain { "texts" } else { "documents" };
        let reason = format!("must have 1 to {DOCUMENTS_MAX} documents, got {}", texts.len());
        return Err(Problem::invalid(field, reason));
    }
    if request.top_n == Some(0) {
        return Err(Problem::invalid("top_n", "must be at least 1"));
    }
    Ok(RerankInput {
        model: model_or(request.model, DEFAULT_RERANK),
        query: request.query,
        top: request.top_n.unwrap_or(texts.len()),
        texts,
        return_documents: request.return_documents == Some(true) || request.return_text == Some(true),
        plain,
        ignored,
    })
}

pub(crate) async fn create(
    app: State,
    Inference(caller): Inference,
    request: Request,
) -> Result<Response, Failure> {
    let input = decode(&extract::body(request, &app).await?)?;
    let RerankInput { model, query, texts, top, return_documents, plain, ignored } = input;
    let kept = if return_documents { texts.clone() } else { Vec::new() };
    let task = Task {
        id: TaskId::new(),
        caller,
        api: "jina.rerank",
        model,
        priority: Priority::Interactive,
        deadline: None,
        conversation: None,
        memory: None,
        on_disconnect: OnDisconnect::Cancel,
        work: Work::Rank { query, texts },
    };
    let id = format!("rerank-{}", task.id);
    let admitted = app.gateway.admit(task).await.map_err(about_model)?;
    let handle = app.gateway.dispatch(admitted);
    let (answer, tokens) = handle.collect().await?;
    let TaskEvent::Scores(found) = answer else {
        return Err(Problem::new(Code::Internal, "the engine ended without scores").into());
    };
    let mut results: Vec<RerankResult> = found
        .scores
        .iter()
        .enumerate()
        .map(|(index, score)| RerankResult { index, relevance_score: *score, document: None })
        .collect();
    results.sort_by(|a, b| b.relevance_score.total_cmp(&a.relevance_score));
    results.truncate(top);
    for result in &mut results {
        result.document = kept.get(result.index).map(|text| RankedDocument { text: text.clone() });
    }
    if plain {
        let scored = results.into_iter().map(|ranked| ScoredText {
            index: ranked.index,
            score: ranked.relevance_score,
            text: ranked.document.map(|document| document.text),
        });
        let response = axum::Json(scored.collect::<Vec<_>>()).into_response();
        return Ok(with_ignored(with_truncated(response, &found.truncated), &ignored));
    }
    let ranking = Ranking {
        id,
        object: "list",
        model: handle.model().to_owned(),
        results,
        usage: RerankUsage { prompt_tokens: tokens, total_tokens: tokens },
    };
    let response = with_truncated(axum::Json(ranking).into_response(), &found.truncated);
    Ok(with_ignored(response, &ignored))
}
