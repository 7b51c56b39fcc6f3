//! The result of smart ingest, as returned to the caller.

use lar_store::{Memory, MemoryLink};
use similar::{ChangeTag, TextDiff};

use crate::strength::Event;
use lar_text::statements::Statement;

/// The decision of smart ingest about a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The text is new and becomes a memory.
    Create,
    /// The text repeats a memory, whose strength increases.
    Reinforce,
    /// The text says the same as a memory and more, and replaces the memory's text.
    Update,
    /// The text corrects a memory and becomes a new one. The old one is kept as superseded.
    Supersede,
    /// The text adds a detail to a memory, which now contains both texts.
    Merge,
    /// The text contains nothing to remember.
    Reject,
}

impl Decision {
    /// Returns the decision as written in the API.
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

    /// Parses the action in a memory's history.
    pub(super) fn of(action: &str) -> Option<Self> {
        let all = [Decision::Create, Decision::Update, Decision::Supersede, Decision::Merge];
        let done = all.into_iter().find(|decision| decision.as_str() == action);
        done.or_else(|| (action == Event::Confirmed.as_str()).then_some(Decision::Reinforce))
    }
}

/// A part of the text that an update or merge kept, removed or added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The kind: `same`, `removed` or `added`.
    pub change: &'static str,
    /// Whole words and the space between them.
    pub text: String,
}

/// The result of smart ingest.
#[derive(Debug, Clone, PartialEq)]
pub struct SmartIngestResult {
    /// The decision: which memory the text creates or changes, if any.
    pub decision: Decision,
    /// The rule behind the decision, as text for a person.
    pub reason: String,
    /// The memory that the text was compared with, before the decision.
    pub against: Option<Memory>,
    /// The memory that now contains the text.
    pub memory: Option<Memory>,
    /// The link to `against`, about which a person has to decide. `None` if the decision was certain.
    pub link: Option<MemoryLink>,
    /// The changes to the text of `against` in an update or a merge.
    pub diff: Vec<Difference>,
    /// The rules that found secrets, which were redacted.
    pub redacted: Vec<String>,
    /// The reason why the memory has no vectors yet.
    pub unembedded: Option<String>,
}

/// Returns the word diff of two texts.
pub(crate) fn difference(before: &str, after: &str) -> Vec<Difference> {
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

pub(super) fn reject(statement: &Statement) -> SmartIngestResult {
    let reason = if statement.is_question() {
        "a question contains nothing to remember"
    } else {
        "the text contains nothing to remember"
    };
    SmartIngestResult {
        decision: Decision::Reject,
        reason: reason.into(),
        against: None,
        memory: None,
        link: None,
        diff: Vec::new(),
        redacted: Vec::new(),
        unembedded: None,
    }
}
