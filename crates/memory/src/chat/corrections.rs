//! Corrections in a chat: "No, it's on Friday", "You still have the old address".
//!
//! A correction supersedes the memory that it is about. If several may be meant, it becomes a candidate in the inbox.
//! If it is about none, the user corrected something else, such as an answer, and nothing is saved.

use lar_base::Problem;
use lar_store::Memory;
use lar_text::statements::Relation;
use lar_text::subjects::Subject;

use super::activity::MemoryActivity;
use super::subjects::subject_texts;
use super::texts::{Origin, item};
use crate::smart::{Authority, Judgment};
use crate::{Memories, ReadAccess, WriteAccess};

/// A certain correction is about a memory that has at least one of its words ([`Subject::count_in`]).
const COMMON_MIN: usize = 2;
const UNCLEAR: &str = "it may correct a memory, but it is not certain which one";

/// A correction that a message asks for.
pub(super) struct Correction {
    /// The text that is right.
    pub(super) text: String,
    /// The words for what is wrong. Empty for "it".
    pub(super) object: String,
    /// Other words by which the memory is found.
    pub(super) about: String,
    /// Whether it is certainly about a memory.
    pub(super) is_certain: bool,
}

impl Memories {
    /// Corrects the memory that a correction is about.
    pub(super) async fn correct(
        &self,
        writer: &WriteAccess,
        correction: Correction,
        origin: Origin,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let Correction { text, object, about, is_certain } = correction;
        let reader = ReadAccess { caller: writer.caller.clone(), spaces: vec![writer.space] };
        let said = Subject::of(&format!("{about} {text}"));
        let object = Subject::of(&object);
        let compared = if object.is_empty() && !is_certain {
            Vec::new()
        } else {
            self.compared_memories(&reader, &text).await?
        };
        let named = with_object(compared, &object, writer).await;
        if named.is_empty() && !object.is_empty() {
            return Ok(());
        }
        let new = item(text.clone(), origin);
        let prepared = self.prepare_item(writer, new.clone()).await?;
        let mut related = self.relations(writer, &prepared.new).await?;
        if !object.is_empty() {
            related.retain(|judgment| is_among(judgment, &named));
        }
        let authority = match related.first() {
            Some(Judgment { relation: Relation::Same | Relation::More, .. }) => Authority::Rules,
            Some(Judgment { relation: Relation::Replaces, against: Some(known), .. })
                if known.superseded.is_some() =>
            {
                Authority::Rules
            }
            Some(first) => {
                let relation = first.relation;
                let rivals = related.into_iter().filter(|other| other.relation == relation);
                let rivals: Vec<Memory> = rivals.filter_map(|other| other.against).collect();
                match clearest(rivals, &said, 0).await {
                    Clearest::One(known) => Authority::User(known.id),
                    Clearest::Several(known) => {
                        return self
                            .suggest_replacement(writer, text, origin, UNCLEAR, Some(known), activity)
                            .await;
                    }
                    Clearest::None => return Ok(()),
                }
            }
            None => match clearest(named, &said, if object.is_empty() { COMMON_MIN } else { 0 }).await {
                Clearest::One(known) => Authority::User(known.id),
                Clearest::Several(known) => {
                    return self
                        .suggest_replacement(writer, text, origin, UNCLEAR, Some(known), activity)
                        .await;
                }
                Clearest::None => return self.suggest_correction(writer, text, origin, activity).await,
            },
        };
        let decided = self.ingest_prepared(writer, new, prepared, None, authority).await;
        self.record_saved(writer, decided, activity).await
    }
}

/// The memory that a correction is about.
enum Clearest {
    None,
    One(Memory),
    /// Several fit equally well. This is the first.
    Several(Memory),
}

/// Returns the memory that has most words of a subject, if it has at least `least` by [`Subject::count_in`].
async fn clearest(memories: Vec<Memory>, said: &Subject, least: usize) -> Clearest {
    let texts = subject_texts(&memories).await;
    let counts: Vec<usize> = texts.iter().map(|text| said.count_in(text)).collect();
    let Some(most) = counts.iter().copied().max().filter(|most| *most >= least) else {
        return Clearest::None;
    };
    let is_unique = counts.iter().filter(|count| **count == most).count() == 1;
    let best = memories.into_iter().zip(counts).find(|(_, count)| *count == most).map(|(memory, _)| memory);
    match best {
        Some(memory) if is_unique => Clearest::One(memory),
        Some(memory) => Clearest::Several(memory),
        None => Clearest::None,
    }
}

/// Returns the memories of the writer's space that have all words of an object.
async fn with_object(memories: Vec<Memory>, object: &Subject, writer: &WriteAccess) -> Vec<Memory> {
    let texts = subject_texts(&memories).await;
    let has_object = |(memory, text): &(Memory, _)| {
        memory.space == writer.space && (object.is_empty() || object.is_in(text))
    };
    memories.into_iter().zip(texts).filter(has_object).map(|(memory, _)| memory).collect()
}

fn is_among(judgment: &Judgment, memories: &[Memory]) -> bool {
    let against = judgment.against.as_ref();
    against.is_some_and(|known| memories.iter().any(|memory| memory.id == known.id))
}
