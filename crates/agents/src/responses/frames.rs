//! The stream of a response. A response that is to be stored is on disk before its last frames are sent.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lar_base::json::to_json;
use lar_base::{KeyId, Problem, TaskId, Timestamp, error_chain};
use lar_compat::openai::responses::ResponsesEncoder;
use lar_compat::openai::responses::wire::Response;
use lar_compat::{Encoder as _, Frame};
use lar_inference::{TaskEvent, stopped_problem};
use lar_store::{Response as Stored, ResponseState, Store};

use super::followers::StoredSignal;
use crate::answer_stream::{AnswerStream, ReadEvent};

/// The storing of a response, for which its stream waits before it reports the end.
pub(super) enum EndStorage {
    /// The stream stores the response.
    ByStream(Box<UnstoredResponse>),
    /// The follower of the background response stores it, and reports that by this signal.
    ByFollower(StoredSignal),
}

impl EndStorage {
    /// Stores the response, which has ended, or waits until it is stored. An error is logged and redacted.
    fn store(
        self,
        response: &Response,
        redact: fn(Problem) -> Problem,
    ) -> BoxFuture<'static, Result<(), Problem>> {
        match self {
            Self::ByStream(unstored) => unstored.store_for_stream(response, redact),
            Self::ByFollower(signal) => signal.wait().boxed(),
        }
    }
}

/// A response that is stored when it ends.
pub(super) struct UnstoredResponse {
    pub(super) store: Store,
    pub(super) task: TaskId,
    pub(super) key: KeyId,
    /// The task of the response that it continues.
    pub(super) previous: Option<TaskId>,
    /// Its input items as a JSON array.
    pub(super) input: String,
    /// The id of the request, for the log.
    pub(super) request_id: Option<Arc<str>>,
    /// The share of the request's body in the memory budget, held until the response is stored.
    pub(super) share: Option<Box<dyn Send + Sync>>,
}

impl UnstoredResponse {
    /// Stores the response, which has ended.
    pub(super) async fn store(self, response: &Response) -> Result<(), Problem> {
        self.store_body(to_json(response)).await?;
        Ok(())
    }

    /// Stores the response like [`UnstoredResponse::store`]. A failure is logged and redacted.
    fn store_for_stream(
        self,
        response: &Response,
        redact: fn(Problem) -> Problem,
    ) -> BoxFuture<'static, Result<(), Problem>> {
        let body = to_json(response);
        let storing = async move {
            let request_id = self.request_id.clone();
            self.store_body(body).await.map_err(|error| {
                let request_id = request_id.as_deref();
                tracing::error!(request_id, error = %error_chain(&error), "could not store a response");
                redact(error.into())
            })
        };
        storing.boxed()
    }

    async fn store_body(self, body: String) -> Result<(), lar_store::Error> {
        let Self { store, task, key, previous, input, share, .. } = self;
        let (state, created_at) = (ResponseState::Over, Timestamp::now());
        let stored = Stored { task, key, previous, state, input, body, created_at };
        let result = store.response_create(stored, None).await;
        drop(share);
        result
    }
}

/// The stream of a response. It ends with the response's task.
///
/// Invariant: a response that is to be stored is on disk before its terminal event is sent. If it cannot be
/// stored, that event is a failure.
///
/// Dropping it cancels the task of a response that does not run in the background.
pub struct ResponseFrames {
    answer_stream: AnswerStream,
    encoder: ResponsesEncoder,
    has_started: bool,
    redact: fn(Problem) -> Problem,
    /// How the response is stored; `None` if it is not to be stored, is already stored, or is being stored.
    storage: Option<EndStorage>,
    ending: Option<Ending>,
}

/// The end of a stream whose response is being stored.
struct Ending {
    /// The frames of the terminal event.
    frames: Vec<Frame>,
    storing: BoxFuture<'static, Result<(), Problem>>,
}

impl Ending {
    /// Waits until the response is stored, and returns the frames of its end.
    ///
    /// Dropping the future loses no frame.
    async fn frames(&mut self, encoder: &mut ResponsesEncoder) -> Vec<Frame> {
        let stored = (&mut self.storing).await;
        let mut frames = std::mem::take(&mut self.frames);
        if let Err(problem) = stored {
            encoder.fail_before_end(&mut frames, &problem);
        }
        frames
    }
}

impl ResponseFrames {
    /// Streams a response. `storage` stores it when it ends; `None` if it is not to be stored, or is stored.
    ///
    /// `redact` removes from an error what only an administrator may see.
    pub(super) fn new(
        answer_stream: AnswerStream,
        encoder: ResponsesEncoder,
        redact: fn(Problem) -> Problem,
        storage: Option<EndStorage>,
    ) -> Self {
        Self { answer_stream, encoder, has_started: false, redact, storage, ending: None }
    }

    /// Returns the next frames, at least one; `None` at the end of the stream.
    ///
    /// Dropping the future loses no frame.
    pub async fn next(&mut self) -> Option<Vec<Frame>> {
        if !std::mem::replace(&mut self.has_started, true) {
            let frames = self.encoder.start();
            if !frames.is_empty() {
                return Some(frames);
            }
        }
        loop {
            if let Some(ending) = &mut self.ending {
                let frames = ending.frames(&mut self.encoder).await;
                self.ending = None;
                return Some(frames);
            }
            if self.encoder.is_over() {
                return None;
            }
            let read = next_redacted(&mut self.answer_stream, self.redact).await;
            let frames = self.answer_stream.encode(&read, &mut self.encoder);
            if self.encoder.is_over()
                && let Some(storage) = self.storage.take()
            {
                let storing = storage.store(self.encoder.response(), self.redact);
                self.ending = Some(Ending { frames, storing });
            } else if !frames.is_empty() {
                return Some(frames);
            }
        }
    }
}

/// Returns the next event of a task. An error is redacted.
///
/// Events that stop before a terminal one end with the error of a stopped task.
pub(super) async fn next_redacted(
    answer_stream: &mut AnswerStream,
    redact: fn(Problem) -> Problem,
) -> ReadEvent {
    match answer_stream.next().await {
        Some(ReadEvent { answer, event: TaskEvent::Error(problem) }) => {
            ReadEvent { answer, event: TaskEvent::Error(redact(problem)) }
        }
        Some(read) => read,
        None => ReadEvent { answer: 0, event: TaskEvent::Error(stopped_problem()) },
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use lar_base::{Code, Instant};
    use lar_compat::openai::responses::UndecodedResponseRequest;
    use lar_inference::CONSTRAINT_FIELD;
    use tokio_util::sync::CancellationToken;

    use super::super::followers::Followers;
    use super::*;

    /// Returns the stream of a response whose task stops before its first event.
    fn stopped(task: TaskId, storage: Option<EndStorage>) -> ResponseFrames {
        let received_at = Timestamp::from_millis(0);
        let request = UndecodedResponseRequest::read(br#"{ "input": "Say hello." }"#).unwrap();
        let input = request.decode(Vec::new(), task, received_at).unwrap();
        let encoder = ResponsesEncoder::new(task, input.response, input.tools, received_at);
        let answer_stream = AnswerStream::new(&[], Vec::new(), Instant::now(), CONSTRAINT_FIELD);
        ResponseFrames::new(answer_stream, encoder, |problem| problem, storage)
    }

    /// Returns the last event among frames: its name, and the message of the response's error.
    fn last(frames: Option<Vec<Frame>>) -> (String, Option<String>) {
        let Some(Frame::Event { name, data }) = frames.unwrap().pop() else { panic!("no event") };
        let data: serde_json::Value = serde_json::from_str(&data).unwrap();
        let message = data["response"]["error"]["message"].as_str().map(ToOwned::to_owned);
        (name.unwrap().to_owned(), message)
    }

    fn failed(message: &str) -> (String, Option<String>) {
        ("response.failed".into(), Some(message.into()))
    }

    #[tokio::test]
    async fn the_end_of_a_background_response_is_sent_after_it_is_stored() {
        let (followers, task) = (Followers::default(), TaskId::new());
        let follower = followers.register(task);
        let mut frames = stopped(task, Some(EndStorage::ByFollower(follower.signal())));
        assert_eq!(last(frames.next().await), ("response.created".into(), None));
        for _ in 0..2 {
            assert!(frames.next().now_or_never().is_none(), "the end is not stored");
        }
        follower.store_end(&CancellationToken::new(), |problem| problem, || async { Ok(()) }).await;
        assert_eq!(last(frames.next().await), failed("the task was stopped"));
        assert_eq!(frames.next().await.map(|frames| frames.len()), None);
    }

    #[tokio::test]
    async fn a_background_response_that_cannot_be_stored_fails() {
        let (followers, task, stopping) = (Followers::default(), TaskId::new(), CancellationToken::new());
        stopping.cancel();
        let follower = followers.register(task);
        let mut frames = stopped(task, Some(EndStorage::ByFollower(follower.signal())));
        frames.next().await;
        let redact = |problem: Problem| Problem { detail: "not stored".into(), ..problem };
        follower.store_end(&stopping, redact, || async { Err(lar_store::Error::Closed) }).await;
        assert_eq!(last(frames.next().await), failed("not stored"));
    }

    #[tokio::test]
    async fn a_streamed_response_is_stored_before_its_end_is_sent() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let (task, key) = (TaskId::new(), KeyId::new());
        let unstored = UnstoredResponse {
            store: store.clone(),
            task,
            key,
            previous: None,
            input: "[]".into(),
            request_id: None,
            share: None,
        };
        let mut frames = stopped(task, Some(EndStorage::ByStream(Box::new(unstored))));
        frames.next().await;
        let missing = store.response_get(key, task).await.map_err(Problem::from);
        assert_eq!(missing.unwrap_err().code, Code::NotFound);
        assert_eq!(last(frames.next().await), failed("the task was stopped"));
        assert_eq!(store.response_get(key, task).await.unwrap().state, ResponseState::Over);
    }
}
