//! The stream of a response. With `store`, the last event is sent after the response is stored.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lar_api::openai::responses::{Response, ResponseStreamEvent};
use lar_base::{Problem, error_chain};
use lar_inference::TaskEvent;
use lar_store::{Response as Stored, Store};

use super::encode::Encoder;
use crate::errors::{Audience, redact};
use crate::generate::AnswerStream;
use crate::json::to_json;
use crate::sse;

/// An operation that stores a response when it ends.
pub(crate) struct StoreOnEnd {
    store: Store,
    request_id: Option<Arc<str>>,
    stored: Box<dyn FnOnce(&Response) -> Stored + Send>,
}

impl StoreOnEnd {
    pub(crate) fn new(
        store: Store,
        request_id: Option<Arc<str>>,
        stored: impl FnOnce(&Response) -> Stored + Send + 'static,
    ) -> Self {
        Self { store, request_id, stored: Box::new(stored) }
    }

    /// Stores the response. A failure is logged and returned in redacted form.
    fn store(self, response: &Response) -> BoxFuture<'static, Result<(), Problem>> {
        let Self { store, request_id, stored } = self;
        let stored = stored(response);
        let storing = async move {
            store.response_create(stored, None).await.map_err(|error| {
                let request_id = request_id.as_deref();
                tracing::error!(request_id, error = %error_chain(&error), "could not store a response");
                redact(Audience::Everybody, error.into())
            })
        };
        storing.boxed()
    }
}

/// The stream of a response while its task runs.
pub(crate) struct ResponseStream {
    answer_stream: AnswerStream,
    encoder: Encoder,
    store_on_end: Option<StoreOnEnd>,
    /// The store operation in progress.
    storing: Option<BoxFuture<'static, Result<(), Problem>>>,
    /// The number of the last event that is left out, because the client has seen it.
    starting_after: Option<u64>,
}

impl ResponseStream {
    pub(crate) fn new(
        answer_stream: AnswerStream,
        encoder: Encoder,
        store_on_end: Option<StoreOnEnd>,
    ) -> Self {
        Self { answer_stream, encoder, store_on_end, storing: None, starting_after: None }
    }

    /// Leaves out the events up to the one with this number.
    pub(crate) fn after(self, starting_after: Option<u64>) -> Self {
        Self { starting_after, ..self }
    }

    fn encode(&self, event: &ResponseStreamEvent) -> Option<String> {
        if self.starting_after.is_some_and(|starting_after| event.sequence_number <= starting_after) {
            return None;
        }
        let data = to_json(event);
        Some(sse::event(Some(event.kind.name()), None, &data))
    }
}

impl sse::Source for ResponseStream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(storing) = &mut self.storing {
                let stored = storing.await;
                self.storing = None;
                if let Err(problem) = stored {
                    self.encoder.fail_before_end(&problem);
                }
            }
            if let Some(event) = self.encoder.next() {
                match self.encode(&event) {
                    Some(part) => return Some(part),
                    None => continue,
                }
            }
            if self.encoder.is_over() {
                return None;
            }
            let (_, event) = self.answer_stream.next().await?;
            if let TaskEvent::Queued { position, predicted_start_ms, .. } = &event
                && self.starting_after.is_none()
                && self.encoder.is_queued()
            {
                // A comment keeps the connection alive, and clients do not see it as an event.
                return Some(format!(
                    ": queued, position {position}, starts in about {predicted_start_ms} ms\n\n"
                ));
            }
            self.encoder.handle_event(event);
            if self.encoder.is_over()
                && let Some(store_on_end) = self.store_on_end.take()
            {
                self.storing = Some(store_on_end.store(&self.encoder.response));
            }
        }
    }
}
