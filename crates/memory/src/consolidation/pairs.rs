//! The comparison of two memories, by the rules of smart ingest: whether one repeats the other, or the newer may
//! replace the older.
//!
//! A repeated memory may be superseded only if nothing gets lost. So the kept one must have its times and its kind,
//! and a pin. A link needs words that show a change: memories that are only about the same thing are no finding, or
//! a space would have thousands of links at once.

use lar_store::{DuplicateRule, FoundLink, LinkRelation, Memory, MemoryKind, NewDuplicate, NewLink};
use lar_text::statements::{
    DecisionRule, Relation, SimilarityThresholds, Statement, contains_text, extends_text,
};
use lar_text::terms::fingerprint_of;

use crate::smart::explanation;

/// A memory with its parsed text.
#[derive(Debug, Clone, Copy)]
pub(super) struct ParsedMemory<'a> {
    pub(super) memory: &'a Memory,
    pub(super) statement: &'a Statement,
}

/// The finding about two memories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PairFinding {
    /// One repeats the other.
    Duplicate(NewDuplicate),
    /// The newer may replace the older.
    Link(FoundLink),
}

/// Compares two memories. `similarity` is the cosine of their vectors with the embedder's thresholds, or `None` if
/// unknown.
pub(super) fn compare_pair(
    one: ParsedMemory<'_>,
    other: ParsedMemory<'_>,
    similarity: Option<(f32, SimilarityThresholds)>,
) -> Option<PairFinding> {
    let (older, newer) = if is_older(one.memory, other.memory) { (one, other) } else { (other, one) };
    if fingerprint_of(&older.memory.content) == fingerprint_of(&newer.memory.content) {
        let either = duplicate(older.memory, newer.memory, DuplicateRule::SameText);
        return either.or_else(|| duplicate(newer.memory, older.memory, DuplicateRule::SameText));
    }
    let (relation, rule) = older.statement.compare(newer.statement, similarity);
    match (relation, rule) {
        (Relation::Same, _) => duplicate(older.memory, newer.memory, DuplicateRule::SameWords),
        (Relation::More, _) => duplicate(newer.memory, older.memory, DuplicateRule::SameWords),
        (Relation::Replaces, _)
        | (Relation::MayReplace, DecisionRule::Changed | DecisionRule::SameKey | DecisionRule::OtherValue) => {
            Some(link(older.memory, newer.memory, rule))
        }
        _ if !older.statement.is_stated() || !newer.statement.is_stated() => None,
        _ if is_in(&newer.memory.content, &older.memory.content) => {
            duplicate(older.memory, newer.memory, DuplicateRule::Contained)
        }
        _ if is_in(&older.memory.content, &newer.memory.content) => {
            duplicate(newer.memory, older.memory, DuplicateRule::Contained)
        }
        _ => None,
    }
}

/// Returns whether another text seems to say all that a text says.
fn is_in(text: &str, other: &str) -> bool {
    contains_text(other, text) || extends_text(other, text)
}

/// Returns whether a memory is older than another one: it happened or was said before, if both times are known, or
/// else it was saved before.
pub(super) fn is_older(one: &Memory, other: &Memory) -> bool {
    match one.occurred_at.zip(other.occurred_at) {
        Some((at, other_at)) if at != other_at => at < other_at,
        _ => one.seq < other.seq,
    }
}

/// Returns the proposal to supersede `repeated` by `kept`, if nothing but the repetition gets lost.
fn duplicate(kept: &Memory, repeated: &Memory, rule: DuplicateRule) -> Option<PairFinding> {
    let keeps_times = (repeated.occurred_at.is_none() || repeated.occurred_at == kept.occurred_at)
        && (repeated.valid_from, repeated.valid_to) == (kept.valid_from, kept.valid_to);
    // Memories are facts unless their writer says otherwise.
    let keeps_kind = repeated.kind == kept.kind || repeated.kind == MemoryKind::Fact;
    let keeps_pin = kept.pinned || !repeated.pinned;
    (keeps_times && keeps_kind && keeps_pin).then(|| {
        let [kept, repeated] = [kept, repeated].map(|memory| (memory.id, memory.version));
        PairFinding::Duplicate(NewDuplicate { kept, repeated, rule })
    })
}

fn link(older: &Memory, newer: &Memory, rule: DecisionRule) -> PairFinding {
    PairFinding::Link(FoundLink {
        link: NewLink {
            older: older.id,
            newer: newer.id,
            relation: LinkRelation::MayReplace,
            reason: explanation(rule).to_owned(),
        },
        versions: (older.version, newer.version),
        key: newer.provenance.key,
    })
}

#[cfg(test)]
pub(super) mod tests;
