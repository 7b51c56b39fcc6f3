//! The buffer of log lines. A separate thread writes many lines at once to standard error, so that a request
//! never waits for a terminal, pipe or disk, and does not wake a thread for each line.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How long the thread collects lines before it writes them.
const GATHER: Duration = Duration::from_millis(20);
/// The maximum size of the buffer. Lines beyond it are dropped, and their number is logged.
const BUFFER_BYTES_MAX: usize = 4 << 20;

/// A writer into the buffer.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    dropped: u64,
    closed: bool,
}

/// The writing thread. Dropping the guard writes the remaining lines.
#[derive(Debug)]
pub(crate) struct Guard {
    lines: Lines,
    thread: Option<JoinHandle<()>>,
}

impl Lines {
    /// Starts the writing thread.
    pub(super) fn to(out: impl Write + Send + 'static) -> (Self, Guard) {
        let lines = Self::default();
        let source = lines.clone();
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || source.write_out(out));
        // If the machine is so short of memory that it starts no thread, there is no log.
        (lines.clone(), Guard { lines, thread: thread.ok() })
    }

    fn write_out(self, mut out: impl Write) {
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() && !state.closed {
                state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if !state.closed {
                drop(state);
                std::thread::sleep(GATHER);
                state = self.lock();
            }
            let closed = state.closed;
            let (waiting, dropped) = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.dropped));
            drop(state);
            let _ = out.write_all(&waiting);
            if dropped > 0 {
                let _ = writeln!(out, "dropped {dropped} log lines: the reader was too slow");
            }
            if closed {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > BUFFER_BYTES_MAX {
            state.dropped += 1;
            return Ok(line.len());
        }
        let first = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        drop(state);
        if first {
            self.0.changed.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.lines.lock().closed = true;
        self.lines.0.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A writer that sends the bytes, and waits for permission before each write.
    struct Slow(mpsc::SyncSender<Vec<u8>>, mpsc::Receiver<()>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.1.recv();
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn logging_does_not_wait_for_a_stopped_reader_and_counts_dropped_lines() {
        let (written, seen) = mpsc::sync_channel(4 * BUFFER_BYTES_MAX / 1024);
        let (allow, allowed) = mpsc::sync_channel(1);
        let (mut lines, guard) = Lines::to(Slow(written, allowed));
        let line = [b'x'; 1023].into_iter().chain([b'\n']).collect::<Vec<u8>>();
        for _ in 0..(3 * BUFFER_BYTES_MAX / line.len()) {
            lines.write_all(&line).unwrap();
        }
        drop(allow);
        drop(guard);
        let text: Vec<u8> = seen.iter().flatten().collect();
        assert!((BUFFER_BYTES_MAX..=2 * BUFFER_BYTES_MAX + 1024).contains(&text.len()), "{}", text.len());
        let end = String::from_utf8_lossy(&text[text.len() - 80..]).into_owned();
        assert!(end.contains("log lines: the reader was too slow"), "{end}");
    }
}
