//! The server's end of a worker's socket: the frames that wait to be written, and the streams and calls that
//! wait for the worker's frames.
//!
//! Each frame of the worker must be within the limits of `embedded/limits.rs`. `frame_loop.rs` reads from the
//! socket and writes to it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::KeyId;
use lar_inference::protocol;
use lar_inference::protocol::{CallerNumbers, FromWorker, ToWorker, TuningResult};
use lar_inference::{CallerIds, Error, Event};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::embedded::limits;
use crate::embedded::limits::{Allowance, PrefillReports};
use crate::embedded::rpc::{EmbeddedTexts, PendingEmbedding, PendingReply, TokenizeReply};

/// A step that computes for this long counts as hung.
const STEP_MAX: Duration = Duration::from_secs(120);

/// Called with each new measurement of the worker.
pub(super) type OnTuned = Box<dyn Fn(TuningResult) + Send + Sync>;

pub(super) struct Connection {
    tuned: OnTuned,
    outbox: mpsc::Sender<OutgoingFrame>,
    /// The remaining memory for queued texts, in KiB.
    texts: Arc<Semaphore>,
    /// Permits for texts over [`limits::LARGE_PROMPT_BYTES`].
    large_prompts: Semaphore,
    next_id: AtomicU64,
    /// Derives the numbers that identify callers to the worker.
    callers: RandomState,
    /// The number of running sequences, by the worker's last report.
    active: AtomicU32,
    streams: Mutex<HashMap<u64, Stream>>,
    pending_replies: Mutex<HashMap<u64, PendingReply>>,
    /// The reason why the worker died, once it has.
    death: watch::Sender<Option<String>>,
    /// Kills the worker when cancelled.
    pub(super) kill: CancellationToken,
}

/// A frame that waits to be written, with its share of the memory for texts.
#[derive(Debug)]
pub(super) struct OutgoingFrame {
    pub(super) bytes: Vec<u8>,
    _texts: Option<OwnedSemaphorePermit>,
}

/// An answer that the worker is sending.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) events: mpsc::Sender<Event>,
    /// The tokens and bytes that the worker may still send.
    pub(super) allowance: Allowance,
    pub(super) prefill: PrefillReports,
    /// Whether the stream has one of the worker's sequences.
    pub(super) has_slot: watch::Sender<bool>,
    /// Ends the task that waits to cancel the stream.
    pub(super) _over: DropGuard,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Returns a connection, and the receiver of the frames that must be written. `tuned` is called with each
    /// new measurement.
    pub(super) fn new(tuned: OnTuned) -> (Arc<Self>, mpsc::Receiver<OutgoingFrame>) {
        let (outbox, frames) = mpsc::channel(limits::OUTBOX_FRAMES_MAX);
        let connection = Self {
            tuned,
            outbox,
            texts: Arc::new(Semaphore::new(limits::OUTBOX_KIB_MAX)),
            large_prompts: Semaphore::new(limits::LARGE_PROMPTS_MAX),
            next_id: AtomicU64::new(1),
            callers: RandomState::new(),
            active: AtomicU32::new(0),
            streams: Mutex::default(),
            pending_replies: Mutex::default(),
            death: watch::Sender::new(None),
            kill: CancellationToken::new(),
        };
        (Arc::new(connection), frames)
    }

    /// Returns a number that no other call or stream of this worker has.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the number of running sequences, by the worker's last report.
    pub(super) fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Returns the reason why the worker died, if it did.
    pub(super) fn death(&self) -> Option<String> {
        self.death.borrow().clone()
    }

    /// Waits until the worker dies and returns the reason.
    pub(super) async fn wait_for_death(&self) -> String {
        let mut death = self.death.subscribe();
        match death.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "its handle was dropped".into(),
        }
    }

    /// Registers a caller that waits for an answer, until the guard is dropped.
    pub(super) fn register(self: &Arc<Self>, reply: PendingReply) -> ForgetOnDrop {
        let id = self.next_id();
        lock(&self.pending_replies).insert(id, reply);
        if self.death().is_some() {
            // The worker may have died before the call was registered.
            lock(&self.pending_replies).remove(&id);
        }
        ForgetOnDrop { connection: self.clone(), id }
    }

    /// Registers a stream, until its terminal event.
    pub(super) fn register_stream(&self, id: u64, stream: Stream) {
        lock(&self.streams).insert(id, stream);
    }

    /// Sends a frame without text, which cannot exceed the size limit.
    pub(super) fn send(&self, frame: ToWorker) {
        if let Err(error) = self.try_send(&frame) {
            tracing::error!(%error, "a frame for a worker was left out");
        }
    }

    /// Sends a frame without waiting. Kills a worker whose outbox is full.
    ///
    /// # Errors
    /// If the frame is too long.
    pub(super) fn try_send(&self, frame: &ToWorker) -> Result<(), Error> {
        let bytes = protocol::encode(frame).map_err(|error| Error::Failed(error.to_string()))?;
        // A closed channel means a dead worker, which `supervise` reports to every stream.
        if let Err(mpsc::error::TrySendError::Full(_)) =
            self.outbox.try_send(OutgoingFrame { bytes, _texts: None })
        {
            tracing::warn!("a worker did not read its frames and was killed");
            self.kill.cancel();
        }
        Ok(())
    }

    /// Returns the numbers that identify the user and the key of a caller to the worker.
    pub(super) fn caller_numbers(&self, caller: Option<CallerIds>) -> CallerNumbers {
        let person = self.callers.hash_one(caller.map(|caller| caller.person));
        CallerNumbers { person, key: self.caller_number(caller.map(|caller| caller.key)) }
    }

    /// Returns a hash of the caller, unique except for hash collisions. The worker learns nothing else about the
    /// key.
    pub(super) fn caller_number(&self, caller: Option<KeyId>) -> u64 {
        self.callers.hash_one(caller)
    }

    /// Waits for a permit to send a text of this many bytes; small texts need none. Dropping the permit frees
    /// it.
    pub(super) async fn acquire_large_prompt_permit(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        if bytes <= limits::LARGE_PROMPT_BYTES {
            return None;
        }
        self.large_prompts.acquire().await.ok()
    }

    /// Sends a frame with a caller's text, once there is room for it.
    pub(super) async fn send_text(&self, frame: impl Serialize) -> Result<(), Error> {
        let bytes = protocol::encode(&frame).map_err(|error| Error::Failed(error.to_string()))?;
        drop(frame);
        let share = limits::kib(bytes.len());
        let texts = self.texts.clone().acquire_many_owned(share).await.ok();
        // A closed channel means a dead worker, as in `send`.
        let _ = self.outbox.send(OutgoingFrame { bytes, _texts: texts }).await;
        Ok(())
    }

    /// Handles a frame with a body of `bytes` bytes. An error is a violation of the protocol.
    pub(super) fn handle_frame(&self, frame: FromWorker, bytes: usize) -> Result<(), String> {
        let most = limits::frame_bytes_max(&frame);
        if bytes > most {
            return Err(format!("it sent a frame of {bytes} bytes; the limit is {most}"));
        }
        match frame {
            FromWorker::Tokens { id, tokens, tail } => {
                self.tokens(id, Ok(TokenizeReply::Tokens(tokens, tail)))
            }
            FromWorker::Counted { id, tokens } => self.tokens(id, Ok(TokenizeReply::Count(tokens))),
            FromWorker::TooLong { id, tokens_at_least } => {
                self.tokens(id, Ok(TokenizeReply::TooLong(tokens_at_least)));
            }
            FromWorker::TokenizeFailed { id, message } => self.tokens(id, Err(message)),
            FromWorker::Text { id, answer } => {
                if let Some(PendingReply::Text(reply)) = lock(&self.pending_replies).remove(&id) {
                    let _ = reply.send(answer);
                }
            }
            FromWorker::Checked { id, index, outcome } => {
                let mut pending_replies = lock(&self.pending_replies);
                if let Some(PendingReply::Check(checks)) = pending_replies.get_mut(&id)
                    && checks.take(index, outcome)
                    && let Some(PendingReply::Check(checks)) = pending_replies.remove(&id)
                {
                    checks.finish();
                }
            }
            FromWorker::Started { stream } => self.set_has_slot(stream, true),
            FromWorker::Paused { stream } => self.set_has_slot(stream, false),
            FromWorker::Prefilling { stream, tokens } => {
                if let Some(stream) = lock(&self.streams).get_mut(&stream) {
                    stream.prefill.take(tokens)?;
                }
                self.event(stream, Event::Prefilling { tokens })?;
            }
            FromWorker::Prefilled { stream, cached_tokens } => {
                self.event(stream, Event::Prefilled { cached_tokens })?
            }
            FromWorker::Delta { stream, text, tokens, logprobs } => {
                if let Some(stream) = lock(&self.streams).get_mut(&stream) {
                    stream.allowance.take(tokens, bytes)?;
                }
                self.event(stream, Event::Delta { text, tokens, logprobs })?;
            }
            FromWorker::Vector { id, index, values } => {
                if let Some(PendingReply::Embed(embedding)) = lock(&self.pending_replies).get_mut(&id)
                    && let Some(entry) = embedding.values.get_mut(index as usize)
                {
                    *entry = values;
                }
            }
            FromWorker::Embedded { id, tokens, truncated } => {
                if let Some(PendingReply::Embed(PendingEmbedding { values, answer })) =
                    lock(&self.pending_replies).remove(&id)
                {
                    let truncated = truncated.into_iter().map(|index| index as usize).collect();
                    let _ = answer.send(Ok(EmbeddedTexts { values, tokens, truncated }));
                }
            }
            FromWorker::EmbedFailed { id, message } => {
                if let Some(PendingReply::Embed(embedding)) = lock(&self.pending_replies).remove(&id) {
                    let _ = embedding.answer.send(Err(message));
                }
            }
            FromWorker::Finished { stream, reason, drafted, accepted, active } => {
                if drafted > 0 {
                    self.event(stream, Event::Speculated { tokens: drafted, accepted })?;
                }
                self.end(stream, active, Event::Finished(reason));
            }
            FromWorker::Cancelled { stream, active } => self.end(stream, active, Event::Cancelled),
            FromWorker::Failed { stream, message, constraint, active } => {
                let error = if constraint { Error::Constraint(message) } else { Error::Failed(message) };
                self.end(stream, active, Event::Failed(error));
            }
            FromWorker::TuningResult(tuned) => (self.tuned)(tuned),
            FromWorker::Heartbeat { active, step_ms } => {
                self.active.store(active, Ordering::Relaxed);
                if Duration::from_millis(step_ms) > STEP_MAX {
                    return Err(format!("it has computed one step for {} s", step_ms / 1000));
                }
            }
            FromWorker::Hello { .. }
            | FromWorker::Confined { .. }
            | FromWorker::Loaded { .. }
            | FromWorker::LoadFailed { .. } => return Err("it repeated a frame of the handshake".into()),
        }
        Ok(())
    }

    fn tokens(&self, id: u64, answer: Result<TokenizeReply, String>) {
        if let Some(PendingReply::Tokenize(reply)) = lock(&self.pending_replies).remove(&id) {
            let _ = reply.send(answer);
        }
    }

    fn set_has_slot(&self, stream: u64, has: bool) {
        if let Some(stream) = lock(&self.streams).get(&stream) {
            stream.has_slot.send_replace(has);
        }
    }

    fn event(&self, stream: u64, event: Event) -> Result<(), String> {
        let streams = lock(&self.streams);
        let Some(stream) = streams.get(&stream) else { return Ok(()) };
        match stream.events.try_send(event) {
            // A reader that dropped the answer has also requested the stop.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err("it sent more events than it had credit for".into())
            }
        }
    }

    /// Ends a stream with its terminal event. `active` is the number of sequences that still run.
    pub(super) fn end(&self, stream: u64, active: u32, event: Event) {
        self.active.store(active, Ordering::Relaxed);
        if let Some(stream) = lock(&self.streams).remove(&stream) {
            // There is room for it: a worker that overfills a stream is killed.
            let _ = stream.events.try_send(event);
        }
    }

    /// Records the death of the worker, and fails all of its streams and calls.
    pub(super) fn mark_dead(&self, reason: &str) {
        self.active.store(0, Ordering::Relaxed);
        self.death.send_replace(Some(reason.to_owned()));
        for (_, stream) in lock(&self.streams).drain() {
            // If the channel is full, the reader sees the end of the stream without a terminal event, which
            // counts as a failure.
            let _ = stream.events.try_send(Event::Failed(Error::Failed(reason.to_owned())));
        }
        lock(&self.pending_replies).clear();
    }
}

/// Forgets a call when its caller drops the future.
pub(super) struct ForgetOnDrop {
    connection: Arc<Connection>,
    pub(super) id: u64,
}

impl Drop for ForgetOnDrop {
    fn drop(&mut self) {
        if lock(&self.connection.pending_replies).remove(&self.id).is_some() {
            self.connection.send(ToWorker::Cancel { stream: self.id });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
