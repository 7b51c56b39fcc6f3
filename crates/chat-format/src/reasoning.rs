//! Splits an answer into reasoning and text.

use crate::partial_match_len;
use lar_inference::OutputPart;

/// The phase of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Only whitespace so far.
    Beginning,
    Reasoning,
    /// The reasoning has ended; whitespace that follows it is dropped.
    After,
    Text,
}

/// Splits text while it streams; buffers text that may become a mark.
#[derive(Debug)]
pub(super) struct Splitter {
    start: &'static str,
    end: &'static str,
    phase: Phase,
    buffer: String,
}

impl Splitter {
    pub(super) fn new(start: &'static str, end: &'static str, starts_in_reasoning: bool) -> Self {
        let phase = if starts_in_reasoning { Phase::Reasoning } else { Phase::Beginning };
        Self { start, end, phase, buffer: String::new() }
    }

    pub(super) fn push(&mut self, text: &str) -> Vec<OutputPart> {
        self.buffer.push_str(text);
        let mut parts = Vec::new();
        loop {
            match self.phase {
                Phase::Beginning => {
                    let trimmed = self.buffer.trim_start();
                    if let Some(rest) = trimmed.strip_prefix(self.start) {
                        self.buffer = rest.to_owned();
                        self.phase = Phase::Reasoning;
                        continue;
                    }
                    if self.start.starts_with(trimmed) {
                        return parts;
                    }
                    self.phase = Phase::Text;
                }
                Phase::Reasoning => {
                    if let Some(at) = self.buffer.find(self.end) {
                        let rest = self.buffer.split_off(at + self.end.len());
                        self.buffer.truncate(at);
                        let reasoning = std::mem::replace(&mut self.buffer, rest);
                        parts.extend(non_empty(reasoning).map(OutputPart::Reasoning));
                        self.phase = Phase::After;
                        continue;
                    }
                    let keep = partial_match_len(&self.buffer, self.end);
                    let rest = self.buffer.split_off(self.buffer.len() - keep);
                    parts.extend(
                        non_empty(std::mem::replace(&mut self.buffer, rest)).map(OutputPart::Reasoning),
                    );
                    return parts;
                }
                Phase::After => {
                    self.buffer = self.buffer.trim_start().to_owned();
                    if self.buffer.is_empty() {
                        return parts;
                    }
                    self.phase = Phase::Text;
                }
                Phase::Text => {
                    parts.extend(non_empty(std::mem::take(&mut self.buffer)).map(OutputPart::Text));
                    return parts;
                }
            }
        }
    }

    pub(super) fn finish(&mut self) -> Vec<OutputPart> {
        let buffer = non_empty(std::mem::take(&mut self.buffer));
        let part = if self.phase == Phase::Reasoning { OutputPart::Reasoning } else { OutputPart::Text };
        buffer.map(part).into_iter().collect()
    }
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
