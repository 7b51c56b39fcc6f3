//! The types of memories: stored, to be stored, and to be changed.

use lar_base::{KeyId, MemoryId, SpaceId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::chunks::NewChunk;

/// The kind of a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum MemoryKind {
    Fact,
    Event,
    Preference,
    Person,
    Place,
    Decision,
    Procedure,
    Pattern,
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
    /// The key that wrote it.
    pub key: KeyId,
    /// The writer's name for its source: a file, an address, a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The conversation that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The message that it comes from.
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
    /// Its id.
    pub id: MemoryId,
    /// Its number in derived indexes.
    pub seq: i64,
    /// The space that it is in.
    pub space: SpaceId,
    /// Its kind.
    pub kind: MemoryKind,
    /// The text.
    pub content: String,
    /// Its tags, as given.
    pub tags: Vec<String>,
    /// The project it belongs to.
    pub project: Option<String>,
    /// Its origin.
    pub provenance: Provenance,
    /// When it happened or was said.
    pub occurred_at: Option<Timestamp>,
    /// The start of its validity.
    pub valid_from: Option<Timestamp>,
    /// The end of its validity.
    pub valid_to: Option<Timestamp>,
    /// The memory before it in a dialogue.
    pub after: Option<MemoryId>,
    /// The memory that superseded it, and when.
    pub superseded: Option<(MemoryId, Timestamp)>,
    /// Whether it is exempt from decay.
    pub pinned: bool,
    /// Its strength.
    pub strength: Strength,
    /// The SHA-256 of everything that makes it the same memory as another.
    pub hash: [u8; 32],
    /// Counts changes.
    pub version: i64,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted; it can be restored until it is purged.
    pub deleted_at: Option<Timestamp>,
}

/// A memory to store.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as in `Memory`")]
pub struct NewMemory {
    pub id: MemoryId,
    pub space: SpaceId,
    pub kind: MemoryKind,
    pub content: String,
    pub tags: Vec<String>,
    pub project: Option<String>,
    pub provenance: Provenance,
    pub occurred_at: Option<Timestamp>,
    pub valid_from: Option<Timestamp>,
    pub valid_to: Option<Timestamp>,
    pub after: Option<MemoryId>,
    pub pinned: bool,
    pub strength: Strength,
    pub hash: [u8; 32],
    pub chunks: Vec<NewChunk>,
}

/// A change of a memory; absent fields stay as they are. Its inverse is stored, so that it can be undone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "as in `Memory`")]
pub struct MemoryPatch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MemoryKind>,
    /// The text and its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<(String, [u8; 32])>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub project: Option<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub occurred_at: Option<Option<Timestamp>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub valid_from: Option<Option<Timestamp>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub valid_to: Option<Option<Timestamp>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub superseded: Option<Option<(MemoryId, Timestamp)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<Strength>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub deleted_at: Option<Option<Timestamp>>,
}

/// A change of one memory.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryChange {
    /// The memory.
    pub id: MemoryId,
    /// The change.
    pub patch: MemoryPatch,
    /// The chunks of the new content, if the content changes.
    pub chunks: Vec<NewChunk>,
    /// The version that the caller expects, if any.
    pub expected: Option<i64>,
}

/// The result of storing a memory.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMemory {
    /// The memory.
    pub memory: Memory,
    /// Whether it was created; false if the same memory existed already.
    pub created: bool,
}

/// A filter for a list of memories.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryList {
    /// The spaces to list.
    pub spaces: Vec<SpaceId>,
    /// Only this kind.
    pub kind: Option<MemoryKind>,
    /// Only with this tag.
    pub tag: Option<String>,
    /// Only of this project.
    pub project: Option<String>,
    /// Deleted memories instead of the others.
    pub deleted: bool,
    /// Only those after this one.
    pub after: Option<MemoryId>,
    /// The maximum number of memories.
    pub limit: u32,
}

/// The numbers of memories and chunks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct MemoryStats {
    pub memories: u64,
    pub superseded: u64,
    pub deleted: u64,
    pub pinned: u64,
    pub chunks: u64,
    pub chunks_without_vectors: u64,
}

/// Distinguishes an absent field (outer `None`) from `null` (inner `None`).
fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
