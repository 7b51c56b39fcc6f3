//! `POST /v1/embeddings`, and the computation that the embedding paths of all APIs share.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use lar_agents::about_model;
use lar_base::{Caller, Code, Problem, TaskId};
use lar_compat::openai::embeddings::{self, EmbeddingsInput, Texts, check_dimensions};
use lar_gateway::{Gateway, OnDisconnect, Task, Work};
use lar_inference::{Embeddings, Priority, TaskEvent};

use crate::auth::Inference;
use crate::errors::Failure;
use crate::extract::JsonBody;
use crate::response_headers::{with_ignored, with_truncated_texts};

/// The name of this API in usage records.
const API: &str = "openai.embedding";

/// The embeddings of a request's texts.
pub(crate) struct EmbeddingResult {
    /// One vector per text, in order.
    pub(crate) vectors: Arc<Embeddings>,
    /// The number of tokens in all texts.
    pub(crate) tokens: u64,
    /// The model that computed the vectors, without an alias.
    model: String,
}

/// Computes the embeddings of texts.
///
/// # Errors
/// [`Code::ContextTooLong`] if a text is longer than the model's context, unless `truncate` is set.
pub(crate) async fn compute_embeddings(
    gateway: &Gateway,
    caller: Caller,
    api: &'static str,
    model: &str,
    texts: Texts,
    truncate: bool,
) -> Result<EmbeddingResult, Problem> {
    let Texts { all: texts, field } = texts;
    let task = Task {
        id: TaskId::new(),
        caller,
        api,
        model: model.to_owned(),
        priority: Priority::Interactive,
        deadline: None,
        conversation: None,
        memory: None,
        on_disconnect: OnDisconnect::Cancel,
        work: Work::Embed { texts },
    };
    let admitted = gateway.admit(task).await.map_err(about_model)?;
    let handle = gateway.dispatch(admitted);
    let (answer, tokens) = handle.collect().await?;
    let TaskEvent::Vectors(vectors) = answer else {
        return Err(Problem::new(Code::Internal, "the engine ended without vectors"));
    };
    if let Some(first) = vectors.truncated.first().filter(|_| !truncate) {
        let context = gateway.context_tokens(model).await.ok().flatten();
        let tokens = context.map_or_else(String::new, |tokens| format!(" ({tokens} tokens)"));
        let reason = format!(
            "is longer than the maximum context length of `{}`{tokens}; split it, or set `truncate` to true",
            handle.model()
        );
        return Err(Problem::about(Code::ContextTooLong, field.name_of(*first), reason));
    }
    Ok(EmbeddingResult { vectors, tokens, model: handle.model().to_owned() })
}

pub(crate) async fn create(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let input = body.read(embeddings::decode)?;
    respond(&gateway, caller, input).await
}

/// Responds to a decoded request.
pub(crate) async fn respond(
    gateway: &Gateway,
    caller: Caller,
    input: EmbeddingsInput,
) -> Result<Response, Failure> {
    let EmbeddingsInput { model, texts, base64, dimensions, truncate, ignored } = input;
    let EmbeddingResult { vectors: found, tokens, model } =
        compute_embeddings(gateway, caller, API, &model, texts, truncate).await?;
    check_dimensions(&found, dimensions)?;
    let response = axum::Json(embeddings::whole(&found, model, tokens, base64)).into_response();
    Ok(with_ignored(with_truncated_texts(response, &found.truncated), &ignored))
}
