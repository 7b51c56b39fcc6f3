//! The order of a reranker: the best of what was found, read together with the query, where a search asks for it.

use lar_base::{Caller, Code, Problem, Scope, TaskId};
use lar_engines::scheduler::Priority;
use lar_gateway::{OnDisconnect, Task, TaskEvent, Work};

use crate::Memories;

/// What memories are reranked with.
const MODEL: &str = "default-rerank";
/// Memories that a reranker reads at most: its cost grows with each.
pub(crate) const READ_MAX: usize = 32;

impl Memories {
    /// How well each text answers a query, 0 to 1, in order. It is Lar's own work for the caller, so it needs no scope of
    /// the key's.
    ///
    /// # Errors
    /// [`Code::ComponentUnavailable`] where no reranker is installed; what the task ended with.
    pub(crate) async fn relevance(
        &self,
        caller: &Caller,
        query: &str,
        texts: Vec<String>,
    ) -> Result<Vec<f32>, Problem> {
        let count = texts.len();
        let task = Task {
            id: TaskId::new(),
            caller: Caller::internal(caller.user(), caller.key(), Scope::Inference)
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
            _ => Err(Problem::new(Code::EngineFailed, "the reranker left texts out")),
        }
    }
}

fn map_missing_reranker(problem: Problem) -> Problem {
    match problem.code {
        Code::NotFound => Problem::about(
            Code::ComponentUnavailable,
            "rerank",
            format!("no reranker is installed: `lar models pull` one, or `lar alias set {MODEL} NAME`"),
        ),
        _ => problem,
    }
}
