//! The server's end of a worker: starts the process, speaks the protocol and notices its death.
//!
//! A worker is killed when its [`Worker`] is dropped, and kills itself when the socket closes, so no worker
//! outlives its server. When it dies, all of its streams and calls fail; nothing else is affected.

mod start;
mod tokenizer;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use lar_base::KeyId;
use serde::Serialize;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Child;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::ConfinementPolicy;
use super::limits::{self, Allowance, PrefillReports};
use super::rpc::{EmbeddedTexts, PendingEmbedding, PendingReply, TokenizeReply, split_into_frames};
use crate::driver::Generation;
use crate::stderr::LastLines;
use lar_inference::Error;
use lar_inference::protocol;
use lar_inference::protocol::{CREDIT, CallerNumbers, FromWorker, HEARTBEAT, Load, ToWorker, TuningResult};
use lar_inference::{CallerIds, Event, Sampling};
pub(super) use start::confinement;
use start::{greet, read_sized, spawn, wait_until_loaded};

/// A worker that is silent for this long counts as dead.
const SILENCE_MAX: Duration = HEARTBEAT.saturating_mul(15);
/// A step that computes for this long counts as hung.
const STEP_MAX: Duration = Duration::from_secs(120);
/// Texts on standard error when memory ran out: llama.cpp throws a C++ exception, or OpenMP cannot start a
/// thread.
const NO_MEMORY: [&str; 2] = ["foreign exception", "libgomp: Thread creation failed"];

/// A running worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pid: u32,
    shared: Arc<Shared>,
}

/// Called with each new measurement of the worker.
pub(super) type OnTuned = Box<dyn Fn(TuningResult) + Send + Sync>;

struct Shared {
    tuned: OnTuned,
    outbox: mpsc::Sender<OutgoingFrame>,
    /// KiB of texts that may wait to be written.
    texts: Arc<Semaphore>,
    /// Permits for texts over [`limits::LARGE_PROMPT_BYTES`].
    large_prompts: Semaphore,
    next: AtomicU64,
    /// Derives the numbers that identify callers to the worker.
    callers: RandomState,
    active: AtomicU32,
    streams: Mutex<HashMap<u64, Stream>>,
    pending_replies: Mutex<HashMap<u64, PendingReply>>,
    death: watch::Sender<Option<String>>,
    kill: CancellationToken,
}

/// A frame that waits to be written, with its share of the memory for texts.
#[derive(Debug)]
struct OutgoingFrame {
    bytes: Vec<u8>,
    _texts: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Stream {
    events: mpsc::Sender<Event>,
    /// The tokens and bytes that the worker may still send.
    allowance: Allowance,
    prefill: PrefillReports,
    /// Whether the stream has one of the worker's sequences.
    has_slot: watch::Sender<bool>,
    /// Ends the task that waits to cancel the stream.
    _over: DropGuard,
}

impl Worker {
    /// Starts a process and returns once it has loaded its model or vocabulary. Dropping the future kills the
    /// process.
    pub(crate) async fn start(
        program: &Path,
        load: Load,
        policy: ConfinementPolicy,
        tuned: OnTuned,
    ) -> Result<Self, Error> {
        let (mut child, mut reader, mut writer) = spawn(program)?;
        let stderr =
            LastLines::of(&mut child, |line| tracing::debug!(line, "a worker wrote to standard error"));
        let loading = async {
            let missing = greet(&mut reader, &mut writer, load).await?;
            start::check_confinement(&missing, policy)?;
            wait_until_loaded(&mut reader).await
        };
        let loaded = loading.await;
        if let Ok(Some(found)) = &loaded {
            tuned(*found);
        }
        if let Err(error) = loaded {
            let Error::Failed(reason) = error else { return Err(error) };
            // A worker that exited by itself has a status, most likely a signal.
            let ended = tokio::time::timeout(Duration::from_secs(1), child.wait()).await;
            let status =
                ended.ok().and_then(Result::ok).map(|status| format!(" ({status})")).unwrap_or_default();
            let _ = child.start_kill();
            let lines = stderr.wait_closed().await;
            let lines = if lines.is_empty() { lines } else { format!(": {lines}") };
            return Err(Error::Load(format!("{reason}{status}{lines}")));
        }
        let (outbox, frames) = mpsc::channel(limits::OUTBOX_FRAMES_MAX);
        let shared = Arc::new(Shared {
            tuned,
            outbox,
            texts: Arc::new(Semaphore::new(limits::OUTBOX_KIB_MAX)),
            large_prompts: Semaphore::new(limits::LARGE_PROMPTS_MAX),
            next: AtomicU64::new(1),
            callers: RandomState::new(),
            active: AtomicU32::new(0),
            streams: Mutex::default(),
            pending_replies: Mutex::default(),
            death: watch::Sender::new(None),
            kill: CancellationToken::new(),
        });
        let pid = child.id().unwrap_or_default();
        tokio::spawn(send_frames(writer, frames, shared.kill.clone()));
        tokio::spawn(supervise(child, reader, stderr, shared.clone()));
        Ok(Self { pid, shared })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn active(&self) -> u32 {
        self.shared.active.load(Ordering::Relaxed)
    }

    /// Returns the reason why the worker died, if it did.
    pub(crate) fn death(&self) -> Option<String> {
        self.shared.death.borrow().clone()
    }

    /// Waits until the worker dies and returns the reason.
    pub(crate) async fn wait_for_death(&self) -> String {
        let mut death = self.shared.death.subscribe();
        match death.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "its handle was dropped".into(),
        }
    }

    /// Kills the process and waits until it has exited.
    pub(crate) async fn stop(&self) {
        self.shared.kill.cancel();
        self.wait_for_death().await;
    }

    /// Computes the vectors of texts, or scores them for `query`. Dropping the future stops the work.
    pub(crate) async fn embed(
        &self,
        query: Option<String>,
        texts: Vec<String>,
    ) -> Result<EmbeddedTexts, Error> {
        if texts.is_empty() {
            return Ok(EmbeddedTexts { values: Vec::new(), tokens: 0, truncated: Vec::new() });
        }
        let (answer, answered) = oneshot::channel();
        let values = vec![Vec::new(); texts.len()];
        let call = self.register(PendingReply::Embed(PendingEmbedding { values, answer }));
        for (texts, more) in split_into_frames(texts) {
            let frame = ToWorker::Embed { id: call.id, query: query.clone(), texts, more };
            self.shared.send_text(frame).await?;
        }
        match answered.await {
            Ok(answer) => answer.map_err(Error::Failed),
            Err(_) => Err(Error::Failed(self.wait_for_death().await)),
        }
    }

    /// Registers a caller that waits for an answer, until the guard is dropped.
    fn register(&self, reply: PendingReply) -> ForgetOnDrop {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.shared.pending_replies).insert(id, reply);
        if self.death().is_some() {
            // The worker may have died before the call was registered.
            lock(&self.shared.pending_replies).remove(&id);
        }
        ForgetOnDrop { shared: self.shared.clone(), id }
    }

    pub(super) fn generate(
        worker: &Arc<Self>,
        tokens: Vec<u32>,
        sampling: Sampling,
        caller: Option<CallerIds>,
        cache_of: Option<KeyId>,
    ) -> Generation {
        let person = worker.shared.callers.hash_one(caller.map(|caller| caller.person));
        let key = worker.shared.caller_number(caller.map(|caller| caller.key));
        let caller = CallerNumbers { person, key };
        let stream = worker.shared.next.fetch_add(1, Ordering::Relaxed);
        let (events, mut received) = mpsc::channel(limits::EVENTS_MAX);
        let stop = CancellationToken::new();
        let over = CancellationToken::new();
        let scored = if sampling.prompt_logprobs { tokens.len() } else { 0 };
        let scored = u32::try_from(scored).unwrap_or(u32::MAX);
        let allowance = Allowance::new(sampling.tokens_max.saturating_add(scored));
        let prefill = PrefillReports::new(sampling.reports_prefill.then_some(tokens.len()));
        let (slot, has_slot) = watch::channel(false);
        let entry = Stream { events, allowance, prefill, has_slot: slot, _over: over.clone().drop_guard() };
        lock(&worker.shared.streams).insert(stream, entry);
        let frame = ToWorker::Generate { stream, caller, tokens, sampling, cache_of };
        if let Err(error) = worker.shared.try_send(&frame) {
            worker.shared.end(stream, worker.active(), Event::Failed(error));
        }
        if let Some(reason) = worker.death() {
            // The worker may have died before the stream was registered.
            worker.shared.end(stream, 0, Event::Failed(Error::Failed(reason)));
        }
        let (shared, stop_requested) = (worker.shared.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop_requested.cancelled() => shared.send(ToWorker::Cancel { stream }),
                () = over.cancelled() => {}
            }
        });
        let shared = worker.shared.clone();
        let mut taken = 0;
        let events = stream::poll_fn(move |context| {
            let event = std::task::ready!(received.poll_recv(context));
            // The worker gets as much new credit as events were read.
            match &event {
                Some(Event::Delta { tokens, .. }) => taken += (*tokens).max(1),
                Some(Event::Prefilling { .. }) => taken += 1,
                _ => {}
            }
            if taken >= CREDIT / 2 {
                shared.send(ToWorker::Credit { stream, tokens: std::mem::take(&mut taken) });
            }
            std::task::Poll::Ready(event)
        });
        Generation { events: events.boxed(), stop, has_slot: Some(has_slot) }
    }
}

/// Forgets a call when its caller drops the future.
struct ForgetOnDrop {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for ForgetOnDrop {
    fn drop(&mut self) {
        if lock(&self.shared.pending_replies).remove(&self.id).is_some() {
            self.shared.send(ToWorker::Cancel { stream: self.id });
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.kill.cancel();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// Sends a frame of some numbers, which is never too long.
    fn send(&self, frame: ToWorker) {
        if let Err(error) = self.try_send(&frame) {
            tracing::error!(%error, "a frame for a worker was left out");
        }
    }

    /// Sends a frame without waiting. Kills a worker whose outbox is full.
    ///
    /// # Errors
    /// If the frame is too long.
    fn try_send(&self, frame: &ToWorker) -> Result<(), Error> {
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

    /// Returns a number that identifies a caller and almost certainly no other. The worker learns nothing
    /// else about the key.
    fn caller_number(&self, caller: Option<KeyId>) -> u64 {
        self.callers.hash_one(caller)
    }

    /// Waits for a permit to send a text of this many bytes; small texts need none. Dropping the permit frees
    /// it.
    async fn acquire_large_prompt_permit(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        if bytes <= limits::LARGE_PROMPT_BYTES {
            return None;
        }
        self.large_prompts.acquire().await.ok()
    }

    /// Sends a frame with a caller's text, once there is room for it.
    async fn send_text(&self, frame: impl Serialize) -> Result<(), Error> {
        let bytes = protocol::encode(&frame).map_err(|error| Error::Failed(error.to_string()))?;
        drop(frame);
        let share = limits::kib(bytes.len());
        let texts = self.texts.clone().acquire_many_owned(share).await.ok();
        // A closed channel means a dead worker, as in `send`.
        let _ = self.outbox.send(OutgoingFrame { bytes, _texts: texts }).await;
        Ok(())
    }

    /// Handles a frame with a body of `bytes` bytes. An error is a violation of the protocol.
    fn handle_frame(&self, frame: FromWorker, bytes: usize) -> Result<(), String> {
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

    fn end(&self, stream: u64, active: u32, event: Event) {
        self.active.store(active, Ordering::Relaxed);
        if let Some(stream) = lock(&self.streams).remove(&stream) {
            // There is room for it: a worker that overfills a stream is killed.
            let _ = stream.events.try_send(event);
        }
    }

    fn mark_dead(&self, reason: &str) {
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

/// Writes frames until the worker has exited. Kills a worker that does not read: a working one reads during
/// any computation.
async fn send_frames(
    mut writer: OwnedWriteHalf,
    mut frames: mpsc::Receiver<OutgoingFrame>,
    kill: CancellationToken,
) {
    while let Some(frame) = frames.recv().await {
        match tokio::time::timeout(SILENCE_MAX, writer.write_all(&frame.bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                tracing::warn!("a worker did not read its frames and was killed");
                kill.cancel();
                return;
            }
        }
    }
}

/// Handles the worker's frames until it dies, is killed or breaks the protocol.
async fn supervise(mut child: Child, reader: OwnedReadHalf, stderr: LastLines, shared: Arc<Shared>) {
    // Buffered, because frames are small and many arrive together.
    let mut reader = BufReader::new(reader);
    let mut reader_task = tokio::spawn({
        let shared = shared.clone();
        async move {
            loop {
                match tokio::time::timeout(SILENCE_MAX, read_sized::<FromWorker>(&mut reader)).await {
                    Ok(Ok((frame, bytes))) => {
                        if let Err(reason) = shared.handle_frame(frame, bytes) {
                            return reason;
                        }
                    }
                    Ok(Err(_)) => return "it closed the connection".to_owned(),
                    Err(_) => return format!("it was silent for {} s", SILENCE_MAX.as_secs()),
                }
            }
        }
    });
    let reason = tokio::select! {
        reason = &mut reader_task => Some(reason.unwrap_or_else(|_| "its frames could not be handled".into())),
        () = shared.kill.cancelled() => { reader_task.abort(); None }
    };
    let _ = child.start_kill();
    let status = child.wait().await;
    let reason = match (reason, status) {
        (None, _) => "it was unloaded".to_owned(),
        (Some(reason), Ok(status)) if !status.success() => {
            let lines = stderr.wait_closed().await;
            if lines.is_empty() {
                format!("{reason} ({status})")
            } else if NO_MEMORY.iter().any(|known| lines.contains(known)) {
                format!("{reason} ({status}): llama.cpp aborted, most likely because memory ran out")
            } else {
                format!("{reason} ({status}): {lines}")
            }
        }
        (Some(reason), _) => reason,
    };
    tracing::info!(pid = child.id(), %reason, "a worker ended");
    shared.mark_dead(&reason);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
