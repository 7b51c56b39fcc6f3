//! Typed identifiers: a prefix for the kind and a UUIDv7 (RFC 9562), such as `task_0192…`.
//!
//! UUIDv7 values sort by creation time. Pagination and database indexes rely on that order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The error for a text that is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this id must be `{prefix}_` followed by 32 hexadecimal digits")]
pub struct IdError {
    /// The prefix of ids of the expected kind, without the underscore.
    pub prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix of every id of this kind, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Creates an id that sorts after all earlier ids of this process.
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Returns the 128 bits after the prefix.
            #[must_use]
            pub fn as_u128(self) -> u128 {
                self.0.as_u128()
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let err = IdError { prefix: $prefix };
                let hex = text.strip_prefix(concat!($prefix, "_")).ok_or(err.clone())?;
                if hex.len() != 32 {
                    return Err(err);
                }
                Uuid::try_parse(hex).map(Self).map_err(|_| err)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

ids! {
    /// The id of a task: one use of a model.
    TaskId = "task";
    /// The id of an API key. It is not the key's secret.
    KeyId = "key";
    /// The id of a user, who owns keys, conversations and memories.
    UserId = "user";
    /// The id of a browser's session, which has the scopes of one API key.
    SessionId = "sess";
    /// The id of a conversation, which is a tree of messages.
    ConversationId = "conv";
    /// The id of one message of a conversation.
    MessageId = "msg";
    /// The id of a memory: one stored text of a space.
    MemoryId = "mem";
    /// The id of a memory space: a user's, an agent's or a team's.
    SpaceId = "space";
    /// The id of one change to a memory.
    ChangeId = "chg";
    /// The id of a candidate in the memory inbox.
    CandidateId = "cand";
    /// The id of a link between two memories, of which the newer may make the older outdated.
    LinkId = "link";
    /// The id of an intention: what a person wants to be reminded of.
    IntentionId = "int";
    /// The id of a run of consolidation, which compares memories of a space and proposes changes.
    RunId = "run";
    /// The id of a change that a run of consolidation proposes.
    ProposalId = "prop";
    /// The id of one HTTP request.
    RequestId = "req";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_sort_by_creation() {
        let ids: Vec<TaskId> = (0..100).map(|_| TaskId::new()).collect();
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        assert!(texts.is_sorted());
        assert_eq!(texts[0].parse::<TaskId>(), Ok(ids[0]));
    }

    #[test]
    fn ids_of_another_kind_or_format_are_refused() {
        let task = TaskId::new().to_string();
        assert_eq!(task.parse::<KeyId>(), Err(IdError { prefix: "key" }));
        assert_eq!("task_12".parse::<TaskId>(), Err(IdError { prefix: "task" }));
        assert_eq!("task_{}".parse::<TaskId>(), Err(IdError { prefix: "task" }));
    }
}
