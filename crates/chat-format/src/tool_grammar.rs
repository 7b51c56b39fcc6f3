//! Builds the grammars for the tool calls of a model that has its own format: a call must name an offered
//! tool, and its arguments must match the tool's schema. The text around calls is unconstrained, and so are
//! the later calls of a list.

use super::formats::HARMONY;
use super::names::plain;
use super::tool_call_format::{CallBody, ToolCallFormat};
use super::tools::{arguments_schema, quote_json};
use crate::bound_whitespace;
use lar_inference::{Constraint, TextFormat, Tool, ToolCallGrammar, TriggeredGrammar};

/// The JSON between the name and the arguments, in the variations that models and their templates write. The
/// grammar of the name includes it, so that no token spans the start of the arguments.
const TO_ARGUMENTS: [&str; 4] =
    ["\", \"arguments\":", "\",\"arguments\":", "\", \"parameters\":", "\",\"parameters\":"];
/// The same in Harmony, before its mark.
const TO_HARMONY_ARGUMENTS: [&str; 4] =
    ["", " <|constrain|>json", "<|channel|>commentary json", "<|channel|>commentary <|constrain|>json"];
/// The number of numbered calls with a grammar; Kimi numbers its calls.
const NUMBERED_CALLS: usize = 8;

/// Builds the constraint for calls in `format`. `reasoning` has the marks of text in which calls mean
/// nothing; `starts_in_reasoning` says that the answer starts inside it.
pub(super) fn build(
    format: &ToolCallFormat,
    tools: &[Tool],
    text: Option<&Constraint>,
    reasoning: Option<(&'static str, &'static str)>,
    starts_in_reasoning: bool,
) -> Constraint {
    let names: Vec<String> = tools.iter().map(|tool| quote_json(&plain(&tool.name))).collect();
    let names = names.join(" | ");
    // `after` is the trigger, `before` the rule between the trigger and the name. The grammar includes the
    // text up to the arguments.
    let described = |after: &str, before: &str| {
        let behind = TO_ARGUMENTS.map(quote_json).join(" | ");
        TriggeredGrammar {
            triggers: vec![after.to_owned()],
            lark: format!("start: {before} ({names}) ({behind})\n"),
            ..TriggeredGrammar::default()
        }
    };
    // The same, but the grammar ends with `behind`, which a token may exceed.
    let named = |after: &str, before: &str, behind: &str| TriggeredGrammar {
        triggers: vec![after.to_owned()],
        lark: format!("start: {before} ({names}) {behind} /(?s:.*)/\n"),
        ..TriggeredGrammar::default()
    };
    let exactly = |after: &str, before: &str, next: Vec<&str>| TriggeredGrammar {
        triggers: vec![after.to_owned()],
        lark: format!("start: {before} ({names})\n"),
        allowed_next: next.into_iter().filter(|mark| !mark.is_empty()).map(ToOwned::to_owned).collect(),
        ..TriggeredGrammar::default()
    };
    let begin = format.begin;
    let (names, between): (Vec<TriggeredGrammar>, Vec<String>) = match format.body {
        CallBody::Json { opening } => {
            (vec![described(begin, &format!("/{opening}/"))], TO_ARGUMENTS.map(ToOwned::to_owned).to_vec())
        }
        CallBody::BareJson => {
            let object = "{\"name\": \"";
            let bare = TriggeredGrammar { only_at_start: true, ..described(object, "") };
            let marked = described(&format!("{begin}{object}"), "");
            (vec![bare, marked], TO_ARGUMENTS.map(ToOwned::to_owned).to_vec())
        }
        CallBody::Named { mark, name_after, name_before } => {
            let before = match name_after {
                // DeepSeek writes the kind of the tool before the mark; there is only one kind.
                Some(after) if after.starts_with('<') => format!("{begin}function{after}"),
                Some(after) => format!("{begin}{after}"),
                None => begin.to_owned(),
            };
            let between = match name_before {
                Some(":") => (0..NUMBERED_CALLS).map(|number| format!(":{number}{mark}")).collect(),
                _ if mark == "<|message|>" => {
                    TO_HARMONY_ARGUMENTS.map(|more| format!("{more}{mark}")).to_vec()
                }
                _ => vec![mark.to_owned()],
            };
            let mut next = vec![mark, name_before.unwrap_or_default(), " "];
            next.extend(format.around);
            (vec![exactly(&before, "", next)], between)
        }
        // The values are in tags or literals, which the parser of the calls converts.
        CallBody::Tags { name: ("", _), key, .. } => {
            (vec![exactly(begin, "/\\n?/", vec![key.0, format.end, "\n"])], Vec::new())
        }
        CallBody::Tags { name: (open, close), .. } => {
            (vec![named(begin, &format!("/[ \\n]?/ {}", quote_json(open)), &quote_json(close))], Vec::new())
        }
        CallBody::Pythonic(syntax) => {
            let opened = quote_json(&syntax.open.to_string());
            (vec![named(begin, &quote_json(syntax.before), &opened)], Vec::new())
        }
    };
    let arguments = tools.iter().filter(|_| !between.is_empty()).map(|tool| TriggeredGrammar {
        triggers: between.iter().map(|between| format!("{}{between}", plain(&tool.name))).collect(),
        lark: format!(
            "start: /[ \\n]?/ arguments\narguments: %json {}\n",
            bound_whitespace(arguments_schema(tool))
        ),
        ..TriggeredGrammar::default()
    });
    Constraint::ToolCalls(Box::new(ToolCallGrammar {
        reasoning: reasoning.map(|(start, end)| (start.to_owned(), end.to_owned())),
        starts_in_reasoning,
        names,
        arguments: arguments.collect(),
        text: text.map(|constraint| text_format(format, constraint, reasoning)),
    }))
}

/// Returns where text that is not a call starts, and the other possible starts of an answer.
fn text_format(
    format: &ToolCallFormat,
    constraint: &Constraint,
    reasoning: Option<(&'static str, &'static str)>,
) -> TextFormat {
    let constraint = constraint.clone();
    if *format == HARMONY {
        let triggers = vec!["<|channel|>final<|message|>".to_owned()];
        return TextFormat { constraint, triggers, other_starts: Vec::new() };
    }
    let marks = std::iter::once(format.begin).chain(format.around.iter().copied());
    let other_starts = marks.chain(reasoning.map(|(start, _)| start)).map(ToOwned::to_owned).collect();
    TextFormat { constraint, triggers: Vec::new(), other_starts }
}
