//! Statements of the user in passing that make a memory outdated: "I sold the car", "Tom left us in May".
//!
//! They change nothing: each becomes a candidate in the inbox that asks whether to replace the memory.

use lar_base::Problem;
use lar_store::Memory;
use lar_text::requests::ReportedChange;
use lar_text::statements::{Relation, Statement};
use lar_text::subjects::{Subject, SubjectText};

use super::activity::{MemoryActivity, Suggested};
use super::subjects::subject_texts;
use super::texts::{Origin, item};
use crate::smart::Judgment;
use crate::{Memories, ReadAccess, WriteAccess};

/// The most memories that a change is compared with.
const COMPARED_MAX: usize = 50;

/// A statement of the user in passing.
pub(super) struct Passing {
    pub(super) text: String,
    /// Whether it states something lasting about the user.
    pub(super) lasting: bool,
    pub(super) change: Option<ReportedChange>,
}

impl Memories {
    /// Suggests a correction that replaces no memory for certain, if it shares words with one.
    pub(super) async fn suggest_correction(
        &self,
        writer: &WriteAccess,
        text: String,
        origin: Origin,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let change = ReportedChange { subject: None, about: vec![text.clone()] };
        let Some(outdated) = self.find_changed(writer, &text, &change).await? else { return Ok(()) };
        // Most corrections that fit no memory correct an answer. So half of the words must be those of a memory.
        let subject = Subject::of(&text);
        if subject.count_in(&SubjectText::of(&outdated.content)) < subject.len() {
            return Ok(());
        }
        let reason = "it may correct a memory, but it is not certain which one";
        self.suggest_replacement(writer, text, origin, reason, Some(outdated), activity).await
    }

    /// Suggests a statement that makes a memory outdated, or a lasting one that is new.
    pub(super) async fn suggest_statement(
        &self,
        writer: &WriteAccess,
        statement: Passing,
        origin: Origin,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let Passing { text, lasting, change } = statement;
        let found = item(text.clone(), origin);
        // A failure most likely means that the text contains a secret. The user did not ask to save it, so
        // there is nothing to report.
        let Ok(prepared) = self.prepare_item(writer, found).await else { return Ok(()) };
        let related = self.relations(writer, &prepared.new).await?;
        let mut outdated = related.first().and_then(Judgment::outdated).cloned();
        if let Some(change) = change.filter(|_| outdated.is_none()) {
            outdated = self.find_changed(writer, &text, &change).await?;
        }
        let reason = match &outdated {
            Some(_) => "it may make a memory outdated, but you did not ask to change it",
            None if lasting && related.is_empty() => "it may be worth saving, but you did not ask for it",
            None => return Ok(()),
        };
        self.suggest_replacement(writer, text, origin, reason, outdated, activity).await
    }

    /// Puts a text into the inbox, with the memory that it may replace.
    pub(super) async fn suggest_replacement(
        &self,
        writer: &WriteAccess,
        text: String,
        origin: Origin,
        reason: &str,
        outdated: Option<Memory>,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let replaced = outdated.as_ref().map(|memory| memory.id);
        let candidate = self.suggest(writer, item(text.clone(), origin), reason.into(), replaced).await?;
        activity.suggested.push(Suggested {
            content: text,
            candidate: candidate.map(|id| id.to_string()),
            outdated_id: replaced.map(|id| id.to_string()),
            outdated_content: outdated.map(|memory| memory.content),
        });
        Ok(())
    }

    /// Returns the memory that a reported change makes outdated: the one that has most of its words.
    async fn find_changed(
        &self,
        writer: &WriteAccess,
        text: &str,
        change: &ReportedChange,
    ) -> Result<Option<Memory>, Problem> {
        let reader = ReadAccess { caller: writer.caller.clone(), spaces: vec![writer.space] };
        let mut memories = self.compared_memories(&reader, text).await?;
        let said = Statement::of(text);
        let is_repeated = |memory: &Memory| {
            let (relation, _) = Statement::of(&memory.content).compare(&said, None);
            matches!(relation, Relation::Same | Relation::More)
        };
        memories.retain(|memory| !is_repeated(memory));
        let texts = subject_texts(&memories).await;
        let subject = change.subject.as_deref().map(Subject::of);
        let is_same = |text: &SubjectText| subject.as_ref().is_none_or(|subject| subject.is_in(text));
        for about in change.about.iter().map(|about| Subject::of(about)) {
            let counts = texts.iter().map(|text| if is_same(text) { about.count_in(text) } else { 0 });
            // Of equal ones, the first is the most similar.
            let best = counts.enumerate().rev().max_by_key(|(_, count)| *count);
            if let Some((at, _)) = best.filter(|(_, count)| *count > 0) {
                return Ok(Some(memories.swap_remove(at)));
            }
        }
        Ok(None)
    }

    /// Returns the memories with which a change is compared: those that a search finds, and the newest.
    pub(super) async fn compared_memories(
        &self,
        reader: &ReadAccess,
        text: &str,
    ) -> Result<Vec<Memory>, Problem> {
        let mut memories: Vec<Memory> =
            self.hits(reader, text, COMPARED_MAX).await?.into_iter().map(|hit| hit.memory).collect();
        for memory in self.newest_memories(reader, COMPARED_MAX).await? {
            if memories.iter().all(|other| other.id != memory.id) {
                memories.push(memory);
            }
        }
        Ok(memories)
    }
}
