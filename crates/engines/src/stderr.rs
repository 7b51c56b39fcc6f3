//! The last lines that a child process wrote to its standard error, which usually say why it died.
//!
//! A child that a hostile model controls may write without end, in lines without end and in bytes that are
//! not text. At most [`LINES_MAX`] lines of [`LINE_BYTES_MAX`] bytes are kept, and everything after that is
//! read and dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lar_base::lines::read_line;
use tokio::io::BufReader;
use tokio::process::Child;

/// The number of lines that are kept.
const LINES_MAX: usize = 5;
/// The number of bytes that are kept of each line.
const LINE_BYTES_MAX: usize = 4 << 10;
/// The longest wait for the end of standard error after a child exited: another process may keep it open.
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// Keeps the last lines of a child's standard error until it is closed.
#[derive(Debug)]
pub(crate) struct LastLines {
    reading: tokio::task::JoinHandle<()>,
    kept: Arc<Mutex<Vec<String>>>,
}

impl LastLines {
    /// Reads the standard error of `child`, which must be piped. Calls `on_line` with each line, or with the
    /// start of a long one.
    pub(crate) fn of(child: &mut Child, on_line: impl Fn(&str) + Send + 'static) -> Self {
        let kept: Arc<Mutex<Vec<String>>> = Arc::default();
        let (lines, stderr) = (kept.clone(), child.stderr.take());
        let reading = tokio::spawn(async move {
            let Some(stderr) = stderr else { return };
            let mut stderr = BufReader::new(stderr);
            while let Ok(Some(line)) = read_line(&mut stderr, LINE_BYTES_MAX).await {
                let line = line.text();
                on_line(&line);
                let mut lines = lock(&lines);
                lines.push(line);
                let excess = lines.len().saturating_sub(LINES_MAX);
                lines.drain(..excess);
            }
        });
        Self { reading, kept }
    }

    /// Waits until the child closes its standard error, at most [`REST_TIMEOUT`]. Returns the last lines,
    /// joined by `; `.
    pub(crate) async fn wait_closed(self) -> String {
        let _ = tokio::time::timeout(REST_TIMEOUT, self.reading).await;
        lock(&self.kept).join("; ")
    }
}

fn lock(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
