//! The parts of a streamed response.

use std::fmt::Write as _;

use lar_base::json::to_json;
use serde::Serialize;

/// A part of a streamed response, complete in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A server-sent event with an optional name and its data, which has no line breaks.
    Event {
        /// The name; `None` for APIs whose events have no names.
        name: Option<&'static str>,
        /// The data: JSON in one line.
        data: String,
    },
    /// A comment between server-sent events. It keeps the connection alive, and clients do not see it.
    Comment(String),
    /// A line of JSON, for APIs that stream lines instead of events.
    Line(String),
    /// The end of a stream in OpenAI's APIs.
    Done,
}

impl Frame {
    /// Creates an event without a name.
    pub(crate) fn data(data: &(impl Serialize + ?Sized)) -> Self {
        Frame::Event { name: None, data: to_json(data) }
    }

    /// Creates an event with a name.
    pub(crate) fn event(name: &'static str, data: &(impl Serialize + ?Sized)) -> Self {
        Frame::Event { name: Some(name), data: to_json(data) }
    }

    /// Creates a line.
    pub(crate) fn line(data: &(impl Serialize + ?Sized)) -> Self {
        Frame::Line(to_json(data))
    }

    /// Creates the comment that reports a position in the queue.
    pub(crate) fn queued(position: usize, predicted_start_ms: u64) -> Self {
        Frame::Comment(format!("queued, position {position}, starts in about {predicted_start_ms} ms"))
    }

    /// Appends the frame to a response's text, as it goes over the network.
    pub fn write_to(&self, text: &mut String) {
        // Writing to a string never fails.
        let _ = match self {
            Frame::Event { name: Some(name), data } => write!(text, "event: {name}\ndata: {data}\n\n"),
            Frame::Event { name: None, data } => write!(text, "data: {data}\n\n"),
            Frame::Comment(comment) => write!(text, ": {comment}\n\n"),
            Frame::Line(line) => writeln!(text, "{line}"),
            Frame::Done => write!(text, "data: [DONE]\n\n"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_complete_in_itself() {
        let mut text = String::new();
        for frame in [
            Frame::event("ping", &serde_json::json!({ "type": "ping" })),
            Frame::data(&1),
            Frame::queued(2, 30),
            Frame::line("x"),
            Frame::Done,
        ] {
            frame.write_to(&mut text);
        }
        let expected = "event: ping\ndata: {\"type\":\"ping\"}\n\ndata: 1\n\n: queued, position 2, starts in about \
                        30 ms\n\n\"x\"\ndata: [DONE]\n\n";
        assert_eq!(text, expected);
    }
}
