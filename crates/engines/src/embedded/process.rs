//! The server's end of a worker: starting it, speaking the protocol, noticing its death.
//!
//! A worker is killed when its [`Worker`] is dropped, and kills itself when the socket closes, so none
//! outlives its server. Its death fails every stream it had; nothing else notices.

mod start;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use lar_base::KeyId;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::questions::{Embedded, Embedding, Question, texts_in_frames};
use crate::Error;
use crate::driver::{Constraint, Event, Generation, Prompt, Sampling};
use crate::protocol::{self, CREDIT, FromWorker, HEARTBEAT, Load, ToWorker, Tuned};
use crate::template::ChatTemplate;
pub(super) use start::confinement;
use start::{Stderr, greet, last_lines, loaded, read, spawn};

/// A worker that is silent for this long is taken for dead.
const SILENCE_MAX: Duration = HEARTBEAT.saturating_mul(15);
/// A step that computes for this long is taken for hung.
const STEP_MAX: Duration = Duration::from_secs(120);
/// What a worker's end says when llama.cpp throws an exception through it; it does that when memory runs out.
const FOREIGN_EXCEPTION: &str = "foreign exception";
/// A running worker.
#[derive(Debug)]
pub(super) struct Worker {
    pid: u32,
    /// What it measured when it loaded, where that was asked for.
    pub(super) tuned: Option<Tuned>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    frames: mpsc::UnboundedSender<ToWorker>,
    next: AtomicU64,
    active: AtomicU32,
    streams: Mutex<HashMap<u64, Stream>>,
    questions: Mutex<HashMap<u64, Question>>,
    death: watch::Sender<Option<String>>,
    kill: CancellationToken,
}

#[derive(Debug)]
struct Stream {
    events: mpsc::UnboundedSender<Event>,
    /// Deltas received since credit was last given.
    received: u32,
    /// Tells whoever waits to cancel the stream that it is over.
    _over: DropGuard,
}

impl Worker {
    /// Starts a process and returns once it has loaded what it is to hold. Dropping the future kills it.
    pub(super) async fn start(program: &Path, load: Load) -> Result<Self, Error> {
        let (mut child, mut reader, mut writer) = spawn(program)?;
        let stderr = last_lines(&mut child);
        let loading = async {
            let missing = greet(&mut reader, &mut writer, load).await?;
            if !missing.is_empty() {
                tracing::warn!(missing = missing.join("; "), "a worker is not confined in every way");
            }
            loaded(&mut reader).await
        };
        let loaded = loading.await;
        let tuned = *loaded.as_ref().unwrap_or(&None);
        if let Err(error) = loaded {
            let Error::Failed(reason) = error else { return Err(error) };
            // One that ended by itself says how: a signal, most likely.
            let ended = tokio::time::timeout(Duration::from_secs(1), child.wait()).await;
            let status =
                ended.ok().and_then(Result::ok).map(|status| format!(" ({status})")).unwrap_or_default();
            let _ = child.start_kill();
            let lines = stderr.closed().await;
            let lines = if lines.is_empty() { lines } else { format!(": {lines}") };
            return Err(Error::Load(format!("{reason}{status}{lines}")));
        }
        let (frames, outbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            frames,
            next: AtomicU64::new(1),
            active: AtomicU32::new(0),
            streams: Mutex::default(),
            questions: Mutex::default(),
            death: watch::Sender::new(None),
            kill: CancellationToken::new(),
        });
        let pid = child.id().unwrap_or_default();
        tokio::spawn(send_frames(writer, outbox));
        tokio::spawn(attend(child, reader, stderr, shared.clone()));
        Ok(Self { pid, tuned, shared })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn active(&self) -> u32 {
        self.shared.active.load(Ordering::Relaxed)
    }

    /// Why the worker died, if it did.
    pub(super) fn death(&self) -> Option<String> {
        self.shared.death.borrow().clone()
    }

    /// Waits until the worker dies and tells why.
    pub(super) async fn died(&self) -> String {
        let mut death = self.shared.death.subscribe();
        match death.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "its server let it go".into(),
        }
    }

    /// Kills the process and waits until it is gone.
    pub(super) async fn stop(&self) {
        self.shared.kill.cancel();
        self.died().await;
    }

    /// A prompt's tokens, and how the text ends that was made of a chat.
    pub(super) async fn tokenize(
        &self,
        prompt: Prompt,
        template: Option<ChatTemplate>,
    ) -> Result<(Vec<u32>, String), Error> {
        let (answer, answered) = oneshot::channel();
        self.ask(Question::Tokenize(answer), |id| ToWorker::Tokenize { id, prompt, template });
        match answered.await {
            Ok(answer) => answer.map_err(Error::Template),
            Err(_) => Err(Error::Failed(self.died().await)),
        }
    }

    pub(super) async fn check(&self, constraint: Constraint) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.ask(Question::Check(answer), |id| ToWorker::Check { id, constraint });
        match answered.await {
            Ok(problem) => problem.map_or(Ok(()), |problem| Err(Error::Constraint(problem))),
            Err(_) => Err(Error::Failed(self.died().await)),
        }
    }

    /// The vectors of texts, or the scores of `query` with each. Dropping the future stops the work.
    pub(super) async fn embed(&self, query: Option<String>, texts: Vec<String>) -> Result<Embedded, Error> {
        let (answer, answered) = oneshot::channel();
        let values = vec![Vec::new(); texts.len()];
        let mut frames = texts_in_frames(texts).into_iter();
        let (texts, mut more) = frames.next().unwrap_or_default();
        let first = query.clone();
        let question = Question::Embed(Embedding { values, answer });
        let id = self.ask(question, |id| ToWorker::Embed { id, query: first, texts, more });
        while let (true, Some((texts, further))) = (more, frames.next()) {
            more = further;
            self.shared.send(ToWorker::Embed { id, query: query.clone(), texts, more });
        }
        // Also when it was answered: then there is nothing to forget.
        let _forget = Forget { shared: self.shared.clone(), id };
        match answered.await {
            Ok(answer) => answer.map_err(Error::Failed),
            Err(_) => Err(Error::Failed(self.died().await)),
        }
    }

    fn ask(&self, question: Question, frame: impl FnOnce(u64) -> ToWorker) -> u64 {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.shared.questions).insert(id, question);
        self.shared.send(frame(id));
        if self.death().is_some() {
            // It may have died before the question was noted down.
            lock(&self.shared.questions).remove(&id);
        }
        id
    }

    pub(super) fn generate(
        worker: &Arc<Self>,
        tokens: Vec<u32>,
        sampling: Sampling,
        cache_of: Option<KeyId>,
    ) -> Generation {
        let stream = worker.shared.next.fetch_add(1, Ordering::Relaxed);
        let (events, mut received) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let over = CancellationToken::new();
        let entry = Stream { events, received: 0, _over: over.clone().drop_guard() };
        lock(&worker.shared.streams).insert(stream, entry);
        worker.shared.send(ToWorker::Generate { stream, tokens, sampling, cache_of });
        if let Some(reason) = worker.death() {
            // It may have died before the stream was noted down.
            worker.shared.end(stream, 0, Event::Failed(Error::Failed(reason)));
        }
        let (shared, asked) = (worker.shared.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = asked.cancelled() => shared.send(ToWorker::Cancel { stream }),
                () = over.cancelled() => {}
            }
        });
        Generation { events: stream::poll_fn(move |context| received.poll_recv(context)).boxed(), stop }
    }
}

/// Forgets a question whose asker went away.
struct Forget {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Forget {
    fn drop(&mut self) {
        if lock(&self.shared.questions).remove(&self.id).is_some() {
            self.shared.send(ToWorker::Cancel { stream: self.id });
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.kill.cancel();
    }
}

impl Shared {
    fn send(&self, frame: ToWorker) {
        // A closed channel means a dead worker, which `attend` reports to every stream.
        let _ = self.frames.send(frame);
    }

    fn hear(&self, frame: FromWorker) -> Result<(), String> {
        match frame {
            FromWorker::Tokens { id, tokens, tail } => self.tokens(id, Ok((tokens, tail))),
            FromWorker::TokenizeFailed { id, message } => self.tokens(id, Err(message)),
            FromWorker::Checked { id, problem } => {
                if let Some(Question::Check(question)) = lock(&self.questions).remove(&id) {
                    let _ = question.send(problem);
                }
            }
            FromWorker::Prefilled { stream, known } => self.event(stream, Event::Prefilled { known }),
            FromWorker::Delta { stream, text, tokens, logprobs } => {
                self.event(stream, Event::Delta { text, tokens, logprobs });
                self.give_credit(stream);
            }
            FromWorker::Vector { id, index, values } => {
                if let Some(Question::Embed(embedding)) = lock(&self.questions).get_mut(&id)
                    && let Some(place) = embedding.values.get_mut(index as usize)
                {
                    *place = values;
                }
            }
            FromWorker::Embedded { id, tokens, truncated } => {
                if let Some(Question::Embed(Embedding { values, answer })) = lock(&self.questions).remove(&id)
                {
                    let truncated = truncated.into_iter().map(|index| index as usize).collect();
                    let _ = answer.send(Ok(Embedded { values, tokens, truncated }));
                }
            }
            FromWorker::EmbedFailed { id, message } => {
                if let Some(Question::Embed(embedding)) = lock(&self.questions).remove(&id) {
                    let _ = embedding.answer.send(Err(message));
                }
            }
            FromWorker::Finished { stream, reason, guessed, right, active } => {
                if guessed > 0 {
                    self.event(stream, Event::Guessed { tokens: guessed, right });
                }
                self.end(stream, active, Event::Finished(reason));
            }
            FromWorker::Cancelled { stream, active } => self.end(stream, active, Event::Cancelled),
            FromWorker::Failed { stream, message, active } => {
                self.end(stream, active, Event::Failed(Error::Failed(message)));
            }
            FromWorker::Heartbeat { active, step_ms } => {
                self.active.store(active, Ordering::Relaxed);
                if Duration::from_millis(step_ms) > STEP_MAX {
                    return Err(format!("it has computed one step for {} s", step_ms / 1000));
                }
            }
            FromWorker::Hello { .. }
            | FromWorker::Confined { .. }
            | FromWorker::Loaded { .. }
            | FromWorker::LoadFailed { .. } => return Err("it said hello twice".into()),
        }
        Ok(())
    }

    fn tokens(&self, id: u64, answer: Result<(Vec<u32>, String), String>) {
        if let Some(Question::Tokenize(question)) = lock(&self.questions).remove(&id) {
            let _ = question.send(answer);
        }
    }

    fn event(&self, stream: u64, event: Event) {
        if let Some(stream) = lock(&self.streams).get(&stream) {
            let _ = stream.events.send(event);
        }
    }

    fn give_credit(&self, id: u64) {
        let mut streams = lock(&self.streams);
        let Some(stream) = streams.get_mut(&id) else { return };
        stream.received += 1;
        if stream.received >= CREDIT / 2 {
            let deltas = std::mem::take(&mut stream.received);
            self.send(ToWorker::Credit { stream: id, deltas });
        }
    }

    fn end(&self, stream: u64, active: u32, event: Event) {
        self.active.store(active, Ordering::Relaxed);
        if let Some(stream) = lock(&self.streams).remove(&stream) {
            let _ = stream.events.send(event);
        }
    }

    fn die(&self, reason: &str) {
        self.active.store(0, Ordering::Relaxed);
        self.death.send_replace(Some(reason.to_owned()));
        for (_, stream) in lock(&self.streams).drain() {
            let _ = stream.events.send(Event::Failed(Error::Failed(reason.to_owned())));
        }
        lock(&self.questions).clear();
    }
}

async fn send_frames(mut writer: OwnedWriteHalf, mut outbox: mpsc::UnboundedReceiver<ToWorker>) {
    while let Some(frame) = outbox.recv().await {
        let Ok(bytes) = protocol::encode(&frame) else { continue };
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Hears the worker until it dies, is killed or breaks the protocol.
async fn attend(mut child: Child, reader: OwnedReadHalf, stderr: Stderr, shared: Arc<Shared>) {
    let mut reader = reader;
    let mut heard = tokio::spawn({
        let shared = shared.clone();
        async move {
            loop {
                match tokio::time::timeout(SILENCE_MAX, read::<FromWorker>(&mut reader)).await {
                    Ok(Ok(frame)) => {
                        if let Err(reason) = shared.hear(frame) {
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
        reason = &mut heard => Some(reason.unwrap_or_else(|_| "its frames could not be handled".into())),
        () = shared.kill.cancelled() => { heard.abort(); None }
    };
    let _ = child.start_kill();
    let status = child.wait().await;
    let reason = match (reason, status) {
        (None, _) => "it was unloaded".to_owned(),
        (Some(reason), Ok(status)) if !status.success() => {
            let lines = stderr.closed().await;
            if lines.is_empty() {
                format!("{reason} ({status})")
            } else if lines.contains(FOREIGN_EXCEPTION) {
                format!("{reason} ({status}): llama.cpp gave up, most likely for want of memory")
            } else {
                format!("{reason} ({status}): {lines}")
            }
        }
        (Some(reason), _) => reason,
    };
    tracing::info!(pid = child.id(), %reason, "a worker ended");
    shared.die(&reason);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
