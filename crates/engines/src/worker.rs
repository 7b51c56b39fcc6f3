//! The child process: `lar worker` holds one model and obeys the socket that is its standard input.
//!
//! Three threads: one reads frames and kills the process at end of file, one writes frames and heartbeats,
//! and this one owns the [`Backend`] and computes. The computing thread looks for commands between steps; a
//! long step is broken off for a cancellation, so that it is confirmed promptly, in prefill too.

mod answer;
mod cache;
mod calls;
mod constraint;
mod draft;
mod embed;
mod generate;
mod llama;
mod llama_cpp;
mod pace;
mod sampler;
mod sequence;
mod tune;

use std::io::{BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use lar_base::{Bytes, Instant};
use lar_sandbox::Confinement;
use rustix::process::{Signal, getpid, kill_process};

use crate::driver::{FinishReason, Prompt, Sampling, TokenLogprobs};
use crate::protocol::{self, FromWorker, HEARTBEAT, Load, ToWorker};
use crate::template::ChatTemplate;
pub(crate) use constraint::bounded_blanks;
use llama_cpp::{Interrupt, Vocab};

/// A worker that holds only a vocabulary may take this much memory: a hostile template is stopped there.
const VOCABULARY_MEMORY_MAX: Bytes = Bytes(2 << 30);

/// How much of a rendered chat's end is told.
pub(crate) const TAIL_BYTES: usize = 64;

/// What a backend did, for one stream or request.
#[derive(Debug)]
enum Progress {
    Prefilled {
        known: u32,
    },
    Delta {
        text: String,
        tokens: u32,
        logprobs: Vec<TokenLogprobs>,
    },
    Finished {
        reason: FinishReason,
        guessed: u32,
        right: u32,
    },
    Failed(String),
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
}

impl Progress {
    /// As it is told to the server; `active` streams are left.
    fn frame(self, id: u64, active: u32) -> FromWorker {
        match self {
            Progress::Prefilled { known } => FromWorker::Prefilled { stream: id, known },
            Progress::Delta { text, tokens, logprobs } => {
                FromWorker::Delta { stream: id, text, tokens, logprobs }
            }
            Progress::Finished { reason, guessed, right } => {
                FromWorker::Finished { stream: id, reason, guessed, right, active }
            }
            Progress::Failed(message) => FromWorker::Failed { stream: id, message, active },
            Progress::Vector { index, values } => FromWorker::Vector { id, index, values },
            Progress::Embedded { tokens, truncated } => FromWorker::Embedded { id, tokens, truncated },
            Progress::EmbedFailed(message) => FromWorker::EmbedFailed { id, message },
        }
    }
}

/// An engine on its own thread: small, synchronous, and told nothing about processes or frames.
trait Backend {
    /// The model's vocabulary.
    fn vocab(&self) -> Vocab<'_>;
    /// Takes a stream on; an error is final for the stream and for nothing else.
    fn start(&mut self, _stream: u64, _prompt: cache::Prompt, _sampling: Sampling) -> Result<(), String> {
        Err("what this worker holds does not generate".into())
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
    /// Lets a stream produce so many more deltas.
    fn credit(&mut self, _stream: u64, _deltas: u32) {}
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
    /// Computes for at most half a second, where the hardware allows it, and reports; may be broken off.
    fn step(&mut self, _report: &mut dyn FnMut(u64, Progress)) {}
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
    // What the library itself needs of the machine it takes before the process is confined, and the process is
    // confined before it has a second thread.
    llama_cpp::start()?;
    let missing = lar_sandbox::confine(&confinement(&load));
    let missing = missing.iter().map(ToString::to_string).collect();
    protocol::write(&mut socket, &FromWorker::Confined { missing }).map_err(|error| text(&error))?;
    let reader = socket.try_clone().map_err(|error| text(&error))?;
    let (commands, inbox) = mpsc::channel();
    let interrupt = Interrupt::default();
    let asks = interrupt.clone();
    std::thread::spawn(move || read_commands(reader, &commands, &asks));

    let outcome = llama::with_backend(&load, interrupt.clone(), |backend, loaded| {
        let llama::Loaded { tuned, draft_refused } = loaded;
        let vocabulary = backend.vocab().len();
        let loaded = FromWorker::Loaded { vocabulary, tuned, draft_refused };
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

/// What a worker needs of the machine: its model's files, and the devices where a GPU computes.
fn confinement(load: &Load) -> Confinement {
    let mut read = parts(load.path());
    if let Load::Model { draft: Some(draft), .. } = load {
        read.extend(parts(draft));
    }
    let memory_max = match load {
        Load::Vocabulary { .. } => Some(VOCABULARY_MEMORY_MAX),
        Load::Model { .. } | Load::Embedder { .. } => load.memory_bytes_max().map(Bytes),
    };
    let mut write = Vec::new();
    let mut memory_max = memory_max;
    if cfg!(feature = "gpu") {
        // Drivers map more than they use.
        memory_max = None;
        read.extend(["/proc", "/sys", "/usr", "/lib", "/lib64", "/etc", "/opt"].map(PathBuf::from));
        write.extend(["/dev", "/tmp"].map(PathBuf::from));
    }
    Confinement { read, write, memory_max }
}

/// A model's file, or all of one that was split: `NAME-00001-of-00003.gguf` and the others beside it.
fn parts(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let whole = name.rsplit_once("-of-").and_then(|(first, _)| first.rsplit_once('-'));
    let Some((stem, _)) = whole else { return vec![path.to_owned()] };
    let folder = path.parent().and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten();
    let beside = folder.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(stem)));
    beside.map(|entry| entry.path()).collect()
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

fn heartbeat(active: &AtomicU32, since: &AtomicU64) -> FromWorker {
    let since = since.load(Ordering::Relaxed);
    let step_ms = if since == 0 { 0 } else { Instant::now().as_millis().saturating_sub(since) };
    FromWorker::Heartbeat { active: active.load(Ordering::Relaxed), step_ms }
}

fn compute(backend: &mut dyn Backend, inbox: &mpsc::Receiver<ToWorker>, interrupt: &Interrupt, out: Outbox) {
    loop {
        // Before the inbox is looked at: what asks after this is in it, or breaks the step off.
        interrupt.clear();
        let first = if backend.has_work() { inbox.try_recv().ok() } else { inbox.recv().ok() };
        if first.is_none() && !backend.has_work() {
            return;
        }
        // A question may take long too: a template, a grammar.
        out.begin();
        for frame in first.into_iter().chain(inbox.try_iter()) {
            obey(backend, frame, &out);
        }
        out.end();
        out.count(backend);
        if backend.has_work() {
            out.begin();
            let mut progress = Vec::new();
            backend.step(&mut |stream, what| progress.push((stream, what)));
            out.end();
            let active = out.count(backend);
            for (id, what) in progress {
                out.send(what.frame(id, active));
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
    let mut tokens: Vec<u32> = vocab.adds_start().then(|| vocab.start()).flatten().into_iter().collect();
    // What is typed is text here, special tokens written in it are not read.
    tokens.push(before);
    tokens.extend(vocab.tokenize(prefix, false, false));
    tokens.push(after);
    tokens.extend(vocab.tokenize(suffix, false, false));
    tokens.push(middle);
    Some(tokens)
}
