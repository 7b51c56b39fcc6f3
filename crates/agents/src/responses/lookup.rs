//! Finds stored responses, and tells which of them run, which have ended, and which have lost their end.

use lar_base::{Code, KeyId, Problem, TaskId};
use lar_store::{Response as Stored, ResponseState, Store};

use super::followers::{Followers, StoredSignal, end_not_stored};

/// A stored response and its progress.
pub(super) struct FoundResponse {
    /// The response as it is stored.
    pub(super) row: Stored,
    pub(super) progress: Progress,
}

/// The progress of a stored response.
pub(super) enum Progress {
    /// Its task runs, or its end is being stored; the signal reports when it is stored.
    Running(StoredSignal),
    /// It has ended, and its stored body is final.
    Ended,
    /// It has no end, for this reason; its stored body is the initial one.
    Lost(Problem),
}

/// Returns a stored response of this key.
///
/// # Errors
/// [`Code::NotFound`] if the key has no such response.
pub(super) async fn find(
    store: &Store,
    followers: &Followers,
    key: KeyId,
    task: TaskId,
) -> Result<FoundResponse, Problem> {
    let row = store.response_get(key, task).await?;
    with_progress(store, followers, row).await
}

/// Returns the progress of a response that was read from the store.
pub(super) async fn with_progress(
    store: &Store,
    followers: &Followers,
    mut row: Stored,
) -> Result<FoundResponse, Problem> {
    let signal = followers.signal(row.task);
    if row.state == ResponseState::Running && signal.is_none() {
        // The follower may have stored the end after the row was read.
        row = store.response_get(row.key, row.task).await?;
    }
    let progress = match (row.state, signal) {
        (ResponseState::Running, Some(signal)) => Progress::Running(signal),
        (ResponseState::Running, None) => Progress::Lost(end_not_stored()),
        (ResponseState::Over, _) => Progress::Ended,
        (ResponseState::Abandoned, _) => {
            let detail = "Lar stopped while the task was running; send the request again";
            Progress::Lost(Problem::new(Code::EngineFailed, detail))
        }
    };
    Ok(FoundResponse { row, progress })
}

#[cfg(test)]
mod tests {
    use lar_base::Timestamp;
    use lar_base::json::to_json;
    use lar_compat::openai::responses::UndecodedResponseRequest;
    use lar_compat::openai::responses::wire::{Response, Status};

    use super::super::stored::response_of;
    use super::*;

    /// A background response that waits in the queue.
    fn queued(task: TaskId) -> Response {
        let request = UndecodedResponseRequest::read(br#"{ "input": "Say hello.", "background": true }"#);
        let input = request.unwrap().decode(Vec::new(), task, Timestamp::from_millis(0)).unwrap();
        Response { status: Status::Queued, ..input.response }
    }

    #[tokio::test]
    async fn a_running_response_without_a_follower_has_failed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let (followers, key, task) = (Followers::default(), KeyId::new(), TaskId::new());
        let response = queued(task);
        let row = Stored {
            task,
            key,
            previous: None,
            state: ResponseState::Running,
            input: "[]".into(),
            body: to_json(&response),
            created_at: Timestamp::from_millis(0),
        };
        let follower = followers.register(task);
        store.response_create(row, None).await.unwrap();
        let found = find(&store, &followers, key, task).await.unwrap();
        assert!(matches!(found.progress, Progress::Running(_)));
        assert_eq!(response_of(&found).unwrap(), response);

        drop(follower);
        let lost = find(&store, &followers, key, task).await.unwrap();
        assert!(matches!(&lost.progress, Progress::Lost(problem) if *problem == end_not_stored()));
        let shown = response_of(&lost).unwrap();
        assert_eq!((shown.status, shown.error.unwrap().code.as_str()), (Status::Failed, "server_error"));

        let over = Response { status: Status::Completed, ..response };
        store.response_end(task, to_json(&over)).await.unwrap();
        // The row was read before the follower stored the end.
        let found = with_progress(&store, &followers, lost.row).await.unwrap();
        assert!(matches!(found.progress, Progress::Ended));
        assert_eq!(response_of(&found).unwrap(), over);
        let refused = find(&store, &followers, KeyId::new(), task).await.err().unwrap();
        assert_eq!(refused.code, Code::NotFound, "another key has no such response");
    }
}
