//! Adapts messages to the form that a template accepts. Some templates have no system role, others require
//! alternating roles, others need content in parts. If a template fails on the original messages or omits
//! some of their text, it gets equivalent messages in other forms, as in llama.cpp.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use minijinja::value::Serde;
use minijinja::{Value, context};
use serde_json::json;

use lar_inference::{ChatMessage, ToolCall};

/// A change of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Merges adjacent messages of the same role.
    MergeTurns,
    /// Moves a system message to the start of the next user message.
    SystemIntoUser,
    /// Writes content as a list of parts.
    ContentInParts,
    /// Writes a call's arguments as JSON text.
    ArgumentsAsText,
    /// Wraps arguments that are not an object in one.
    ArgumentsInObject,
}

/// The combinations of changes that are tried, in order.
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
    /// Returns whether a change affects these messages.
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

/// Applies the changes that move text between messages.
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
            // Each tool result belongs to its own call.
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

/// Returns whether a prompt contains the system message and the last user message.
pub(super) fn is_complete(prompt: &str, messages: &[ChatMessage]) -> bool {
    let contains =
        |message: Option<&ChatMessage>| message.is_none_or(|message| prompt.contains(message.content.trim()));
    contains(messages.iter().find(|message| message.role == "system"))
        && contains(messages.iter().rfind(|message| message.role == "user"))
}

/// The form in which a template gets its messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form<'a> {
    pub(super) changes: &'a [Change],
    /// Whether to shorten the ids of calls: Mistral's templates accept only nine characters.
    pub(super) short_ids: bool,
    /// Whether to move text into the reasoning: gpt-oss refuses a call with both.
    pub(super) text_in_reasoning: bool,
}

/// Returns a message with the fields that templates use.
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
        // Model families use different names.
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

/// Parses a call's arguments: an empty object if there are none, and the text itself if it is not JSON.
pub fn arguments(text: &str) -> serde_json::Value {
    match text.trim() {
        "" => json!({}),
        _ => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}

/// Returns nine letters or digits, always the same for the same id.
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
