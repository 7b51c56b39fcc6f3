//! The prompt of a turn: the messages of the conversation, with memory in the last one.
//!
//! It is fitted into the model's context. Memories without room in it are no part of the turn's activity.

use lar_base::{KeyId, Problem};
use lar_gateway::{Count, Gateway};
use lar_inference::{ChatMessage, Prompt};
use lar_memory::MemoryActivity;

/// The part of the context that is reserved for the answer is 1/`ANSWER_SHARE`. Old messages are dropped to
/// keep it free.
const ANSWER_SHARE: usize = 4;
/// The most bytes per token on average over a long text. English has four; runs of spaces or dashes have
/// dozens.
const TOKEN_BYTES_MAX: usize = 64;

/// The messages of a turn's prompt, and the memory activity that they show to the model.
#[derive(Debug)]
pub(super) struct TurnPrompt {
    messages: Vec<ChatMessage>,
    /// The last message without memory; `None` if there are no messages.
    plain_last: Option<ChatMessage>,
    activity: MemoryActivity,
}

impl TurnPrompt {
    /// Creates the prompt of a conversation, whose last message is the one to answer.
    ///
    /// Memory goes into the last message, so that the prefix cache covers the messages before it.
    pub(super) fn new(mut messages: Vec<ChatMessage>, activity: MemoryActivity) -> Self {
        let plain_last = messages.last().cloned();
        if let Some(last) = messages.last_mut() {
            activity.add_to_message(&mut last.content);
        }
        Self { messages, plain_last, activity }
    }

    /// Shortens the prompt to at most three quarters of the model's context.
    ///
    /// A longer prompt loses its oldest messages first, and then the recalled memories. The last message
    /// stays.
    ///
    /// # Errors
    /// If the model does not exist or cannot render the prompt.
    pub(super) async fn fit(&mut self, gateway: &Gateway, key: KeyId, model: &str) -> Result<(), Problem> {
        // Counting the tokens of messages that cannot fit would be wasted work.
        if let Some(context_tokens) = gateway.context_tokens(model).await? {
            self.messages.drain(..count_messages_that_cannot_fit(&self.messages, context_tokens));
        }
        loop {
            let prompt = Prompt::Chat(self.messages.clone().into());
            let Count { tokens, context_tokens } = gateway.count_tokens_for(key, model, &prompt).await?;
            let limit = context_tokens - context_tokens / ANSWER_SHARE;
            if tokens <= limit {
                return Ok(());
            }
            if self.messages.len() <= 1 {
                self.remove_memory();
                return Ok(());
            }
            // Drop messages in proportion to the excess tokens, at least one question and answer at a time.
            let excess = (self.messages.len() * (tokens - limit)).div_ceil(tokens).max(2);
            let keep_from = excess.min(self.messages.len() - 1);
            self.messages.drain(..keep_from);
        }
    }

    /// Removes memory from the last message, and the recalled memories and the reminders from the activity.
    fn remove_memory(&mut self) {
        if let (Some(last), Some(plain)) = (self.messages.last_mut(), self.plain_last.take()) {
            *last = plain;
        }
        self.activity.recalled.clear();
        self.activity.reminders.clear();
    }

    /// Returns the messages, and the activity without memories that were removed from them.
    pub(super) fn into_parts(self) -> (Vec<ChatMessage>, MemoryActivity) {
        (self.messages, self.activity)
    }
}

/// Returns how many of the oldest messages certainly do not fit in the context.
///
/// A message takes at least one token, and a text has at most [`TOKEN_BYTES_MAX`] bytes per token.
fn count_messages_that_cannot_fit(history: &[ChatMessage], context_tokens: usize) -> usize {
    let mut room = context_tokens.saturating_mul(TOKEN_BYTES_MAX);
    let fitting = history.iter().rev().take(context_tokens).take_while(|message| {
        let bytes = message.content.len().max(1);
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    });
    // The last message stays, so that the model reports it if it is too long by itself.
    history.len().saturating_sub(fitting.count().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_cannot_fit_are_dropped_without_counting() {
        let message = |content: &str| ChatMessage::new("user", content);
        let short: Vec<ChatMessage> = (0..100).map(|_| message("a")).collect();
        assert_eq!(count_messages_that_cannot_fit(&short, 1000), 0);
        assert_eq!(count_messages_that_cannot_fit(&short, 30), 70);
        let long = vec![message(&"a".repeat(5000)), message("b"), message(&"c".repeat(639))];
        assert_eq!(count_messages_that_cannot_fit(&long, 10), 1);
        assert_eq!(count_messages_that_cannot_fit(&long[..1], 10), 0, "the last message stays");
    }

    #[test]
    fn memories_that_are_removed_from_the_prompt_are_removed_from_the_activity() {
        let activity: MemoryActivity = serde_json::from_value(serde_json::json!({
            "recalled": [{ "id": "mem_1", "content": "Mimi is a cat.", "day": "2026-11-26", "score": 1.0, "reason": "" }],
            "saved": [{ "id": "mem_2", "decision": "create", "content": "I like tea." }],
        }))
        .unwrap();
        let messages = ["Hi.", "Who is Mimi?"].map(|text| ChatMessage::new("user", text)).to_vec();
        let (with_memory, shown) = TurnPrompt::new(messages.clone(), activity.clone()).into_parts();
        assert_eq!((&with_memory[0], &shown), (&messages[0], &activity));
        let last = &with_memory[1].content;
        assert!(last.contains("Mimi is a cat.") && last.contains("\n\nWho is Mimi?\n\n(You have"), "{last}");

        let mut prompt = TurnPrompt::new(messages.clone(), activity.clone());
        prompt.remove_memory();
        let (plain, shown) = prompt.into_parts();
        assert_eq!(plain, messages);
        assert_eq!(shown, MemoryActivity { recalled: Vec::new(), ..activity });
    }
}
