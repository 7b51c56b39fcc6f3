//! What holds the calls of a model that has a way of its own to write them: a tool that is there, and arguments that
//! its schema accepts. All around them is free, and so are the later calls of a list.

use super::formats::HARMONY;
use super::names::plain;
use super::tool_call_format::{CallBody, ToolCallFormat};
use super::tools::{arguments_schema, quote_json};
use crate::driver::{Constraint, TextFormat, Tool, ToolCallGrammar, TriggeredGrammar};
use crate::worker::bound_whitespace;

/// How a call's JSON goes on from the name to the arguments: what models and their templates write. The name is held until that
/// is whole, so that no token reaches over the place where the arguments begin.
const TO_ARGUMENTS: [&str; 4] =
    ["\", \"arguments\":", "\",\"arguments\":", "\", \"parameters\":", "\",\"parameters\":"];
/// The same in Harmony, before its mark.
const TO_HARMONY_ARGUMENTS: [&str; 4] =
    ["", " <|constrain|>json", "<|channel|>commentary json", "<|channel|>commentary <|constrain|>json"];
/// Kimi numbers its calls; so many are held.
const NUMBERED_CALLS: usize = 8;

/// What holds the calls that `format` writes, for an answer in which `reasoning` marks what is none; `starts_in_reasoning` where it
/// begins with one.
pub(super) fn build(
    format: &ToolCallFormat,
    tools: &[Tool],
    text: Option<&Constraint>,
    reasoning: Option<(&'static str, &'static str)>,
    starts_in_reasoning: bool,
) -> Constraint {
    let names: Vec<String> = tools.iter().map(|tool| quote_json(&plain(&tool.name))).collect();
    let names = names.join(" | ");
    // What is written between the beginning of a call and the name, and what behind the name, up to the arguments.
    let described = |after: &str, before: &str| {
        let behind = TO_ARGUMENTS.map(quote_json).join(" | ");
        TriggeredGrammar {
            triggers: vec![after.to_owned()],
            lark: format!("start: {before} ({names}) ({behind})\n"),
            ..TriggeredGrammar::default()
        }
    };
    // The same where what is behind the name ends the hold, and a token may reach beyond it.
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
                // DeepSeek tells what kind of tool it is before the mark; there is one.
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
        // Values stand in tags or literals there, as the reader of the calls wants them.
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

/// Where a text begins that is no call, and what else an answer may begin with.
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
