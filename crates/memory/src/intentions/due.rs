//! Decides when an intention is due: a pure function of the intention, the time and the context.
//!
//! A false reminder annoys more than a missing one. So a topic is in a text only if all of its words are, in any
//! form and language that the keyword index knows, within two sentences that follow each other. A shared common
//! word is not enough. Similarity of embeddings does not count.

use std::fmt::Write as _;

use lar_base::Timestamp;
use lar_store::{Intention, IntentionTrigger};
use lar_text::terms::{FoundTerms, QueryTerms};

use super::glob::Glob;

/// The most bytes at the start of each text that are searched for topics.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// The most sentences of a text that are searched for topics.
const SENTENCES_MAX: usize = 400;

/// The context of a check: what the user says and works on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueContext {
    /// Texts, such as the user's message, topics and events.
    pub texts: Vec<String>,
    /// The name of the current project.
    pub project: Option<String>,
    /// The name of the current code base.
    pub codebase: Option<String>,
    /// The path of the current file.
    pub file: Option<String>,
}

/// The cause for which an intention is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueCause {
    /// Its time has come.
    Time,
    /// Its deadline has passed.
    Deadline,
    /// The context fits.
    Context,
    /// Its event happened.
    Event,
}

impl DueCause {
    /// Returns the name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Deadline => "deadline",
            Self::Context => "context",
            Self::Event => "event",
        }
    }
}

/// An intention that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct DueIntention {
    /// The intention.
    pub intention: Intention,
    /// The cause for which it is due.
    pub cause: DueCause,
    /// The cause with its details, as a sentence without a full stop for people.
    pub reason: String,
}

/// A context that is prepared for many intentions.
pub(super) struct PreparedContext<'a> {
    context: &'a DueContext,
    /// The words of the sentences of each text.
    sentences: Vec<Vec<FoundTerms>>,
}

impl<'a> PreparedContext<'a> {
    pub(super) fn new(context: &'a DueContext) -> Self {
        let sentences = |text: &String| sentences(text).into_iter().map(FoundTerms::of).collect();
        Self { context, sentences: context.texts.iter().map(sentences).collect() }
    }

    /// Returns the cause and the reason for which an active intention is due now.
    pub(super) fn check(&self, intention: &Intention, now: Timestamp) -> Option<(DueCause, String)> {
        if let Some(deadline) = intention.deadline.filter(|deadline| *deadline <= now) {
            return Some((DueCause::Deadline, format!("its deadline was {}", minute(deadline))));
        }
        match &intention.trigger {
            IntentionTrigger::Time { at } if *at <= now => {
                Some((DueCause::Time, format!("it is set for {}", minute(*at))))
            }
            IntentionTrigger::Context { project, codebase, file_pattern, topics } => {
                let mut reason = String::new();
                for name in [project, codebase].into_iter().flatten() {
                    let is_current = [&self.context.project, &self.context.codebase]
                        .into_iter()
                        .flatten()
                        .any(|current| is_same_project(name, current));
                    add(&mut reason, is_current.then(|| format!("the current project is {name}"))?);
                }
                if let Some(pattern) = file_pattern {
                    let file = self.context.file.as_deref()?;
                    let is_match = Glob::new(pattern).matches(file);
                    add(&mut reason, is_match.then(|| format!("the current file matches {pattern}"))?);
                }
                if !topics.is_empty() {
                    let topic = topics.iter().find(|topic| self.mentions(topic))?;
                    add(&mut reason, format!("the text mentions “{topic}”"));
                }
                (!reason.is_empty()).then_some((DueCause::Context, reason))
            }
            IntentionTrigger::Event { condition } if self.mentions(condition) => {
                Some((DueCause::Event, format!("the text mentions “{condition}”")))
            }
            IntentionTrigger::Time { .. } | IntentionTrigger::Event { .. } | IntentionTrigger::Manual => None,
        }
    }

    /// Returns whether all words of a topic are in two sentences of a text that follow each other.
    fn mentions(&self, topic: &str) -> bool {
        let words = QueryTerms::of(topic).words;
        if words.is_empty() {
            return false;
        }
        self.sentences.iter().any(|sentences| {
            (0..sentences.len()).any(|at| {
                // An abbreviation such as `Dr.` looks like the end of a sentence.
                let both = &sentences[at..sentences.len().min(at + 2)];
                words.iter().all(|word| both.iter().any(|sentence| sentence.has(word)))
            })
        })
    }
}

fn add(reason: &mut String, more: String) {
    if !reason.is_empty() {
        reason.push_str(" and ");
    }
    reason.push_str(&more);
}

/// Formats a time for people, to the minute.
pub(crate) fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    let mut shown = text.get(..16).unwrap_or(&text).replace('T', " ");
    let _ = write!(shown, " UTC");
    shown
}

/// Returns whether two names are of one project: they are equal, or one is the last part of the other, as
/// `orders` of `team/orders`. Case does not count.
pub(super) fn is_same_project(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|name| name.trim().trim_end_matches('/').to_lowercase());
    let is_last_part = |long: &str, short: &str| {
        !short.contains('/') && long.strip_suffix(short).is_some_and(|rest| rest.ends_with('/'))
    };
    !one.is_empty()
        && !other.is_empty()
        && (one == other || is_last_part(&one, &other) || is_last_part(&other, &one))
}

/// Splits the start of a text into sentences and lines.
fn sentences(text: &str) -> Vec<&str> {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    let (mut found, mut start) = (Vec::new(), 0);
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let ends = match character {
            '\n' | '。' | '！' | '？' | '।' => true,
            '.' | '!' | '?' | '…' | ';' | '؟' => {
                characters.peek().is_none_or(|(_, next)| next.is_whitespace() || "\"'”’»)".contains(*next))
            }
            _ => false,
        };
        if ends {
            let next = at + character.len_utf8();
            found.push(&text[start..next]);
            start = next;
        }
    }
    found.push(&text[start..]);
    found.retain(|sentence| sentence.contains(char::is_alphanumeric));
    found.truncate(SENTENCES_MAX);
    found
}

#[cfg(test)]
mod tests {
    use lar_base::{IntentionId, KeyId, SpaceId};
    use lar_store::{IntentionPriority, IntentionStatus, Provenance};

    use super::*;

    fn intention(trigger: IntentionTrigger) -> Intention {
        Intention {
            id: IntentionId::new(),
            space: SpaceId::new(),
            content: "Send it.".into(),
            trigger,
            priority: IntentionPriority::Normal,
            deadline: None,
            status: IntentionStatus::Active,
            snoozed_until: None,
            provenance: Provenance { key: KeyId::new(), source: None, conversation: None, message: None },
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
            last_shown_at: None,
        }
    }

    fn cause(trigger: &IntentionTrigger, context: &DueContext, now: i64) -> Option<DueCause> {
        let context = PreparedContext::new(context);
        context.check(&intention(trigger.clone()), Timestamp::from_millis(now)).map(|(cause, _)| cause)
    }

    fn is_mentioned(topic: &str, text: &str) -> bool {
        let context = DueContext { texts: vec![text.into()], ..DueContext::default() };
        let condition = topic.to_owned();
        cause(&IntentionTrigger::Event { condition }, &context, 0) == Some(DueCause::Event)
    }

    #[test]
    fn a_topic_is_mentioned_if_all_of_its_words_are() {
        for (topic, text) in [
            ("invoice", "Let us work on the invoices now."),
            ("the invoice for Anna", "Anna is waiting for her invoice!"),
            ("Rechnung", "Ich schreibe gerade die Rechnungen für Mai."),
            ("the quarterly report", "Hi\n\nCan we finish the quarterly report?\nThanks"),
            ("facture", "Où est la facture de Paul ?"),
            ("счёт", "Где мой счёт за май?"),
            ("請求書", "請求書を送ってください。"),
            ("发票", "我今天要开发票。"),
            ("Dr. Smith", "I will see Dr. Smith on Monday."),
            ("config.yaml", "I am editing config.yaml"),
        ] {
            assert!(is_mentioned(topic, text), "{topic}: {text}");
        }
        for (topic, text) in [
            ("invoice", "What shall we have for dinner?"),
            ("invoice", "Her voice is in tune."),
            ("the quarterly report", "The weather report was wrong."),
            ("the new house in York", "I bought a new bike."),
            ("invoice for Anna", "Anna called. It rained all day. We had soup. I saw no invoice."),
            ("the", "What is the time?"),
            ("invoice", ""),
        ] {
            assert!(!is_mentioned(topic, text), "{topic}: {text}");
        }
    }

    #[test]
    fn all_conditions_of_a_context_apply() {
        let trigger = IntentionTrigger::Context {
            project: Some("team/Orders".into()),
            codebase: None,
            file_pattern: Some("*.rs".into()),
            topics: vec!["release".into(), "changelog".into()],
        };
        let fitting = DueContext {
            texts: vec!["Write the changelog.".into()],
            project: None,
            codebase: Some("orders".into()),
            file: Some("/src/lib.rs".into()),
        };
        let due = PreparedContext::new(&fitting)
            .check(&intention(trigger.clone()), Timestamp::from_millis(0))
            .unwrap();
        let reason = "the current project is team/Orders and the current file matches *.rs and the text mentions \
                      “changelog”";
        assert_eq!(due, (DueCause::Context, reason.into()));
        for context in [
            DueContext { codebase: Some("reorders".into()), ..fitting.clone() },
            DueContext { codebase: None, ..fitting.clone() },
            DueContext { file: Some("a.py".into()), ..fitting.clone() },
            DueContext { file: None, ..fitting.clone() },
            DueContext { texts: vec!["Hello.".into()], ..fitting },
            DueContext::default(),
        ] {
            assert_eq!(cause(&trigger, &context, 0), None, "{context:?}");
        }
    }

    #[test]
    fn times_and_deadlines_pass() {
        let nothing = DueContext::default();
        let time = IntentionTrigger::Time { at: Timestamp::from_millis(60_000) };
        assert_eq!(cause(&time, &nothing, 59_999), None);
        assert_eq!(cause(&time, &nothing, 60_000), Some(DueCause::Time));
        assert_eq!(cause(&IntentionTrigger::Manual, &nothing, i64::MAX), None);
        let overdue = Intention {
            deadline: Some(Timestamp::from_millis(60_000)),
            ..intention(IntentionTrigger::Event { condition: "x".into() })
        };
        let context = PreparedContext::new(&nothing);
        assert_eq!(context.check(&overdue, Timestamp::from_millis(59_999)), None);
        let due = context.check(&overdue, Timestamp::from_millis(60_000)).unwrap();
        assert_eq!(due, (DueCause::Deadline, "its deadline was 1970-01-01 00:01 UTC".into()));
    }

    #[test]
    fn names_of_one_project_match() {
        for (one, other) in [("lar", "Lar"), ("team/lar", "lar"), ("lar", "host/team/lar/")] {
            assert!(is_same_project(one, other), "{one} {other}");
        }
        for (one, other) in [("lar", "solar"), ("a/lar", "b/lar"), ("", "lar"), ("lar", "")] {
            assert!(!is_same_project(one, other), "{one} {other}");
        }
    }
}
