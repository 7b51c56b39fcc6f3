//! Reads lines and ends of streams with a limit.
//!
//! Another process may send a line without an end, or write forever. [`read_line`] and [`read_line_blocking`]
//! keep the first bytes of a line, and [`read_tail`] keeps the last bytes of a stream. All of them consume the
//! rest without keeping it, so the sender never blocks. The corresponding functions of the standard library and
//! of tokio have no limit; clippy and `xtask/tests/limits.rs` check that no crate uses them.

use std::io::{self, BufRead};

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _};

/// The bytes that [`read_tail`] reads at once.
const PIECE_BYTES: usize = 8 << 10;

/// One line, or its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// The line with its line end, if it has one and is not truncated.
    pub bytes: Vec<u8>,
    /// Whether the line was longer than the limit.
    pub is_truncated: bool,
}

impl Line {
    /// Returns the line as text without its line end. Invalid UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes));
        text.into_owned()
    }

    /// Returns the bytes of the line.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if the line was longer than its limit `bytes_max`, which the error names.
    pub fn complete(self, bytes_max: usize) -> io::Result<Vec<u8>> {
        if self.is_truncated {
            let reason = format!("a line is longer than the limit of {bytes_max} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(self.bytes)
    }

    /// Takes what belongs to the line from `buffer`. Returns the number of consumed bytes, and whether the line
    /// has ended.
    fn take(&mut self, buffer: &[u8], bytes_max: usize) -> (usize, bool) {
        let end = buffer.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = bytes_max.saturating_sub(self.bytes.len());
        self.is_truncated |= part.len() > room;
        self.bytes.extend_from_slice(&part[..part.len().min(room)]);
        (part.len(), end.is_some())
    }
}

/// Reads one line and keeps its first `bytes_max` bytes, including the line end. Returns `None` at the end of
/// the input.
///
/// Not cancel-safe: dropping the future loses what was read of the line.
///
/// # Errors
/// If the input cannot be read.
pub async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    bytes_max: usize,
) -> io::Result<Option<Line>> {
    let mut line = Line::default();
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            return Ok((!line.bytes.is_empty()).then_some(line));
        }
        let (consumed, has_ended) = line.take(buffer, bytes_max);
        reader.consume(consumed);
        if has_ended {
            return Ok(Some(line));
        }
    }
}

/// Reads one line like [`read_line`], on the current thread.
///
/// # Errors
/// If the input cannot be read.
pub fn read_line_blocking(reader: &mut impl BufRead, bytes_max: usize) -> io::Result<Option<Line>> {
    let mut line = Line::default();
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok((!line.bytes.is_empty()).then_some(line));
        }
        let (consumed, has_ended) = line.take(buffer, bytes_max);
        reader.consume(consumed);
        if has_ended {
            return Ok(Some(line));
        }
    }
}

/// Reads a stream to its end and returns its last `bytes_max` bytes. An error ends the stream.
pub async fn read_tail(mut reader: impl AsyncRead + Unpin, bytes_max: usize) -> Vec<u8> {
    let (mut tail, mut piece) = (Vec::new(), [0; PIECE_BYTES]);
    while let Ok(length @ 1..) = reader.read(&mut piece).await {
        tail.extend_from_slice(&piece[..length]);
        // Removing the start moves the rest, so it waits until there is twice as much.
        if tail.len() >= bytes_max.saturating_mul(2) {
            tail.drain(..tail.len() - bytes_max);
        }
    }
    tail.drain(..tail.len().saturating_sub(bytes_max));
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long and short lines, an empty one, and a last line without an end.
    const TEXT: &[u8] = b"one\n\nxxxxxxxxxx\nexact\nlast";

    fn line(bytes: &[u8], is_truncated: bool) -> Line {
        Line { bytes: bytes.to_vec(), is_truncated }
    }

    fn expected() -> Vec<Line> {
        vec![
            line(b"one\n", false),
            line(b"\n", false),
            line(b"xxxxxx", true),
            line(b"exact\n", false),
            line(b"last", false),
        ]
    }

    #[tokio::test]
    async fn a_long_line_is_truncated_and_the_next_one_is_whole() {
        // Buffers that end within a line, at its end and after it.
        for buffer_bytes in [1, 3, 4, 64] {
            let mut reader = tokio::io::BufReader::with_capacity(buffer_bytes, TEXT);
            let mut blocking = io::BufReader::with_capacity(buffer_bytes, TEXT);
            let (mut found, mut found_blocking) = (Vec::new(), Vec::new());
            while let Some(line) = read_line(&mut reader, 6).await.unwrap() {
                found.push(line);
            }
            while let Some(line) = read_line_blocking(&mut blocking, 6).unwrap() {
                found_blocking.push(line);
            }
            assert_eq!(found, expected(), "{buffer_bytes}");
            assert_eq!(found_blocking, expected(), "{buffer_bytes}");
        }
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_kept_up_to_its_limit_only() {
        let mut endless = tokio::io::BufReader::new(tokio::io::repeat(b'x').take(64 << 20));
        let found = read_line(&mut endless, 100).await.unwrap().unwrap();
        assert!(found.is_truncated && found.bytes.capacity() < 1024, "{}", found.bytes.capacity());
        assert_eq!(
            found.complete(100).unwrap_err().to_string(),
            "a line is longer than the limit of 100 bytes"
        );
        assert_eq!(line(b"a\n", false).complete(2).unwrap(), b"a\n");
        assert_eq!(line(b"\xff\n", false).text(), "\u{fffd}");
    }

    #[tokio::test]
    async fn the_end_of_a_stream_is_kept() {
        let text: Vec<u8> = (0..100_000_u32).map(|number| b'a' + (number % 26) as u8).collect();
        for bytes_max in [0, 1, 10, 20_000, 100_000, 200_000] {
            let expected = &text[text.len() - bytes_max.min(text.len())..];
            assert_eq!(read_tail(text.as_slice(), bytes_max).await, expected, "{bytes_max}");
        }
    }
}
