//! What a child leaves behind on its standard error: the last lines, which tell why it died.
//!
//! A child that a model has taken over may write without end, in lines without end and in bytes that are no text: no more than
//! [`LINES_MAX`] lines of [`LINE_BYTES_MAX`] are kept, and reading goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

/// Lines that are kept.
const LINES_MAX: usize = 5;
/// Of each of them, so many bytes.
const LINE_BYTES_MAX: usize = 4 << 10;
/// How long to wait for the rest of a child that has ended: another process may keep its standard error open.
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// The last lines of a child's standard error, read from now until it is closed.
#[derive(Debug)]
pub(crate) struct LastLines {
    reading: tokio::task::JoinHandle<()>,
    kept: Arc<Mutex<Vec<String>>>,
}

impl LastLines {
    /// Reads the standard error of `child`, which must be piped, and calls `on_line` with each line, or the beginning of a long
    /// one.
    pub(crate) fn of(child: &mut Child, on_line: impl Fn(&str) + Send + 'static) -> Self {
        let kept: Arc<Mutex<Vec<String>>> = Arc::default();
        let (lines, stderr) = (kept.clone(), child.stderr.take());
        let reading = tokio::spawn(async move {
            let Some(stderr) = stderr else { return };
            let mut stderr = BufReader::new(stderr);
            while let Some(line) = next_line(&mut stderr).await {
                on_line(&line);
                let mut lines = lock(&lines);
                lines.push(line);
                let excess = lines.len().saturating_sub(LINES_MAX);
                lines.drain(..excess);
            }
        });
        Self { reading, kept }
    }

    /// Waits until the child has closed its standard error, at most [`REST_TIMEOUT`]; the last lines, joined by `; `.
    pub(crate) async fn wait_closed(self) -> String {
        let _ = tokio::time::timeout(REST_TIMEOUT, self.reading).await;
        lock(&self.kept).join("; ")
    }
}

fn lock(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line, as much of it as is kept; `None` at the end.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut line = Vec::new();
    loop {
        let bytes = reader.fill_buf().await.ok()?;
        if bytes.is_empty() {
            return (!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned());
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        line.extend(&part[..part.len().min(LINE_BYTES_MAX - line.len())]);
        let read = end.map_or(bytes.len(), |end| end + 1);
        reader.consume(read);
        if end.is_some() {
            return Some(String::from_utf8_lossy(&line).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_lines_are_truncated_and_invalid_utf8_is_skipped() {
        let text = [&b"one\n"[..], &vec![b'x'; 1 << 20], b"\nno \xff text\nlast"].concat();
        let mut reader = text.as_slice();
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut reader).await {
            lines.push(line);
        }
        assert_eq!(lines, ["one", &"x".repeat(LINE_BYTES_MAX), "no \u{fffd} text", "last"]);
    }
}
