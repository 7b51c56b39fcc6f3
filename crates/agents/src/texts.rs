//! Tasks on texts that need no generation: their embeddings, and their ranking for a query.

use std::sync::Arc;

use lar_base::{Caller, Code, Problem, TaskId};
use lar_compat::openai::embeddings::Texts;
use lar_gateway::{Gateway, OnDisconnect, Task, Work};
use lar_inference::{Embeddings, Priority, Ranking, TaskEvent};

use crate::request_errors::about_model;

/// The embeddings of a request's texts.
#[derive(Debug)]
pub struct ComputedEmbeddings {
    /// One vector per text, in order.
    pub vectors: Arc<Embeddings>,
    /// The number of tokens in all texts.
    pub tokens: u64,
    /// The model that computed the vectors, without an alias.
    pub model: String,
}

/// The scores of a request's texts.
#[derive(Debug)]
pub struct ComputedRanking {
    /// The id of the task.
    pub task: TaskId,
    /// The score of each text, in order.
    pub scores: Arc<Ranking>,
    /// The number of tokens in the query and all texts.
    pub tokens: u64,
    /// The model that computed the scores, without an alias.
    pub model: String,
}

/// Computes the embeddings of texts. `api` is the name of the API in usage records.
///
/// # Errors
/// [`Code::NotFound`] if the model does not exist; [`Code::ContextTooLong`] if a text is longer than the model's
/// context, unless `truncate` is set; the error of the task if it fails.
pub async fn embed(
    gateway: &Gateway,
    caller: Caller,
    api: &'static str,
    model: &str,
    texts: Texts,
    truncate: bool,
) -> Result<ComputedEmbeddings, Problem> {
    let Texts { all: texts, field } = texts;
    let task = task(caller, api, model.to_owned(), Work::Embed { texts });
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
    Ok(ComputedEmbeddings { vectors, tokens, model: handle.model().to_owned() })
}

/// Computes how well texts fit a query. `api` is the name of the API in usage records.
///
/// # Errors
/// [`Code::NotFound`] if the model does not exist; the error of the task if it fails.
pub async fn rank(
    gateway: &Gateway,
    caller: Caller,
    api: &'static str,
    model: String,
    query: String,
    texts: Vec<String>,
) -> Result<ComputedRanking, Problem> {
    let task = task(caller, api, model, Work::Rank { query, texts });
    let id = task.id;
    let admitted = gateway.admit(task).await.map_err(about_model)?;
    let handle = gateway.dispatch(admitted);
    let (answer, tokens) = handle.collect().await?;
    let TaskEvent::Scores(scores) = answer else {
        return Err(Problem::new(Code::Internal, "the engine ended without scores"));
    };
    Ok(ComputedRanking { task: id, scores, tokens, model: handle.model().to_owned() })
}

fn task(caller: Caller, api: &'static str, model: String, work: Work) -> Task {
    Task {
        id: TaskId::new(),
        caller,
        api,
        model,
        priority: Priority::Interactive,
        deadline: None,
        conversation: None,
        memory: None,
        on_disconnect: OnDisconnect::Cancel,
        work,
    }
}
