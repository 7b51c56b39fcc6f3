//! The child process: `lar worker` holds one model and obeys the socket that is its standard input.
//!
//! Three threads: one reads frames and kills the process at end of file, one writes frames and heartbeats,
//! and this one owns the [`Backend`] and computes. The computing thread looks for commands between steps; a
//! long step is broken off for a cancellation, so that it is confirmed promptly, in prefill too.

mod answer;
mod cache;
mod constraint;
mod generate;
mod llama;
mod llama_cpp;
mod pace;
mod sampler;

use std::io::{BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use lar_base::Instant;
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};

use crate::driver::{FinishReason, Prompt, Sampling, TokenLogprobs};
use crate::protocol::{self, FromWorker, HEARTBEAT, Load, ToWorker};
use crate::template::ChatTemplate;
use llama_cpp::{Interrupt, Vocab};
pub(crate) use constraint::bounded_blanks;

/// A worker that holds only a vocabulary may take this much memory: a hostile template is stopped there.
const VOCABULARY_MEMORY_BYTES_MAX: u64 = 2 << 30;

/// How much of a rendered chat's end is told.
pub(crate) const TAIL_BYTES: usize = 64;

/// What a backend did in one step, for one stream.
#[derive(Debug)]
enum Progress {
    Prefilled { known: u32 },
    Delta { text: String, tokens: u32, logprobs: Vec<TokenLogprobs> },
    Finished(FinishReason),
    Failed(String),
}

/// An engine on its own thread: small, synchronous, and told nothing about processes or frames.
trait Backend {
    /// The model's vocabulary.
    fn vocab(&self) -> Vocab<'_>;
    /// Takes a stream on; an error is final for the stream and for nothing else.
    fn start(&mut self, stream: u64, prompt: cache::Prompt, sampling: Sampling) -> Result<(), String>;
    /// Lets a stream produce so many more deltas.
    fn credit(&mut self, stream: u64, deltas: u32);
    /// Forgets a stream; says whether it was there.
    fn cancel(&mut self, stream: u64) -> bool;
    /// Streams that are there.
    fn active(&self) -> u32;
    /// Whether a step would do anything.
    fn has_work(&self) -> bool;
    /// Computes for at most half a second, where the hardware allows it, and reports; may be broken off.
    fn step(&mut self, report: &mut dyn FnMut(u64, Progress));
}

/// Obeys the socket on standard input until it closes.
///
/// # Errors
/// When standard input is no socket, the other side speaks another version, or the model cannot be loaded.
pub fn run() -> Result<(), String> {
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
    let reader = socket.try_clone().map_err(|error| text(&error))?;
    let (commands, inbox) = mpsc::channel();
    let interrupt = Interrupt::default();
    let asks = interrupt.clone();
    std::thread::spawn(move || read_commands(reader, &commands, &asks));

    if matches!(load, Load::Vocabulary { .. }) {
        // RLIMIT_DATA counts private writable memory, not the mapped model file.
        let hard = getrlimit(Resource::Data).maximum;
        let limit = Rlimit { current: Some(VOCABULARY_MEMORY_BYTES_MAX), maximum: hard };
        setrlimit(Resource::Data, limit).map_err(|error| text(&error))?;
    }
    let outcome = llama::with_backend(&load, interrupt.clone(), |backend| {
        let loaded = FromWorker::Loaded { vocabulary: backend.vocab().len() };
        protocol::write(&mut socket, &loaded).map_err(|error| error.to_string())?;
        let writer = socket.try_clone().map_err(|error| error.to_string())?;
        compute(backend, &inbox, &interrupt, Outbox::start(writer));
        Ok(())
    });
    if let Err(message) = &outcome {
        let _ = protocol::write(&mut socket, &FromWorker::LoadFailed { message: message.clone() });
    }
    outcome
}

/// Ends the process when the server is gone, whatever the engine is doing: nothing here needs saving.
fn read_commands(socket: UnixStream, commands: &mpsc::Sender<ToWorker>, interrupt: &Interrupt) {
    let mut socket = BufReader::new(socket);
    while let Ok(Some(frame)) = protocol::read(&mut socket) {
        let cancels = matches!(frame, ToWorker::Cancel { .. });
        if commands.send(frame).is_err() {
            break;
        }
        if cancels {
            interrupt.ask();
        }
    }
    let _ = kill_process(getpid(), Signal::KILL);
}

/// The writing thread and what it reports of the computing one.
struct Outbox {
    frames: mpsc::Sender<FromWorker>,
    active: Arc<AtomicU32>,
    step_since_ms: Arc<AtomicU64>,
}

impl Outbox {
    fn start(mut socket: UnixStream) -> Self {
        let (frames, queue) = mpsc::channel::<FromWorker>();
        let active = Arc::new(AtomicU32::new(0));
        let step_since_ms = Arc::new(AtomicU64::new(0));
        let (count, since) = (active.clone(), step_since_ms.clone());
        std::thread::spawn(move || {
            let mut last = Instant::now();
            loop {
                let frame = match queue.recv_timeout(HEARTBEAT) {
                    Ok(frame) => frame,
                    Err(mpsc::RecvTimeoutError::Timeout) => heartbeat(&count, &since),
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                };
                let mut bytes = protocol::encode(&frame).unwrap_or_default();
                // What else is ready shares the system call.
                while let Ok(frame) = queue.try_recv() {
                    bytes.extend(protocol::encode(&frame).unwrap_or_default());
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
        let _ = self.frames.send(frame);
    }
}

fn heartbeat(active: &AtomicU32, since: &AtomicU64) -> FromWorker {
    let since = since.load(Ordering::Relaxed);
    let step_ms = if since == 0 { 0 } else { Instant::now().as_millis().saturating_sub(since) };
    FromWorker::Heartbeat { active: active.load(Ordering::Relaxed), step_ms }
}

fn compute(
    backend: &mut dyn Backend,
    inbox: &mpsc::Receiver<ToWorker>,
    interrupt: &Interrupt,
    out: Outbox,
) {
    loop {
        // Before the inbox is looked at: what asks after this is in it, or breaks the step off.
        interrupt.clear();
        let first = if backend.has_work() { inbox.try_recv().ok() } else { inbox.recv().ok() };
        if first.is_none() && !backend.has_work() {
            return;
        }
        for frame in first.into_iter().chain(inbox.try_iter()) {
            obey(backend, frame, &out);
        }
        out.active.store(backend.active(), Ordering::Relaxed);
        if backend.has_work() {
            out.step_since_ms.store(Instant::now().as_millis().max(1), Ordering::Relaxed);
            let mut progress = Vec::new();
            backend.step(&mut |stream, what| progress.push((stream, what)));
            out.step_since_ms.store(0, Ordering::Relaxed);
            let active = backend.active();
            for (stream, what) in progress {
                out.send(match what {
                    Progress::Prefilled { known } => FromWorker::Prefilled { stream, known },
                    Progress::Delta { text, tokens, logprobs } => {
                        FromWorker::Delta { stream, text, tokens, logprobs }
                    }
                    Progress::Finished(reason) => FromWorker::Finished { stream, reason, active },
                    Progress::Failed(message) => FromWorker::Failed { stream, message, active },
                });
            }
        }
    }
}

fn obey(backend: &mut dyn Backend, frame: ToWorker, out: &Outbox) {
    match frame {
        ToWorker::Generate { stream, tokens, sampling, cache_of } => {
            let prompt = cache::Prompt { tokens, owner: cache_of };
            if let Err(message) = backend.start(stream, prompt, sampling) {
                out.send(FromWorker::Failed { stream, message, active: backend.active() });
            }
        }
        ToWorker::Credit { stream, deltas } => backend.credit(stream, deltas),
        ToWorker::Cancel { stream } => {
            // A stream that has ended already has had its terminal frame.
            if backend.cancel(stream) {
                out.send(FromWorker::Cancelled { stream, active: backend.active() });
            }
        }
        ToWorker::Tokenize { id, prompt, template } => {
            out.send(match tokenize(backend.vocab(), prompt, template.as_ref()) {
                Ok((tokens, tail)) => FromWorker::Tokens { id, tokens, tail },
                Err(message) => FromWorker::TokenizeFailed { id, message },
            });
        }
        ToWorker::Check { id, constraint } => {
            let problem = constraint::check(backend.vocab(), &constraint).err();
            out.send(FromWorker::Checked { id, problem });
        }
        ToWorker::Hello { .. } | ToWorker::Load(_) => {}
    }
}

/// A prompt's tokens, and how the text ends that was made of a chat.
fn tokenize(
    vocab: Vocab<'_>,
    prompt: Prompt,
    template: Option<&ChatTemplate>,
) -> Result<(Vec<u32>, String), String> {
    let tokens = match (prompt, template) {
        (Prompt::Tokens(tokens), _) => match tokens.iter().find(|token| **token >= vocab.len()) {
            Some(token) => return Err(format!("token {token} is not in the vocabulary")),
            None => tokens,
        },
        (Prompt::Text(text), _) => vocab.tokenize(&text, true, true),
        (Prompt::Infill { prefix, suffix }, _) => {
            infill(vocab, &prefix, &suffix).ok_or("the model has no tokens for it")?
        }
        (Prompt::Chat(chat), Some(template)) => {
            let text = template.render(&chat).map_err(|error| match error {
                crate::Error::Template(reason) => reason,
                other => other.to_string(),
            })?;
            // Many templates write the start token themselves; two of them make answers worse.
            let starts = !template.start.is_empty() && text.starts_with(&template.start);
            let tail = text.floor_char_boundary(text.len().saturating_sub(TAIL_BYTES));
            return Ok((vocab.tokenize(&text, !starts, true), text[tail..].to_owned()));
        }
        (Prompt::Chat(_), None) => return Err("the model has no chat template".into()),
    };
    Ok((tokens, String::new()))
}

/// The control token that is written so, if there is one.
fn control(vocab: Vocab<'_>, text: &str) -> Option<u32> {
    match vocab.tokenize(text, false, true).as_slice() {
        [token] if vocab.is_control(*token) => Some(*token),
        _ => None,
    }
}

/// Prefix, suffix, middle: the order that most models with such tokens were taught.
fn infill(vocab: Vocab<'_>, prefix: &str, suffix: &str) -> Option<Vec<u32>> {
    let (before, after, middle) = (vocab.infill_prefix()?, vocab.infill_suffix()?, vocab.infill_middle()?);
    let mut tokens: Vec<u32> =
        vocab.adds_start().then(|| vocab.start()).flatten().into_iter().collect();
    // What is typed is text here, special tokens written in it are not read.
    tokens.push(before);
    tokens.extend(vocab.tokenize(prefix, false, false));
    tokens.push(after);
    tokens.extend(vocab.tokenize(suffix, false, false));
    tokens.push(middle);
    Some(tokens)
}
