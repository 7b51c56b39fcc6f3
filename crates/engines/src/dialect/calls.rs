//! Reads tool calls out of an answer as it comes, whatever the pieces.
//!
//! A call stands between marks. Its body is a JSON object that names the function and holds the arguments, or
//! the name, a mark and the arguments' JSON, or tags, or a call as programs write it. JSON is followed rather than
//! parsed; what is written otherwise is passed on argument by argument, or whole. What turns out to be no call
//! stays text.

use std::collections::VecDeque;

use serde_json::Value;

use super::json::{Follow, Object, Span};
use super::literal::{Follower, Literals};
use super::{CallPart, Part, beginning_at_end};
use crate::driver::Tool;

/// A way to write calls down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    /// Opens a call, or a list of them.
    pub(super) begin: &'static str,
    /// Ends a call.
    pub(super) end: &'static str,
    /// What is between.
    pub(super) body: Body,
    /// Marks around calls that say nothing.
    pub(super) around: &'static [&'static str],
}

/// What stands between the marks of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// `{"name": …, "arguments": {…}}` in one of several spellings, or a list of those. `opening` is a regular
    /// expression of what comes before the name.
    Json { opening: &'static str },
    /// The same without a mark, where an answer begins with it.
    BareJson,
    /// The name, this mark, the arguments' JSON. What is before `name_after` is not part of the name, nor
    /// what is after `name_before`.
    Named { mark: &'static str, name_after: Option<&'static str>, name_before: Option<&'static str> },
    /// The name between `name` and its end; then a tag for each argument's key, its end, a value, its end.
    Tags {
        name: (&'static str, &'static str),
        key: (&'static str, &'static str),
        value: (&'static str, &'static str),
    },
    /// A call as programs write it, with arguments by name; several where the model writes a list.
    Written(Literals),
}

impl Format {
    /// Every mark of it that may be a token of the model's.
    pub(super) fn marks(&self) -> Vec<String> {
        let mut marks = vec![self.begin, self.end];
        marks.extend(self.around);
        match self.body {
            Body::Json { .. } | Body::BareJson => {}
            Body::Named { mark, name_after, name_before } => {
                marks.push(mark);
                marks.extend(name_after.into_iter().chain(name_before));
            }
            Body::Tags { name, key, value } => marks.extend([name.0, name.1, key.0, key.1, value.0, value.1]),
            Body::Written(literals) => marks.extend(literals.quotes.iter().filter(|quote| quote.len() > 1)),
        }
        marks.into_iter().flat_map(tokens_of).collect()
    }
}

/// What of a mark may be a token of the model's: all of it, but for the fence before DeepSeek's last one, and what
/// stands between `<|` and `|>` in it.
pub(super) fn tokens_of(mark: &str) -> Vec<String> {
    let whole = mark.trim_start_matches('`');
    let inner = whole.match_indices("<|").filter_map(|(at, _)| {
        let end = whole[at..].find("|>")? + at + "|>".len();
        (whole[at..end] != *whole).then(|| whole[at..end].to_owned())
    });
    std::iter::once(whole.to_owned()).chain(inner).filter(|mark| !mark.is_empty()).collect()
}

/// A name longer than this is none.
const NAME_BYTES_MAX: usize = 256;

/// Follows one answer.
pub(super) struct Calls {
    format: Format,
    tools: Vec<Tool>,
    /// Not looked at yet.
    input: VecDeque<char>,
    place: Place,
    /// Nothing but blanks was said.
    silent: bool,
    calls: usize,
    /// The function of the call that is being read.
    called: String,
    parts: Vec<Part>,
}

enum Place {
    /// In text; this much of it may become a mark, or is blanks before one.
    Text(String),
    Call(Call),
    /// Between calls, or after the last; this came since.
    After(String),
}

/// A call that is being read.
struct Call {
    /// What came of it, until it is known to be one.
    raw: String,
    named: bool,
    reading: Reading,
}

enum Reading {
    Object(Object),
    /// The name comes, up to the mark.
    Name(String),
    /// The arguments come.
    Arguments(Span),
    /// A written call comes, up to what closes it.
    Written(Follower),
    /// Up to the next of the tags that may come.
    Tags {
        held: String,
        step: Step,
        key: String,
        count: usize,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Name,
    Key,
    Value,
}

impl Calls {
    pub(super) fn new(format: Format, tools: &[Tool]) -> Self {
        Self {
            format,
            tools: tools.to_vec(),
            input: VecDeque::new(),
            place: Place::Text(String::new()),
            silent: true,
            calls: 0,
            called: String::new(),
            parts: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, text: &str) -> Vec<Part> {
        self.input.extend(text.chars());
        while let Some(character) = self.input.pop_front() {
            let place = std::mem::replace(&mut self.place, Place::Text(String::new()));
            self.place = match place {
                Place::Text(held) => self.text(held, character),
                Place::Call(call) => self.call(call, character),
                Place::After(held) => self.after(held, character),
            };
        }
        std::mem::take(&mut self.parts)
    }

    /// What was held back, at the end of the answer.
    pub(super) fn finish(&mut self) -> Vec<Part> {
        match std::mem::replace(&mut self.place, Place::Text(String::new())) {
            Place::Text(held) => self.say(&held),
            // The beginning of a further call is not what was meant to be said.
            Place::Call(call) if !call.named && self.calls > 0 => {}
            Place::Call(call) if !call.named => self.say(&call.raw),
            Place::Call(call) => self.break_off(&call),
            Place::After(_) => {}
        }
        std::mem::take(&mut self.parts)
    }

    fn text(&mut self, mut held: String, character: char) -> Place {
        held.push(character);
        let bare = self.format.body == Body::BareJson && self.silent && self.calls == 0;
        if bare && held.trim_start() == "{" {
            return self.begin(held);
        }
        if held.ends_with(self.format.begin) {
            let before = held.len() - self.format.begin.len();
            let mark = held.split_off(before);
            if !held.trim().is_empty() {
                self.say(&held);
            }
            return match self.format.body {
                Body::BareJson => Place::Text(String::new()),
                _ => self.begin(mark),
            };
        }
        for mark in self.format.around {
            if held.ends_with(mark) {
                held.truncate(held.len() - mark.len());
                return Place::Text(held);
            }
        }
        // Blanks at the beginning, or before what may become a mark, wait for what follows.
        let marks = std::iter::once(&self.format.begin).chain(self.format.around);
        let keep = marks.map(|mark| beginning_at_end(&held, mark)).max().unwrap_or(0);
        let said = held[..held.len() - keep].trim_end();
        if !said.is_empty() {
            let rest = held.split_off(said.len());
            self.say(&held);
            return Place::Text(rest);
        }
        Place::Text(held)
    }

    fn begin(&self, raw: String) -> Place {
        let reading = match self.format.body {
            Body::Json { .. } => Reading::Object(Object::default()),
            Body::BareJson => {
                let mut object = Object::default();
                object.push('{');
                Reading::Object(object)
            }
            Body::Named { .. } => Reading::Name(String::new()),
            Body::Written(literals) => Reading::Written(Follower::new(literals)),
            Body::Tags { .. } => {
                Reading::Tags { held: String::new(), step: Step::Name, key: String::new(), count: 0 }
            }
        };
        Place::Call(Call { raw, named: false, reading })
    }

    fn call(&mut self, mut call: Call, character: char) -> Place {
        if !call.named {
            call.raw.push(character);
        }
        match &mut call.reading {
            Reading::Object(object) => {
                let step = object.push(character);
                if let (Some(name), false) = (object.name.take(), call.named) {
                    call.named = true;
                    self.announce(&name);
                }
                if call.named && !object.arguments.is_empty() {
                    let more = std::mem::take(&mut object.arguments);
                    self.argue(&more);
                }
                match step {
                    Follow::More => Place::Call(call),
                    Follow::End if call.named => {
                        if !object.argued {
                            self.argue("{}");
                        }
                        self.over()
                    }
                    Follow::End | Follow::Wrong => self.no_call(&call),
                }
            }
            Reading::Name(name) => {
                name.push(character);
                let Body::Named { mark, name_after, name_before } = self.format.body else {
                    return self.no_call(&call);
                };
                if name.len() > NAME_BYTES_MAX {
                    return self.no_call(&call);
                }
                let Some(told) = name.strip_suffix(mark) else { return Place::Call(call) };
                let told = name_after.and_then(|mark| told.rsplit_once(mark)).map_or(told, |(_, name)| name);
                let told = name_before.and_then(|mark| told.split_once(mark)).map_or(told, |(name, _)| name);
                // Harmony says more behind the name, which has no such character.
                let told = told.trim().split([' ', '<']).next().unwrap_or_default().to_owned();
                self.announce(&told);
                Place::Call(Call {
                    raw: String::new(),
                    named: true,
                    reading: Reading::Arguments(Span::default()),
                })
            }
            Reading::Arguments(span) => match span.push(character) {
                // Before the value, or between it and the name.
                Follow::Wrong => Place::Call(call),
                Follow::More => {
                    self.argue(character.encode_utf8(&mut [0; 4]));
                    Place::Call(call)
                }
                Follow::End => {
                    self.argue(character.encode_utf8(&mut [0; 4]));
                    self.over()
                }
            },
            Reading::Written(follower) => {
                let follow = follower.push(character);
                if let (Some(name), false) = (follower.name(), call.named) {
                    call.named = true;
                    let name = name.to_owned();
                    self.announce(&name);
                }
                match follow {
                    Follow::More => Place::Call(call),
                    Follow::Wrong => self.no_call(&call),
                    Follow::End => {
                        let arguments = follower.arguments().to_string();
                        self.argue(&arguments);
                        self.over()
                    }
                }
            }
            Reading::Tags { .. } => self.tags(call, character),
        }
    }

    fn tags(&mut self, mut call: Call, character: char) -> Place {
        let (
            Reading::Tags { held, step, key, count },
            Body::Tags { name: name_tag, key: key_tag, value: value_tag },
        ) = (&mut call.reading, self.format.body)
        else {
            return self.no_call(&call);
        };
        held.push(character);
        match step {
            Step::Name => {
                let alone = name_tag.0.is_empty().then(|| held.strip_suffix(self.format.end)).flatten();
                if let Some(told) = alone {
                    let told = told.trim().to_owned();
                    self.announce(&told);
                    self.argue("{}");
                    return self.over();
                }
                let Some(told) = held.strip_suffix(name_tag.1) else {
                    if held.len() > NAME_BYTES_MAX {
                        return self.no_call(&call);
                    }
                    return Place::Call(call);
                };
                let told = told.trim_start();
                let Some(told) = told.strip_prefix(name_tag.0) else { return self.no_call(&call) };
                let told = told.trim().to_owned();
                // A tag of the first argument may end the name.
                let first = name_tag.1 == key_tag.0;
                *held = if first { key_tag.0.to_owned() } else { String::new() };
                *step = Step::Key;
                call.named = true;
                self.announce(&told);
            }
            Step::Key => {
                if held.ends_with(self.format.end) {
                    self.argue(if *count == 0 { "{}" } else { "}" });
                    return self.over();
                }
                if let Some((_, told)) =
                    held.strip_suffix(key_tag.1).and_then(|held| held.rsplit_once(key_tag.0))
                {
                    *key = told.trim().to_owned();
                    held.clear();
                    *step = Step::Value;
                }
            }
            Step::Value => {
                let Some(told) = held.strip_suffix(value_tag.1) else { return Place::Call(call) };
                let told = told.split_once(value_tag.0).map_or(told, |(_, value)| value);
                // One line break on either side belongs to the tags.
                let told = told.strip_prefix('\n').unwrap_or(told);
                let told = told.strip_suffix('\n').unwrap_or(told);
                let value = self.value(key, told);
                let name = Value::from(key.as_str());
                let text = format!("{}{name}: {value}", if *count == 0 { "{" } else { ", " });
                *count += 1;
                held.clear();
                *step = Step::Key;
                self.argue(&text);
            }
        }
        Place::Call(call)
    }

    /// An argument that was written as text, by the type that the tool's schema gives it.
    fn value(&self, key: &str, text: &str) -> Value {
        let tool = self.tools.iter().find(|tool| tool.name == self.called);
        let schema: Option<Value> = tool.and_then(|tool| serde_json::from_str(&tool.parameters).ok());
        match schema {
            Some(schema) if schema["properties"][key]["type"] == "string" => Value::from(text),
            _ => serde_json::from_str(text.trim()).unwrap_or_else(|_| Value::from(text)),
        }
    }

    fn after(&mut self, mut held: String, character: char) -> Place {
        held.push(character);
        let text = held.trim_start();
        if matches!(self.format.body, Body::Written(literals) if literals.list) {
            match text {
                "," => return self.begin(held),
                "]" => return Place::After(String::new()),
                _ => {}
            }
        }
        // Another call of a list, or a bare one; small models close more than they opened.
        let listed = matches!(self.format.body, Body::Json { .. } | Body::BareJson)
            && text.starts_with([',', ';', ']', '{', '}']);
        if listed {
            let rest = text[1..].trim_start();
            if text.starts_with('{') || rest == "{" {
                let mut object = Object::default();
                object.push('{');
                return Place::Call(Call { raw: held, named: false, reading: Reading::Object(object) });
            }
            if rest.is_empty() {
                return Place::After(held);
            }
            let rest = rest.to_owned();
            self.look_again(&rest);
            return Place::After(String::new());
        }
        let known =
            [self.format.end, self.format.begin].into_iter().chain(self.format.around.iter().copied());
        for mark in known {
            if !mark.is_empty() && text == mark {
                return if mark == self.format.begin && self.format.body != Body::BareJson {
                    self.begin(held)
                } else {
                    Place::After(String::new())
                };
            }
            if mark.starts_with(text) {
                return Place::After(held);
            }
        }
        // Something is said after the calls.
        let text = text.to_owned();
        self.again(&text)
    }

    /// Looks again at what came after a call, as text.
    fn again(&mut self, text: &str) -> Place {
        self.look_again(text);
        self.silent = false;
        Place::Text(String::new())
    }

    fn look_again(&mut self, text: &str) {
        for character in text.chars().rev() {
            self.input.push_front(character);
        }
    }

    /// A call is over; what may still come of it says nothing.
    fn over(&mut self) -> Place {
        self.calls += 1;
        Place::After(String::new())
    }

    /// What looked like a call is text: the first character is said, the rest looked at again.
    fn no_call(&mut self, call: &Call) -> Place {
        if call.named {
            return self.over();
        }
        let blanks = call.raw.len() - call.raw.trim_start().len();
        let begun = call.raw[blanks..].chars().next().map_or(0, char::len_utf8);
        let (said, rest) = call.raw.split_at(blanks + begun);
        self.say(said);
        self.again(rest)
    }

    /// The answer ended within a call: its arguments are left as far as they came.
    fn break_off(&mut self, call: &Call) {
        if let Reading::Tags { count, .. } = &call.reading
            && *count > 0
        {
            self.argue("}");
        }
    }

    fn say(&mut self, text: &str) {
        self.silent &= text.trim().is_empty();
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(said)) => said.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }

    fn announce(&mut self, name: &str) {
        name.clone_into(&mut self.called);
        let (index, name) = (self.calls, Some(name.to_owned()));
        self.parts.push(Part::Call(CallPart { index, name, arguments: String::new() }));
    }

    fn argue(&mut self, more: &str) {
        match self.parts.last_mut() {
            Some(Part::Call(call)) if call.index == self.calls => call.arguments.push_str(more),
            _ => self.parts.push(Part::Call(CallPart {
                index: self.calls,
                name: None,
                arguments: more.to_owned(),
            })),
        }
    }
}
