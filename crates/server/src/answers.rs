//! The responses to requests for text, as all compatible APIs share them: admits a request, and streams or
//! collects its answers.

use axum::response::{IntoResponse as _, Response};
use lar_agents::{AdmittedTasks, AnswerStream, Generations, ReadEvent};
use lar_base::{Problem, TaskId};
use lar_catalog::Catalog;
use lar_compat::{Answer, Encoder, Frame, Head, Request, ToolSchemas};
use lar_gateway::Gateway;
use lar_inference::TaskEvent;
use lar_memory::MemoryActivityIds;
use serde::Serialize;

use crate::body_limits::BodyShare;
use crate::compat_caller::CompatCaller;
use crate::errors::redact_for_everybody;
use crate::response_headers::{with_ignored, with_memory_activity};
use crate::sse;

/// The part of the shared state that answers requests for text.
#[derive(Clone)]
pub(crate) struct AnswerState {
    pub(crate) generations: Generations,
    pub(crate) gateway: Gateway,
    pub(crate) catalog: Catalog,
}

/// The dispatched answers to a request, each with its first event.
pub(crate) struct Answers {
    pub(crate) stream: AnswerStream,
    pub(crate) head: Head,
    memory_activity: Option<MemoryActivityIds>,
    ignored: Vec<String>,
}

/// Admits a request, dispatches its tasks and waits for their first events.
///
/// After admission the prompts are tokenized, and the permits of the request's body are released.
pub(crate) async fn begin(
    state: &AnswerState,
    compat_caller: &CompatCaller,
    api: &'static str,
    request: Request,
) -> Result<Answers, Problem> {
    let id = request.id;
    state.generations.check_answers(&request.model, "n", request.n as usize).await?;
    let admitted = state.generations.admit(&compat_caller.requester(api), vec![request]).await?;
    compat_caller.body.release();
    dispatch(state, compat_caller, id, admitted).await
}

/// Dispatches admitted tasks and waits for their first events. `id` is the id of the request's first task.
pub(crate) async fn dispatch(
    state: &AnswerState,
    compat_caller: &CompatCaller,
    id: TaskId,
    mut admitted: AdmittedTasks,
) -> Result<Answers, Problem> {
    let memory_activity = admitted.memory_activity.take();
    let ignored = std::mem::take(&mut admitted.ignored);
    let stream = admitted.begin().await?;
    let head = Head {
        task: id,
        model: stream.model().to_owned(),
        received_at: compat_caller.received_at,
        tokens_in: stream.tokens_in().to_vec(),
        fingerprint: fingerprint(&state.catalog, stream.model()),
    };
    Ok(Answers { stream, head, memory_activity, ignored })
}

impl Answers {
    /// Responds with a stream. `encoder` makes its encoder, and `share` is held until the stream ends.
    pub(crate) fn stream<E: Encoder + Send + 'static>(
        self,
        encoder: impl FnOnce(Head) -> E,
        share: Option<BodyShare>,
    ) -> Response {
        let Self { stream, head, memory_activity, ignored } = self;
        let source = EncodedAnswers { stream, encoder: encoder(head), has_started: false, _share: share };
        let response = sse::frames_response(source, E::MEDIA_TYPE);
        with_memory_activity(with_ignored(response, &ignored), memory_activity.as_ref())
    }

    /// Responds with one JSON body, which `whole` makes from the complete answers.
    ///
    /// Tool calls that violate their schemas are reported in `X-Lar-Ignored`.
    ///
    /// # Errors
    /// The error of the first task that fails.
    pub(crate) async fn whole<B: Serialize>(
        self,
        schemas: &ToolSchemas,
        whole: impl FnOnce(&Head, Vec<Answer>) -> B,
    ) -> Result<Response, Problem> {
        let Self { stream, head, memory_activity, mut ignored } = self;
        let answers = stream.collect().await?;
        for answer in &answers {
            ignored.extend(schema_violations(schemas, head.task, answer.named_calls()));
        }
        let response = axum::Json(whole(&head, answers)).into_response();
        Ok(with_memory_activity(with_ignored(response, &ignored), memory_activity.as_ref()))
    }
}

/// Returns the paths of the schema keywords that tool calls violate, and logs them.
pub(crate) fn schema_violations<'a>(
    schemas: &ToolSchemas,
    task: TaskId,
    calls: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<String> {
    let violations = schemas.violations(calls);
    if !violations.is_empty() {
        tracing::info!(%task, violations = violations.join(", "), "tool calls violate their schemas");
    }
    violations
}

/// The frames of a request's answers.
struct EncodedAnswers<E> {
    stream: AnswerStream,
    encoder: E,
    has_started: bool,
    /// The permits of the request's body, held while the encoder has parts of the request.
    _share: Option<BodyShare>,
}

impl<E: Encoder + Send + 'static> sse::FrameSource for EncodedAnswers<E> {
    async fn next(&mut self) -> Option<Vec<Frame>> {
        if !std::mem::replace(&mut self.has_started, true) {
            let frames = self.encoder.start();
            if !frames.is_empty() {
                return Some(frames);
            }
        }
        loop {
            if self.encoder.is_over() {
                return None;
            }
            let ReadEvent { answer, event } = self.stream.next().await?;
            let event = match event {
                TaskEvent::Error(problem) => TaskEvent::Error(redact_for_everybody(problem)),
                event => event,
            };
            let read = ReadEvent { answer, event };
            let encoder = &mut self.encoder;
            let frames = self.stream.with_event(&read, |event| encoder.push(event));
            if !frames.is_empty() {
                return Some(frames);
            }
        }
    }
}

/// Returns OpenAI's `system_fingerprint`. The same seed can give the same answer only if it is equal.
fn fingerprint(catalog: &Catalog, model: &str) -> String {
    let digest = catalog.resolve(model).map(|found| found.model.digest().to_owned()).unwrap_or_default();
    format!("lar-{}-{}", env!("CARGO_PKG_VERSION"), digest.get(..8).unwrap_or("remote"))
}
