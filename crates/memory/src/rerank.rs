//! Reranking of the best search results by a reranker model, if a search asks for it.

use lar_base::{Caller, Code, Problem, TaskId};
use lar_gateway::{OnDisconnect, Task, Work};
use lar_inference::{Priority, TaskEvent};

use crate::Memories;

/// The alias of the reranker for memories.
const MODEL: &str = "default-rerank";
/// The most memories that are reranked, as the cost grows with each.
pub(crate) const READ_MAX: usize = 32;

impl Memories {
    /// Returns the relevance of each text to a query, 0 to 1, in the order of the texts.
    ///
    /// Reranking is Lar's own work for the caller, so the key needs no scope for it.
    ///
    /// # Errors
    /// [`Code::ComponentUnavailable`] if no reranker is installed; the error of the reranking task.
    pub(crate) async fn relevance(
        &self,
        caller: &Caller,
        query: &str,
        texts: Vec<String>,
    ) -> Result<Vec<f32>, Problem> {
        let count = texts.len();
        let task = Task {
            id: TaskId::new(),
            caller: Caller::internal(caller.user(), caller.key())
                .with_request_id(caller.request_id().cloned()),
            api: "memory",
            model: MODEL.into(),
            priority: Priority::Interactive,
            deadline: None,
            conversation: None,
            memory: None,
            on_disconnect: OnDisconnect::Cancel,
            work: Work::Rank { query: query.to_owned(), texts },
        };
        let admitted = self.gateway.admit(task).await.map_err(map_missing_reranker)?;
        match self.gateway.dispatch(admitted).collect().await? {
            (TaskEvent::Scores(found), _) if found.scores.len() == count => Ok(found.scores.clone()),
            _ => Err(Problem::new(Code::EngineFailed, "the reranker left out a text")),
        }
    }
}

fn map_missing_reranker(problem: Problem) -> Problem {
    match problem.code {
        Code::NotFound => Problem::about(
            Code::ComponentUnavailable,
            "rerank",
            format!("no reranker is installed: use `lar models pull`, or `lar alias set {MODEL} NAME`"),
        ),
        _ => problem,
    }
}
