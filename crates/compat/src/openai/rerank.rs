//! `POST /v1/rerank`, as in Jina's and Cohere's APIs. Their clients expect it beside OpenAI's paths.

pub mod wire;

use lar_base::default_models::DEFAULT_RERANK;
use lar_base::{Problem, TaskId};

use self::wire::{
    Document, RERANK_FIELDS, RankedDocument, Ranking, RerankRequest, RerankResponse, RerankResult,
    RerankUsage, ScoredText,
};
use crate::fields::read;
use crate::lenient::{self, OutOfRange};
use crate::model_name::model_or;

/// The maximum number of documents in a request, as at Cohere.
const DOCUMENTS_MAX: usize = 1000;

/// A decoded and validated request for a ranking.
#[derive(Debug)]
pub struct RerankInput {
    /// The model's name as it was sent, or the alias of the default reranker.
    pub model: String,
    /// The query.
    pub query: String,
    /// The texts of the documents, 1 to 1000.
    pub texts: Vec<String>,
    /// The contents of the response.
    pub style: RerankStyle,
    /// The fields that have no effect.
    pub ignored: Vec<String>,
}

/// The contents of a ranking, as its request asks for them.
#[derive(Debug)]
pub struct RerankStyle {
    /// The maximum number of results.
    results_max: usize,
    /// The texts of the documents; empty unless the response has them.
    documents: Vec<String>,
    /// Whether the response is only an array of scores, as in Text Embeddings Inference.
    is_plain: bool,
}

/// Decodes a request body.
///
/// # Errors
/// [`Code::InvalidParams`](lar_base::Code::InvalidParams) with the field and the reason.
pub fn decode(body: &[u8]) -> Result<RerankInput, Problem> {
    let (body, ignored) = read(body, RERANK_FIELDS)?;
    let wire: RerankRequest = lenient::from_value(&body, OutOfRange::Refused)?;
    if wire.query.trim().is_empty() {
        return Err(Problem::invalid("query", "must not be empty"));
    }
    let is_plain = wire.texts.is_some();
    let documents = || wire.documents.into_iter().map(Document::into_text).collect();
    let texts: Vec<String> = wire.texts.unwrap_or_else(documents);
    if texts.is_empty() || texts.len() > DOCUMENTS_MAX {
        let field = if is_plain { "texts" } else { "documents" };
        let reason = format!("must have 1 to {DOCUMENTS_MAX} documents, got {}", texts.len());
        return Err(Problem::invalid(field, reason));
    }
    if wire.top_n == Some(0) {
        return Err(Problem::invalid("top_n", "must be at least 1"));
    }
    let return_documents = wire.return_documents == Some(true) || wire.return_text == Some(true);
    let style = RerankStyle {
        results_max: wire.top_n.unwrap_or(texts.len()),
        documents: if return_documents { texts.clone() } else { Vec::new() },
        is_plain,
    };
    Ok(RerankInput { model: model_or(wire.model, DEFAULT_RERANK), query: wire.query, texts, style, ignored })
}

/// Returns the response with the documents that `task` ranked, best first.
///
/// `model` computed the scores from this number of tokens.
#[must_use]
pub fn whole(
    found: &lar_inference::Ranking,
    task: TaskId,
    model: String,
    tokens: u64,
    style: &RerankStyle,
) -> RerankResponse {
    let result = |(index, score): (usize, &f32)| RerankResult {
        index,
        relevance_score: *score,
        document: style.documents.get(index).map(|text| RankedDocument { text: text.clone() }),
    };
    let mut ranked: Vec<(usize, &f32)> = found.scores.iter().enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let results: Vec<RerankResult> = ranked.into_iter().take(style.results_max).map(result).collect();
    if style.is_plain {
        let scored = results.into_iter().map(|ranked| ScoredText {
            index: ranked.index,
            score: ranked.relevance_score,
            text: ranked.document.map(|document| document.text),
        });
        return RerankResponse::Scores(scored.collect());
    }
    RerankResponse::Ranking(Ranking {
        id: format!("rerank-{task}"),
        object: "list",
        model,
        results,
        usage: RerankUsage { prompt_tokens: tokens, total_tokens: tokens },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn documents_come_best_first_in_the_format_of_their_field() {
        let task: TaskId = "task_0193e4b6a1d27c3f8a5b9d0e1f2a3b4c".parse().unwrap();
        let found = lar_inference::Ranking { scores: vec![0.25, 0.5, 0.25], tokens: 7, truncated: vec![] };
        let ranked = |mut body: Value| {
            body["query"] = json!("q");
            let style = decode(body.to_string().as_bytes()).unwrap().style;
            serde_json::to_value(whole(&found, task, "m".into(), 7, &style)).unwrap()
        };
        let texts = json!(["a", { "text": "b" }, "c"]);
        assert_eq!(
            ranked(json!({ "documents": texts, "return_documents": true, "top_n": 2 })),
            json!({
                "id": format!("rerank-{task}"), "object": "list", "model": "m",
                "results": [
                    { "index": 1, "relevance_score": 0.5, "document": { "text": "b" } },
                    { "index": 0, "relevance_score": 0.25, "document": { "text": "a" } },
                ],
                "usage": { "prompt_tokens": 7, "total_tokens": 7 },
            })
        );
        assert_eq!(
            ranked(json!({ "texts": ["a", "b", "c"] })),
            json!([
                { "index": 1, "score": 0.5 }, { "index": 0, "score": 0.25 }, { "index": 2, "score": 0.25 },
            ])
        );
    }
}
