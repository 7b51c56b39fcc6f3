//! The responses to requests for text, as all compatible APIs share them: admits a request, and streams or
//! collects its answers.

use axum::response::{IntoResponse as _, Response};
use lar_agents::{AdmittedTasks, AnswerStream, Generations, ReadEvent, schema_violations};
use lar_base::{Problem, TaskId};
use lar_catalog::Catalog;
use lar_compat::{Codec, DecodedRequest, Encoder, Frame, Head, Request, ToolSchemas};
use lar_gateway::Gateway;
use lar_inference::TaskEvent;
use lar_memory::MemoryActivityIds;

use crate::body_limits::{BodyShare, ReceivedBody};
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

/// Responds to a body of an endpoint whose requests are complete when they are decoded.
pub(crate) async fn answer<C>(
    state: &AnswerState,
    compat_caller: &CompatCaller,
    api: &'static str,
    body: ReceivedBody,
) -> Result<Response, Problem>
where
    C: Codec<Input = DecodedRequest<<C as Codec>::Style>>,
{
    let DecodedRequest { request, style } = body.read(|body| C::decode(body, TaskId::new()))?;
    let (schemas, stream) = (ToolSchemas::of(&request), request.stream);
    let answers = begin(state, compat_caller, api, request, None).await?;
    answers.respond::<C>(stream, style, &schemas, None).await
}

/// Admits a request, dispatches its tasks and waits for their first events.
///
/// After admission the prompts are tokenized, and the permits of the request's body are released. If the response
/// still needs parts of the request, `share` keeps the permits.
pub(crate) async fn begin(
    state: &AnswerState,
    compat_caller: &CompatCaller,
    api: &'static str,
    request: Request,
    share: Option<&BodyShare>,
) -> Result<Answers, Problem> {
    let id = request.id;
    state.generations.check_answers(&request.model, "n", request.n as usize).await?;
    let admitted = state.generations.admit(&compat_caller.requester(api), vec![request]).await?;
    if share.is_none() {
        compat_caller.body.release();
    }
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
        received_at: compat_caller.arrival.at,
        tokens_in: stream.tokens_in().to_vec(),
        fingerprint: fingerprint(&state.catalog, stream.model()),
    };
    Ok(Answers { stream, head, memory_activity, ignored })
}

impl Answers {
    /// Responds with a stream if `stream` is set, else with one JSON body of the complete answers.
    ///
    /// `share` is held until the response ends. Tool calls that violate `schemas` are reported in `X-Lar-Ignored`,
    /// but not those of a stream.
    ///
    /// # Errors
    /// The error of the first task that fails, unless the response is a stream.
    pub(crate) async fn respond<C: Codec>(
        self,
        stream: bool,
        style: C::Style,
        schemas: &ToolSchemas,
        share: Option<BodyShare>,
    ) -> Result<Response, Problem> {
        let Self { stream: events, head, memory_activity, mut ignored } = self;
        let response = if stream {
            let encoder = C::encoder(head, style);
            let source = EncodedAnswers { stream: events, encoder, has_started: false, _share: share };
            sse::frames_response(source, C::Encoder::MEDIA_TYPE)
        } else {
            let answers = events.collect().await?;
            for answer in &answers {
                ignored.extend(schema_violations(schemas, head.task, answer.named_calls()));
            }
            axum::Json(C::whole(&head, answers, &style)).into_response()
        };
        Ok(with_memory_activity(with_ignored(response, &ignored), memory_activity.as_ref()))
    }
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
            let frames = self.stream.encode(&read, &mut self.encoder);
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
