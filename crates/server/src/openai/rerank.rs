//! `POST /v1/rerank`, as in Jina's and Cohere's APIs. Their clients expect it beside OpenAI's paths.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use lar_agents::about_model;
use lar_base::{Code, Problem, TaskId};
use lar_compat::openai::rerank::{self, RerankInput};
use lar_gateway::{Gateway, OnDisconnect, Task, Work};
use lar_inference::{Priority, TaskEvent};

use crate::auth::Inference;
use crate::errors::Failure;
use crate::extract::JsonBody;
use crate::response_headers::{with_ignored, with_truncated_texts};

/// The name of this API in usage records.
const API: &str = "jina.rerank";

pub(crate) async fn create(
    State(gateway): State<Gateway>,
    Inference(caller): Inference,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let RerankInput { model, query, texts, style, ignored } = body.read(rerank::decode)?;
    let id = TaskId::new();
    let task = Task {
        id,
        caller,
        api: API,
        model,
        priority: Priority::Interactive,
        deadline: None,
        conversation: None,
        memory: None,
        on_disconnect: OnDisconnect::Cancel,
        work: Work::Rank { query, texts },
    };
    let admitted = gateway.admit(task).await.map_err(about_model)?;
    let handle = gateway.dispatch(admitted);
    let (answer, tokens) = handle.collect().await?;
    let TaskEvent::Scores(found) = answer else {
        return Err(Problem::new(Code::Internal, "the engine ended without scores").into());
    };
    let ranking = rerank::whole(&found, id, handle.model().to_owned(), tokens, &style);
    let response = axum::Json(ranking).into_response();
    Ok(with_ignored(with_truncated_texts(response, &found.truncated), &ignored))
}
