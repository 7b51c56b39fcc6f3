//! Detection of an app's background requests: titles, tags, follow-up questions and autocompletion.
//!
//! Background requests come with the same key as the chat, so they are recognized by the prompts of common
//! apps: Open WebUI's begin with `### Task:`; LibreChat, Claude Code and others ask for a concise title. A
//! wrong result affects only the use of memory for one message and the model, if one is set for background
//! requests.

use std::sync::LazyLock;

use lar_inference::{Chat, ChatMessage};
use regex::Regex;

/// The number of bytes at the start of a message that are matched.
const SCANNED_BYTES_MAX: usize = 400;

static BACKGROUND_PROMPT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let pattern = r"(?is)^\s*(?:###\s*task:|you\s+are\s+an?\s+(?:autocompletion\s+system|title\s+generator)|(?:please\s+)?(?:detect\s+(?:the\s+)?user\s+language\s+and\s+)?(?:generate|create|write|provide|suggest|come\s+up\s+with)\s+(?:an?\s+|the\s+|in\s+the\s+same\s+language\s+an?\s+)?(?:(?:extremely|very)\s+)?(?:concise|short|brief|succinct|\d+\s*(?:-|–|to)\s*\d+|\d+[- ]word)\b.{0,80}?\b(?:titles?|tags?|follow-?up\s+questions?|name\s+for\s+(?:the|this)\s+(?:chat|conversation))\b)";
    Regex::new(pattern).ok()
});

/// Returns whether a request is an app's background request and not a user's message.
#[must_use]
pub(crate) fn is_background(chat: &Chat) -> bool {
    let is_app_prompt = |message: &ChatMessage| {
        let mut end = message.content.len().min(SCANNED_BYTES_MAX);
        while !message.content.is_char_boundary(end) {
            end -= 1;
        }
        BACKGROUND_PROMPT.as_ref().is_some_and(|pattern| pattern.is_match(&message.content[..end]))
    };
    let first = chat.messages.first().filter(|first| first.role == "system");
    let last = chat.messages.iter().rev().find(|message| message.role == "user");
    first.is_some_and(is_app_prompt) || last.is_some_and(is_app_prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_requests_are_distinguished_from_user_messages() {
        let background = [
            "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.",
            "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history",
            "### Task:\nYou are an autocompletion system. Continue the text in `<text>`",
            "Provide a concise, 5-word-or-less title for the conversation, using title case",
            "Detect user language and write in the same language an extremely concise title for this conversation",
            "Please write a 5-10 word title for the following conversation:\n\nUser: hi",
            "Generate a concise, sentence-case title (3-7 words) that captures the main topic",
            "Suggest 3-5 relevant follow-up questions or prompts that the user might naturally ask next",
        ];
        let user_messages = [
            "What is a good title for my book about cats?",
            "Write a short story about a lighthouse.",
            "Remember that my task is called ### Task.",
            "Give me three tags for this photo.",
            "Create a brief summary of what I told you.",
            "",
        ];
        let chat = |role: &str, text: &str| Chat::from(vec![ChatMessage::new(role, text)]);
        for text in background {
            assert!(is_background(&chat("user", text)), "{text}");
            assert!(is_background(&chat("system", text)), "{text}");
        }
        for text in user_messages {
            assert!(!is_background(&chat("user", text)), "{text}");
        }
        assert!(!is_background(&Chat::default()));
    }
}
