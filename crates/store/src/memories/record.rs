//! The shapes of memories: as they are stored, to be stored, and to be changed.

use lar_base::{KeyId, MemoryId, SpaceId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::chunks::NewChunk;

/// What a memory is about.
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
    /// Every kind there is.
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

    /// As it is written.
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

/// Where a memory came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The key it was written with.
    pub key: KeyId,
    /// What its writer calls its source: a file, an address, a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The conversation it was said in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The message it was said in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How well a memory holds (FSRS-6).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Strength {
    /// Days until it would be recalled with a probability of 0.9.
    pub stability: f64,
    /// 1 (easy) to 10.
    pub difficulty: f64,
    /// The last review, or when it was made.
    pub reviewed_at: Timestamp,
}

/// A memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// Its id.
    pub id: MemoryId,
    /// What derived indexes call it.
    pub seq: i64,
    /// Where it lies.
    pub space: SpaceId,
    /// What it is about.
    pub kind: MemoryKind,
    /// The text.
    pub content: String,
    /// As given.
    pub tags: Vec<String>,
    /// The project it belongs to.
    pub project: Option<String>,
    /// Where it came from.
    pub provenance: Provenance,
    /// When it happened or was said.
    pub occurred_at: Option<Timestamp>,
    /// From when it is true.
    pub valid_from: Option<Timestamp>,
    /// Until when it was true.
    pub valid_to: Option<Timestamp>,
    /// The turn before, of a dialogue.
    pub after: Option<MemoryId>,
    /// What took its place, and when.
    pub superseded: Option<(MemoryId, Timestamp)>,
    /// It does not fade.
    pub pinned: bool,
    /// How well it holds.
    pub strength: Strength,
    /// SHA-256 of what makes it the same memory as another.
    pub hash: [u8; 32],
    /// Counts changes.
    pub version: i64,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted; it can be brought back until it is purged.
    pub deleted_at: Option<Timestamp>,
}

/// A memory to be stored.
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

/// A change of a memory; what is absent stays as it is. Its inverse is kept, so that it can be undone.
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

/// One memory and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryChange {
    /// Which.
    pub id: MemoryId,
    /// What changes.
    pub patch: MemoryPatch,
    /// The passages of the new content, where the content changes.
    pub chunks: Vec<NewChunk>,
    /// The version its caller read, where they insist on one.
    pub expected: Option<i64>,
}

/// What was stored of a memory that was to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredMemory {
    /// The memory.
    pub memory: Memory,
    /// False when the same memory was there already.
    pub created: bool,
}

/// Which memories a list holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryList {
    /// In these spaces.
    pub spaces: Vec<SpaceId>,
    /// Of this kind.
    pub kind: Option<MemoryKind>,
    /// With this tag.
    pub tag: Option<String>,
    /// Of this project.
    pub project: Option<String>,
    /// The deleted ones rather than the others.
    pub deleted: bool,
    /// Behind this one.
    pub after: Option<MemoryId>,
    /// At most so many.
    pub limit: u32,
}

/// How many memories there are.
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

/// Tells an absent field (outer `None`) from one that is `null` (inner `None`).
fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
