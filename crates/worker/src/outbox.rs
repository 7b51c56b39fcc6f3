//! The writing thread: it sends frames and heartbeats to the server.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use lar_base::Instant;
use rustix::process::{Signal, getpid, kill_process};

use super::backend::Backend;
use lar_inference::protocol;
use lar_inference::protocol::{FromWorker, HEARTBEAT};

/// The longest error message in a frame, in bytes. A template's error may quote a whole chat, and the server
/// kills a worker that sends too long a frame.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// The most frames that wait to be written: those of a step of the largest batch, with a few for each of its
/// sequences.
const OUTGOING_MAX: usize = 1_024;

/// A handle to the writing thread, and the state of the computing thread for heartbeats.
///
/// When [`OUTGOING_MAX`] frames wait, senders wait too: the computing thread then computes nothing that
/// nobody reads. The writing thread empties the queue as fast as the server reads, and the server's reader
/// never waits for anything else. If the server is gone, writing fails, the queue is dropped, and nobody
/// waits any more.
#[derive(Clone)]
pub(super) struct Outbox {
    frames: mpsc::SyncSender<Outgoing>,
    active: Arc<AtomicU32>,
    step_since_ms: Arc<AtomicU64>,
}

/// A frame that waits to be written.
pub(super) enum Outgoing {
    Frame(FromWorker),
    /// The last frame: the process ends after it.
    Last(FromWorker),
}

impl Outbox {
    /// Starts the writing thread.
    pub(super) fn start(mut socket: UnixStream) -> Self {
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

    /// Sends a frame. Waits while the queue is full.
    pub(super) fn send(&self, frame: FromWorker) {
        let _ = self.frames.send(Outgoing::Frame(with_short_message(frame)));
    }

    /// Sends a frame and ends the process once it is written.
    pub(super) fn send_last(&self, frame: FromWorker) {
        let _ = self.frames.send(Outgoing::Last(with_short_message(frame)));
    }

    /// Marks the start of a step.
    pub(super) fn begin(&self) {
        self.step_since_ms.store(Instant::now().as_millis().max(1), Ordering::Relaxed);
    }

    /// Marks the end of a step.
    pub(super) fn end(&self) {
        self.step_since_ms.store(0, Ordering::Relaxed);
    }

    /// Updates the heartbeat's number of streams, before any frame reports it, and returns it.
    pub(super) fn count(&self, backend: &dyn Backend) -> u32 {
        let active = backend.active();
        self.active.store(active, Ordering::Relaxed);
        active
    }
}

/// Truncates the frame's error message to [`MESSAGE_BYTES_MAX`].
pub(super) fn with_short_message(mut frame: FromWorker) -> FromWorker {
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
pub(super) struct AbortOnPanic;

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
/// If the frame is too long. Senders keep to the limits. The server would wait forever for a frame that is
/// left out, so the writing thread aborts the process.
pub(super) fn encode_frame(frame: &FromWorker) -> Vec<u8> {
    protocol::encode(frame).expect("a frame is shorter than the limit")
}

fn heartbeat(active: &AtomicU32, since: &AtomicU64) -> FromWorker {
    let since = since.load(Ordering::Relaxed);
    let step_ms = if since == 0 { 0 } else { Instant::now().as_millis().saturating_sub(since) };
    FromWorker::Heartbeat { active: active.load(Ordering::Relaxed), step_ms }
}

#[cfg(test)]
impl Outbox {
    /// Returns an outbox without a writing thread, and the queue of its frames.
    pub(super) fn without_thread() -> (Self, mpsc::Receiver<Outgoing>) {
        let (frames, sent) = mpsc::sync_channel(OUTGOING_MAX);
        (Self { frames, active: Arc::default(), step_since_ms: Arc::default() }, sent)
    }

    /// Returns when the current step started, in milliseconds, or 0 without one.
    pub(super) fn step_since_ms(&self) -> u64 {
        self.step_since_ms.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_for_a_server_that_does_not_read_wait_until_it_is_gone() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let out = Outbox::start(ours);
        let sending = std::thread::spawn({
            // Far more than the queue and the socket's buffer hold.
            let message = "x".repeat(MESSAGE_BYTES_MAX);
            move || {
                for id in 0..4 * OUTGOING_MAX as u64 {
                    out.send(FromWorker::EmbedFailed { id, message: message.clone() });
                }
            }
        });
        let mut reader = std::io::BufReader::new(&theirs);
        let first = protocol::read::<FromWorker>(&mut reader).unwrap();
        assert!(matches!(first, Some(FromWorker::EmbedFailed { id: 0, .. })), "{first:?}");
        assert!(!sending.is_finished(), "the sender waits");
        drop(reader);
        drop(theirs);
        sending.join().unwrap();
    }

    #[test]
    fn a_long_error_message_is_truncated() {
        let long = || "é".repeat(MESSAGE_BYTES_MAX);
        for frame in [
            FromWorker::TokenizeFailed { id: 1, message: long() },
            FromWorker::Failed { stream: 1, message: long(), constraint: true, active: 0 },
            FromWorker::EmbedFailed { id: 1, message: long() },
            FromWorker::Text { id: 1, answer: Err(long()) },
            FromWorker::Checked { id: 1, index: 0, outcome: Err(long()) },
        ] {
            let (out, sent) = Outbox::without_thread();
            out.send(frame);
            let Outgoing::Frame(frame) = sent.recv().unwrap() else { panic!("it is not marked as the last") };
            let bytes = protocol::encode(&frame).unwrap().len();
            assert!((MESSAGE_BYTES_MAX..MESSAGE_BYTES_MAX + 64).contains(&bytes), "{frame:?}");
        }
        let short = FromWorker::TokenizeFailed { id: 1, message: "it has no `role`".into() };
        assert_eq!(with_short_message(short.clone()), short);
    }
}
