//! Responses of OpenAI's Responses API: runs them, stores them, and continues stored ones.
//!
//! Stored responses are visible to the key that created them, and are deleted after [`RETENTION`].
//!
//! Invariant: a response with `store` is on disk before it is reported as completed. A background response is
//! on disk before its id is returned, and a follower stores its end. If that fails, or Lar stops while the
//! response runs, it has the status `failed`.
//!
//! The codec is in [`lar_compat::openai::responses`]. `references` finds the items that a request takes from
//! stored responses, `lookup` tells how far a stored response is, `followers` stores the ends of background
//! responses, and `frames` streams a response.

mod followers;
mod frames;
mod input_pages;
mod lookup;
mod references;
mod results;
mod stored;

use std::time::Duration;

use lar_base::json::to_json;
use lar_base::{Caller, Code, Instant, KeyId, Problem, TaskGroup, TaskId, Timestamp};
use lar_compat::openai::responses::wire::{InputItems, Response, Status, Truncation};
use lar_compat::openai::responses::{
    OfferedTools, ResponsesEncoder, ResponsesInput, UndecodedResponseRequest,
};
use lar_compat::{Encoder as _, ToolSchemas, plain_name};
use lar_gateway::{Gateway, TaskHandle};
use lar_inference::{TaskEvent, cancelled_problem, stopped_problem};
use lar_store::{Response as Stored, ResponseState, Store};

use self::followers::{Follower, Followers};
pub use self::frames::ResponseFrames;
use self::frames::{EndStorage, UnstoredResponse, next_redacted};
pub use self::input_pages::InputItemsQuery;
use self::lookup::{FoundResponse, Progress};
pub use self::results::{CountedInput, CreatedContent, CreatedResponse};
use self::stored::{body_of, input_with_ids, response_of};
use crate::answer_stream::{AnswerStream, ReadEvent};
use crate::detached::run_detached;
use crate::generation::Generations;
use crate::request_errors::about_model;
use crate::requester::Requester;
use crate::tool_call_check::schema_violations;
use crate::truncation::{Cut, fit};

/// The time after which a stored response is deleted: 30 days.
pub const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// The service that runs and stores responses. Clones share its state.
#[derive(Debug, Clone)]
pub struct Responses {
    store: Store,
    gateway: Gateway,
    generations: Generations,
    tasks: TaskGroup,
    /// The followers of the background responses whose ends are not stored yet.
    followers: Followers,
    /// Removes from an error what only an administrator may see.
    redact: fn(Problem) -> Problem,
}

/// A decoded request with the stored items that it refers to.
struct ReadRequest {
    input: ResponsesInput,
    /// The task of the response that it continues.
    previous: Option<TaskId>,
    removed_messages: Option<usize>,
}

impl Responses {
    /// Creates the service. Background responses are followed in `tasks`.
    ///
    /// `redact` removes from an error what only an administrator may see. It is applied to the errors in
    /// streams and in stored responses.
    #[must_use]
    pub fn new(
        store: Store,
        gateway: Gateway,
        generations: Generations,
        tasks: &TaskGroup,
        redact: fn(Problem) -> Problem,
    ) -> Self {
        Self { store, gateway, generations, tasks: tasks.clone(), followers: Followers::default(), redact }
    }

    /// Creates a response: runs it to its end, streams it, or runs it in the background, as the request says.
    ///
    /// `share` is the share of the request's body in the memory budget. It is dropped when the input is no
    /// longer in memory.
    ///
    /// # Errors
    /// If the request is invalid or refers to responses that do not exist, if it is not admitted, if its task
    /// fails before a stream starts or a whole response ends, or if the response cannot be stored.
    pub async fn create(
        &self,
        requester: &Requester,
        request: UndecodedResponseRequest,
        share: Option<Box<dyn Send + Sync>>,
    ) -> Result<CreatedResponse, Problem> {
        let read = self.read(requester.caller.key(), request, requester.arrival.at).await?;
        if read.input.response.background {
            Box::pin(self.run_in_background(requester, read, share)).await
        } else {
            Box::pin(self.run_in_foreground(requester, read, share)).await
        }
    }

    /// Counts the tokens of a request's prompt.
    ///
    /// # Errors
    /// If the request is invalid or refers to responses that do not exist, or the model does not exist.
    pub async fn count_tokens(
        &self,
        key: KeyId,
        request: UndecodedResponseRequest,
    ) -> Result<CountedInput, Problem> {
        let ReadRequest { input, removed_messages, .. } = self.read(key, request, Timestamp::now()).await?;
        let request = input.request;
        let model = plain_name(&request.model);
        let counted = self.gateway.count_tokens_for(key, model, &request.prompt).await;
        let tokens = counted.map_err(about_model)?.tokens;
        Ok(CountedInput { tokens, ignored: request.ignored, removed_messages })
    }

    /// Returns a stored response of this key.
    ///
    /// # Errors
    /// [`Code::NotFound`] if the key has no such response.
    pub async fn show(&self, key: KeyId, task: TaskId) -> Result<Response, Problem> {
        response_of(&self.find(key, task).await?)
    }

    /// Streams a stored response of the caller's key from its start, or after the event with a given number.
    ///
    /// # Errors
    /// [`Code::NotFound`] if the key has no such response; [`Code::InvalidParams`] if its task is neither
    /// running nor recent; [`Code::StoreUnavailable`] if its end could not be stored.
    pub async fn show_stream(
        &self,
        caller: &Caller,
        task: TaskId,
        starting_after: Option<u64>,
    ) -> Result<ResponseFrames, Problem> {
        let FoundResponse { row, progress } = self.find(caller.key(), task).await?;
        let handle = self.handle(caller, task).ok_or_else(|| {
            let reason =
                "is not available: the response was not created with `background`, or ended too long ago";
            Problem::invalid("stream", reason)
        })?;
        let storage = match progress {
            Progress::Running(signal) => Some(EndStorage::ByFollower(signal)),
            Progress::Ended => None,
            Progress::Lost(problem) => return Err(problem),
        };
        let started = Response {
            status: Status::Queued,
            output: Vec::new(),
            usage: None,
            error: None,
            incomplete_details: None,
            completed_at: None,
            timings: None,
            ..body_of(&row)?
        };
        // The time of the end becomes the time at which the event is read again.
        let tools = OfferedTools::of(&started);
        let encoder = ResponsesEncoder::new(task, started, tools, Timestamp::now());
        let encoder = encoder.starting_after(starting_after);
        let answer_stream = AnswerStream::of(&handle, Instant::now());
        Ok(ResponseFrames::new(answer_stream, encoder, self.redact, storage))
    }

    /// Deletes a stored response of the caller's key, and cancels it if it is running.
    ///
    /// # Errors
    /// [`Code::NotFound`] if the key has no such response.
    pub async fn remove(&self, caller: &Caller, task: TaskId) -> Result<(), Problem> {
        let stored = self.store.response_get(caller.key(), task).await?;
        if stored.state == ResponseState::Running
            && let Some(handle) = self.handle(caller, task)
        {
            handle.cancel();
        }
        self.store.response_delete(caller.key(), task).await?;
        Ok(())
    }

    /// Cancels a background response of the caller's key and returns it in its final state.
    ///
    /// A response that has ended is returned unchanged. One that runs is returned after its end is stored.
    ///
    /// # Errors
    /// [`Code::NotFound`] if the key has no such response; [`Code::InvalidParams`] if it does not run in the
    /// background.
    pub async fn cancel(&self, caller: &Caller, task: TaskId) -> Result<Response, Problem> {
        let found = self.find(caller.key(), task).await?;
        let response = response_of(&found)?;
        if !response.background {
            let detail = "only a response that was created with `background` can be cancelled";
            return Err(Problem::new(Code::InvalidParams, detail));
        }
        let Progress::Running(signal) = found.progress else { return Ok(response) };
        if let Some(handle) = self.handle(caller, task) {
            handle.cancel();
        }
        // If the end cannot be stored, the response is shown as failed.
        let _ = signal.wait().await;
        self.show(caller.key(), task).await
    }

    /// Returns a page of the input items of a stored response, each with an id.
    ///
    /// # Errors
    /// [`Code::NotFound`] if the key has no such response; [`Code::InvalidParams`] if the page is invalid.
    pub async fn input_items(
        &self,
        key: KeyId,
        task: TaskId,
        query: &InputItemsQuery,
    ) -> Result<InputItems, Problem> {
        let items_max = query.items_max()?;
        let stored = self.store.response_get(key, task).await?;
        query.page(input_with_ids(&stored)?, items_max)
    }

    /// Decodes a request with the stored items that it refers to.
    ///
    /// With `truncation: "auto"`, the oldest messages of an input that exceeds the context are removed.
    async fn read(
        &self,
        key: KeyId,
        mut request: UndecodedResponseRequest,
        received_at: Timestamp,
    ) -> Result<ReadRequest, Problem> {
        let previous = request.previous()?;
        references::resolve(&self.store, key, &mut request).await?;
        let earlier = references::earlier_items(&self.store, &self.followers, key, previous).await?;
        let mut input = request.decode(earlier, TaskId::new(), received_at)?;
        let removed_messages = match input.truncation {
            Truncation::Auto => fit(&self.gateway, key, &mut input.request, Cut::Messages, None).await?,
            Truncation::Disabled => None,
        };
        Ok(ReadRequest { input, previous, removed_messages })
    }

    /// Runs a response while its client is connected: to its end, or as a stream.
    async fn run_in_foreground(
        &self,
        requester: &Requester,
        read: ReadRequest,
        share: Option<Box<dyn Send + Sync>>,
    ) -> Result<CreatedResponse, Problem> {
        let ReadRequest { input, previous, removed_messages } = read;
        let ResponsesInput { request, mut response, tools, input, .. } = input;
        let (task, is_streamed, key) = (request.id, request.stream, requester.caller.key());
        let schemas = ToolSchemas::of(&request);
        let mut admitted = self.generations.admit(requester, vec![request]).await?;
        let memory_activity = admitted.memory_activity.take();
        let mut ignored = std::mem::take(&mut admitted.ignored);
        let answer_stream = admitted.begin().await?;
        response.model = answer_stream.model().to_owned();
        let unstored = response.store.then(|| UnstoredResponse {
            store: self.store.clone(),
            task,
            key,
            previous,
            input,
            request_id: requester.caller.request_id().cloned(),
            share,
        });
        let mut encoder = ResponsesEncoder::new(task, response, tools, requester.arrival.at);
        let content = if is_streamed {
            let storage = unstored.map(|unstored| EndStorage::ByStream(Box::new(unstored)));
            let frames = ResponseFrames::new(answer_stream, encoder, self.redact, storage);
            CreatedContent::Stream(Box::new(frames))
        } else {
            run_to_end(answer_stream, &mut encoder).await?;
            ignored.extend({
                let calls = encoder.function_calls();
                let calls = calls.iter().map(|(name, arguments)| (name.as_str(), *arguments));
                schema_violations(&schemas, task, calls)
            });
            if let Some(unstored) = unstored {
                unstored.store(encoder.response()).await?;
            }
            CreatedContent::Whole(Box::new(encoder.into_response()))
        };
        Ok(CreatedResponse { content, ignored, removed_messages, memory_activity })
    }

    /// Starts a background response. Returns it in the status `queued`, or its stream.
    ///
    /// Once the response is stored, its task is dispatched and followed even if this future is dropped.
    async fn run_in_background(
        &self,
        requester: &Requester,
        read: ReadRequest,
        share: Option<Box<dyn Send + Sync>>,
    ) -> Result<CreatedResponse, Problem> {
        let ReadRequest { input, previous, removed_messages } = read;
        let ResponsesInput { mut request, mut response, tools, input, .. } = input;
        let task = request.id;
        let (admitted, memory_activity) = self.generations.admit_detached(requester, &mut request).await?;
        response.model = admitted.model().to_owned();
        response.status = Status::Queued;
        let stored = Stored {
            task,
            key: requester.caller.key(),
            previous,
            state: ResponseState::Running,
            input,
            body: to_json(&response),
            created_at: Timestamp::now(),
        };
        let (responses, arrival) = (self.clone(), requester.arrival);
        let encoder = ResponsesEncoder::new(task, response.clone(), OfferedTools::of(&response), arrival.at);
        let start = run_detached(&self.tasks, "the start of a background response", async move {
            let follower = responses.followers.register(task);
            responses.store.response_create(stored, Some(admitted.start())).await?;
            drop(share);
            let handle = responses.gateway.dispatch_recorded(admitted);
            let (answer_stream, signal) = (AnswerStream::of(&handle, arrival.instant), follower.signal());
            responses.tasks.spawn(responses.clone().follow_to_end(task, follower, answer_stream, encoder));
            Ok((handle, signal))
        });
        let (handle, signal) = start.await?;
        let content = if request.stream {
            let encoder = ResponsesEncoder::new(task, response, tools, arrival.at);
            let answer_stream = AnswerStream::of(&handle, arrival.instant);
            let storage = Some(EndStorage::ByFollower(signal));
            let frames = ResponseFrames::new(answer_stream, encoder, self.redact, storage);
            CreatedContent::Stream(Box::new(frames))
        } else {
            CreatedContent::Whole(Box::new(response))
        };
        Ok(CreatedResponse { content, ignored: request.ignored, removed_messages, memory_activity })
    }

    /// Reads the events of a background response's task to its end, and stores the response.
    ///
    /// Errors are redacted, because they are stored with the response.
    async fn follow_to_end(
        self,
        task: TaskId,
        follower: Follower,
        mut answer_stream: AnswerStream,
        mut encoder: ResponsesEncoder,
    ) {
        while !encoder.is_over() {
            let read = next_redacted(&mut answer_stream, self.redact).await;
            encoder.add(&answer_stream.event(&read));
        }
        let body = to_json(encoder.response());
        let store = || self.store.response_end(task, body.clone());
        follower.store_end(&self.tasks.stopping(), self.redact, store).await;
    }

    /// Returns a stored response of this key with its progress.
    async fn find(&self, key: KeyId, task: TaskId) -> Result<FoundResponse, Problem> {
        lookup::find(&self.store, &self.followers, key, task).await
    }

    /// Returns the task of a response if it is running or ended recently.
    ///
    /// It belongs to the same key as the response.
    fn handle(&self, caller: &Caller, task: TaskId) -> Option<TaskHandle> {
        self.gateway.find(caller.visible_keys(), task)
    }
}

/// Reads the events of a response that its client waits for.
///
/// # Errors
/// The error of the task if it failed, was cancelled or stopped before its end.
async fn run_to_end(mut answer_stream: AnswerStream, encoder: &mut ResponsesEncoder) -> Result<(), Problem> {
    while let Some(read) = answer_stream.next().await {
        match read {
            ReadEvent { event: TaskEvent::Error(problem), .. } => return Err(problem),
            read => encoder.add(&answer_stream.event(&read)),
        }
    }
    if encoder.response().status == Status::Cancelled {
        return Err(cancelled_problem());
    }
    if encoder.is_over() { Ok(()) } else { Err(stopped_problem()) }
}
