//! Reads tool calls out of an answer as it comes, whatever the pieces.
//!
//! A call stands between marks. Its body is a JSON object that names the function and holds the arguments, or
//! the name, a mark and the arguments' JSON, or tags, or a call as programs write it. JSON is followed rather than
//! parsed; what is written otherwise is passed on argument by argument, or whole. What turns out to be no call
//! stays text.

mod tags;

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use super::format::{Body, Format};
use super::json::{Follow, Object, Span};
use super::literal::Follower;
use super::names::plain;
use super::{CallPart, Part, beginning_at_end};
use crate::driver::Tool;

/// A name longer than this is none.
const NAME_BYTES_MAX: usize = 256;
/// So much of an object is held back until it names its function.
const UNNAMED_BYTES_MAX: usize = 64 << 10;
/// Opens and closes a block of code.
const FENCE: &str = "```";

/// Follows one answer.
pub(super) struct Calls {
    format: Format,
    /// Those offered, by their plain names.
    tools: Vec<Tool>,
    /// The caller's own names of tools whose plain names are others.
    own_names: HashMap<String, String>,
    /// The call that is being read, or was last, stands without marks.
    bare: bool,
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
    /// At the beginning of an answer that may be a call without marks: this may be what comes before one.
    Opening(String),
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
    /// With `bare`, an answer that is a JSON object which names a tool and has its arguments is a call, too; it may stand in
    /// a block of code, and several in a list.
    pub(super) fn new(format: Format, tools: &[Tool], bare: bool) -> Self {
        let bare = bare && format.body != Body::BareJson;
        let mut own_names = HashMap::new();
        let tools = tools.iter().map(|tool| match plain(&tool.name) {
            Cow::Borrowed(_) => tool.clone(),
            Cow::Owned(name) => {
                own_names.insert(name.clone(), tool.name.clone());
                Tool { name, ..tool.clone() }
            }
        });
        let tools = tools.collect();
        Self {
            format,
            tools,
            own_names,
            bare: false,
            input: VecDeque::new(),
            place: if bare { Place::Opening(String::new()) } else { Place::Text(String::new()) },
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
                Place::Opening(held) => self.opening(held, character),
                Place::Text(held) => self.text(held, character),
                Place::Call(call) => self.call(call, character),
                Place::After(held) => self.after(held, character),
            };
        }
        std::mem::take(&mut self.parts)
    }

    /// What was held back, at the end of the answer. Where that was `cut`, the beginning of a call is none of its text.
    pub(super) fn finish(&mut self, cut: bool) -> Vec<Part> {
        match std::mem::replace(&mut self.place, Place::Text(String::new())) {
            Place::Text(mut held) => {
                let mark = beginning_at_end(&held, self.format.begin);
                // One character is more likely text.
                if cut && mark > 1 {
                    held.truncate(held.len() - mark);
                    held.truncate(held.trim_end().len());
                }
                self.say(&held);
            }
            Place::Opening(held) => self.say(&held),
            // The beginning of a further call is not what was meant to be said.
            Place::Call(call) if !call.named && self.calls > 0 => {}
            Place::Call(call) if !call.named && cut && self.is_begun(&call) => {}
            Place::Call(call) if !call.named => self.say(&call.raw),
            Place::Call(call) => self.break_off(&call),
            Place::After(_) => {}
        }
        std::mem::take(&mut self.parts)
    }

    /// Whether what came is the beginning of a call and of nothing else.
    fn is_begun(&self, call: &Call) -> bool {
        match &call.reading {
            Reading::Object(object) if self.is_unmarked() => {
                let begun = object.name.as_deref().or(object.name_begun());
                begun.is_some_and(|begun| self.tools.iter().any(|tool| tool.name.starts_with(begun)))
            }
            _ => true,
        }
    }

    /// Whether calls begin without a mark, so that other objects begin alike.
    fn is_unmarked(&self) -> bool {
        self.bare || self.format.body == Body::BareJson
    }

    fn is_offered(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool.name == name)
    }

    /// Blanks, the beginning of a block of code, then an object or a list.
    fn opening(&mut self, mut held: String, character: char) -> Place {
        held.push(character);
        let mut rest = held.trim_start();
        if let Some(fenced) = rest.strip_prefix(FENCE) {
            let language = fenced.trim_start_matches(|one: char| one.is_ascii_alphanumeric() || one == '_');
            rest = language.trim_start();
            // What follows the language on its line is no call.
            if rest.is_empty() {
                return Place::Opening(held);
            }
        } else if FENCE.starts_with(rest) {
            return Place::Opening(held);
        }
        if rest == "{" || rest == "[" {
            self.bare = true;
            let mut object = Object::default();
            object.push(character);
            return Place::Call(Call { raw: held, named: false, reading: Reading::Object(object) });
        }
        self.look_again(&held);
        Place::Text(String::new())
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
                if !call.named {
                    let offered = |name: &String| self.is_offered(name);
                    let refused = (self.is_unmarked() && !object.name.as_ref().is_none_or(offered))
                        || (self.bare && !object.may_be_call())
                        || call.raw.len() > UNNAMED_BYTES_MAX;
                    if refused {
                        return self.no_call(&call);
                    }
                }
                if !call.named
                    && (!self.bare || object.argued)
                    && let Some(name) = object.name.take()
                {
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
        let listed = (self.bare || matches!(self.format.body, Body::Json { .. } | Body::BareJson))
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
        let fence = self.bare.then_some(FENCE);
        let known = [self.format.end, self.format.begin].into_iter().chain(fence);
        let known: Vec<&str> = known.chain(self.format.around.iter().copied()).collect();
        for mark in known {
            if !mark.is_empty() && text == mark {
                return if mark == self.format.begin && self.format.body != Body::BareJson {
                    self.bare = false;
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
        if self.bare && self.calls == 0 {
            // It may still be a call with marks.
            self.bare = false;
            self.look_again(&call.raw);
            return Place::Text(String::new());
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
        let own = self.own_names.get(name).map_or(name, String::as_str);
        let (index, name) = (self.calls, Some(own.to_owned()));
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
