//! What is decided about something that is told, as its teller learns it.

use lar_store::Memory;
use similar::{ChangeTag, TextDiff};

use super::parse::ParsedText;
use crate::strength::Event;

/// What became of something that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is new, and a memory now.
    Create,
    /// It was known; that memory holds better.
    Reinforce,
    /// It says all that a memory said, and more; the memory says that now.
    Update,
    /// It corrects a memory, which is kept as what was true before.
    Supersede,
    /// It is part of what a memory tells, which has both texts now.
    Merge,
    /// It holds nothing to be remembered.
    Reject,
}

impl Decision {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Decision::Create => "create",
            Decision::Reinforce => "reinforce",
            Decision::Update => "update",
            Decision::Supersede => "supersede",
            Decision::Merge => "merge",
            Decision::Reject => "reject",
        }
    }

    pub(super) fn of(action: &str) -> Option<Self> {
        let all = [Decision::Create, Decision::Update, Decision::Supersede, Decision::Merge];
        let done = all.into_iter().find(|decision| decision.as_str() == action);
        done.or_else(|| (action == Event::Confirmed.as_str()).then_some(Decision::Reinforce))
    }
}

/// A stretch of text that an update or merge kept, took away or added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `same`, `removed` or `added`.
    pub change: &'static str,
    /// The stretch.
    pub text: String,
}

/// What was decided about something that was told, and done.
#[derive(Debug, Clone, PartialEq)]
pub struct SmartIngestResult {
    /// What.
    pub decision: Decision,
    /// Why, for a person.
    pub reason: String,
    /// How often such a decision is right, 0 to 1, as measured on a labelled set.
    pub confidence: f32,
    /// The memory it was decided against, as it was.
    pub against: Option<Memory>,
    /// The memory that holds it now.
    pub memory: Option<Memory>,
    /// How the text of `against` changed, of an update or a merge.
    pub diff: Vec<Difference>,
    /// The rules of the secrets that were left out.
    pub redacted: Vec<String>,
    /// Why it has no vectors yet.
    pub unembedded: Option<String>,
}

/// How one text becomes the other, by words.
pub(super) fn difference(before: &str, after: &str) -> Vec<Difference> {
    let diff = TextDiff::from_words(before, after);
    let mut parts: Vec<Difference> = Vec::new();
    for part in diff.iter_all_changes() {
        let change = match part.tag() {
            ChangeTag::Equal => "same",
            ChangeTag::Delete => "removed",
            ChangeTag::Insert => "added",
        };
        match parts.last_mut().filter(|last| last.change == change) {
            Some(last) => last.text.push_str(part.value()),
            None => parts.push(Difference { change, text: part.value().to_owned() }),
        }
    }
    parts
}

pub(super) fn reject(parsed: &ParsedText) -> SmartIngestResult {
    let reason = if parsed.is_question {
        "a question holds nothing to be remembered"
    } else {
        "it says nothing to be remembered"
    };
    SmartIngestResult {
        decision: Decision::Reject,
        reason: reason.into(),
        confidence: 0.96,
        against: None,
        memory: None,
        diff: Vec::new(),
        redacted: Vec::new(),
        unembedded: None,
    }
}
