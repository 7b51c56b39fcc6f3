//! How a model writes down what it thinks and which tools it calls, as its chat template shows, and how to
//! read that in its answers.
//!
//! A model whose template shows no format that is known here is told of tools in a system message and held to
//! one format by a grammar; so is any model that must call. One that has a format and may choose is free, but for
//! the names and arguments of its calls.

mod calls;
mod format;
mod formats;
mod held;
mod json;
mod literal;
mod names;
mod reasoning;
mod tools;

use serde::{Deserialize, Serialize};

use crate::driver::{Chat, Constraint, TemplateVariable, Tool, ToolChoice};
use crate::template::reads;
use calls::Calls;
use format::{Body, Format};
pub(crate) use formats::HARMONY_THOUGHT;
use formats::{BARE, HARMONY, HERMES, REASONING, TOOLS};
pub(crate) use names::with_plain_names;
use reasoning::Splitter;
pub(crate) use tools::{arguments_schema, explain, function};

/// Template variables that switch reasoning on and off, by the names that model families gave them.
pub const THINKING_SWITCHES: [&str; 2] = ["enable_thinking", "thinking"];

/// What a chat template shows of its model's ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dialect {
    reasoning: Option<(&'static str, &'static str)>,
    tools: Option<Format>,
    /// The template has a variable that switches reasoning off.
    switches: bool,
}

/// How to read one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    reasoning: Option<(&'static str, &'static str)>,
    /// The prompt has opened the reasoning already.
    inside: bool,
    /// How calls are written, and the tools there are.
    tools: Option<(Format, Vec<Tool>)>,
    /// An answer that is nothing but a JSON object which describes a call is one.
    bare_calls: bool,
    /// Control tokens that must show in the text for it.
    pub preserved: Vec<String>,
    /// What the answer is held to, so that it can be read.
    pub constraint: Option<Constraint>,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// What is meant for the reader.
    Text(String),
    /// What the model thinks.
    Reasoning(String),
    /// Something of a tool call.
    Call(CallPart),
}

/// A piece of a tool call. The first of a call has its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallPart {
    /// Which call of the answer, from 0.
    pub index: usize,
    /// The tool's name, in the first piece.
    pub name: Option<String>,
    /// More of the arguments' JSON text.
    pub arguments: String,
}

impl Dialect {
    /// Reads a chat template's source.
    #[must_use]
    pub fn of(template: &str) -> Self {
        let shown = |marks: &&(&str, &str)| {
            if **marks == HARMONY_THOUGHT { template.contains(marks.0) } else { template.contains(marks.1) }
        };
        let reasoning = REASONING.iter().find(shown).copied();
        let shows = |marks: &[&str]| marks.iter().all(|mark| template.contains(mark));
        let tools = TOOLS.iter().find(|(marks, _)| template.contains("tools") && shows(marks));
        let switches = THINKING_SWITCHES.iter().any(|name| reads(template, name));
        Self { reasoning, tools: tools.map(|(_, format)| *format), switches }
    }

    /// Whether the template tells the model of tools, and the model calls them in a way that is known here.
    #[must_use]
    pub const fn knows_tools(&self) -> bool {
        self.tools.is_some()
    }

    /// Whether the model may think before it speaks.
    #[must_use]
    pub const fn reasons(&self) -> bool {
        self.reasoning.is_some()
    }

    /// Whether a variable of the request has its effect although the template does not read it.
    pub(crate) fn honours(&self, variable: &TemplateVariable) -> bool {
        let switch = THINKING_SWITCHES.contains(&variable.name.as_str());
        switch && self.reasoning.is_some_and(|marks| marks != HARMONY_THOUGHT)
    }

    /// Adds the beginning of an answer to a rendered prompt, where what is meant for the reader stands: behind a thought that
    /// the prompt has opened, and in Harmony's channel for it. Where reasoning is switched off and the template has no
    /// switch, the answer begins behind an empty thought. Adds nothing where no answer begins.
    pub(crate) fn begin(&self, rendered: &mut String, chat: &Chat) {
        if !chat.adds_generation_prompt {
            return;
        }
        let silent = !self.switches && chat.variables.iter().any(switches_off);
        let opened = self.reasoning.filter(|(start, _)| rendered.trim_end().ends_with(start));
        match self.reasoning {
            Some((_, end)) if opened.is_some() && (silent || !chat.begun.is_empty()) => {
                rendered.push_str(&format!("{end}\n\n"));
            }
            Some(marks @ (start, end)) if silent && marks != HARMONY_THOUGHT => {
                rendered.push_str(&format!("{start}\n\n{end}\n\n"));
            }
            _ => {}
        }
        if !chat.begun.is_empty() {
            if self.tools == Some(HARMONY) {
                rendered.push_str("<|channel|>final<|message|>");
            }
            rendered.push_str(&chat.begun);
        }
    }

    /// How to read the answer to a chat; `rendered` is its prompt.
    #[must_use]
    pub fn reading(&self, chat: &Chat, rendered: &str) -> Reading {
        let inside = self.reasoning.is_some_and(|(start, _)| rendered.trim_end().ends_with(start));
        let reasoning = self.reasoning;
        let mut reading = Reading { reasoning, inside, ..Reading::default() };
        let marks = reasoning.iter().flat_map(|(start, end)| [*start, *end]);
        reading.preserved.extend(marks.flat_map(format::tokens_of));
        if chat.tools.is_empty() {
            // Its answers stand between marks too.
            if self.tools == Some(HARMONY) {
                reading.preserved.extend(HARMONY.marks());
                reading.tools = Some((HARMONY, Vec::new()));
            }
            return reading;
        }
        let forced = chat.tool_choice != ToolChoice::Auto;
        reading.bare_calls = !forced && chat.format.is_none() && chat.begun.is_empty();
        let format = match self.tools {
            Some(native) if !forced && native.body == Body::BareJson && chat.format.is_some() => {
                reading.constraint = Some(tools::bare_grammar(chat, reasoning.filter(|_| inside)));
                native
            }
            Some(native) if !forced => {
                let format = chat.format.as_ref().map(|format| &format.constraint);
                reading.constraint = Some(held::held(&native, &chat.tools, format, reasoning, inside));
                native
            }
            _ => {
                reading.constraint = Some(tools::grammar(chat, reasoning.filter(|_| inside)));
                HERMES
            }
        };
        reading.preserved.extend(format.marks());
        reading.tools = Some((format, chat.tools.clone()));
        reading
    }
}

impl Reading {
    /// The same for an engine that holds answers to JSON schemas alone: where the model must call it writes a call and nothing
    /// else, without a thought before it; otherwise nothing holds it.
    #[must_use]
    pub(crate) fn by_schema(self, chat: &Chat) -> Self {
        match self.constraint {
            Some(_) if chat.tool_choice != ToolChoice::Auto || chat.format.is_some() => Self {
                tools: Some((BARE, chat.tools.clone())),
                constraint: Some(tools::schema(chat)),
                ..Self::default()
            },
            _ => Self { constraint: None, ..self },
        }
    }
}

/// Whether a variable of the request switches reasoning off.
pub(crate) fn switches_off(variable: &TemplateVariable) -> bool {
    THINKING_SWITCHES.contains(&variable.name.as_str()) && variable.value == "false"
}

/// The length of the longest end of `text` that is a beginning of `mark`, but not all of it.
pub(crate) fn beginning_at_end(text: &str, mark: &str) -> usize {
    let fits = |length: &usize| mark.is_char_boundary(*length) && text.ends_with(&mark[..*length]);
    (1..mark.len().min(text.len() + 1)).rev().find(fits).unwrap_or(0)
}

/// Reads an answer as it comes.
pub struct Reader {
    reasoning: Option<Splitter>,
    caller: Option<Calls>,
    calls: usize,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl Reader {
    /// A reader at the beginning of an answer; `None` where text is all there can be.
    #[must_use]
    pub fn of(reading: &Reading) -> Option<Self> {
        let reasoning = reading.reasoning.map(|(start, end)| Splitter::new(start, end, reading.inside));
        let bare = reading.bare_calls;
        let caller = reading.tools.as_ref().map(|(format, tools)| Calls::new(*format, tools, bare));
        (reasoning.is_some() || caller.is_some()).then_some(Self { reasoning, caller, calls: 0 })
    }

    /// Takes more text in and returns what is known of it by now.
    pub fn push(&mut self, text: &str) -> Vec<Part> {
        let parts = match &mut self.reasoning {
            Some(splitter) => splitter.push(text),
            None => vec![Part::Text(text.to_owned())],
        };
        self.calls_in(parts)
    }

    /// What was held back, at the end of the answer; `cut` where that was cut rather than ended by the model.
    pub fn finish(&mut self, cut: bool) -> Vec<Part> {
        let held = self.reasoning.as_mut().map(Splitter::finish).unwrap_or_default();
        let mut parts = self.calls_in(held);
        parts.extend(self.caller.as_mut().map(|caller| caller.finish(cut)).unwrap_or_default());
        self.note(&parts);
        parts
    }

    /// Tool calls so far.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls
    }

    fn calls_in(&mut self, parts: Vec<Part>) -> Vec<Part> {
        let Some(caller) = &mut self.caller else { return parts };
        let read = |part| match part {
            Part::Text(text) => caller.push(&text),
            other => vec![other],
        };
        let parts: Vec<Part> = parts.into_iter().flat_map(read).collect();
        self.note(&parts);
        parts
    }

    fn note(&mut self, parts: &[Part]) {
        for part in parts {
            if let Part::Call(call) = part {
                self.calls = self.calls.max(call.index + 1);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
