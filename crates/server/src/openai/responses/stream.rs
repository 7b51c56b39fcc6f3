//! The stream of a response. Its last event waits until the response is stored, where it is to be kept.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lar_api::openai::responses::{Response, StreamEvent};
use lar_base::Problem;
use lar_gateway::TaskEvent;
use lar_store::{Response as Stored, Store};

use super::encode::Encoder;
use crate::errors::{Audience, redact};
use crate::generate::AnswerStream;
use crate::sse;

/// Keeps a response at its end.
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

    /// Stores the response; a failure is logged, and returned as everybody may read it.
    fn store(self, response: &Response) -> BoxFuture<'static, Result<(), Problem>> {
        let Self { store, request_id, stored } = self;
        let stored = stored(response);
        let storing = async move {
            store.response_create(stored, None).await.map_err(|error| {
                let request_id = request_id.as_deref();
                tracing::error!(request_id, %error, "a response could not be stored");
                redact(Audience::Everybody, error.into())
            })
        };
        storing.boxed()
    }
}

/// A response that is followed while it is written.
pub(crate) struct ResponseStream {
    answer_stream: AnswerStream,
    encoder: Encoder,
    store_on_end: Option<StoreOnEnd>,
    /// The response on its way to the disk.
    storing: Option<BoxFuture<'static, Result<(), Problem>>>,
    /// Events up to this number were told before.
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

    fn encode(&self, event: &StreamEvent) -> Option<String> {
        if self.starting_after.is_some_and(|starting_after| event.sequence_number <= starting_after) {
            return None;
        }
        let data = serde_json::to_string(event).unwrap_or_default();
        Some(sse::event(Some(event.kind.name()), None, &data))
    }
}

impl sse::Source for ResponseStream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(storing) = &mut self.storing {
                let kept = storing.await;
                self.storing = None;
                if let Err(problem) = kept {
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
                // Clients and proxies learn that it is alive; a comment is no event to them.
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
