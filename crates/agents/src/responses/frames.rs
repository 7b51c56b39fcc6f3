//! The stream of a response. A response that is to be stored is on disk before its last frames are sent.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lar_base::json::to_json;
use lar_base::{KeyId, Problem, TaskId, Timestamp, error_chain};
use lar_compat::openai::responses::ResponsesEncoder;
use lar_compat::openai::responses::wire::Response;
use lar_compat::{Encoder as _, Frame};
use lar_inference::TaskEvent;
use lar_store::{Response as Stored, ResponseState, Store};

use crate::answer_stream::{AnswerStream, ReadEvent};

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

/// The stream of a response while its task runs. It ends with the task.
///
/// Dropping it cancels the task of a response that does not run in the background.
pub struct ResponseFrames {
    answer_stream: AnswerStream,
    encoder: ResponsesEncoder,
    has_started: bool,
    redact: fn(Problem) -> Problem,
    /// The response, if it is to be stored and has not ended.
    unstored: Option<UnstoredResponse>,
    ending: Option<Ending>,
}

/// The end of a stream whose response is being stored.
struct Ending {
    /// The frames of the terminal event.
    frames: Vec<Frame>,
    storing: BoxFuture<'static, Result<(), Problem>>,
}

impl ResponseFrames {
    /// Streams a response, and stores it when it ends if it is in `unstored`.
    ///
    /// `redact` removes from an error what only an administrator may see.
    pub(super) fn new(
        answer_stream: AnswerStream,
        encoder: ResponsesEncoder,
        redact: fn(Problem) -> Problem,
        unstored: Option<UnstoredResponse>,
    ) -> Self {
        Self { answer_stream, encoder, has_started: false, redact, unstored, ending: None }
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
            if let Some(Ending { storing, .. }) = &mut self.ending {
                let stored = storing.await;
                let mut frames = self.ending.take().map(|ending| ending.frames).unwrap_or_default();
                if let Err(problem) = stored {
                    self.encoder.fail_before_end(&mut frames, &problem);
                }
                return Some(frames);
            }
            if self.encoder.is_over() {
                return None;
            }
            let read = redacted(self.answer_stream.next().await?, self.redact);
            let encoder = &mut self.encoder;
            let frames = self.answer_stream.with_event(&read, |event| encoder.push(event));
            if self.encoder.is_over()
                && let Some(unstored) = self.unstored.take()
            {
                let storing = unstored.store_for_stream(self.encoder.response(), self.redact);
                self.ending = Some(Ending { frames, storing });
            } else if !frames.is_empty() {
                return Some(frames);
            }
        }
    }
}

/// Redacts the error of an event.
pub(super) fn redacted(read: ReadEvent, redact: fn(Problem) -> Problem) -> ReadEvent {
    match read {
        ReadEvent { answer, event: TaskEvent::Error(problem) } => {
            ReadEvent { answer, event: TaskEvent::Error(redact(problem)) }
        }
        read => read,
    }
}
