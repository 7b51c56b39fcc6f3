//! The types of links between memories: stored and to be stored. The rows are in [`rows`](super::rows).

use std::str::FromStr;

use lar_base::{ChangeId, KeyId, LinkId, MemoryId, SpaceId, Timestamp};

/// The relation of a newer memory to an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRelation {
    /// The newer memory may make the older one outdated.
    MayReplace,
    /// Both cannot be true, and it is unclear which one is.
    Contradicts,
}

impl LinkRelation {
    const ALL: [Self; 2] = [Self::MayReplace, Self::Contradicts];

    /// Returns the name that is stored and used in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MayReplace => "may_replace",
            Self::Contradicts => "contradicts",
        }
    }
}

impl FromStr for LinkRelation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|relation| relation.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// The decision about a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkResolution {
    /// The newer memory superseded the older one.
    Replace,
    /// Both memories stay as they are.
    KeepBoth,
    /// The newer memory has both texts now, and superseded the older one.
    Merge,
    /// The memories have nothing to do with each other.
    Unrelated,
}

impl LinkResolution {
    const ALL: [Self; 4] = [Self::Replace, Self::KeepBoth, Self::Merge, Self::Unrelated];

    /// Returns the name that is stored and used in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::KeepBoth => "keep_both",
            Self::Merge => "merge",
            Self::Unrelated => "unrelated",
        }
    }
}

impl FromStr for LinkResolution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|resolution| resolution.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// A link to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// The memory that may be outdated.
    pub older: MemoryId,
    /// The memory that says something else. It must be in the same space.
    pub newer: MemoryId,
    /// The relation of the newer memory to the older one.
    pub relation: LinkRelation,
    /// The reason, as a sentence for people, up to 500 characters.
    pub reason: String,
}

/// A link between two memories of a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryLink {
    /// The id, `link_…`, which sorts by the time of its creation and which an export keeps.
    pub id: LinkId,
    /// The space of both memories.
    pub space: SpaceId,
    /// The memory that may be outdated.
    pub older: MemoryId,
    /// The memory that says something else.
    pub newer: MemoryId,
    /// The relation of the newer memory to the older one.
    pub relation: LinkRelation,
    /// The reason, as a sentence for people.
    pub reason: String,
    /// The key whose request created it.
    pub key: KeyId,
    /// When it was created.
    pub created_at: Timestamp,
    /// The decision of a person or a model about it, and when; `None` if there is none.
    pub resolution: Option<(LinkResolution, Timestamp)>,
    /// The decision in the history of the memories that resolved it, whose undo opens it again; `None` if
    /// it is not resolved, or no memory changed.
    pub decision: Option<ChangeId>,
}
