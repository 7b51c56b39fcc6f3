//! What a message of a chat asks memory to do: to remember something, or to forget it. Also what it tells of its writer
//! unasked, which waits in the inbox.
//!
//! English, one sentence at a time, and only where the asking begins the sentence: "I remember that …", "remember when
//! …?", quotations, translations and code ask for nothing. In doubt nothing is done.

use std::sync::LazyLock;

use regex::Regex;
use unicode_segmentation::UnicodeSegmentation as _;

/// A longer message is a text to work on rather than something said to somebody.
const MESSAGE_BYTES_MAX: usize = 2000;
/// Sentences of a message that are looked at.
const SENTENCES_MAX: usize = 12;
/// Bytes of what may be remembered unasked.
const STATEMENT_BYTES_MAX: usize = 300;

/// What a sentence asks for, or tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryIntent {
    /// To remember this.
    Remember(String),
    /// To forget what is known of this, or what was remembered last where it names nothing.
    Forget {
        /// What.
        what: Option<String>,
        /// Everything of it rather than the one memory.
        all: bool,
    },
    /// It says something that may be lasting.
    LastingStatement(String),
    /// It says something else.
    OtherStatement(String),
}

/// Politeness and greetings before the asking.
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
/// "Forget that" and the like, which name nothing.
static FORGET_LAST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"^{POLITE_PREFIX}(?:forget\s+(?:that|this)|(?:do not|don't)\s+(?:remember|save|keep)\s+(?:that|this))(?:\s+(?:again|please))?\s*[.!]*$"
    ))
});
/// What may follow "remember" and is no fact: questions, tasks, and chats about remembering itself.
static NO_FACT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:when|how|what|why|who|where|which|whether|if|to|me|it|this|that|them|nothing|everything|anything|things?|all)\b|^(?:that|the)\s+\w+[.?!]*$",
    )
});
/// What may follow "forget" and names no memory.
static NO_MEMORY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:it|me|this|everything|all|nothing|how|to|the\s+(?:previous|last|above|semicolon)|(?:all|any)?\s*(?:previous|prior|earlier)|(?:your|the|these|those)\s+(?:previous\s+)?(?:instructions?|rules|prompt))\b",
    )
});
/// Tells of its writer: what they are, have, like, use, in the present or of someone of theirs.
static LASTING_STATEMENT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:(?:i\s+am|i'm|we\s+are|we're)\s+(?:an?\s+\w+|allergic|vegetarian|vegan|married|learning|from|based|based\s+in)\b|(?:i|we)\s+(?:always\s+|usually\s+|never\s+|mostly\s+)?(?:live|work|use|prefer|like|love|hate|play|speak|drink|eat|drive|own|study|teach|run|deploy|host)\s+\S+|(?:my|our)\s+(?:\w+\s+){1,4}(?:is|are|was|were|has|have|lives?|starts?|works?|likes?|goes|plays?)\s+\S+)",
    )
});
/// Of those, what is about this chat or this moment.
static PASSING: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:question|error|problem|issue|guess|point|idea|code|prompt|this|that|it|here|following|above|below|answer|version|sure|sorry|going|getting|trying|looking|wondering)\b",
    )
});

/// What a message asks memory to do, in order. Nothing where it is a text to work on.
#[must_use]
pub fn parse_intents(message: &str) -> Vec<MemoryIntent> {
    let message = message.replace('’', "'");
    if message.len() > MESSAGE_BYTES_MAX || message.contains("```") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for sentence in sentences(&message).into_iter().take(SENTENCES_MAX) {
        // What is quoted, or follows a task ("Translate: …"), was said by or to somebody else.
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

/// What is asked for, without the question mark of "can you remember …?".
fn capture_what(pattern: &Regex, sentence: &str) -> Option<String> {
    let what = pattern.captures(sentence)?.name("what")?.as_str().trim();
    Some(what.trim_end_matches('?').trim_end().to_owned())
}

/// Whether a sentence gives a text to work on, so that what follows is that text.
fn is_task(sentence: &str) -> bool {
    static TASK: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"^(?:please\s+)?(?:translate|summari[sz]e|rewrite|rephrase|correct|explain|write|continue|improve|shorten|proofread|fix|give|list|in\s+this\s+(?:story|text|poem))\b",
        )
    });
    TASK.is_match(sentence)
}

/// The sentences of a message; a title's dot ends none.
fn sentences(message: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in message.lines() {
        let mut open = String::new();
        for sentence in line.unicode_sentences() {
            open.push_str(sentence);
            let last =
                open.trim_end().trim_end_matches('.').rsplit(' ').next().unwrap_or_default().to_lowercase();
            if !crate::smart::is_title(&last) {
                found.push(std::mem::take(&mut open).trim().to_owned());
            }
        }
        found.push(open.trim().to_owned());
    }
    found.retain(|sentence| !sentence.is_empty());
    found
}

fn pattern(pattern: &str) -> Regex {
    #[expect(clippy::expect_used, reason = "constants, each tried by the test below")]
    Regex::new(&format!("(?is){pattern}")).expect("a regular expression")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = include_str!("../../../benches/data/heard.tsv");

    /// The gate: nothing is remembered or forgotten that was not asked for, and little that was asked for is missed.
    #[test]
    fn parse_intents_finds_requests_and_nothing_else() {
        let (mut right, mut done, mut asked) = (0, 0, 0);
        for row in MESSAGES.lines().filter(|row| !row.starts_with('#')) {
            let mut columns = row.split('\t');
            let (label, message) = (columns.next().unwrap(), columns.next().unwrap());
            let expected = columns.next().unwrap_or_default();
            let intents = parse_intents(message);
            let acts = intents.iter().find(|intent| {
                !matches!(intent, MemoryIntent::LastingStatement(_) | MemoryIntent::OtherStatement(_))
            });
            let is = match (label, acts) {
                ("remember", Some(MemoryIntent::Remember(what))) => what == expected,
                ("forget", Some(MemoryIntent::Forget { what, .. })) => {
                    what.as_deref().unwrap_or_default() == expected
                }
                _ => false,
            };
            right += u32::from(is);
            done += u32::from(acts.is_some());
            asked += u32::from(matches!(label, "remember" | "forget"));
        }
        let (precision, recall) = (f64::from(right) / f64::from(done), f64::from(right) / f64::from(asked));
        assert!(precision >= 0.95 && recall >= 0.8, "precision {precision:.3}, recall {recall:.3}");
    }
}
