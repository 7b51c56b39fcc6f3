//! Tool names in the form in which models see them.
//!
//! Callers may use whitespace, quotes or brackets in tool names, but these characters have a meaning in tool
//! call formats. A name with such a character is replaced by a plain name, which depends only on the original
//! one. The template, the grammar and the history all use the plain name.
//! [`ToolCallParser`](super::tool_call_parser::ToolCallParser) reports the original name to the caller.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use lar_inference::{Chat, ChatMessage, Tool, ToolCall};

/// The longest plain name, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// The number of characters that distinguish plain names with the same letters.
const DIGEST_CHARS: usize = 6;

/// Returns the plain name of a tool, which has only letters, digits, `_`, `-` and `.`. The result is always
/// the same for the same name.
pub(crate) fn plain(name: &str) -> Cow<'_, str> {
    let fits = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '.');
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(fits) {
        return Cow::Borrowed(name);
    }
    let letters: String =
        name.chars().map(|character| if fits(character) { character } else { '_' }).collect();
    let letters = letters.trim_matches('_');
    let end = letters.floor_char_boundary(NAME_BYTES_MAX - DIGEST_CHARS - 1);
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let mut rest = hasher.finish();
    let mut plain = format!("{}_", &letters[..end]);
    for _ in 0..DIGEST_CHARS {
        plain.push(char::from_digit((rest % 36) as u32, 36).unwrap_or('0'));
        rest /= 36;
    }
    Cow::Owned(plain)
}

/// Replaces the names of tools in a chat by their plain names: in tool definitions, calls and results.
pub fn with_plain_names(mut chat: Chat) -> Chat {
    fn change(name: &mut String) {
        if let Cow::Owned(plain) = plain(name) {
            *name = plain;
        }
    }
    for Tool { name, .. } in &mut chat.tools {
        change(name);
    }
    for ChatMessage { role, name, tool_calls, .. } in &mut chat.messages {
        for ToolCall { name, .. } in tool_calls {
            change(name);
        }
        // The names of other roles are not names of tools.
        if role == "tool" {
            name.iter_mut().for_each(change);
        }
    }
    chat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_formats_cannot_write_are_replaced() {
        for name in ["get_weather", "a.b-C_9", "天気", &"x".repeat(NAME_BYTES_MAX)] {
            assert_eq!(plain(name), name);
        }
        let odd = ["", " ", "get weather", "get\"weather", "a/b:c", "x(y)", "</tool_call>", &"é".repeat(500)];
        let mut all: Vec<String> = odd.iter().map(|name| plain(name).into_owned()).collect();
        for (name, plain_name) in odd.iter().zip(&all) {
            assert_eq!(plain(plain_name), plain_name.as_str(), "{name}");
            assert!(plain_name.len() <= NAME_BYTES_MAX);
            assert_eq!(plain(name), plain_name.as_str(), "the same result each time");
        }
        assert!(all[2].starts_with("get_weather_"), "{}", all[2]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), odd.len(), "names with the same letters stay distinct");
    }

    #[test]
    fn a_tool_has_one_name_in_the_whole_chat() {
        let call = ToolCall { id: "1".into(), name: "a b".into(), arguments: "{}".into() };
        let named = |role: &str| ChatMessage { name: Some("a b".into()), ..ChatMessage::new(role, "x") };
        let called = ChatMessage { tool_calls: vec![call], ..ChatMessage::new("assistant", "") };
        let tools = vec![Tool { name: "a b".into(), ..Tool::default() }];
        let messages = vec![named("user"), called, named("tool")];
        let chat = with_plain_names(Chat { messages, tools, ..Chat::default() });
        let plain = plain("a b").into_owned();
        assert_eq!(chat.tools[0].name, plain);
        assert_eq!(chat.messages[1].tool_calls[0].name, plain);
        assert_eq!(chat.messages[2].name, Some(plain));
        assert_eq!(chat.messages[0].name.as_deref(), Some("a b"), "a user's name is not replaced");
    }
}
