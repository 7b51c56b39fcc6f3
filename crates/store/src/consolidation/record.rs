//! The types of consolidation: what there is to compare, what was found, runs and proposals. The rows are in
//! [`rows`](super::rows).

use std::str::FromStr;

use lar_base::{ChangeId, KeyId, MemoryId, ProposalId, RunId, SpaceId, Timestamp};

use crate::chunks::Vectors;
use crate::memories::Memory;
use crate::memory_links::record::NewLink;

/// The fewest current memories of a theme. With fewer, its proposal is not open.
pub const THEME_MEMORIES_MIN: usize = 4;

/// A space in which consolidation has something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceToCompare {
    /// The space.
    pub space: SpaceId,
    /// The run in progress; `None` if there is none.
    pub run: Option<RunId>,
    /// The number of findings of all runs that wait for a person.
    pub open: u64,
}

/// A memory to compare with its neighbours.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryToCompare {
    /// The memory.
    pub memory: Memory,
    /// The vectors of its first chunk; `None` without any.
    pub vectors: Option<Vectors>,
    /// Whether it was compared before, and its text changed or it is current again. Otherwise, it is compared only
    /// with memories that are older than itself: the others are compared with it later.
    pub is_again: bool,
}

/// The rule by which one memory repeats another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DuplicateRule {
    /// Both differ in case, punctuation and space only.
    SameText,
    /// The kept memory says the same sentence, perhaps with more words.
    SameWords,
    /// The kept memory contains the text of the other one, sentence by sentence.
    Contained,
}

impl DuplicateRule {
    const ALL: [Self; 3] = [Self::SameText, Self::SameWords, Self::Contained];

    /// Returns the stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SameText => "same_text",
            Self::SameWords => "same_words",
            Self::Contained => "contained",
        }
    }
}

impl FromStr for DuplicateRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|rule| rule.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// A duplicate to store. It is left out if the two were proposed or linked before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewDuplicate {
    /// The memory that stays, and the version that was compared.
    pub kept: (MemoryId, i64),
    /// The memory that says nothing more, and the version that was compared.
    pub repeated: (MemoryId, i64),
    /// The rule.
    pub rule: DuplicateRule,
}

/// A link to store. It is left out if the two were proposed or linked before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLink {
    /// The link.
    pub link: NewLink,
    /// The compared versions of the older and the newer memory.
    pub versions: (i64, i64),
    /// The key that wrote the newer memory.
    pub key: KeyId,
}

/// A theme to store. If the same tag is proposed already, its proposal gets the memories. The theme is left out if
/// the tag was rejected or withdrawn, or if half of the memories are in another theme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTheme {
    /// The tag.
    pub tag: String,
    /// The memories to tag.
    pub memories: Vec<MemoryId>,
}

/// The findings about some memories, which are stored together with the progress.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ComparedMemories {
    /// The number, id and version of each compared memory.
    pub compared: Vec<(i64, MemoryId, i64)>,
    /// The number of pairs that were compared.
    pub pairs: u64,
    /// The duplicates.
    pub duplicates: Vec<NewDuplicate>,
    /// The links.
    pub links: Vec<FoundLink>,
    /// The themes.
    pub themes: Vec<NewTheme>,
}

/// A run of consolidation in one space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsolidationRun {
    /// The id, `run_…`, which sorts by the time of its start.
    pub id: RunId,
    /// The space.
    pub space: SpaceId,
    /// The key that started it; `None` if Lar did, in idle hours.
    pub key: Option<KeyId>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended; `None` while it goes on.
    pub ended_at: Option<Timestamp>,
    /// When it was last undone; `None` if it was not.
    pub undone_at: Option<Timestamp>,
    /// The number of memories that it compared with their neighbours.
    pub memories: u64,
    /// The number of pairs that it compared.
    pub pairs: u64,
    /// The number of duplicates that it proposed.
    pub duplicates: u64,
    /// The number of links that it created.
    pub links: u64,
    /// The number of themes that it proposed.
    pub themes: u64,
    /// The number of its proposals and links that wait for a person.
    pub open: u64,
    /// The number of its proposals that were accepted and not undone.
    pub accepted: u64,
}

/// The change that a proposal is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProposedChange {
    /// One memory supersedes another one that says nothing more.
    Duplicate {
        /// The memory that stays.
        kept: MemoryId,
        /// The memory to supersede.
        repeated: MemoryId,
        /// The rule.
        rule: DuplicateRule,
    },
    /// Several memories get one tag.
    Theme {
        /// The tag.
        tag: String,
        /// The current memories of the theme, oldest first.
        memories: Vec<MemoryId>,
    },
}

/// The state of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProposalStatus {
    /// It waits for a person.
    Open,
    /// Its change was made.
    Accepted,
    /// A person does not want it.
    Rejected,
    /// Its run was undone.
    Withdrawn,
}

impl ProposalStatus {
    const ALL: [Self; 4] = [Self::Open, Self::Accepted, Self::Rejected, Self::Withdrawn];

    /// Returns the stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl FromStr for ProposalStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// A proposal of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The id, `prop_…`, which sorts by the time of its creation.
    pub id: ProposalId,
    /// The run that made it.
    pub run: RunId,
    /// The space of all its memories.
    pub space: SpaceId,
    /// The change.
    pub change: ProposedChange,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its state. A proposal that is open here may still have a memory that is not current.
    pub status: ProposalStatus,
}

/// A decision that carried out a finding of a run, and was not undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunDecision {
    /// The decision.
    pub decision: ChangeId,
    /// One of the memories that it changed.
    pub memory: MemoryId,
}

/// The numbers of what waits in some spaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsolidationTotals {
    /// The number of open proposals.
    pub proposals: u64,
    /// The number of open links that runs created.
    pub links: u64,
}
