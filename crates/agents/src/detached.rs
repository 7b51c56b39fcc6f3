//! Work of a request that runs to its end even if the request is cancelled.
//!
//! A change to the database and the work that must follow it, such as the dispatch of the recorded task, run
//! here. A client that disconnects in between cannot leave a record of a task that never runs.

use lar_base::{Code, Problem, TaskGroup};
use tokio::sync::oneshot;

/// Runs `work` in the group, to its end even if the returned future is dropped.
///
/// The work starts immediately, and the returned future waits for its result. If the work panics, the result
/// is the error [`Code::Internal`]. `name` names the work there and in the log, as a noun phrase.
pub(crate) fn run_detached<T: Send + 'static>(
    tasks: &TaskGroup,
    name: &'static str,
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> impl Future<Output = Result<T, Problem>> + Send {
    let (sender, result) = oneshot::channel();
    tasks.spawn(async move {
        // Nobody receives the result of a request that is gone.
        let _ = sender.send(work.await);
    });
    async move {
        result.await.unwrap_or_else(|_| {
            tracing::error!(work = name, "work of a request panicked");
            Err(Problem::new(Code::Internal, format!("{name} failed; the log has the details")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_to_its_end_after_its_request_was_dropped() {
        let tasks = TaskGroup::new();
        let (open, gate) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let result = run_detached(&tasks, "a change", async move {
            gate.await.unwrap();
            end.send(()).unwrap();
            Ok(())
        });
        drop(result);
        open.send(()).unwrap();
        ended.await.unwrap();
    }

    #[tokio::test]
    async fn a_result_is_returned_and_a_panic_is_an_error() {
        let tasks = TaskGroup::new();
        assert_eq!(run_detached(&tasks, "a change", async { Ok(7) }).await, Ok(7));
        let failed = run_detached::<()>(&tasks, "a change", async { panic!("on purpose") }).await;
        let expected = Problem::new(Code::Internal, "a change failed; the log has the details");
        assert_eq!(failed, Err(expected));
    }
}
