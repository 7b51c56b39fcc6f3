//! The memory activity of one turn: its stored form, and the detection of citations.

use serde::{Deserialize, Serialize};

use lar_text::terms::{FoundTerms, QueryTerms};

/// An answer cites a memory if it contains 1/`CITED_SHARE` of the memory's words that are not in the
/// question, or [`CITED_WORDS`] of them, whichever is less.
const CITED_SHARE: usize = 3;
/// The number of words that suffices for a citation, however long the memory is.
const CITED_WORDS: usize = 3;

/// The memory activity of one turn, stored and shown with the answer.
///
/// When a memory is erased, the store removes its text from stored activities. It finds the text by the names
/// of the fields in the stored JSON, which therefore never change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryActivity {
    /// The memories that were added to the prompt, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recalled: Vec<Recalled>,
    /// The memories that the user's message created or changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saved: Vec<Saved>,
    /// The memories that the user's message deleted, and the candidates that it removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<Forgotten>,
    /// The candidates added to the inbox.
    #[serde(rename = "waiting", default, skip_serializing_if = "Vec::is_empty")]
    pub suggested: Vec<Suggested>,
    /// The memories that the user's message asked to list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<Listed>,
    /// The intentions of which the answer reminds the user, most important first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reminders: Vec<Reminder>,
    /// The intentions that the user's message created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scheduled: Vec<Reminder>,
    /// The reasons why requests were not carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// A memory recalled for an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recalled {
    /// The id of the recalled memory, `mem_…`.
    pub id: String,
    /// The text given to the model. Empty if the memory was erased since.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// The date when it happened, or else when it was saved.
    pub day: String,
    /// The relevance for the message, 0 to 1; higher is better.
    pub score: f32,
    /// The parts of the score, for a person.
    pub reason: String,
    /// Whether a newer memory may make it outdated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub possibly_outdated: bool,
    /// Whether the answer cites the memory, as found after the answer ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cited: bool,
}

/// A memory saved or changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The id of the memory that has the text now, `mem_…`.
    pub id: String,
    /// The decision: `create`, `reinforce`, `update`, `supersede` or `merge`.
    pub decision: String,
    /// The memory's text. Empty if it was erased since.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// The text that it replaced. Absent if that was erased since.
    #[serde(rename = "instead_of", default, skip_serializing_if = "Option::is_none")]
    pub superseded_content: Option<String>,
    /// The memory that had the replaced text: this one or the one it superseded.
    #[serde(rename = "instead_of_id", default, skip_serializing_if = "Option::is_none")]
    pub superseded_id: Option<String>,
    /// The change's id, for undoing it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

/// A forgotten memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forgotten {
    /// The memory's id, or that of a cancelled reminder, `int_…`. Empty for a candidate removed from the inbox.
    pub id: String,
    /// Its text. Empty if it was erased since.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// The change's id, for undoing it. Absent for a reminder, and for a candidate removed from the inbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

/// A candidate in the inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suggested {
    /// The candidate's text.
    pub content: String,
    /// The candidate's id, `cand_…`. Absent in activities of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// The memory that the text would make outdated.
    #[serde(rename = "instead_of_id", default, skip_serializing_if = "Option::is_none")]
    pub outdated_id: Option<String>,
    /// The text of that memory. Absent if it was erased since.
    #[serde(rename = "instead_of", default, skip_serializing_if = "Option::is_none")]
    pub outdated_content: Option<String>,
}

/// An intention of which an answer reminds the user, or that the user's message created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reminder {
    /// The intention's id, `int_…`.
    pub id: String,
    /// Its text. Empty if it was deleted since.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// The reason why it is due, or when it will be, for a person.
    pub reason: String,
}

/// A memory listed because the user asked what is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// The memory's id, `mem_…`.
    pub id: String,
    /// Its text. Empty if it was erased since.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// The date when it happened, or else when it was saved.
    pub day: String,
}

/// The ids of an activity's memories, stored with the task and sent in response headers.
///
/// [`MemoryActivity::ids`] makes it. It contains no text of a memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryActivityIds {
    /// The ids of the memories recalled for the answer, best first. Empty if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recalled: Vec<String>,
    /// The ids of the memories saved or changed. Empty if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saved: Vec<String>,
    /// The ids of the memories forgotten, without candidates removed from the inbox. Empty if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<String>,
    /// The ids of the intentions of which the answer reminds. Empty if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reminders: Vec<String>,
    /// The ids of the intentions created. Empty if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scheduled: Vec<String>,
}

impl MemoryActivity {
    /// Returns whether there was no activity.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the ids of the recalled, saved and forgotten memories and of the reminders, or `None` if there
    /// are none.
    #[must_use]
    pub fn ids(&self) -> Option<MemoryActivityIds> {
        let ids = |ids: &mut dyn Iterator<Item = &String>| ids.filter(|id| !id.is_empty()).cloned().collect();
        let activity_ids = MemoryActivityIds {
            recalled: ids(&mut self.recalled.iter().map(|one| &one.id)),
            saved: ids(&mut self.saved.iter().map(|one| &one.id)),
            forgotten: ids(&mut self.forgotten.iter().map(|one| &one.id).filter(|id| id.starts_with("mem_"))),
            reminders: ids(&mut self.reminders.iter().map(|one| &one.id)),
            scheduled: ids(&mut self.scheduled.iter().map(|one| &one.id)),
        };
        (activity_ids != MemoryActivityIds::default()).then_some(activity_ids)
    }

    /// Returns the ids of what a message saved and scheduled, without any text, for a later "forget that".
    #[must_use]
    pub fn without_texts(&self) -> Self {
        let saved = self.saved.iter().map(|saved| Saved {
            content: String::new(),
            superseded_content: None,
            ..saved.clone()
        });
        let scheduled = self.scheduled.iter().map(|one| Reminder { content: String::new(), ..one.clone() });
        Self { saved: saved.collect(), scheduled: scheduled.collect(), ..Self::default() }
    }

    /// Marks the recalled memories that an answer cites.
    ///
    /// An answer cites a memory if it contains enough of the memory's words that are not in the question.
    pub fn cite(&mut self, question: &str, answer: &str) {
        let [question, answer] = [question, answer].map(FoundTerms::of);
        for recalled in &mut self.recalled {
            let words = QueryTerms::of(&recalled.content).words;
            let fresh: Vec<_> = words.iter().filter(|word| !question.has(word)).collect();
            let repeated = fresh.iter().filter(|word| answer.has(word)).count();
            let enough = fresh.len().div_ceil(CITED_SHARE).min(CITED_WORDS);
            recalled.cited = repeated > 0 && repeated >= enough;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cite_marks_the_memories_that_an_answer_repeats() {
        let recalled = |content: &str| Recalled {
            id: "mem_1".into(),
            content: content.into(),
            day: "2026-11-26".into(),
            score: 1.0,
            reason: String::new(),
            possibly_outdated: false,
            cited: false,
        };
        let cases = [
            ("What is my cat called?", "My cat is called Mimi.", "Your cat is called Mimi!", true),
            (
                "What is my cat called?",
                "My cat is called Mimi.",
                "I don't know what your cat is called.",
                false,
            ),
            ("What is my cat called?", "My cat is called Mimi.", "", false),
            (
                "How big is the attic?",
                "The attic measures 41 square metres since the rebuild.",
                "It has 41 m².",
                false,
            ),
            (
                "How big is the attic?",
                "The attic measures 41 square metres since the rebuild.",
                "The attic has 41 square metres.",
                true,
            ),
            ("Mimi the cat", "Mimi, the cat", "Mimi is a cat.", false),
        ];
        for (question, content, answer, cited) in cases {
            let mut turn = MemoryActivity { recalled: vec![recalled(content)], ..MemoryActivity::default() };
            turn.cite(question, answer);
            assert_eq!(turn.recalled[0].cited, cited, "{question} {answer}");
        }
    }
}
