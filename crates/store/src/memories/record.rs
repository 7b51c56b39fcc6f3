//! The types of memories: stored, to be stored, and to be changed.

use lar_base::{KeyId, LinkId, MemoryId, ProposalId, SpaceId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::chunks::NewChunk;
use crate::memory_links::record::{LinkResolution, MemoryLink, NewLink};

/// The kind of a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryKind {
    /// A statement that is true for some time.
    Fact,
    /// Something that happened or will happen, at `occurred_at` if that is known.
    Event,
    /// A like, a dislike or a way in which someone wants things done.
    Preference,
    /// A statement about a person.
    Person,
    /// A statement about a place.
    Place,
    /// A choice that was made, and its reasons.
    Decision,
    /// A way to do something, step by step.
    Procedure,
    /// A regularity that was seen several times.
    Pattern,
    /// A text of no other kind.
    Note,
}

impl MemoryKind {
    /// Every kind.
    pub const ALL: [MemoryKind; 9] = [
        MemoryKind::Fact,
        MemoryKind::Event,
        MemoryKind::Preference,
        MemoryKind::Person,
        MemoryKind::Place,
        MemoryKind::Decision,
        MemoryKind::Procedure,
        MemoryKind::Pattern,
        MemoryKind::Note,
    ];

    /// Returns the name that is stored and used in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            MemoryKind::Fact => "fact",
            MemoryKind::Event => "event",
            MemoryKind::Preference => "preference",
            MemoryKind::Person => "person",
            MemoryKind::Place => "place",
            MemoryKind::Decision => "decision",
            MemoryKind::Procedure => "procedure",
            MemoryKind::Pattern => "pattern",
            MemoryKind::Note => "note",
        }
    }
}

impl std::str::FromStr for MemoryKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(MemoryKind::as_str).join(", ");
            format!("must be one of {all}")
        })
    }
}

/// The origin of a memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The key whose request stored the memory.
    pub key: KeyId,
    /// The writer's name for its source: a file, an address, a person; `None` if it gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The id of the conversation that it comes from, in Lar or another program; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The id of the message that it comes from; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The strength of a memory (FSRS-6).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Strength {
    /// The days until the probability of recall falls to 0.9.
    pub stability: f64,
    /// The difficulty, from 1 (easy) to 10.
    pub difficulty: f64,
    /// When it was last reviewed or, before that, created.
    pub reviewed_at: Timestamp,
}

/// A memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// The id, `mem_…`, which an export keeps.
    pub id: MemoryId,
    /// Its number in derived indexes, which only grows.
    pub seq: i64,
    /// The space that it is in, which decides who may read and change it.
    pub space: SpaceId,
    /// The kind of statement; decisions do not decay.
    pub kind: MemoryKind,
    /// The text, up to 1 MiB.
    pub content: String,
    /// The tags, in the order and case in which they were sent.
    pub tags: Vec<String>,
    /// The project that it belongs to; `None` if it belongs to none.
    pub project: Option<String>,
    /// The key, source, conversation and message that it comes from.
    pub provenance: Provenance,
    /// When it happened or was said; `None` if unknown.
    pub occurred_at: Option<Timestamp>,
    /// The start of its validity; `None` if it has none.
    pub valid_from: Option<Timestamp>,
    /// The end of its validity; `None` if it has none.
    pub valid_to: Option<Timestamp>,
    /// The memory before it in a dialogue; `None` if there is none.
    pub after: Option<MemoryId>,
    /// The memory that superseded it, and when; `None` if none did.
    pub superseded: Option<(MemoryId, Timestamp)>,
    /// Whether it is exempt from decay.
    pub pinned: bool,
    /// The FSRS-6 state, from which the probability of recall follows.
    pub strength: Strength,
    /// The SHA-256 of everything that makes it the same memory as another.
    pub hash: [u8; 32],
    /// The version for `If-Match`, from 1; each change increases it.
    pub version: i64,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted; `None` if it is not. It can be restored until it is purged.
    pub deleted_at: Option<Timestamp>,
}

/// A memory to store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMemory {
    /// Its id, which its creator chooses.
    pub id: MemoryId,
    /// The space to store it in.
    pub space: SpaceId,
    /// The kind of statement; decisions do not decay.
    pub kind: MemoryKind,
    /// The text, up to 1 MiB.
    pub content: String,
    /// Its tags, in the order in which they are shown.
    pub tags: Vec<String>,
    /// The project that it belongs to; `None` if it belongs to none.
    pub project: Option<String>,
    /// The key, source, conversation and message that it comes from.
    pub provenance: Provenance,
    /// When it happened or was said; `None` if unknown.
    pub occurred_at: Option<Timestamp>,
    /// The start of its validity; `None` if it has none.
    pub valid_from: Option<Timestamp>,
    /// The end of its validity; `None` if it has none.
    pub valid_to: Option<Timestamp>,
    /// The memory before it in a dialogue, which must be in the same space.
    pub after: Option<MemoryId>,
    /// Whether it is exempt from decay.
    pub pinned: bool,
    /// The FSRS-6 state before the first review.
    pub strength: Strength,
    /// The hash as in [`Memory::hash`]. If the space has a memory with it, nothing is stored.
    pub hash: [u8; 32],
    /// The chunks of the text, for the search indexes.
    pub chunks: Vec<NewChunk>,
}

/// A change of a memory; fields with `None` stay as they are. Its inverse is stored to undo it.
///
/// In a field that a memory may lack, `Some(None)` removes the value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryPatch {
    /// The kind that replaces the old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MemoryKind>,
    /// The text and its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<(String, [u8; 32])>,
    /// The new tags, which replace all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The project that it belongs to from now on; `Some(None)` is none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub project: Option<Option<String>>,
    /// The time when it happened or was said.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub occurred_at: Option<Option<Timestamp>>,
    /// The start of its validity.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub valid_from: Option<Option<Timestamp>>,
    /// The end of its validity.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub valid_to: Option<Option<Timestamp>>,
    /// The memory that supersedes it, and the time; `Some(None)` makes it current again.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub superseded: Option<Option<(MemoryId, Timestamp)>>,
    /// Whether it is exempt from decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// The FSRS-6 state that replaces the old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<Strength>,
    /// The time of its deletion; `Some(None)` restores it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub deleted_at: Option<Option<Timestamp>>,
}

/// A change of one memory.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryChange {
    /// The id of the memory to change.
    pub id: MemoryId,
    /// The fields to change; the others stay as they are.
    pub patch: MemoryPatch,
    /// The chunks of the new content, if the content changes.
    pub chunks: Vec<NewChunk>,
    /// The version that the caller read; `None` accepts any.
    pub expected: Option<i64>,
}

/// A decision about memories, which is applied as a whole and undone as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryDecision {
    /// The memory to store; `None` if none is new.
    pub new: Option<NewMemory>,
    /// The changes of other memories.
    pub changes: Vec<MemoryChange>,
    /// The links to store. A link between two memories that are linked already is left out.
    pub links: Vec<NewLink>,
    /// The link that the decision resolves, and how; `None` if it resolves none.
    pub resolved: Option<(LinkId, LinkResolution)>,
    /// The proposal of consolidation that the decision carries out; `None` if there is none.
    pub proposal: Option<ProposalId>,
}

/// The result of a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct AppliedDecision {
    /// The new memory, or the one that has its hash; `None` if the decision has no new memory.
    pub stored: Option<StoredMemory>,
    /// The changed memories, in the order of the changes.
    pub changed: Vec<Memory>,
    /// The links that were created.
    pub links: Vec<MemoryLink>,
}

impl AppliedDecision {
    /// Returns the new memory, if there is one, and then the changed ones.
    pub fn memories(&self) -> impl Iterator<Item = &Memory> {
        self.stored.iter().map(|stored| &stored.memory).chain(&self.changed)
    }
}

/// The result of storing a memory.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMemory {
    /// The new memory, or the one that has the same hash.
    pub memory: Memory,
    /// Whether it was created; false if the same memory existed already.
    pub created: bool,
}

/// A filter for a list of memories.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryList {
    /// The spaces to list. Without any, nothing is found.
    pub spaces: Vec<SpaceId>,
    /// Only this kind; `None` for every kind.
    pub kind: Option<MemoryKind>,
    /// Only with this tag; `None` for any or no tag.
    pub tag: Option<String>,
    /// Only of this project; `None` for any or no project.
    pub project: Option<String>,
    /// Deleted memories instead of the others.
    pub deleted: bool,
    /// Only those after this one in the list; `None` starts with the newest.
    pub after: Option<MemoryId>,
    /// The maximum number of memories.
    pub limit: u32,
}

/// The result of a purge of deleted memories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgedMemories {
    /// The number of memories that were erased.
    pub count: usize,
    /// The spaces and numbers of the memories that they had superseded, which are current again.
    pub restored: Vec<(SpaceId, i64)>,
}

/// The numbers of memories and chunks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// The number of memories that are not deleted, including superseded ones.
    pub memories: u64,
    /// The number of memories that others superseded, without deleted ones.
    pub superseded: u64,
    /// The number of deleted memories, which can be restored until they are purged.
    pub deleted: u64,
    /// The number of memories that are exempt from decay, without deleted ones.
    pub pinned: u64,
    /// The number of chunks of memories that are not deleted.
    pub chunks: u64,
    /// The number of those chunks that have no vectors, which only keyword search finds.
    pub chunks_without_vectors: u64,
    /// The number of open links, about which nobody has decided.
    pub open_links: u64,
}

/// Distinguishes an absent field (outer `None`) from `null` (inner `None`).
fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
