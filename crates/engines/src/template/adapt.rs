//! Messages as a template takes them. Templates differ in what they accept: one knows no system role, another wants
//! roles to alternate, a third content in parts. A template that fails on the messages as they came, or leaves text
//! of theirs out, is tried again with messages that say the same in another form, as llama.cpp does.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use minijinja::value::Serde;
use minijinja::{Value, context};
use serde_json::json;

use crate::driver::{ChatMessage, ToolCall};

/// What may be changed in messages so that a template takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Neighbours of the same role become one message.
    MergeTurns,
    /// A system message becomes the beginning of the user's next one.
    SystemIntoUser,
    /// Content is a list of parts.
    ContentInParts,
    /// A call's arguments are a JSON text.
    ArgumentsAsText,
    /// Arguments that are no object stand in one.
    ArgumentsInObject,
}

/// Which changes are tried, in order.
pub(super) const ATTEMPTS: [&[Change]; 8] = [
    &[],
    &[Change::MergeTurns],
    &[Change::SystemIntoUser],
    &[Change::SystemIntoUser, Change::MergeTurns],
    &[Change::ContentInParts],
    &[Change::ArgumentsAsText],
    &[Change::ArgumentsInObject],
    &[Change::ArgumentsInObject, Change::SystemIntoUser, Change::MergeTurns],
];

impl Change {
    /// Whether it makes a difference to these messages.
    pub(super) fn applies(self, messages: &[ChatMessage]) -> bool {
        let has_system = || messages.iter().any(|message| message.role == "system");
        let has_calls = || messages.iter().any(|message| !message.tool_calls.is_empty());
        match self {
            Self::MergeTurns => {
                let neighbours =
                    |pair: &[ChatMessage]| pair[0].role == pair[1].role && pair[0].role != "tool";
                has_system() || messages.windows(2).any(neighbours)
            }
            Self::SystemIntoUser => has_system(),
            Self::ContentInParts => true,
            Self::ArgumentsAsText | Self::ArgumentsInObject => has_calls(),
        }
    }
}

/// The messages after those changes that move text between them.
pub(super) fn apply_changes<'a>(messages: &'a [ChatMessage], changes: &[Change]) -> Cow<'a, [ChatMessage]> {
    let mut arranged = Cow::Borrowed(messages);
    if changes.contains(&Change::SystemIntoUser) {
        arranged = Cow::Owned(system_into_user(&arranged));
    }
    if changes.contains(&Change::MergeTurns) {
        arranged = Cow::Owned(merge_turns(&arranged));
    }
    arranged
}

fn system_into_user(messages: &[ChatMessage]) -> Vec<ChatMessage> {
    let mut moved = Vec::with_capacity(messages.len());
    let mut system = String::new();
    for message in messages {
        match message.role.as_str() {
            "system" => append(&mut system, &message.content, "\n\n"),
            "user" if !system.is_empty() => {
                append(&mut system, &message.content, "\n\n");
                moved.push(ChatMessage { content: std::mem::take(&mut system), ..message.clone() });
            }
            _ => moved.push(message.clone()),
        }
    }
    if !system.is_empty() {
        moved.push(ChatMessage::new("user", system));
    }
    moved
}

fn merge_turns(messages: &[ChatMessage]) -> Vec<ChatMessage> {
    let mut merged: Vec<ChatMessage> = Vec::with_capacity(messages.len());
    for message in messages {
        match merged.last_mut() {
            // Each result of a tool belongs to its call.
            Some(last) if last.role == message.role && message.role != "tool" => {
                append(&mut last.content, &message.content, "\n");
                append(&mut last.reasoning, &message.reasoning, "\n");
                last.tool_calls.extend(message.tool_calls.iter().cloned());
            }
            _ => merged.push(message.clone()),
        }
    }
    merged
}

fn append(text: &mut String, more: &str, between: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str(between);
    }
    text.push_str(more);
}

/// Whether a prompt holds what the system and, last, the user said.
pub(super) fn is_complete(prompt: &str, messages: &[ChatMessage]) -> bool {
    let said =
        |message: Option<&ChatMessage>| message.is_none_or(|message| prompt.contains(message.content.trim()));
    said(messages.iter().find(|message| message.role == "system"))
        && said(messages.iter().rfind(|message| message.role == "user"))
}

/// What of the messages' form is this template's own wish.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form<'a> {
    pub(super) changes: &'a [Change],
    /// Mistral's templates refuse ids of calls that are not nine characters long.
    pub(super) short_ids: bool,
    /// gpt-oss refuses a call with both text and reasoning.
    pub(super) text_in_reasoning: bool,
}

/// A message as templates know it.
pub(super) fn fields(message: &ChatMessage, form: Form<'_>) -> Value {
    let (mut content, mut reasoning) = (Cow::from(&message.content), Cow::from(&message.reasoning));
    if form.text_in_reasoning && !message.tool_calls.is_empty() && !reasoning.is_empty() {
        append(reasoning.to_mut(), &content, "\n\n");
        content = Cow::from("");
    }
    let content = match form.changes.contains(&Change::ContentInParts) {
        true => vec![context! { type => "text", text => &*content }].into_iter().collect(),
        false => Value::from(&*content),
    };
    let mut fields = BTreeMap::from([("role", Value::from(message.role.as_str())), ("content", content)]);
    if !reasoning.is_empty() {
        // Model families differ in the name.
        for name in ["reasoning_content", "reasoning", "thinking"] {
            fields.insert(name, Value::from(&*reasoning));
        }
    }
    let id = |id: &str| Value::from(if form.short_ids { short_id(id) } else { id.to_owned() });
    if !message.tool_calls.is_empty() {
        let call = |call: &ToolCall| {
            let arguments = arguments(&call.arguments);
            let arguments = match form.changes {
                changes if changes.contains(&Change::ArgumentsAsText) => {
                    Value::from(super::spaced_json(&arguments))
                }
                changes if changes.contains(&Change::ArgumentsInObject) && !arguments.is_object() => {
                    Value::from(Serde(json!({ "arguments": arguments })))
                }
                _ => Value::from(Serde(arguments)),
            };
            context! {
                id => id(&call.id),
                type => "function",
                function => context! { name => call.name.as_str(), arguments => arguments },
            }
        };
        fields.insert("tool_calls", message.tool_calls.iter().map(call).collect());
    }
    if let Some(of) = &message.tool_call_id {
        fields.insert("tool_call_id", id(of));
    }
    if let Some(name) = &message.name {
        fields.insert("name", Value::from(name.as_str()));
    }
    Value::from(fields)
}

/// A call's arguments: an object where there are none, the text itself where it is no JSON.
pub(crate) fn arguments(text: &str) -> serde_json::Value {
    match text.trim() {
        "" => json!({}),
        _ => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}

/// Nine letters or digits, the same ones for the same id.
fn short_id(id: &str) -> String {
    const LENGTH: usize = 9;
    if id.len() == LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let mut rest = hasher.finish();
    let mut short = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        short.push(char::from_digit((rest % 36) as u32, 36).unwrap_or('0'));
        rest /= 36;
    }
    short
}
