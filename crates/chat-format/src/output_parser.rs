//! Parses an answer while it streams: splits it into text, reasoning and tool calls.

use lar_inference::OutputPart;

use crate::OutputFormat;
use crate::reasoning::Splitter;
use crate::tool_call_parser::ToolCallParser;

/// A parser of one answer.
pub struct OutputParser {
    reasoning: Option<Splitter>,
    call_parser: Option<ToolCallParser>,
    calls: usize,
}

impl std::fmt::Debug for OutputParser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutputParser").field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl OutputParser {
    /// Makes a parser; `None` if the answer can only be text.
    #[must_use]
    pub fn new(output_format: &OutputFormat) -> Option<Self> {
        let reasoning = output_format
            .reasoning
            .map(|(start, end)| Splitter::new(start, end, output_format.starts_in_reasoning));
        let bare = output_format.allows_bare_calls;
        let call_parser =
            output_format.tools.as_ref().map(|(format, tools)| ToolCallParser::new(*format, tools, bare));
        (reasoning.is_some() || call_parser.is_some()).then_some(Self { reasoning, call_parser, calls: 0 })
    }

    /// Takes more text and returns the parts that are certain now.
    pub fn push(&mut self, text: &str) -> Vec<OutputPart> {
        let parts = match &mut self.reasoning {
            Some(splitter) => splitter.push(text),
            None => vec![OutputPart::Text(text.to_owned())],
        };
        self.parse_calls(parts)
    }

    /// Returns what was buffered, at the end of the answer. `cut` says that the answer was cut off, not ended
    /// by the model.
    pub fn finish(&mut self, cut: bool) -> Vec<OutputPart> {
        let buffered = self.reasoning.as_mut().map(Splitter::finish).unwrap_or_default();
        let mut parts = self.parse_calls(buffered);
        parts
            .extend(self.call_parser.as_mut().map(|call_parser| call_parser.finish(cut)).unwrap_or_default());
        self.count_calls(&parts);
        parts
    }

    /// Returns the number of tool calls so far.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls
    }

    fn parse_calls(&mut self, parts: Vec<OutputPart>) -> Vec<OutputPart> {
        let Some(call_parser) = &mut self.call_parser else { return parts };
        let read = |part| match part {
            OutputPart::Text(text) => call_parser.push(&text),
            other => vec![other],
        };
        let parts: Vec<OutputPart> = parts.into_iter().flat_map(read).collect();
        self.count_calls(&parts);
        parts
    }

    fn count_calls(&mut self, parts: &[OutputPart]) {
        for part in parts {
            if let OutputPart::Call(call) = part {
                self.calls = self.calls.max(call.index + 1);
            }
        }
    }
}
