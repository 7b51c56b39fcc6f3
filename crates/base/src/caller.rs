//! Who is calling. A [`Caller`] is proof that authentication happened: only `server`'s authenticator and
//! Lar itself make one, and every operation that needs it takes it by value or reference.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::id::{KeyId, UserId};
use crate::problem::Problem;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Chat, completions, embeddings, tasks, conversations.
    #[serde(rename = "inference")]
    Inference,
    /// Reading memories.
    #[serde(rename = "memory:read")]
    MemoryRead,
    /// Writing, changing and forgetting memories.
    #[serde(rename = "memory:write")]
    MemoryWrite,
    /// Catalog, keys, users, sign-in links.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Scope; 4] = [Scope::Inference, Scope::MemoryRead, Scope::MemoryWrite, Scope::Admin];

    /// The scope as written on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Inference => "inference",
            Scope::MemoryRead => "memory:read",
            Scope::MemoryWrite => "memory:write",
            Scope::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(|| {
            let all = Scope::ALL.map(Scope::as_str).join(", ");
            format!("`{text}` is no scope; there are: {all}")
        })
    }
}

/// A set of scopes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Everything: what the owner's key has.
    #[must_use]
    pub fn all() -> Self {
        Self(Scope::ALL.to_vec())
    }

    /// Just these, sorted and without repeats.
    #[must_use]
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }

    /// Whether `scope` is among them.
    #[must_use]
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }
}

/// What memory does for a request of a compatible API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryMode {
    /// Nothing.
    #[default]
    Off,
    /// The answer is given what is remembered.
    Recall,
    /// That, and what the person asks to remember or corrects is remembered.
    Remember,
}

impl MemoryMode {
    /// Every mode there is.
    pub const ALL: [MemoryMode; 3] = [MemoryMode::Off, MemoryMode::Recall, MemoryMode::Remember];

    /// The mode as written on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            MemoryMode::Off => "off",
            MemoryMode::Recall => "recall",
            MemoryMode::Remember => "remember",
        }
    }
}

impl FromStr for MemoryMode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = MemoryMode::ALL.into_iter().find(|mode| mode.as_str() == text);
        found.ok_or_else(|| "must be off, recall or remember".into())
    }
}

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The person behind the key.
    pub user: UserId,
    /// The key, also for a browser session: sessions stand on a key.
    pub key: KeyId,
    /// The agent that the key belongs to, whose memories are apart from the person's; absent for a person's key.
    pub agent: Option<String>,
    /// What the key may do.
    pub scopes: Scopes,
    /// What memory does for requests of the compatible APIs that do not say it.
    pub memory: MemoryMode,
}

impl Caller {
    /// Checks that the caller may do what `scope` stands for.
    ///
    /// # Errors
    /// [`Code::ForbiddenScope`], naming the scope that is missing.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.contains(scope) {
            return Ok(());
        }
        Err(Problem::new(
            Code::ForbiddenScope,
            format!("this needs the scope `{scope}`, which key {} does not have", self.key),
        ))
    }
}
