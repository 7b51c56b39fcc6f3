//! The worker process: `lar worker` loads one model and serves the socket that is its standard input.
//!
//! It has three threads. One reads frames, and kills the process at end of file. One writes frames and
//! heartbeats. The main thread owns the [`Backend`] and computes. It reads commands between steps; a
//! cancellation interrupts a long step, also during prefill, so that it is confirmed promptly.
//!
//! The server's end of the socket is `engines::embedded`.

#[cfg(all(feature = "portable", feature = "gpu"))]
compile_error!(
    "`portable` loads libraries before a worker is confined; GPU libraries would start unconfined threads"
);

mod autotune;
mod cache;
mod check;
mod confinement;
mod constraint;
mod detokenizer;
mod draft;
mod embed;
mod encode;
mod encoder;
mod fair_queue;
mod generate;
mod llama;
mod llama_cpp;
mod prefill_order;
mod sampler;
mod sequence;
mod sharing;
mod shortlist;
mod step_budget;
mod step_threads;
mod threads;
mod timed;
mod tokenize;
mod tool_call_constraint;

use std::io::{BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use lar_base::Instant;
use rustix::process::{Signal, getpid, kill_process};

use check::Checks;
use lar_inference::protocol;
use lar_inference::protocol::{CallerNumbers, FromWorker, HEARTBEAT, Load, ToWorker, TuningResult};
use lar_inference::{FinishReason, Sampling, TokenLogprobs};
use llama_cpp::{Interrupt, Vocab};
use tokenize::{Limit, PromptQueue, RequestKind, TokenizeRequest, Tokenizers};

/// The longest error message in a frame, in bytes. A template's error may quote a whole chat, and the server
/// kills a worker that sends too long a frame.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// The most commands that wait for the computing thread: as many as the server lets wait on its side. A step
/// usually takes less than half a second; a server that sends more during one waits, and kills the worker if
/// it cannot send for long.
const COMMANDS_MAX: usize = 8_192;
/// How long the reading thread waits while [`COMMANDS_MAX`] commands wait: as long as a step may take before
/// the server counts the worker as hung. Then the process ends, because meanwhile it could not see that the
/// server is gone.
const COMMAND_WAIT_MAX: Duration = Duration::from_secs(120);
/// The interval at which the reading thread checks for room.
const COMMAND_RETRY_AFTER: Duration = Duration::from_millis(10);
/// The most frames that wait to be written: those of a step of the largest batch, with a few for each of its
/// sequences.
const OUTGOING_MAX: usize = 1_024;
/// The interval at which an idle worker checks whether a waiting stream may have a sequence.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The progress of one stream or request.
#[derive(Debug)]
enum Progress {
    /// The stream got a sequence.
    Started,
    /// The stream lost its sequence to another stream.
    Paused,
    /// This many tokens of the prompt are in the KV cache.
    Prefilling {
        tokens: u32,
    },
    Prefilled {
        cached_tokens: u32,
    },
    Delta {
        text: String,
        tokens: u32,
        logprobs: Vec<TokenLogprobs>,
    },
    Finished {
        reason: FinishReason,
        drafted: u32,
        accepted: u32,
    },
    Failed(String),
    /// The constraint allows no next token, or takes too long.
    ConstraintFailed(String),
    /// The vector or the scores of one text of a request.
    Vector {
        index: u32,
        values: Vec<f32>,
    },
    /// All texts of a request have their vectors or scores.
    Embedded {
        tokens: u64,
        truncated: Vec<u32>,
    },
    EmbedFailed(String),
    /// The number of threads changed; belongs to no stream.
    TuningResult(TuningResult),
}

impl Progress {
    /// Makes the frame for the server; `active` streams are left.
    fn frame(self, id: u64, active: u32) -> FromWorker {
        match self {
            Progress::Started => FromWorker::Started { stream: id },
            Progress::Paused => FromWorker::Paused { stream: id },
            Progress::Prefilling { tokens } => FromWorker::Prefilling { stream: id, tokens },
            Progress::Prefilled { cached_tokens } => FromWorker::Prefilled { stream: id, cached_tokens },
            Progress::Delta { text, tokens, logprobs } => {
                FromWorker::Delta { stream: id, text, tokens, logprobs }
            }
            Progress::Finished { reason, drafted, accepted } => {
                FromWorker::Finished { stream: id, reason, drafted, accepted, active }
            }
            Progress::Failed(message) => {
                FromWorker::Failed { stream: id, message, constraint: false, active }
            }
            Progress::ConstraintFailed(message) => {
                FromWorker::Failed { stream: id, message, constraint: true, active }
            }
            Progress::Vector { index, values } => FromWorker::Vector { id, index, values },
            Progress::Embedded { tokens, truncated } => FromWorker::Embedded { id, tokens, truncated },
            Progress::EmbedFailed(message) => FromWorker::EmbedFailed { id, message },
            Progress::TuningResult(tuned) => FromWorker::TuningResult(tuned),
        }
    }
}

/// A request for a stream.
struct StreamRequest {
    /// The user and key that sent it.
    caller: CallerNumbers,
    prompt: cache::PromptTokens,
    sampling: Sampling,
}

/// An engine on its own thread: small, synchronous, and independent of processes and frames.
trait Backend {
    /// Returns the model's vocabulary.
    fn vocab(&self) -> Vocab<'_>;
    /// Accepts a stream. An error is the final report of this stream and affects no other.
    fn start(&mut self, _stream: u64, _request: StreamRequest) -> Result<(), Progress> {
        Err(Progress::Failed("this worker does not generate".into()))
    }
    /// Accepts texts, or pairs of `query` and each text. `more` says that further texts of the request
    /// follow. The results come in steps. An error is final for this request and affects no other.
    fn embed(
        &mut self,
        _id: u64,
        _query: Option<&str>,
        _texts: &[String],
        _more: bool,
        _report: &mut dyn FnMut(u64, Progress),
    ) -> Result<(), String> {
        Err("this worker does not compute embeddings".into())
    }
    /// Lets a stream produce this many more tokens.
    fn credit(&mut self, _stream: u64, _tokens: u32) {}
    /// Drops a stream or a request. Returns whether a stream was dropped.
    fn cancel(&mut self, _id: u64) -> bool {
        false
    }
    /// Returns the number of streams and requests.
    fn active(&self) -> u32 {
        0
    }
    /// Returns whether a step would compute anything.
    fn has_work(&self) -> bool {
        false
    }
    /// Returns whether the passing of time alone can create work.
    fn waits(&self) -> bool {
        false
    }
    /// Computes one step and reports its results. A step takes at most half a second if the hardware allows
    /// it, and may be interrupted.
    fn step(&mut self, _report: &mut dyn FnMut(u64, Progress)) {}
}

/// Serves the socket on standard input until it closes.
///
/// # Errors
/// Standard input is not a socket, the server has another protocol version, or the model cannot be loaded.
pub fn run() -> Result<(), String> {
    // Closes descriptors that the parent process left open.
    lar_sandbox::close_descriptors();
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(|error| text(&error))?;
    let mut socket = UnixStream::from(socket);
    protocol::write(&mut socket, &FromWorker::Hello { version: protocol::VERSION, engine: llama::build() })
        .map_err(|error| text(&error))?;
    match protocol::read(&mut socket).map_err(|error| text(&error))? {
        Some(ToWorker::Hello { version: protocol::VERSION }) => {}
        Some(_) => return Err("the server has another version of the protocol".into()),
        None => return Ok(()),
    }
    let load = match protocol::read(&mut socket).map_err(|error| text(&error))? {
        Some(ToWorker::Load(load)) => load,
        Some(_) => return Err("the server sent another frame instead of `Load`".into()),
        None => return Ok(()),
    };
    // The library accesses the machine before the process is confined, and the process is confined before it
    // has a second thread.
    match &load {
        Load::Encoder(_) => encode::prepare(),
        Load::Vocabulary { .. } | Load::Model { .. } | Load::Embedder { .. } => llama_cpp::start()?,
    }
    let confinement = confinement::of(&load);
    let missing = lar_sandbox::confine(&confinement);
    let missing = missing.iter().map(ToString::to_string).collect();
    protocol::write(&mut socket, &FromWorker::Confined { missing }).map_err(|error| text(&error))?;
    if let Load::Encoder(load) = &load {
        return encode::run(load, socket, confinement.profile);
    }
    let reader = socket.try_clone().map_err(|error| text(&error))?;
    let (commands, inbox) = mpsc::sync_channel(COMMANDS_MAX);
    let interrupt = Interrupt::default();
    let asks = interrupt.clone();
    let prompts = matches!(load, Load::Vocabulary { .. }).then(|| Arc::new(PromptQueue::default()));
    let queue = prompts.clone();
    std::thread::spawn(move || read_commands(reader, &commands, &asks, queue.as_deref()));

    let outcome = llama::with_backend(&load, interrupt.clone(), |backend, loaded| {
        let llama::LoadReport { tuned, draft_refused, tokenizer } = loaded;
        confinement::finish_loading(confinement.profile)?;
        let vocabulary = backend.vocab().len();
        let loaded = FromWorker::Loaded { vocabulary, tuned, draft_refused };
        protocol::write(&mut socket, &loaded).map_err(|error| error.to_string())?;
        let writer = socket.try_clone().map_err(|error| error.to_string())?;
        let out = Outbox::start(writer);
        let (Some(tokenizer), Some(queue)) = (&tokenizer, &prompts) else {
            compute(backend, &inbox, &interrupt, &out);
            return Ok(());
        };
        std::thread::scope(|scope| {
            let started = Tokenizers::start(scope, tokenizer, queue, &out);
            if started.is_ok() {
                compute(backend, &inbox, &interrupt, &out);
            }
            queue.close();
            started
        })
    });
    if let Err(message) = &outcome {
        let _ = protocol::write(&mut socket, &FromWorker::LoadFailed { message: message.clone() });
    }
    outcome
}

/// Reads commands until end of file, then kills the process in any state: there is nothing to save.
fn read_commands(
    socket: UnixStream,
    commands: &mpsc::SyncSender<ToWorker>,
    interrupt: &Interrupt,
    prompts: Option<&PromptQueue>,
) {
    let mut socket = BufReader::new(socket);
    while let Ok(Some(frame)) = protocol::read(&mut socket) {
        let cancels = matches!(frame, ToWorker::Cancel { .. });
        let frame = match (frame, prompts) {
            (ToWorker::Tokenize { id, caller, prompt, template, tokens_max }, Some(prompts)) => {
                let limit = tokens_max.map_or(Limit::Count, Limit::Tokens);
                prompts.add(TokenizeRequest {
                    id,
                    caller,
                    kind: RequestKind::Prompt(prompt, limit),
                    template,
                });
                continue;
            }
            (ToWorker::Text { id, caller, question, template }, Some(prompts)) => {
                prompts.add(TokenizeRequest { id, caller, kind: RequestKind::Text(question), template });
                continue;
            }
            (frame, prompts) => {
                if let (ToWorker::Cancel { stream }, Some(prompts)) = (&frame, prompts) {
                    prompts.cancel(*stream);
                }
                frame
            }
        };
        if !forward(commands, frame, COMMAND_WAIT_MAX) {
            break;
        }
        if cancels {
            interrupt.request();
        }
    }
    let _ = kill_process(getpid(), Signal::KILL);
}

/// Hands a frame to the computing thread. While the queue is full, waits up to `wait_max` for room.
///
/// Returns false if there is no room or no computing thread; the process then ends. Waiting cannot deadlock:
/// the computing thread takes commands between steps and waits only for the writing thread, which is
/// independent of this one.
fn forward(commands: &mpsc::SyncSender<ToWorker>, mut frame: ToWorker, wait_max: Duration) -> bool {
    let started_at = Instant::now();
    loop {
        match commands.try_send(frame) {
            Ok(()) => return true,
            Err(mpsc::TrySendError::Disconnected(_)) => return false,
            Err(mpsc::TrySendError::Full(_)) if started_at.elapsed() >= wait_max => return false,
            Err(mpsc::TrySendError::Full(returned)) => frame = returned,
        }
        std::thread::sleep(COMMAND_RETRY_AFTER);
    }
}

/// A handle to the writing thread, and the state of the computing thread for heartbeats.
///
/// When [`OUTGOING_MAX`] frames wait, senders wait too: the computing thread then computes nothing that
/// nobody reads. The writing thread empties the queue as fast as the server reads, and the server's reader
/// never waits for anything else. If the server is gone, writing fails, the queue is dropped, and nobody
/// waits any more.
#[derive(Clone)]
struct Outbox {
    frames: mpsc::SyncSender<Outgoing>,
    active: Arc<AtomicU32>,
    step_since_ms: Arc<AtomicU64>,
}

enum Outgoing {
    Frame(FromWorker),
    /// The last frame: the process ends after it.
    Last(FromWorker),
}

impl Outbox {
    fn start(mut socket: UnixStream) -> Self {
        let (frames, queue) = mpsc::sync_channel::<Outgoing>(OUTGOING_MAX);
        let active = Arc::new(AtomicU32::new(0));
        let step_since_ms = Arc::new(AtomicU64::new(0));
        let (count, since) = (active.clone(), step_since_ms.clone());
        std::thread::spawn(move || {
            let _ends = AbortOnPanic;
            let mut last = Instant::now();
            loop {
                let mut frames = match queue.recv_timeout(HEARTBEAT) {
                    Ok(frame) => vec![frame],
                    Err(mpsc::RecvTimeoutError::Timeout) => vec![Outgoing::Frame(heartbeat(&count, &since))],
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                };
                // All other waiting frames share the system call.
                frames.extend(queue.try_iter().take(OUTGOING_MAX));
                let mut bytes = Vec::new();
                for frame in frames {
                    let (frame, last) = match frame {
                        Outgoing::Frame(frame) => (frame, false),
                        Outgoing::Last(frame) => (frame, true),
                    };
                    bytes.extend(encode_frame(&frame));
                    if last {
                        let _ = socket.write_all(&bytes);
                        let _ = kill_process(getpid(), Signal::KILL);
                    }
                }
                if last.elapsed() >= HEARTBEAT {
                    last = Instant::now();
                    bytes.extend(encode_frame(&heartbeat(&count, &since)));
                }
                if socket.write_all(&bytes).is_err() {
                    return;
                }
            }
        });
        Self { frames, active, step_since_ms }
    }

    fn send(&self, frame: FromWorker) {
        let _ = self.frames.send(Outgoing::Frame(with_short_message(frame)));
    }

    /// Sends a frame and ends the process once it is written.
    fn send_last(&self, frame: FromWorker) {
        let _ = self.frames.send(Outgoing::Last(with_short_message(frame)));
    }

    /// Marks the start of a step.
    fn begin(&self) {
        self.step_since_ms.store(Instant::now().as_millis().max(1), Ordering::Relaxed);
    }

    /// Marks the end of a step.
    fn end(&self) {
        self.step_since_ms.store(0, Ordering::Relaxed);
    }

    /// Updates the heartbeat's number of streams, before any frame reports it, and returns it.
    fn count(&self, backend: &dyn Backend) -> u32 {
        let active = backend.active();
        self.active.store(active, Ordering::Relaxed);
        active
    }
}

/// Truncates the frame's error message to [`MESSAGE_BYTES_MAX`].
fn with_short_message(mut frame: FromWorker) -> FromWorker {
    let message = match &mut frame {
        FromWorker::TokenizeFailed { message, .. }
        | FromWorker::Failed { message, .. }
        | FromWorker::EmbedFailed { message, .. }
        | FromWorker::Text { answer: Err(message), .. }
        | FromWorker::Checked { outcome: Err(message), .. } => Some(message),
        _ => None,
    };
    if let Some(message) = message.filter(|message| message.len() > MESSAGE_BYTES_MAX) {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push_str(" ...");
    }
    frame
}

/// Aborts the process if the thread that owns this panics. Otherwise the server would wait forever, while the
/// writing thread keeps sending heartbeats.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// Encodes a frame for the server.
///
/// # Panics
/// When the frame is too long. Senders keep to the limits, and whoever waits for a frame that is left out would
/// wait for ever; so the thread that writes ends the process.
fn encode_frame(frame: &FromWorker) -> Vec<u8> {
    protocol::encode(frame).expect("a frame is shorter than the limit")
}

fn heartbeat(active: &AtomicU32, since: &AtomicU64) -> FromWorker {
    let since = since.load(Ordering::Relaxed);
    let step_ms = if since == 0 { 0 } else { Instant::now().as_millis().saturating_sub(since) };
    FromWorker::Heartbeat { active: active.load(Ordering::Relaxed), step_ms }
}

fn compute(backend: &mut dyn Backend, inbox: &mpsc::Receiver<ToWorker>, interrupt: &Interrupt, out: &Outbox) {
    let _ends = AbortOnPanic;
    let mut checks = Checks::default();
    loop {
        // Cleared before the inbox is read: a later request is in the inbox or interrupts the step.
        interrupt.clear();
        let has_work = backend.has_work() || !checks.is_empty();
        let first = match (has_work, backend.waits()) {
            (true, _) => inbox.try_recv().ok(),
            (false, false) => match inbox.recv() {
                Ok(frame) => Some(frame),
                Err(mpsc::RecvError) => return,
            },
            (false, true) => match inbox.recv_timeout(LOOK_AGAIN_AFTER) {
                Ok(frame) => Some(frame),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            },
        };
        for frame in first.into_iter().chain(inbox.try_iter()) {
            // Each frame counts as one step, so that many frames do not look like one step that hangs.
            out.begin();
            handle(backend, &mut checks, frame, out);
            out.end();
        }
        // One check at a time, so that a cancellation can remove those that wait.
        if !checks.is_empty() {
            out.begin();
            for frame in checks.compute_next(|| backend.vocab()) {
                out.send(frame);
            }
            out.end();
        }
        out.count(backend);
        if backend.has_work() {
            out.begin();
            let mut progress = Vec::new();
            backend.step(&mut |stream, what| match what {
                // These are sent before the step computes.
                Progress::Started | Progress::Paused | Progress::Prefilling { .. } => {
                    out.send(what.frame(stream, 0));
                }
                what => progress.push((stream, what)),
            });
            out.end();
            let active = out.count(backend);
            for (id, what) in progress {
                out.send(what.frame(id, active));
            }
        }
    }
}

fn handle(backend: &mut dyn Backend, checks: &mut Checks, frame: ToWorker, out: &Outbox) {
    match frame {
        ToWorker::Generate { stream, caller, tokens, sampling, cache_of } => {
            let prompt = cache::PromptTokens { tokens, owner: cache_of };
            if let Err(failure) = backend.start(stream, StreamRequest { caller, prompt, sampling }) {
                out.send(failure.frame(stream, backend.active()));
            }
        }
        ToWorker::Credit { stream, tokens } => backend.credit(stream, tokens),
        ToWorker::Cancel { stream } => {
            checks.cancel(stream);
            // A stream that has ended already has had its terminal frame.
            if backend.cancel(stream) {
                out.send(FromWorker::Cancelled { stream, active: out.count(backend) });
            }
        }
        ToWorker::Embed { id, query, texts, more } => {
            let mut progress = Vec::new();
            let taken =
                backend.embed(id, query.as_deref(), &texts, more, &mut |id, what| progress.push((id, what)));
            if let Err(message) = taken {
                progress.push((id, Progress::EmbedFailed(message)));
            }
            for (id, what) in progress {
                out.send(what.frame(id, backend.active()));
            }
        }
        ToWorker::Tokenize { id, .. } => {
            let message = "this worker does not tokenize prompts".into();
            out.send(FromWorker::TokenizeFailed { id, message });
        }
        ToWorker::Text { id, .. } => {
            let answer = Err("this worker does not answer tokenizer queries".into());
            out.send(FromWorker::Text { id, answer });
        }
        ToWorker::Check { id, caller, constraints } => {
            for frame in checks.add(id, caller, constraints) {
                out.send(frame);
            }
        }
        ToWorker::Hello { .. } | ToWorker::Load(_) => {}
    }
}

/// Returns the control token with this text, if there is one.
fn control_token(vocab: Vocab<'_>, text: &str) -> Option<u32> {
    match vocab.tokenize(text, false, true).as_slice() {
        [token] if vocab.is_control(*token) => Some(*token),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
