//! Parses tool calls in an answer while it streams, in chunks of any size.
//!
//! A call is between marks. Its body has one of four forms:
//! - a JSON object with the function's name and arguments;
//! - the name, a mark and the JSON of the arguments;
//! - tags;
//! - the syntax of a programming language.
//!
//! JSON is scanned and passed on unchanged. Other arguments are converted and passed on one by one, or all at
//! the end. Text that turns out not to be a call stays text.

mod tags;

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use super::json::{CallObject, ScanStep, Span};
use super::names::plain;
use super::pythonic_calls::CallScanner;
use super::tool_call_format::{CallBody, ToolCallFormat};
use crate::partial_match_len;
use lar_inference::Tool;
use lar_inference::{CallPart, OutputPart};

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// The most bytes of an object that are buffered until it has a name.
const UNNAMED_BYTES_MAX: usize = 64 << 10;
/// Opens and closes a block of code.
const FENCE: &str = "```";

/// The parser of one answer.
pub(super) struct ToolCallParser {
    format: ToolCallFormat,
    /// The offered tools, with their plain names.
    tools: Vec<Tool>,
    /// The original names of tools that have another plain name.
    original_names: HashMap<String, String>,
    /// Whether the current or last call is without marks.
    bare: bool,
    /// The input that is not scanned yet.
    input: VecDeque<char>,
    state: ParserState,
    /// Whether the text so far is only whitespace.
    only_blanks_so_far: bool,
    calls: usize,
    /// The tool of the current call.
    current_tool: String,
    parts: Vec<OutputPart>,
}

enum ParserState {
    /// The start of an answer that may be a call without marks, so far.
    Opening(String),
    /// Text; the buffer may become a mark, or is whitespace before one.
    Text(String),
    Call(Call),
    /// After a call; the buffer has the text since then.
    After(String),
}

/// A call that is being parsed.
struct Call {
    /// Its text, until it is known to be a call.
    raw: String,
    named: bool,
    stage: CallStage,
}

enum CallStage {
    CallObject(CallObject),
    /// The name, up to the mark.
    Name(String),
    /// The arguments.
    Arguments(Span),
    /// A call in the syntax of a programming language, up to its closing bracket.
    Pythonic(CallScanner),
    /// Tags; the buffer has the text up to the next one.
    Tags {
        buffer: String,
        step: TagStep,
        key: String,
        count: usize,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TagStep {
    Name,
    Key,
    Value,
}

impl ToolCallParser {
    /// Makes a parser. With `bare`, an answer that is a JSON object with a tool's name and arguments is a
    /// call, too. It may be in a block of code, and there may be several in a list.
    pub(super) fn new(format: ToolCallFormat, tools: &[Tool], bare: bool) -> Self {
        let bare = bare && format.body != CallBody::BareJson;
        let mut original_names = HashMap::new();
        let tools = tools.iter().map(|tool| match plain(&tool.name) {
            Cow::Borrowed(_) => tool.clone(),
            Cow::Owned(name) => {
                original_names.insert(name.clone(), tool.name.clone());
                Tool { name, ..tool.clone() }
            }
        });
        let tools = tools.collect();
        Self {
            format,
            tools,
            original_names,
            bare: false,
            input: VecDeque::new(),
            state: if bare { ParserState::Opening(String::new()) } else { ParserState::Text(String::new()) },
            only_blanks_so_far: true,
            calls: 0,
            current_tool: String::new(),
            parts: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, text: &str) -> Vec<OutputPart> {
        self.input.extend(text.chars());
        while let Some(character) = self.input.pop_front() {
            let state = std::mem::replace(&mut self.state, ParserState::Text(String::new()));
            self.state = match state {
                ParserState::Opening(buffer) => self.scan_opening(buffer, character),
                ParserState::Text(buffer) => self.scan_text(buffer, character),
                ParserState::Call(call) => self.scan_call(call, character),
                ParserState::After(buffer) => self.scan_after(buffer, character),
            };
        }
        std::mem::take(&mut self.parts)
    }

    /// Returns the buffered text at the end of the answer. If the answer was `cut` off, the start of a call
    /// is not text.
    pub(super) fn finish(&mut self, cut: bool) -> Vec<OutputPart> {
        match std::mem::replace(&mut self.state, ParserState::Text(String::new())) {
            ParserState::Text(mut buffer) => {
                let mark = partial_match_len(&buffer, self.format.begin);
                // A single character is more likely text.
                if cut && mark > 1 {
                    buffer.truncate(buffer.len() - mark);
                    buffer.truncate(buffer.trim_end().len());
                }
                self.emit_text(&buffer);
            }
            ParserState::Opening(buffer) => self.emit_text(&buffer),
            // The start of another call is not text.
            ParserState::Call(call) if !call.named && self.calls > 0 => {}
            ParserState::Call(call) if !call.named && cut && self.is_call_prefix(&call) => {}
            ParserState::Call(call) if !call.named => self.emit_text(&call.raw),
            ParserState::Call(call) => self.close_truncated_call(&call),
            ParserState::After(_) => {}
        }
        std::mem::take(&mut self.parts)
    }

    /// Returns whether the text so far can only be the start of a call.
    fn is_call_prefix(&self, call: &Call) -> bool {
        match &call.stage {
            CallStage::CallObject(object) if self.is_unmarked() => {
                let prefix = object.name.as_deref().or(object.partial_name());
                prefix.is_some_and(|prefix| self.tools.iter().any(|tool| tool.name.starts_with(prefix)))
            }
            _ => true,
        }
    }

    /// Returns whether calls start without a mark, so that other objects look the same at first.
    fn is_unmarked(&self) -> bool {
        self.bare || self.format.body == CallBody::BareJson
    }

    fn is_offered(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool.name == name)
    }

    /// Expects whitespace, the start of a block of code, then an object or a list.
    fn scan_opening(&mut self, mut buffer: String, character: char) -> ParserState {
        buffer.push(character);
        let mut rest = buffer.trim_start();
        if let Some(fenced) = rest.strip_prefix(FENCE) {
            let language = fenced.trim_start_matches(|one: char| one.is_ascii_alphanumeric() || one == '_');
            rest = language.trim_start();
            // If more text follows the language on its line, it is not a call.
            if rest.is_empty() {
                return ParserState::Opening(buffer);
            }
        } else if FENCE.starts_with(rest) {
            return ParserState::Opening(buffer);
        }
        if rest == "{" || rest == "[" {
            self.bare = true;
            let mut object = CallObject::default();
            object.push(character);
            return ParserState::Call(Call {
                raw: buffer,
                named: false,
                stage: CallStage::CallObject(object),
            });
        }
        self.requeue(&buffer);
        ParserState::Text(String::new())
    }

    fn scan_text(&mut self, mut buffer: String, character: char) -> ParserState {
        buffer.push(character);
        let bare = self.format.body == CallBody::BareJson && self.only_blanks_so_far && self.calls == 0;
        if bare && buffer.trim_start() == "{" {
            return self.begin(buffer);
        }
        if buffer.ends_with(self.format.begin) {
            let before = buffer.len() - self.format.begin.len();
            let mark = buffer.split_off(before);
            if !buffer.trim().is_empty() {
                self.emit_text(&buffer);
            }
            return match self.format.body {
                CallBody::BareJson => ParserState::Text(String::new()),
                _ => self.begin(mark),
            };
        }
        for mark in self.format.around {
            if buffer.ends_with(mark) {
                buffer.truncate(buffer.len() - mark.len());
                return ParserState::Text(buffer);
            }
        }
        // Whitespace at the start, or before a possible mark, waits for what follows.
        let marks = std::iter::once(&self.format.begin).chain(self.format.around);
        let keep = marks.map(|mark| partial_match_len(&buffer, mark)).max().unwrap_or(0);
        let ready = buffer[..buffer.len() - keep].trim_end();
        if !ready.is_empty() {
            let rest = buffer.split_off(ready.len());
            self.emit_text(&buffer);
            return ParserState::Text(rest);
        }
        ParserState::Text(buffer)
    }

    fn begin(&self, raw: String) -> ParserState {
        let stage = match self.format.body {
            CallBody::Json { .. } => CallStage::CallObject(CallObject::default()),
            CallBody::BareJson => {
                let mut object = CallObject::default();
                object.push('{');
                CallStage::CallObject(object)
            }
            CallBody::Named { .. } => CallStage::Name(String::new()),
            CallBody::Pythonic(syntax) => CallStage::Pythonic(CallScanner::new(syntax)),
            CallBody::Tags { .. } => {
                CallStage::Tags { buffer: String::new(), step: TagStep::Name, key: String::new(), count: 0 }
            }
        };
        ParserState::Call(Call { raw, named: false, stage })
    }

    fn scan_call(&mut self, mut call: Call, character: char) -> ParserState {
        if !call.named {
            call.raw.push(character);
        }
        match &mut call.stage {
            CallStage::CallObject(object) => {
                let step = object.push(character);
                if !call.named {
                    let offered = |name: &String| self.is_offered(name);
                    let refused = (self.is_unmarked() && !object.name.as_ref().is_none_or(offered))
                        || (self.bare && !object.may_be_call())
                        || call.raw.len() > UNNAMED_BYTES_MAX;
                    if refused {
                        return self.reject_call(&call);
                    }
                }
                if !call.named
                    && (!self.bare || object.has_arguments)
                    && let Some(name) = object.name.take()
                {
                    call.named = true;
                    self.emit_call_start(&name);
                }
                if call.named && !object.arguments.is_empty() {
                    let more = std::mem::take(&mut object.arguments);
                    self.emit_arguments(&more);
                }
                match step {
                    ScanStep::More => ParserState::Call(call),
                    ScanStep::End if call.named => {
                        if !object.has_arguments {
                            self.emit_arguments("{}");
                        }
                        self.finish_call()
                    }
                    ScanStep::End | ScanStep::Invalid => self.reject_call(&call),
                }
            }
            CallStage::Name(name) => {
                name.push(character);
                let CallBody::Named { mark, name_after, name_before } = self.format.body else {
                    return self.reject_call(&call);
                };
                if name.len() > NAME_BYTES_MAX {
                    return self.reject_call(&call);
                }
                let Some(tool_name) = name.strip_suffix(mark) else { return ParserState::Call(call) };
                let tool_name = name_after
                    .and_then(|mark| tool_name.rsplit_once(mark))
                    .map_or(tool_name, |(_, name)| name);
                let tool_name = name_before
                    .and_then(|mark| tool_name.split_once(mark))
                    .map_or(tool_name, |(name, _)| name);
                // In Harmony, more text follows the name, which contains no space or `<`.
                let tool_name = tool_name.trim().split([' ', '<']).next().unwrap_or_default().to_owned();
                self.emit_call_start(&tool_name);
                ParserState::Call(Call {
                    raw: String::new(),
                    named: true,
                    stage: CallStage::Arguments(Span::default()),
                })
            }
            CallStage::Arguments(span) => match span.push(character) {
                // Before the value, or between the name and the value.
                ScanStep::Invalid => ParserState::Call(call),
                ScanStep::More => {
                    self.emit_arguments(character.encode_utf8(&mut [0; 4]));
                    ParserState::Call(call)
                }
                ScanStep::End => {
                    self.emit_arguments(character.encode_utf8(&mut [0; 4]));
                    self.finish_call()
                }
            },
            CallStage::Pythonic(scanner) => {
                let follow = scanner.push(character);
                if let (Some(name), false) = (scanner.name(), call.named) {
                    call.named = true;
                    let name = name.to_owned();
                    self.emit_call_start(&name);
                }
                match follow {
                    ScanStep::More => ParserState::Call(call),
                    ScanStep::Invalid => self.reject_call(&call),
                    ScanStep::End => {
                        let arguments = scanner.arguments().to_string();
                        self.emit_arguments(&arguments);
                        self.finish_call()
                    }
                }
            }
            CallStage::Tags { .. } => self.scan_tags(call, character),
        }
    }

    fn scan_after(&mut self, mut buffer: String, character: char) -> ParserState {
        buffer.push(character);
        let text = buffer.trim_start();
        if matches!(self.format.body, CallBody::Pythonic(syntax) if syntax.list) {
            match text {
                "," => return self.begin(buffer),
                "]" => return ParserState::After(String::new()),
                _ => {}
            }
        }
        // Another call of a list, or a bare one. Small models close more brackets than they opened.
        let listed = (self.bare || matches!(self.format.body, CallBody::Json { .. } | CallBody::BareJson))
            && text.starts_with([',', ';', ']', '{', '}']);
        if listed {
            let rest = text[1..].trim_start();
            if text.starts_with('{') || rest == "{" {
                let mut object = CallObject::default();
                object.push('{');
                return ParserState::Call(Call {
                    raw: buffer,
                    named: false,
                    stage: CallStage::CallObject(object),
                });
            }
            if rest.is_empty() {
                return ParserState::After(buffer);
            }
            let rest = rest.to_owned();
            self.requeue(&rest);
            return ParserState::After(String::new());
        }
        let fence = self.bare.then_some(FENCE);
        let known = [self.format.end, self.format.begin].into_iter().chain(fence);
        let known: Vec<&str> = known.chain(self.format.around.iter().copied()).collect();
        for mark in known {
            if !mark.is_empty() && text == mark {
                return if mark == self.format.begin && self.format.body != CallBody::BareJson {
                    self.bare = false;
                    self.begin(buffer)
                } else {
                    ParserState::After(String::new())
                };
            }
            if mark.starts_with(text) {
                return ParserState::After(buffer);
            }
        }
        // Text follows the calls.
        let text = text.to_owned();
        self.rescan_as_text(&text)
    }

    /// Scans the text after a call again, as text.
    fn rescan_as_text(&mut self, text: &str) -> ParserState {
        self.requeue(text);
        self.only_blanks_so_far = false;
        ParserState::Text(String::new())
    }

    fn requeue(&mut self, text: &str) {
        for character in text.chars().rev() {
            self.input.push_front(character);
        }
    }

    /// Ends a call; the rest of its marks has no meaning.
    fn finish_call(&mut self) -> ParserState {
        self.calls += 1;
        ParserState::After(String::new())
    }

    /// Treats a rejected call as text: emits the first character and scans the rest again.
    fn reject_call(&mut self, call: &Call) -> ParserState {
        if call.named {
            return self.finish_call();
        }
        if self.bare && self.calls == 0 {
            // It may still be a call with marks.
            self.bare = false;
            self.requeue(&call.raw);
            return ParserState::Text(String::new());
        }
        let blanks = call.raw.len() - call.raw.trim_start().len();
        let first_len = call.raw[blanks..].chars().next().map_or(0, char::len_utf8);
        let (first, rest) = call.raw.split_at(blanks + first_len);
        self.emit_text(first);
        self.rescan_as_text(rest)
    }

    /// Ends a call that the end of the answer truncated; its arguments stay incomplete.
    fn close_truncated_call(&mut self, call: &Call) {
        if let CallStage::Tags { count, .. } = &call.stage
            && *count > 0
        {
            self.emit_arguments("}");
        }
    }

    fn emit_text(&mut self, text: &str) {
        self.only_blanks_so_far &= text.trim().is_empty();
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(OutputPart::Text(last)) => last.push_str(text),
            _ => self.parts.push(OutputPart::Text(text.to_owned())),
        }
    }

    fn emit_call_start(&mut self, name: &str) {
        name.clone_into(&mut self.current_tool);
        let own = self.original_names.get(name).map_or(name, String::as_str);
        let (index, name) = (self.calls, Some(own.to_owned()));
        self.parts.push(OutputPart::Call(CallPart { index, name, arguments: String::new() }));
    }

    fn emit_arguments(&mut self, more: &str) {
        match self.parts.last_mut() {
            Some(OutputPart::Call(call)) if call.index == self.calls => call.arguments.push_str(more),
            _ => self.parts.push(OutputPart::Call(CallPart {
                index: self.calls,
                name: None,
                arguments: more.to_owned(),
            })),
        }
    }
}
