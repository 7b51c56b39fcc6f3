//! Detection of memory intents in a chat message: requests to remember or forget, and statements about the
//! user.
//!
//! Only English is understood, sentence by sentence, and a request must start its sentence. "I remember that
//! …", "remember when …?", quotations, translations and code are no requests. An ambiguous sentence has no
//! effect.

use std::sync::LazyLock;

use regex::Regex;
use unicode_segmentation::UnicodeSegmentation as _;

/// The most bytes in a message with intents. A longer one is probably a text to work on.
const MESSAGE_BYTES_MAX: usize = 2000;
/// The number of sentences that are examined.
const SENTENCES_MAX: usize = 12;
/// The most bytes in a statement.
const STATEMENT_BYTES_MAX: usize = 300;

/// The memory intent of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryIntent {
    /// A request to remember this text.
    Remember(String),
    /// A request to forget one or more memories.
    Forget {
        /// The subject to forget. `None` means the memory saved last.
        what: Option<String>,
        /// Whether to forget every matching memory and not only the best match.
        all: bool,
    },
    /// A statement that may be worth remembering.
    LastingStatement(String),
    /// Any other statement, which may correct a memory.
    OtherStatement(String),
}

/// Greetings and polite phrases before a request.
const POLITE_PREFIX: &str = r"(?:(?:hey|hi|ok|okay|thanks|thank you|also|and|so|well|lar)\b[,!.]?\s+)*(?:please\s+)?(?:(?:can|could|will|would|should)\s+you\s+(?:please\s+)?|you\s+(?:can|should|may|must)\s+(?:please\s+)?|i\s+(?:want|need|would like|'d like)\s+you\s+to\s+|please\s+)?";

static REMEMBER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"^{POLITE_PREFIX}(?:remember(?:\s+that\s+|\s*[:,]\s*|\s+(?:this|the following)\s*:\s*|\s+)|(?:do not|don't|never)\s+forget\s+that\s+|(?:keep|bear)\s+in\s+mind(?:\s+that\s+|\s*[:,]\s*)|(?:take|make)\s+a\s+note(?:\s+that\s+|\s*[:,]\s*)|note(?:\s+that\s+|\s*[:]\s*)|for\s+future\s+reference\s*[:,]\s*|memori[sz]e(?:\s+this\s*:\s*|\s+that\s+)|(?:save|store|add|put)(?:\s+this)?\s+(?:in|to|into)\s+(?:your\s+|the\s+)?memory(?:\s+that\s+|\s*[:,]\s*)|(?:save|store)\s+(?:this|the following)\s*:\s*)(?P<what>\S.*)$"
    ))
});
static FORGET: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"^{POLITE_PREFIX}(?:forget\s+(?P<all>everything\s+|all\s+)?(?:what\s+i\s+(?:said|told\s+you)\s+)?(?:(?:that|about)\s+)?|(?:delete|erase|remove)\s+(?:the\s+|your\s+|that\s+)?(?:memory|(?P<many>memories))\s+(?:about|of|that)\s+|(?:delete|erase|remove)\s+from\s+(?:your\s+|the\s+)?memory\s+(?:that\s+)?)(?P<what>\S.*)$"
    ))
});
/// Matches "Forget that" and similar requests without a subject.
static FORGET_LAST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"^{POLITE_PREFIX}(?:forget\s+(?:that|this)|(?:do not|don't)\s+(?:remember|save|keep)\s+(?:that|this))(?:\s+(?:again|please))?\s*[.!]*$"
    ))
});
/// Texts after "remember" that are no facts: questions, tasks, and talk about remembering itself.
static NO_FACT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:when|how|what|why|who|where|which|whether|if|to|me|it|this|that|them|nothing|everything|anything|things?|all)\b|^(?:that|the)\s+\w+[.?!]*$",
    )
});
/// Texts after "forget" that name no memory.
static NO_MEMORY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:it|me|this|everything|all|nothing|how|to|the\s+(?:previous|last|above|semicolon)|(?:all|any)?\s*(?:previous|prior|earlier)|(?:your|the|these|those)\s+(?:previous\s+)?(?:instructions?|rules|prompt))\b",
    )
});
/// Statements in the present about the user, and statements about their people and things.
static LASTING_STATEMENT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:(?:i\s+am|i'm|we\s+are|we're)\s+(?:an?\s+\w+|allergic|vegetarian|vegan|married|learning|from|based|based\s+in)\b|(?:i|we)\s+(?:always\s+|usually\s+|never\s+|mostly\s+)?(?:live|work|use|prefer|like|love|hate|play|speak|drink|eat|drive|own|study|teach|run|deploy|host)\s+\S+|(?:my|our)\s+(?:\w+\s+){1,4}(?:is|are|was|were|has|have|lives?|starts?|works?|likes?|goes|plays?)\s+\S+)",
    )
});
/// Words of statements about the current chat or moment, which are not lasting.
static PASSING: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:question|error|problem|issue|guess|point|idea|code|prompt|this|that|it|here|following|above|below|answer|version|sure|sorry|going|getting|trying|looking|wondering)\b",
    )
});

/// Returns the memory intents of a message, in order. Empty if the message is a text to work on.
#[must_use]
pub fn parse_intents(message: &str) -> Vec<MemoryIntent> {
    let message = message.replace('’', "'");
    if message.len() > MESSAGE_BYTES_MAX || message.contains("```") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for sentence in sentences(&message).into_iter().take(SENTENCES_MAX) {
        // Quoted text, and text after a task ("Translate: …"), is not the user's own statement.
        let quoted = sentence.contains(['"', '“', '”', '«', '»']);
        if quoted || is_task(&sentence) {
            break;
        }
        if let Some(intent) = parse_sentence(&sentence) {
            found.push(intent);
        }
    }
    found
}

fn parse_sentence(sentence: &str) -> Option<MemoryIntent> {
    if FORGET_LAST.is_match(sentence) {
        return Some(MemoryIntent::Forget { what: None, all: false });
    }
    if let Some(what) = capture_what(&FORGET, sentence) {
        let all =
            FORGET.captures(sentence).is_some_and(|found| found.name("all").or(found.name("many")).is_some());
        return (!NO_MEMORY.is_match(&what)).then_some(MemoryIntent::Forget { what: Some(what), all });
    }
    if let Some(what) = capture_what(&REMEMBER, sentence) {
        let fact = !NO_FACT.is_match(&what) && what.split_whitespace().count() >= 3;
        return fact.then_some(MemoryIntent::Remember(what));
    }
    let says = sentence.len() <= STATEMENT_BYTES_MAX
        && !sentence.ends_with(['?', '!'])
        && sentence.split_whitespace().count() >= 3;
    let lasting = LASTING_STATEMENT.is_match(sentence) && !PASSING.is_match(sentence);
    says.then(|| {
        if lasting {
            MemoryIntent::LastingStatement(sentence.to_owned())
        } else {
            MemoryIntent::OtherStatement(sentence.to_owned())
        }
    })
}

/// Captures the subject of a request, without the question mark of "can you remember …?".
fn capture_what(pattern: &Regex, sentence: &str) -> Option<String> {
    let what = pattern.captures(sentence)?.name("what")?.as_str().trim();
    Some(what.trim_end_matches('?').trim_end().to_owned())
}

/// Returns whether a sentence is a task on the text that follows it.
fn is_task(sentence: &str) -> bool {
    static TASK: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^(?:please\s+)?(?:translate|summari[sz]e|rewrite|rephrase|correct|explain|write|continue|improve|shorten|proofread|fix|give|list|in\s+this\s+(?:story|text|poem))\b",
        )
    });
    TASK.is_match(sentence)
}

/// Splits a message into sentences. The dot after a title, as in "Dr. Okafor", does not end a sentence.
fn sentences(message: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in message.lines() {
        let mut open = String::new();
        for sentence in line.unicode_sentences() {
            open.push_str(sentence);
            let last =
                open.trim_end().trim_end_matches('.').rsplit(' ').next().unwrap_or_default().to_lowercase();
            if !crate::statements::is_title(&last) {
                found.push(std::mem::take(&mut open).trim().to_owned());
            }
        }
        found.push(open.trim().to_owned());
    }
    found.retain(|sentence| !sentence.is_empty());
    found
}

fn pattern(pattern: &str) -> Regex {
    #[expect(clippy::expect_used, reason = "constants, each used by the test below")]
    Regex::new(&format!("(?is){pattern}")).expect("a regular expression")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = include_str!("../../../benches/data/intents.tsv");

    /// The quality gate: almost no false requests (precision) and few missed ones (recall).
    #[test]
    fn parse_intents_finds_requests_and_nothing_else() {
        let (mut correct, mut detected, mut requested) = (0, 0, 0);
        for row in MESSAGES.lines().filter(|row| !row.starts_with('#')) {
            let mut columns = row.split('\t');
            let (label, message) = (columns.next().unwrap(), columns.next().unwrap());
            let expected = columns.next().unwrap_or_default();
            let intents = parse_intents(message);
            let request = intents.iter().find(|intent| {
                !matches!(intent, MemoryIntent::LastingStatement(_) | MemoryIntent::OtherStatement(_))
            });
            let is_correct = match (label, request) {
                ("remember", Some(MemoryIntent::Remember(what))) => what == expected,
                ("forget", Some(MemoryIntent::Forget { what, .. })) => {
                    what.as_deref().unwrap_or_default() == expected
                }
                _ => false,
            };
            correct += u32::from(is_correct);
            detected += u32::from(request.is_some());
            requested += u32::from(matches!(label, "remember" | "forget"));
        }
        let precision = f64::from(correct) / f64::from(detected);
        let recall = f64::from(correct) / f64::from(requested);
        assert!(precision >= 0.95 && recall >= 0.8, "precision {precision:.3}, recall {recall:.3}");
    }
}
