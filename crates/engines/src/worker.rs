//! The child process: `lar worker` holds one model and obeys the socket that is its standard input.
//!
//! Three threads: one reads frames and kills the process at end of file, one writes frames and heartbeats,
//! and this one owns the [`Backend`] and computes. The computing thread looks for commands between steps; a
//! long step is broken off for a cancellation, so that it is confirmed promptly, in prefill too.

mod autotune;
mod cache;
mod check;
mod confinement;
mod constraint;
mod detokenizer;
mod draft;
mod embed;
mod encode;
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

use lar_base::Instant;
use rustix::process::{Signal, getpid, kill_process};

use crate::driver::{FinishReason, Sampling, TokenLogprobs};
use crate::protocol::{self, CallerNumbers, FromWorker, HEARTBEAT, Load, ToWorker, TuningResult};
use check::Checks;
pub(crate) use constraint::bound_whitespace;
use llama_cpp::{Interrupt, Vocab};
pub(crate) use tokenize::Cuts;
use tokenize::{Limit, PromptQueue, RequestKind, TokenizeRequest, Tokenizers};

/// How much of a rendered chat's end is told.
pub(crate) const TAIL_BYTES: usize = 64;
/// Bytes of an error's text in a frame. A template's error may quote all of a chat, and the server kills a worker whose
/// frame is too long.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// How often it is looked whether a stream that waits may have a sequence, where nothing is computed.
const LOOK_AGAIN_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

/// What a backend did, for one stream or request.
#[derive(Debug)]
enum Progress {
    /// The stream got a sequence.
    Started,
    /// The stream's sequence was given to another.
    Paused,
    /// So many tokens of the prompt are in the KV cache.
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
    /// What the answer is held to lets nothing follow, or takes too long.
    ConstraintFailed(String),
    /// The vector or the scores of one text of a request.
    Vector {
        index: u32,
        values: Vec<f32>,
    },
    /// All of a request's texts have theirs.
    Embedded {
        tokens: u64,
        truncated: Vec<u32>,
    },
    EmbedFailed(String),
    /// What is computed with changed; of no stream.
    TuningResult(TuningResult),
}

impl Progress {
    /// As it is told to the server; `active` streams are left.
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

/// What a stream is to write.
struct StreamRequest {
    /// Whose it is.
    caller: CallerNumbers,
    prompt: cache::PromptTokens,
    sampling: Sampling,
}

/// An engine on its own thread: small, synchronous, and told nothing about processes or frames.
trait Backend {
    /// The model's vocabulary.
    fn vocab(&self) -> Vocab<'_>;
    /// Takes a stream on; an error, which is a failure to be reported, is final for the stream and for nothing else.
    fn start(&mut self, _stream: u64, _request: StreamRequest) -> Result<(), Progress> {
        Err(Progress::Failed("what this worker holds does not generate".into()))
    }
    /// Takes texts on, or pairs of `query` and each of them; with `more` further ones follow. What is computed
    /// comes in steps, an error is final for the request and for nothing else.
    fn embed(
        &mut self,
        _id: u64,
        _query: Option<&str>,
        _texts: &[String],
        _more: bool,
        _report: &mut dyn FnMut(u64, Progress),
    ) -> Result<(), String> {
        Err("what this worker holds makes no vectors".into())
    }
    /// Lets a stream produce so many more tokens.
    fn credit(&mut self, _stream: u64, _tokens: u32) {}
    /// Forgets a stream or a request; says whether a stream was there.
    fn cancel(&mut self, _id: u64) -> bool {
        false
    }
    /// Streams and requests that are there.
    fn active(&self) -> u32 {
        0
    }
    /// Whether a step would do anything.
    fn has_work(&self) -> bool {
        false
    }
    /// Whether time alone will give it work.
    fn waits(&self) -> bool {
        false
    }
    /// Computes for at most half a second, where the hardware allows it, and reports; may be broken off.
    fn step(&mut self, _report: &mut dyn FnMut(u64, Progress)) {}
}

/// Obeys the socket on standard input until it closes.
///
/// # Errors
/// When standard input is no socket, the other side speaks another version, or the model cannot be loaded.
pub fn run() -> Result<(), String> {
    // Whatever the process that started this one had open.
    lar_sandbox::close_descriptors();
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(|error| text(&error))?;
    let mut socket = UnixStream::from(socket);
    protocol::write(&mut socket, &FromWorker::Hello { version: protocol::VERSION, engine: llama::build() })
        .map_err(|error| text(&error))?;
    match protocol::read(&mut socket).map_err(|error| text(&error))? {
        Some(ToWorker::Hello { version: protocol::VERSION }) => {}
        Some(_) => return Err("the server speaks another version of the protocol".into()),
        None => return Ok(()),
    }
    let load = match protocol::read(&mut socket).map_err(|error| text(&error))? {
        Some(ToWorker::Load(load)) => load,
        Some(_) => return Err("the server said something else than what to load".into()),
        None => return Ok(()),
    };
    // What the library itself needs of the machine it takes before the process is confined, and the process is
    // confined before it has a second thread.
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
    let (commands, inbox) = mpsc::channel();
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

/// Ends the process when the server is gone, whatever the engine is doing: nothing here needs saving.
fn read_commands(
    socket: UnixStream,
    commands: &mpsc::Sender<ToWorker>,
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
        if commands.send(frame).is_err() {
            break;
        }
        if cancels {
            interrupt.request();
        }
    }
    let _ = kill_process(getpid(), Signal::KILL);
}

/// The writing thread and what it reports of the computing one.
#[derive(Clone)]
struct Outbox {
    frames: mpsc::Sender<Outgoing>,
    active: Arc<AtomicU32>,
    step_since_ms: Arc<AtomicU64>,
}

enum Outgoing {
    Frame(FromWorker),
    /// The process ends with it.
    Last(FromWorker),
}

impl Outbox {
    fn start(mut socket: UnixStream) -> Self {
        let (frames, queue) = mpsc::channel::<Outgoing>();
        let active = Arc::new(AtomicU32::new(0));
        let step_since_ms = Arc::new(AtomicU64::new(0));
        let (count, since) = (active.clone(), step_since_ms.clone());
        std::thread::spawn(move || {
            let mut last = Instant::now();
            loop {
                let mut frames = match queue.recv_timeout(HEARTBEAT) {
                    Ok(frame) => vec![frame],
                    Err(mpsc::RecvTimeoutError::Timeout) => vec![Outgoing::Frame(heartbeat(&count, &since))],
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                };
                // What else is ready shares the system call.
                frames.extend(queue.try_iter());
                let mut bytes = Vec::new();
                for frame in frames {
                    let (frame, last) = match frame {
                        Outgoing::Frame(frame) => (frame, false),
                        Outgoing::Last(frame) => (frame, true),
                    };
                    bytes.extend(protocol::encode(&frame).unwrap_or_default());
                    if last {
                        let _ = socket.write_all(&bytes);
                        let _ = kill_process(getpid(), Signal::KILL);
                    }
                }
                if last.elapsed() >= HEARTBEAT {
                    last = Instant::now();
                    bytes.extend(protocol::encode(&heartbeat(&count, &since)).unwrap_or_default());
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

    /// Ends the process once this is written.
    fn send_last(&self, frame: FromWorker) {
        let _ = self.frames.send(Outgoing::Last(with_short_message(frame)));
    }

    /// Something is computed from now on.
    fn begin(&self) {
        self.step_since_ms.store(Instant::now().as_millis().max(1), Ordering::Relaxed);
    }

    /// Nothing is computed any more.
    fn end(&self) {
        self.step_since_ms.store(0, Ordering::Relaxed);
    }

    /// Notes for the heartbeat, before anything is told of it, how many streams are left.
    fn count(&self, backend: &dyn Backend) -> u32 {
        let active = backend.active();
        self.active.store(active, Ordering::Relaxed);
        active
    }
}

/// The frame with at most [`MESSAGE_BYTES_MAX`] of its error's text.
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

/// Ends the process when the thread panics that holds it: those who wait for the thread would wait for ever, while the
/// heartbeats of another go on.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
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
        // Before the inbox is looked at: what asks after this is in it, or breaks the step off.
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
            // Each frame is a step of its own: many of them are not one that hangs.
            out.begin();
            handle(backend, &mut checks, frame, out);
            out.end();
        }
        // One check at a time, so that a cancellation of those that wait is seen in between.
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
                // Who has a sequence, and the number of cached tokens, is sent before the step computes.
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
            let message = "this worker makes no tokens of prompts".into();
            out.send(FromWorker::TokenizeFailed { id, message });
        }
        ToWorker::Text { id, .. } => {
            let answer = Err("this worker answers no questions about texts".into());
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

/// The control token that is written so, if there is one.
fn control_token(vocab: Vocab<'_>, text: &str) -> Option<u32> {
    match vocab.tokenize(text, false, true).as_slice() {
        [token] if vocab.is_control(*token) => Some(*token),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
