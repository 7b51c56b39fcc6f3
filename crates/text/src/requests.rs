//! The intents of a chat message for the user's memory: to remember, correct, forget or list something, and
//! what the user states about themselves in passing.
//!
//! Only the user's own words count (`own_words`). A request may stand anywhere in a sentence, in any of the
//! languages of `requests/languages/`. "I remember that …", "remember when …?" and instructions about the
//! present answer are no requests. An ambiguous sentence has no effect.

mod changes;
mod clean;
mod free;
mod intent;
pub(crate) mod languages;
pub(crate) mod matching;
mod parser;
mod parts;
mod references;
mod spared;
mod statements;
mod template;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

pub use self::intent::{MemoryIntent, ReportedChange, Spared};
use self::parser::IntentParser;
use crate::own_words::OwnText;

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
    IntentParser::new(message, &own).parse()
}

#[cfg(test)]
mod tests;
