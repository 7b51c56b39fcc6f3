//! What a chat message asks of the user's memory: to remember, correct, forget or list something. And what the
//! user states about themselves in passing.
//!
//! Only the user's own words count (`own_words`). A request may stand anywhere in a sentence, in any of the
//! languages of `requests/languages/`. "I remember that …", "remember when …?" and instructions about the
//! present answer are no requests. An ambiguous sentence has no effect.

mod clean;
pub(crate) mod languages;
mod matching;
mod parser;
mod references;
mod statements;
mod template;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

use self::parser::Parser;
use crate::own_words::OwnText;

/// What a sentence means for the user's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryIntent {
    /// A request to remember this text.
    Remember(String),
    /// A correction: this text is right, and what the memory holds against it is wrong or outdated.
    ///
    /// The user says so themselves. The text may refer to what was said before: "it's on Friday".
    Correct(String),
    /// A request to forget one or more memories.
    Forget {
        /// The bare subject to forget, such as "my address". `None` means the memory saved last, or with `all`
        /// everything about the user.
        what: Option<String>,
        /// Whether to forget every memory about the subject, and not only the best match.
        all: bool,
    },
    /// A question about what the memory holds.
    List {
        /// The subject. `None` means everything about the user.
        what: Option<String>,
    },
    /// Any other statement of the user. It may make a memory outdated, but the user asks for nothing.
    Statement {
        /// The statement, without a question after it.
        text: String,
        /// Whether it states something lasting about the user, their people or their things.
        lasting: bool,
    },
}

/// Returns the memory intents of a message, in order.
#[must_use]
pub fn parse_intents(message: &str) -> Vec<MemoryIntent> {
    let composed: String;
    let message = if is_nfc(message) {
        message
    } else {
        composed = message.nfc().collect();
        &composed
    };
    let own = OwnText::read(message);
    Parser::new(message, &own).parse()
}

#[cfg(test)]
mod tests;
