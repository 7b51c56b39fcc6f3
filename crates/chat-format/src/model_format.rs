//! How a model family writes reasoning and tool calls, recognized by its chat template, and the format of one
//! answer.
//!
//! If the template has no tool call format known here, or the model must call a tool, a system message
//! explains the tools and a grammar enforces Lar's own format. Otherwise the model uses its own format, and a
//! grammar constrains only the names and arguments of its calls.

use lar_inference::{Chat, Constraint, TemplateVariable, Tool, ToolChoice};

use crate::formats::{BARE, HARMONY, HARMONY_REASONING, HERMES, REASONING_MARKS, TOOL_CALL_FORMATS};
use crate::template::reads;
use crate::tool_call_format::{self, CallBody, ToolCallFormat};
use crate::{tool_grammar, tools};

/// Template variables that switch reasoning on and off in known model families.
pub const THINKING_SWITCHES: [&str; 2] = ["enable_thinking", "thinking"];

/// How a model writes reasoning and tool calls, as its chat template shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelFormat {
    reasoning: Option<(&'static str, &'static str)>,
    tools: Option<ToolCallFormat>,
    /// Whether the template has a variable that switches reasoning off.
    has_reasoning_switch: bool,
}

/// The format of one answer, for [`OutputParser`](crate::OutputParser).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputFormat {
    pub(crate) reasoning: Option<(&'static str, &'static str)>,
    /// Whether the prompt has already opened the reasoning.
    pub(crate) starts_in_reasoning: bool,
    /// The syntax of tool calls, and the tools that the answer may call; `None` if it may call none.
    pub(crate) tools: Option<(ToolCallFormat, Vec<Tool>)>,
    /// Whether an answer that consists only of a JSON object that describes a call is a call.
    pub(crate) allows_bare_calls: bool,
    /// Control tokens that the parser needs in the text.
    pub preserved: Vec<String>,
    /// The constraint on the answer that makes it parseable.
    pub constraint: Option<Constraint>,
}

impl ModelFormat {
    /// Recognizes the format in the source of a chat template.
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

    /// Returns whether the template passes tools to the model and its tool call format is known here.
    #[must_use]
    pub const fn supports_tools(&self) -> bool {
        self.tools.is_some()
    }

    /// Returns whether the model may write reasoning before its answer.
    #[must_use]
    pub const fn has_reasoning(&self) -> bool {
        self.reasoning.is_some()
    }

    /// Returns whether a variable has its effect here although the template does not read it.
    pub(crate) fn supports_variable(&self, variable: &TemplateVariable) -> bool {
        let switch = THINKING_SWITCHES.contains(&variable.name.as_str());
        switch && self.reasoning.is_some_and(|marks| marks != HARMONY_REASONING)
    }

    /// Appends the assistant prefill to a rendered prompt: after open reasoning, and in Harmony's final
    /// channel. If reasoning is off and the template has no switch for it, appends empty reasoning first.
    /// Appends nothing if the chat has no generation prompt.
    pub fn append_prefill(&self, rendered: &mut String, chat: &Chat) {
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

    /// Returns the format of the answer to a chat, whose rendered prompt is `rendered`.
    #[must_use]
    pub fn output_format(&self, chat: &Chat, rendered: &str) -> OutputFormat {
        let starts_in_reasoning =
            self.reasoning.is_some_and(|(start, _)| rendered.trim_end().ends_with(start));
        let reasoning = self.reasoning;
        let mut output_format = OutputFormat { reasoning, starts_in_reasoning, ..OutputFormat::default() };
        let marks = reasoning.iter().flat_map(|(start, end)| [*start, *end]);
        output_format.preserved.extend(marks.flat_map(tool_call_format::tokens_of));
        if chat.tools.is_empty() {
            // Harmony writes its answers between marks, too.
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
    /// Converts the format for an engine that supports only JSON schema constraints. If the model must call a
    /// tool, the answer is a single call without reasoning; otherwise the answer has no constraint.
    #[must_use]
    pub fn with_json_schema(self, chat: &Chat) -> Self {
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

/// Returns whether a variable switches reasoning off.
pub(crate) fn disables_reasoning(variable: &TemplateVariable) -> bool {
    THINKING_SWITCHES.contains(&variable.name.as_str()) && variable.value == "false"
}
