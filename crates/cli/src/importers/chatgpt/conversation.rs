//! A conversation in ChatGPT's export: a tree of messages, of which the person last saw one branch.

use std::collections::HashSet;

use lar_base::Timestamp;
use serde_json::{Map, Value};

use crate::importers::dialogue::{Dialogue, Turn};
use crate::importers::json_items::{self, has_content, string};
use crate::importers::times;

/// The kinds of content that a person sees as a message.
const SHOWN: [&str; 2] = ["text", "multimodal_text"];

/// The kinds of content that are the context of a conversation.
const CONTEXT: [&str; 2] = ["user_editable_context", "model_editable_context"];
/// The fields that describe the content of a message.
const ABOUT_CONTENT: [&str; 3] = ["content_type", "language", "response_format_name"];

/// A conversation.
#[derive(Debug)]
pub(super) struct Conversation<'a> {
    item: &'a Value,
    nodes: &'a Map<String, Value>,
}

impl<'a> Conversation<'a> {
    /// Returns the conversation in an item of the export; `None` if it is none.
    pub(super) fn of(item: &'a Value) -> Option<Self> {
        Some(Self { item, nodes: item["mapping"].as_object()? })
    }

    pub(super) fn title(&self) -> Option<String> {
        string(self.item, &["title"])
    }

    pub(super) fn id(&self) -> Option<String> {
        string(self.item, &["conversation_id", "id"])
    }

    /// Returns the texts that ChatGPT saved as memories, and the lists of memories that it was shown, with their
    /// times.
    pub(super) fn saved_memories(&self) -> Vec<(String, Option<Timestamp>)> {
        let saved = |message: &Value| match message["content"]["content_type"].as_str() {
            Some("model_editable_context") => string(&message["content"], &["model_set_context"]),
            _ if message["recipient"] == "bio" => Some(text(message)),
            _ => None,
        };
        self.in_any_message(saved)
    }

    /// Returns the custom instructions: about the user, and how to respond, with their times.
    pub(super) fn instructions(&self) -> Vec<(Option<String>, Option<String>, Option<Timestamp>)> {
        let parts = |message: &Value| {
            let given = &message["metadata"]["user_context_message_data"];
            let content = &message["content"];
            let is_context = content["content_type"] == "user_editable_context" || given.is_object();
            is_context.then(|| {
                let profile = string(given, &["about_user_message"]);
                let response = string(given, &["about_model_message"]);
                let profile = profile.or_else(|| string(content, &["user_profile"]).map(unwrapped));
                let response = response.or_else(|| string(content, &["user_instructions"]).map(unwrapped));
                (with_others(profile, given, "user"), with_others(response, given, "model"))
            })
        };
        let found = self.in_any_message(parts);
        found.into_iter().map(|((profile, response), time)| (profile, response, time)).collect()
    }

    /// Returns the turns of the branch that the person last saw.
    pub(super) fn dialogue(&self) -> Dialogue {
        let branch = self.branch();
        let turns: Vec<Turn> = branch.iter().filter_map(|message| turn(message)).collect();
        let messages = self.nodes.values().filter(|node| is_message(&node["message"])).count();
        Dialogue {
            program: "chatgpt",
            id: self.id(),
            title: self.title(),
            time: time(self.item).map(|time| time.to_string()),
            summary: None,
            other_messages: messages.saturating_sub(turns.len()),
            turns,
        }
    }

    fn in_any_message<T>(&self, find: impl Fn(&Value) -> Option<T>) -> Vec<(T, Option<Timestamp>)> {
        let started = time(self.item);
        let messages = self.nodes.values().map(|node| &node["message"]);
        messages.filter_map(|message| Some((find(message)?, time(message).or(started)))).collect()
    }

    /// Returns the messages from the root to the current node.
    fn branch(&self) -> Vec<&'a Value> {
        let newest = || {
            let leaves =
                self.nodes.iter().filter(|(_, node)| node["children"].as_array().is_none_or(Vec::is_empty));
            leaves.max_by_key(|(_, node)| time(&node["message"])).map(|(id, _)| id.as_str())
        };
        let current = self.item["current_node"].as_str().filter(|id| self.nodes.contains_key(*id));
        let mut next = current.or_else(newest);
        let (mut seen, mut messages) = (HashSet::new(), Vec::new());
        while let Some(id) = next.filter(|id| seen.insert(*id)) {
            let Some(node) = self.nodes.get(id) else { break };
            messages.push(&node["message"]);
            next = node["parent"].as_str();
        }
        messages.reverse();
        messages
    }
}

/// Returns whether a message has something that the person, ChatGPT or a tool wrote. The context of a conversation
/// is no message: memories are read from it.
fn is_message(message: &Value) -> bool {
    let content = &message["content"];
    let is_context = content["content_type"].as_str().is_some_and(|kind| CONTEXT.contains(&kind));
    let fields = content.as_object().into_iter().flatten();
    let mut said = fields.filter(|(name, _)| !ABOUT_CONTENT.contains(&name.as_str()));
    let is_empty = !said.any(|(_, value)| has_content(value)) && text(message).is_empty();
    message["author"]["role"] != "system" && !is_context && !is_empty
}

fn is_hidden(message: &Value) -> bool {
    message["metadata"]["is_visually_hidden_from_conversation"] == Value::Bool(true)
}

/// Returns the turn of a message that the person saw.
fn turn(message: &Value) -> Option<Turn> {
    let (speaker, role) = match message["author"]["role"].as_str()? {
        "user" => ("User", "role:user"),
        "assistant" => ("ChatGPT", "role:assistant"),
        _ => return None,
    };
    let is_for_all = message["recipient"].as_str().is_none_or(|recipient| recipient == "all");
    let is_shown = message["content"]["content_type"].as_str().is_some_and(|kind| SHOWN.contains(&kind));
    let is_thought = message["channel"] == "analysis";
    let text = text(message);
    (is_for_all && is_shown && !is_thought && !is_hidden(message) && !text.is_empty()).then(|| Turn {
        speaker,
        role,
        text,
        time: time(message).map(|time| time.to_string()),
        id: string(message, &["id"]),
    })
}

/// Returns the text of a message, with the names of its attachments.
fn text(message: &Value) -> String {
    let parts = message["content"]["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let part = |part: &Value| match part {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        // The spoken words of a voice message.
        Value::Object(fields) => match fields.get("text").and_then(Value::as_str) {
            Some(text) => Some(text.trim().to_owned()),
            None => {
                let kind = fields.get("content_type").and_then(Value::as_str).unwrap_or_default();
                let named = ["image", "video", "audio"].into_iter().find(|name| kind.contains(name));
                Some(format!("[{}]", named.unwrap_or("attachment")))
            }
        },
        _ => None,
    };
    let attachments = message["metadata"]["attachments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = attachments.iter().map(|file| match file["name"].as_str() {
        Some(name) => format!("[attachment: {name}]"),
        None => "[attachment]".to_owned(),
    });
    parts.iter().filter_map(part).chain(names).collect::<Vec<_>>().join("\n")
}

fn time(item: &Value) -> Option<Timestamp> {
    json_items::time(item, &["create_time"]).as_deref().and_then(times::parse)
}

/// Adds the other texts about `whom` to the custom instructions, such as `name_user_message`, unless they have them.
fn with_others(text: Option<String>, given: &Value, whom: &str) -> Option<String> {
    let mut lines: Vec<String> = text.into_iter().collect();
    for (name, value) in given.as_object().into_iter().flatten() {
        let Some(value) = value.as_str().map(str::trim).filter(|value| !value.is_empty()) else { continue };
        let about = name.strip_suffix("_message").and_then(|name| name.strip_suffix(whom));
        let Some(about) = about.map(|about| about.trim_end_matches('_')) else { continue };
        if !lines.iter().any(|line| line.contains(value)) {
            lines.push(format!("{}: {value}", about.replace('_', " ")));
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Returns the text of the person without the sentences that ChatGPT puts around it.
fn unwrapped(text: String) -> String {
    let Some((_, inner)) = text.split_once("```") else { return text };
    let inner = inner.rsplit_once("```").map_or(inner, |(inner, _)| inner);
    inner.strip_prefix("text\n").unwrap_or(inner).trim().to_owned()
}
