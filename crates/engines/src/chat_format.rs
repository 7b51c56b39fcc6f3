//! How a model writes down what it thinks and which tools it calls, as its chat template shows, and how to
//! read that in its answers.
//!
//! A model whose template shows no format that is known here is told of tools in a system message and held to
//! one format by a grammar; so is any model that must call. One that has a format and may choose is free, but for
//! the names and arguments of its calls.

mod formats;
mod json;
mod names;
mod pythonic_calls;
mod reasoning;
mod tool_call_format;
mod tool_call_parser;
mod tool_grammar;
mod tools;

use serde::{Deserialize, Serialize};

use crate::driver::{Chat, Constraint, TemplateVariable, Tool, ToolChoice};
use crate::template::reads;
pub(crate) use formats::HARMONY_REASONING;
use formats::{BARE, HARMONY, HERMES, REASONING_MARKS, TOOL_CALL_FORMATS};
pub(crate) use names::with_plain_names;
use reasoning::Splitter;
use tool_call_format::{CallBody, ToolCallFormat};
use tool_call_parser::ToolCallParser;
pub(crate) use tools::{arguments_schema, explain_tools, tool_json};

/// Template variables that switch reasoning on and off, by the names that model families gave them.
pub const THINKING_SWITCHES: [&str; 2] = ["enable_thinking", "thinking"];

/// What a chat template shows of its model's ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelFormat {
    reasoning: Option<(&'static str, &'static str)>,
    tools: Option<ToolCallFormat>,
    /// The template has a variable that switches reasoning off.
    has_reasoning_switch: bool,
}

/// How to read one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputFormat {
    reasoning: Option<(&'static str, &'static str)>,
    /// The prompt has opened the reasoning already.
    starts_in_reasoning: bool,
    /// How calls are written, and the tools there are.
    tools: Option<(ToolCallFormat, Vec<Tool>)>,
    /// An answer that is nothing but a JSON object which describes a call is one.
    allows_bare_calls: bool,
    /// Control tokens that must show in the text for it.
    pub preserved: Vec<String>,
    /// What the answer is held to, so that it can be read.
    pub constraint: Option<Constraint>,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputPart {
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

impl ModelFormat {
    /// Reads a chat template's source.
    #[must_use]
    pub fn from_template(template: &str) -> Self {
        let shown = |marks: &&(&str, &str)| {
            if **marks == HARMONY_REASONING { template.contains(marks.0) } else { template.contains(marks.1) }
        };
        let reasoning = REASONING_MARKS.iter().find(shown).copied();
        let shows = |marks: &[&str]| marks.iter().all(|mark| template.contains(mark));
        let tools = TOOL_CALL_FORMATS.iter().find(|(marks, _)| template.contains("tools") && shows(marks));
        let has_reasoning_switch = THINKING_SWITCHES.iter().any(|name| reads(template, name));
        Self { reasoning, tools: tools.map(|(_, format)| *format), has_reasoning_switch }
    }

    /// Whether the template tells the model of tools, and the model calls them in a way that is known here.
    #[must_use]
    pub const fn supports_tools(&self) -> bool {
        self.tools.is_some()
    }

    /// Whether the model may think before it speaks.
    #[must_use]
    pub const fn has_reasoning(&self) -> bool {
        self.reasoning.is_some()
    }

    /// Whether a variable of the request has its effect although the template does not read it.
    pub(crate) fn supports_variable(&self, variable: &TemplateVariable) -> bool {
        let switch = THINKING_SWITCHES.contains(&variable.name.as_str());
        switch && self.reasoning.is_some_and(|marks| marks != HARMONY_REASONING)
    }

    /// Adds the beginning of an answer to a rendered prompt, where what is meant for the reader stands: behind a thought that
    /// the prompt has opened, and in Harmony's channel for it. Where reasoning is switched off and the template has no
    /// switch, the answer begins behind an empty thought. Adds nothing where no answer begins.
    pub(crate) fn append_prefill(&self, rendered: &mut String, chat: &Chat) {
        if !chat.adds_generation_prompt {
            return;
        }
        let silent = !self.has_reasoning_switch && chat.variables.iter().any(disables_reasoning);
        let opened = self.reasoning.filter(|(start, _)| rendered.trim_end().ends_with(start));
        match self.reasoning {
            Some((_, end)) if opened.is_some() && (silent || !chat.assistant_prefill.is_empty()) => {
                rendered.push_str(&format!("{end}\n\n"));
            }
            Some(marks @ (start, end)) if silent && marks != HARMONY_REASONING => {
                rendered.push_str(&format!("{start}\n\n{end}\n\n"));
            }
            _ => {}
        }
        if !chat.assistant_prefill.is_empty() {
            if self.tools == Some(HARMONY) {
                rendered.push_str("<|channel|>final<|message|>");
            }
            rendered.push_str(&chat.assistant_prefill);
        }
    }

    /// How to read the answer to a chat; `rendered` is its prompt.
    #[must_use]
    pub fn output_format(&self, chat: &Chat, rendered: &str) -> OutputFormat {
        let starts_in_reasoning =
            self.reasoning.is_some_and(|(start, _)| rendered.trim_end().ends_with(start));
        let reasoning = self.reasoning;
        let mut output_format = OutputFormat { reasoning, starts_in_reasoning, ..OutputFormat::default() };
        let marks = reasoning.iter().flat_map(|(start, end)| [*start, *end]);
        output_format.preserved.extend(marks.flat_map(tool_call_format::tokens_of));
        if chat.tools.is_empty() {
            // Its answers stand between marks too.
            if self.tools == Some(HARMONY) {
                output_format.preserved.extend(HARMONY.marks());
                output_format.tools = Some((HARMONY, Vec::new()));
            }
            return output_format;
        }
        let forced = chat.tool_choice != ToolChoice::Auto;
        output_format.allows_bare_calls =
            !forced && chat.format.is_none() && chat.assistant_prefill.is_empty();
        let format = match self.tools {
            Some(native) if !forced && native.body == CallBody::BareJson && chat.format.is_some() => {
                output_format.constraint =
                    Some(tools::bare_grammar(chat, reasoning.filter(|_| starts_in_reasoning)));
                native
            }
            Some(native) if !forced => {
                let format = chat.format.as_ref().map(|format| &format.constraint);
                output_format.constraint =
                    Some(tool_grammar::build(&native, &chat.tools, format, reasoning, starts_in_reasoning));
                native
            }
            _ => {
                output_format.constraint =
                    Some(tools::grammar(chat, reasoning.filter(|_| starts_in_reasoning)));
                HERMES
            }
        };
        output_format.preserved.extend(format.marks());
        output_format.tools = Some((format, chat.tools.clone()));
        output_format
    }
}

impl OutputFormat {
    /// The same for an engine that holds answers to JSON schemas alone: where the model must call it writes a call and nothing
    /// else, without a thought before it; otherwise nothing holds it.
    #[must_use]
    pub(crate) fn with_json_schema(self, chat: &Chat) -> Self {
        match self.constraint {
            Some(_) if chat.tool_choice != ToolChoice::Auto || chat.format.is_some() => Self {
                tools: Some((BARE, chat.tools.clone())),
                constraint: Some(tools::call_schema(chat)),
                ..Self::default()
            },
            _ => Self { constraint: None, ..self },
        }
    }
}

/// Whether a variable of the request switches reasoning off.
pub(crate) fn disables_reasoning(variable: &TemplateVariable) -> bool {
    THINKING_SWITCHES.contains(&variable.name.as_str()) && variable.value == "false"
}

/// The length of the longest end of `text` that is a beginning of `mark`, but not all of it.
pub(crate) fn partial_match_len(text: &str, mark: &str) -> usize {
    let fits = |length: &usize| mark.is_char_boundary(*length) && text.ends_with(&mark[..*length]);
    (1..mark.len().min(text.len() + 1)).rev().find(fits).unwrap_or(0)
}

/// Reads an answer as it comes.
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
    /// A reader at the beginning of an answer; `None` where text is all there can be.
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

    /// Takes more text in and returns what is known of it by now.
    pub fn push(&mut self, text: &str) -> Vec<OutputPart> {
        let parts = match &mut self.reasoning {
            Some(splitter) => splitter.push(text),
            None => vec![OutputPart::Text(text.to_owned())],
        };
        self.parse_calls(parts)
    }

    /// What was held back, at the end of the answer; `cut` where that was cut rather than ended by the model.
    pub fn finish(&mut self, cut: bool) -> Vec<OutputPart> {
        let buffered = self.reasoning.as_mut().map(Splitter::finish).unwrap_or_default();
        let mut parts = self.parse_calls(buffered);
        parts
            .extend(self.call_parser.as_mut().map(|call_parser| call_parser.finish(cut)).unwrap_or_default());
        self.count_calls(&parts);
        parts
    }

    /// Tool calls so far.
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

#[cfg(test)]
pub(crate) mod tests;
