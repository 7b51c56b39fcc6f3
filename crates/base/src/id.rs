//! Typed identifiers: a UUIDv7 (RFC 9562) behind a prefix that tells its kind, such as `task_0192…`.
//!
//! Being UUIDv7 they sort by creation, which is what pages and indexes rely on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id of this kind starts with `{prefix}_` and 32 hexadecimal digits follow")]
pub struct IdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// What every id of this kind starts with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Makes a new id; ids made later by one process sort after earlier ones.
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The 128 bits below the prefix.
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
    /// A use of a model.
    TaskId = "task";
    /// An API key, not its secret.
    KeyId = "key";
    /// A person.
    UserId = "user";
    /// A browser that signed in.
    SessionId = "sess";
    /// A tree of messages.
    ConversationId = "conv";
    /// One message of a conversation.
    MessageId = "msg";
    /// Something remembered.
    MemoryId = "mem";
    /// Where memories lie.
    SpaceId = "space";
    /// A change of a memory.
    ChangeId = "chg";
    /// Something in the inbox of what may be worth remembering.
    CandidateId = "cand";
    /// One HTTP request.
    RequestId = "req";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_sorts_by_creation() {
        let ids: Vec<TaskId> = (0..100).map(|_| TaskId::new()).collect();
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        assert!(texts.is_sorted());
        assert_eq!(texts[0].parse::<TaskId>(), Ok(ids[0]));
    }

    #[test]
    fn refuses_another_kind_and_other_spellings() {
        let task = TaskId::new().to_string();
        assert_eq!(task.parse::<KeyId>(), Err(IdError { prefix: "key" }));
        assert_eq!("task_12".parse::<TaskId>(), Err(IdError { prefix: "task" }));
        assert_eq!("task_{}".parse::<TaskId>(), Err(IdError { prefix: "task" }));
    }
}
