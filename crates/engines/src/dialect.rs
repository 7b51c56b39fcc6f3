//! How a model writes down what it thinks and which tools it calls, as its chat template shows, and how to
//! read that in its answers.
//!
//! A model whose template shows no format that is known here is told of tools in a system message and held to
//! one format by a grammar; so is any model that must call. One that has a format and may choose is free, but for
//! the names and arguments of its calls.

mod calls;
mod formats;
mod held;
mod json;
mod literal;
mod reasoning;
mod tools;

use serde::{Deserialize, Serialize};

use crate::driver::{Chat, Constraint, Tool, ToolChoice};
use calls::{Calls, Format};
use formats::{BARE, HARMONY, HARMONY_THOUGHT, HERMES, REASONING, TOOLS};
use reasoning::Splitter;
pub(crate) use tools::{explain, function};

/// What a chat template shows of its model's ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dialect {
    reasoning: Option<(&'static str, &'static str)>,
    tools: Option<Format>,
}

/// How to read one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    reasoning: Option<(&'static str, &'static str)>,
    /// The prompt has opened the reasoning already.
    inside: bool,
    /// How calls are written, and the tools there are.
    tools: Option<(Format, Vec<Tool>)>,
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
        Self { reasoning, tools: tools.map(|(_, format)| *format) }
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

    /// Adds the beginning of an answer to a rendered prompt, where what is meant for the reader stands: behind a thought that
    /// the prompt has opened, and in Harmony's channel for it.
    pub(crate) fn begin(&self, rendered: &mut String, begun: &str) {
        if begun.is_empty() {
            return;
        }
        if let Some((_, end)) = self.reasoning.filter(|(start, _)| rendered.trim_end().ends_with(start)) {
            rendered.push_str(&format!("{end}\n\n"));
        }
        if self.tools == Some(HARMONY) {
            rendered.push_str("<|channel|>final<|message|>");
        }
        rendered.push_str(begun);
    }

    /// How to read the answer to a chat; `rendered` is its prompt.
    #[must_use]
    pub fn reading(&self, chat: &Chat, rendered: &str) -> Reading {
        let inside = self.reasoning.is_some_and(|(start, _)| rendered.trim_end().ends_with(start));
        let reasoning = self.reasoning;
        let mut reading = Reading { reasoning, inside, ..Reading::default() };
        let marks = reasoning.iter().flat_map(|(start, end)| [*start, *end]);
        reading.preserved.extend(marks.flat_map(calls::tokens_of));
        if chat.tools.is_empty() {
            // Its answers stand between marks too.
            if self.tools == Some(HARMONY) {
                reading.preserved.extend(HARMONY.marks());
                reading.tools = Some((HARMONY, Vec::new()));
            }
            return reading;
        }
        let forced = chat.tool_choice != ToolChoice::Auto;
        let format = match self.tools {
            Some(native) if !forced => {
                reading.constraint = Some(held::held(&native, &chat.tools, reasoning, inside));
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
            Some(Constraint::Lark(_)) if chat.tool_choice != ToolChoice::Auto => Self {
                tools: Some((BARE, chat.tools.clone())),
                constraint: Some(tools::schema(chat)),
                ..Self::default()
            },
            _ => Self { constraint: None, ..self },
        }
    }
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
        let caller = reading.tools.as_ref().map(|(format, tools)| Calls::new(*format, tools));
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

    /// What was held back, at the end of the answer.
    pub fn finish(&mut self) -> Vec<Part> {
        let held = self.reasoning.as_mut().map(Splitter::finish).unwrap_or_default();
        let mut parts = self.calls_in(held);
        parts.extend(self.caller.as_mut().map(Calls::finish).unwrap_or_default());
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
pub(crate) mod tests {
    use super::*;

    fn chat(choice: ToolChoice) -> Chat {
        let parameters = r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;
        let tool = Tool { name: "weather".into(), description: None, parameters: parameters.into() };
        Chat { tools: vec![tool], tool_choice: choice, ..Chat::default() }
    }

    /// The text, the reasoning and the calls of an answer that comes in pieces of `size` bytes.
    fn read(
        template: &str,
        rendered: &str,
        answer: &str,
        size: usize,
    ) -> (String, String, Vec<(String, String)>) {
        let reading = Dialect::of(template).reading(&chat(ToolChoice::Auto), rendered);
        let mut reader = Reader::of(&reading).unwrap();
        let characters: Vec<char> = answer.chars().collect();
        let mut parts: Vec<Part> = characters
            .chunks(size)
            .flat_map(|piece| reader.push(&piece.iter().collect::<String>()))
            .collect();
        parts.extend(reader.finish());
        let (mut text, mut thought, mut calls) = (String::new(), String::new(), Vec::new());
        for part in parts {
            match part {
                Part::Text(more) => text.push_str(&more),
                Part::Reasoning(more) => thought.push_str(&more),
                Part::Call(CallPart { index, name, arguments }) => {
                    if let Some(name) = name {
                        calls.push((name, String::new()));
                    }
                    let call: &mut (String, String) = &mut calls[index];
                    call.1.push_str(&arguments);
                }
            }
        }
        assert_eq!(reader.calls(), calls.len());
        (text, thought, calls)
    }

    const HERMES_TEMPLATE: &str = "{% if tools %}<tool_call>{% endif %}";

    fn hermes(city: &str) -> String {
        format!(
            "<tool_call>\n{{\"name\": \"weather\", \"arguments\": {{\"city\": \"{city}\"}}}}\n</tool_call>"
        )
    }

    /// Templates' marks, an answer in their format, and how many calls it holds.
    pub(crate) fn families() -> Vec<(&'static str, String, usize)> {
        let object = r#"{"name": "weather", "arguments": {"city": "Oslo"}}"#;
        vec![
            (HERMES_TEMPLATE, format!("Let me see.{}", hermes("Oslo")), 1),
            (HERMES_TEMPLATE, format!("{}\n{}\n", hermes("Oslo"), hermes("Rome")), 2),
            (HERMES_TEMPLATE, r#"<tool_call>{"arguments": {"city":"Oslo"}, "name": "weather"}</tool_call>"#.into(), 1),
            (
                HERMES_TEMPLATE,
                r#"<tool_call>{"name": "weather", "arguments": "{\"city\": \"Oslo\"}"}</tool_call>"#.into(),
                1,
            ),
            (
                "{{ tools }}<tool_call><function=",
                "Well.\n<tool_call>\n<function=weather>\n<parameter=city>\nOslo\n</parameter>\n</function>\n</tool_call>"
                    .into(),
                1,
            ),
            (
                "{{ tools }}<tool_call><arg_key>",
                "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n</tool_call>".into(),
                1,
            ),
            ("{{ tools }}[TOOL_CALLS]", format!("[TOOL_CALLS] [{object}, {object}]"), 2),
            (
                "{{ tools }}[TOOL_CALLS][ARGS]",
                r#"[TOOL_CALLS]weather[ARGS]{"city": "Oslo"}[TOOL_CALLS]weather[ARGS]{"city": "Rome"}"#.into(),
                2,
            ),
            (
                "{{ tools }}<|START_ACTION|>",
                "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"weather\", \"parameters\": {\"city\": \"Oslo\"}}\n]<|END_ACTION|>"
                    .into(),
                1,
            ),
            (
                "{{ tools }}<|tool_call_begin|><|tool_call_argument_begin|>",
                "<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>{\"city\": \"Oslo\"}<|tool_call_end|><|tool_calls_section_end|>"
                    .into(),
                1,
            ),
            (
                "{{ tools }}<｜tool▁call▁begin｜>```json",
                "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{\"city\": \"Oslo\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
                    .into(),
                1,
            ),
            (
                "{{ tools }}<｜tool▁call▁begin｜>",
                "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{\"city\": \"Oslo\"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
                    .into(),
                1,
            ),
            (
                "{{ tools }}<｜DSML｜ <｜DSML｜invoke name=",
                "Well.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>"
                    .into(),
                1,
            ),
            (
                "{{ tools }}minimax:tool_call <invoke name=",
                "<minimax:tool_call>\n<invoke name=\"weather\">\n<parameter name=\"city\">Oslo</parameter>\n</invoke>\n<invoke name=\"weather\">\n<parameter name=\"city\">Rome</parameter>\n</invoke>\n</minimax:tool_call>"
                    .into(),
                2,
            ),
            (
                "{{ tools }}<|channel|>analysis<|message|> functions.",
                "<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{\"city\": \"Oslo\"}".into(),
                1,
            ),
            (
                "{{ tools }}<|channel|>analysis<|message|> functions.",
                "<|channel|>commentary<|message|>Well.<|end|><|start|>assistant to=functions.weather<|channel|>commentary json<|message|>{\"city\": \"Oslo\"}"
                    .into(),
                1,
            ),
            (
                "{{ tools }}<|tool_call>call: <tool_call|>",
                "Well.<|tool_call>call:weather{city:<|\"|>Oslo<|\"|>}<tool_call|><|tool_call>call:weather{city:<|\"|>Rome<|\"|>}<tool_call|>"
                    .into(),
                2,
            ),
            (
                "{{ tools }}<start_function_call>call:",
                "<start_function_call>call:weather{city:<escape>Oslo<escape>}<end_function_call>".into(),
                1,
            ),
            (
                "{{ tools }}<|tool_list_start|>",
                "<|tool_call_start|>[weather(city='Oslo'), weather(city=\"Rome\")]<|tool_call_end|>".into(),
                2,
            ),
            ("{{ tools }}<|tool_call|>", format!("<|tool_call|>[{object}]<|/tool_call|>"), 1),
            (
                "{{ tools }}<|python_tag|>",
                r#"<|python_tag|>{"name": "weather", "parameters": {"city": "Oslo"}}"#.into(),
                1,
            ),
            ("{{ tools }}<|python_tag|>", r#"{"name": "weather", "parameters": {"city": "Oslo"}}"#.into(), 1),
        ]
    }

    #[test]
    fn calls_of_the_common_families_are_read_however_they_are_cut() {
        for (template, answer, count) in families() {
            assert!(Dialect::of(template).knows_tools(), "{template}");
            let whole = read(template, "", &answer, 100_000);
            assert_eq!(whole.2.len(), count, "{answer}: {whole:?}");
            assert_eq!(whole.2[0].0, "weather", "{answer}");
            let arguments: serde_json::Value = serde_json::from_str(&whole.2[0].1).unwrap();
            assert_eq!(arguments, serde_json::json!({ "city": "Oslo" }), "{answer}");
            assert!(!whole.0.contains(['<', '[', '{', ']']), "{answer}: {}", whole.0);
            for size in 1..12 {
                assert_eq!(read(template, "", &answer, size), whole, "{answer} by {size}");
            }
        }
    }

    #[test]
    fn a_call_that_breaks_off_is_left_as_far_as_it_came() {
        let (text, _, calls) = read(HERMES_TEMPLATE, "", "So: <tool_call>\n{\"name\": \"weather\", \"arg", 3);
        assert_eq!((text.as_str(), calls), ("So:", vec![("weather".into(), String::new())]));
        let (text, _, calls) = read(HERMES_TEMPLATE, "", "<tool_call>\n{\"na", 3);
        assert_eq!((text.as_str(), calls.len()), ("<tool_call>\n{\"na", 0));
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_read_the_same_however_it_is_cut(
            family in 0..families().len(), begin in 0usize..20, junk in "[<>a{}\\[\\]\",: \n]{0,12}", end: bool, size in 1usize..9,
        ) {
            let (template, answer, _) = &families()[family];
            let at = answer.char_indices().map(|(at, _)| at).nth(begin).unwrap_or(0);
            let answer = if end { format!("{answer}{junk}") } else { format!("{}{junk}{}", &answer[..at], &answer[at..]) };
            proptest::prop_assert_eq!(read(template, "", &answer, size), read(template, "", &answer, 100_000));
        }

        #[test]
        fn plain_text_comes_through(text in "[a-z.,!?'0-9 é🦉]{0,60}", size in 1usize..9) {
            for (template, ..) in families() {
                proptest::prop_assert_eq!(read(template, "", &text, size).0, text.clone());
            }
        }
    }

    #[test]
    fn what_is_no_call_stays_text() {
        for answer in ["I need no tool for 3 < 4.", "<tool", "a <tool_cal b", "[1, 2]", "{\"a\": 1}"] {
            for size in [1, 2, 1000] {
                assert_eq!(
                    read(HERMES_TEMPLATE, "", answer, size),
                    (answer.into(), String::new(), vec![]),
                    "by {size}"
                );
            }
        }
    }

    #[test]
    fn thoughts_are_kept_apart() {
        let template = "<think></think>{{ tools }}<tool_call>";
        let answer = "<think>\nA call, <tool_call>?\n</think>\n\nYes.<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>";
        for size in [1, 4, 1000] {
            let (text, thought, calls) = read(template, "", answer, size);
            assert_eq!((text.trim(), thought.trim()), ("Yes.", "A call, <tool_call>?"), "by {size}");
            assert_eq!(calls.len(), 1);
        }
        let harmony = "{{ tools }}<|channel|>analysis<|message|> functions.";
        let answer =
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.";
        for size in [1, 7, 1000] {
            let (text, thought, _) = read(harmony, "<|start|>assistant", answer, size);
            assert_eq!((text.as_str(), thought.as_str()), ("Yes.", "Hm."), "by {size}");
        }
        let alone = Dialect::of(harmony).reading(&Chat::default(), "<|start|>assistant");
        assert!(
            ["<|channel|>", "<|message|>", "<|end|>"]
                .iter()
                .all(|mark| alone.preserved.iter().any(|kept| kept == mark))
        );
        let mut reader = Reader::of(&alone).unwrap();
        assert_eq!(
            [reader.push(answer), reader.finish()].concat(),
            [Part::Reasoning("Hm.".into()), Part::Text("Yes.".into())],
            "without tools too"
        );
        let (text, thought, _) = read(template, "…<think>\n", "hm</think>so", 2);
        assert_eq!((text.as_str(), thought.as_str()), ("so", "hm"));
    }

    #[test]
    fn an_answer_that_was_begun_goes_on_where_the_reader_reads() {
        let begin = |template: &str, rendered: &str| {
            let mut rendered = rendered.to_owned();
            Dialect::of(template).begin(&mut rendered, "Once");
            rendered
        };
        assert_eq!(begin("", "<|assistant|>"), "<|assistant|>Once");
        assert_eq!(begin("<think></think>", "<|a|><think>\n"), "<|a|><think>\n</think>\n\nOnce");
        let harmony = "{{ tools }}<|channel|>analysis<|message|> functions.";
        assert_eq!(begin(harmony, "<|start|>assistant"), "<|start|>assistant<|channel|>final<|message|>Once");
    }

    #[test]
    fn models_that_must_call_are_held_to_it() {
        let native = Dialect::of("{{ tools }}<tool_call>");
        let held_in = |dialect: &Dialect, choice| match dialect.reading(&chat(choice), "").constraint {
            Some(Constraint::Calls(_)) => "its calls",
            Some(_) => "all of it",
            None => "nothing",
        };
        assert_eq!(held_in(&native, ToolChoice::Auto), "its calls");
        assert_eq!(held_in(&native, ToolChoice::Required), "all of it");
        let none = Dialect::of("{{ messages }}");
        assert_eq!(held_in(&none, ToolChoice::Auto), "all of it");
        assert_eq!(none.reading(&Chat::default(), ""), Reading::default());
    }
}
