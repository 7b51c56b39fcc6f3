//! The types of intentions: stored, to be changed and to be listed. The rows are in [`rows`](super::rows).

use std::str::FromStr;

use lar_base::{IntentionId, SpaceId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Provenance;

/// The event that makes an intention due. Its deadline makes it due in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum IntentionTrigger {
    /// A time has come.
    Time {
        /// The time.
        at: Timestamp,
    },
    /// The user works on something: all conditions that are given apply. There is at least one.
    Context {
        /// The name of the project.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        project: Option<String>,
        /// The name of the code base.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        codebase: Option<String>,
        /// A glob that the path of the file matches.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file_pattern: Option<String>,
        /// Words or phrases, one of which is in the text.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        topics: Vec<String>,
    },
    /// Something happens: the words of the condition are in the text.
    Event {
        /// The condition, in words.
        condition: String,
    },
    /// Nothing: it is only listed.
    Manual,
}

/// The importance of an intention, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum IntentionPriority {
    /// It can wait.
    Low,
    /// The default.
    #[default]
    Normal,
    /// It is shown before others.
    High,
    /// It is shown first.
    Critical,
}

impl IntentionPriority {
    const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Critical];

    /// Returns the name that is stored and used in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl FromStr for IntentionPriority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|priority| priority.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// The state of an intention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentionStatus {
    /// It becomes due.
    Active,
    /// The user did it.
    Done,
    /// The user no longer wants to be reminded.
    Cancelled,
}

impl IntentionStatus {
    const ALL: [Self; 3] = [Self::Active, Self::Done, Self::Cancelled];

    /// Returns the name that is stored and used in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for IntentionStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// An intention: a text of which a person wants to be reminded.
#[derive(Debug, Clone, PartialEq)]
pub struct Intention {
    /// The id, `int_…`, which sorts by the time of its creation and which an export keeps.
    pub id: IntentionId,
    /// The space, whose readers are reminded.
    pub space: SpaceId,
    /// The text.
    pub content: String,
    /// The event that makes it due.
    pub trigger: IntentionTrigger,
    /// The importance.
    pub priority: IntentionPriority,
    /// The time from which it is overdue; `None` if it has no deadline.
    pub deadline: Option<Timestamp>,
    /// The state.
    pub status: IntentionStatus,
    /// The time before which it is not due; `None` if it is not snoozed.
    pub snoozed_until: Option<Timestamp>,
    /// The key that created it, through what and from where.
    pub provenance: Provenance,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was last shown because it was due; `None` if never.
    pub last_shown_at: Option<Timestamp>,
}

/// A change of an intention. `None` leaves a value unchanged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IntentionPatch {
    /// The new text.
    pub content: Option<String>,
    /// The new trigger.
    pub trigger: Option<IntentionTrigger>,
    /// The new importance.
    pub priority: Option<IntentionPriority>,
    /// The new deadline; `Some(None)` removes it.
    pub deadline: Option<Option<Timestamp>>,
    /// The new state. A state other than active also ends the snooze.
    pub status: Option<IntentionStatus>,
    /// The new end of the snooze; `Some(None)` ends it now.
    pub snoozed_until: Option<Option<Timestamp>>,
}

/// The intentions to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IntentionList {
    /// The spaces.
    pub spaces: Vec<SpaceId>,
    /// The state; `None` for all.
    pub status: Option<IntentionStatus>,
    /// The id of the last intention of the previous page.
    pub after: Option<IntentionId>,
    /// The most intentions to return.
    pub limit: u32,
}

/// A page of exported intentions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExportedIntentions {
    /// The readable intentions, oldest first.
    pub intentions: Vec<Intention>,
    /// The number of intentions that are unreadable because of damage.
    pub unreadable: u64,
    /// The id of the last intention, readable or not; `None` if there was none.
    pub last: Option<String>,
}
