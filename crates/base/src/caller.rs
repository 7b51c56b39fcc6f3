//! The authenticated caller behind a request: its user, its key and the key's scopes.
//!
//! A [`Caller`] is proof that authentication happened, and every operation that needs a permission takes one.
//! Two functions create one: [`Caller::authenticated`] for a verified key, and [`Caller::internal`], which can
//! grant nothing but [`Scope::Inference`]. No function adds a scope to an existing caller. `xtask/tests/house.rs`
//! checks both, and which files call the two functions.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::id::{KeyId, UserId};
use crate::problem::Problem;

/// A permission of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Chat, completions, embeddings, and the key's own tasks.
    #[serde(rename = "inference")]
    Inference,
    /// The user's conversations, and the tasks of all keys of the user.
    #[serde(rename = "conversations")]
    Conversations,
    /// Reading, searching and exporting memories.
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
    /// Every scope.
    pub const ALL: [Scope; 5] =
        [Scope::Inference, Scope::Conversations, Scope::MemoryRead, Scope::MemoryWrite, Scope::Admin];

    /// Returns the scope as written on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Inference => "inference",
            Scope::Conversations => "conversations",
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
            format!("has the unknown scope `{text}`; use one of: {all}")
        })
    }
}

/// A set of scopes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Returns every scope, as the owner's key has.
    #[must_use]
    pub fn all() -> Self {
        Self(Scope::ALL.to_vec())
    }

    /// Returns a set of `scopes`, sorted and without duplicates.
    #[must_use]
    pub fn of(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }

    /// Returns whether the set contains `scope`.
    #[must_use]
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Iterates over the scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }
}

/// How a request of a compatible API uses memory. Each mode includes the ones before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryMode {
    /// Memory is not used.
    #[default]
    Off,
    /// Recalled memories are added to the prompt.
    Recall,
    /// Memories are also saved, corrected and forgotten when the user's message asks for it.
    Remember,
}

impl MemoryMode {
    /// Every mode.
    pub const ALL: [MemoryMode; 3] = [MemoryMode::Off, MemoryMode::Recall, MemoryMode::Remember];

    /// Returns the mode as written on the wire.
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

/// An authenticated caller. Its fields are private, so no code can add permissions after authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    user: UserId,
    key: KeyId,
    agent: Option<String>,
    scopes: Scopes,
    memory: MemoryMode,
    request_id: Option<Arc<str>>,
}

impl Caller {
    /// Creates the caller of a key whose secret the authenticator has just verified.
    #[must_use]
    pub fn authenticated(
        user: UserId,
        key: KeyId,
        agent: Option<String>,
        scopes: Scopes,
        memory: MemoryMode,
    ) -> Self {
        Self { user, key, agent, scopes, memory, request_id: None }
    }

    /// Creates a caller for Lar's own use of a model on behalf of a key, such as embedding its memories.
    ///
    /// The caller has [`Scope::Inference`], whether or not the key has it, and no other scope. Usage is recorded
    /// under the key.
    #[must_use]
    pub fn internal(user: UserId, key: KeyId) -> Self {
        let scopes = Scopes::of([Scope::Inference]);
        Self { user, key, agent: None, scopes, memory: MemoryMode::Off, request_id: None }
    }

    /// Sets the id of the request that the caller works for.
    #[must_use]
    pub fn with_request_id(self, request_id: Option<Arc<str>>) -> Self {
        Self { request_id, ..self }
    }

    /// Returns the user who owns the key.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// Returns the key. A browser session has one too, because every session belongs to a key.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// Returns the agent that the key belongs to, or `None` for a user's own key.
    ///
    /// An agent's memories are separate from its user's.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }

    /// Returns the key's scopes.
    #[must_use]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// Returns the memory mode of compatible-API requests that do not set one.
    #[must_use]
    pub const fn memory(&self) -> MemoryMode {
        self.memory
    }

    /// Returns the `X-Request-Id` of the request, or `None` for Lar's background work.
    #[must_use]
    pub const fn request_id(&self) -> Option<&Arc<str>> {
        self.request_id.as_ref()
    }

    /// Returns whether the key has `scope`.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// Checks that the key has `scope`.
    ///
    /// # Errors
    /// [`Code::ForbiddenScope`], naming the missing scope.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.has(scope) {
            return Ok(());
        }
        Err(Problem::new(
            Code::ForbiddenScope,
            format!("this request needs the scope `{scope}`, which key {} does not have", self.key),
        ))
    }

    /// Returns the keys whose work the caller may see.
    #[must_use]
    pub fn visible_keys(&self) -> VisibleKeys {
        let key = (!self.has(Scope::Conversations)).then_some(self.key);
        VisibleKeys { user: self.user, key }
    }
}

/// The keys whose work a caller may see and cancel.
///
/// These are the caller's own key or, with [`Scope::Conversations`], all keys of the user. Work means tasks,
/// usage records and the candidates in the memory inbox. It contains or derives from a user's messages, so it
/// is never shared between users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisibleKeys {
    user: UserId,
    key: Option<KeyId>,
}

impl VisibleKeys {
    /// Returns whether this key of this user is included.
    #[must_use]
    pub fn includes(&self, user: UserId, key: KeyId) -> bool {
        self.user == user && self.key.is_none_or(|own| own == key)
    }

    /// Returns the user who owns the keys.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// Returns the single visible key, or `None` if all keys of the user are visible.
    #[must_use]
    pub const fn key(&self) -> Option<KeyId> {
        self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_sees_tasks_of_other_keys_only_with_scope_conversations() {
        let (user, key, other) = (UserId::new(), KeyId::new(), KeyId::new());
        let caller = |scopes: &[Scope]| {
            Caller::authenticated(user, key, None, Scopes::of(scopes.iter().copied()), MemoryMode::Off)
        };
        let narrow = caller(&[Scope::Inference, Scope::MemoryRead, Scope::MemoryWrite]).visible_keys();
        let wide = caller(&[Scope::Inference, Scope::Conversations]).visible_keys();
        let seen = |keys: VisibleKeys| {
            [(user, key), (user, other), (UserId::new(), key)].map(|(user, key)| keys.includes(user, key))
        };
        assert_eq!(seen(narrow), [true, false, false]);
        assert_eq!(seen(wide), [true, true, false]);
    }

    #[test]
    fn an_internal_caller_may_use_models_and_nothing_else() {
        let caller = Caller::internal(UserId::new(), KeyId::new());
        let allowed = Scope::ALL.map(|scope| caller.require(scope).is_ok());
        assert_eq!(allowed, [true, false, false, false, false]);
        assert_eq!((caller.agent(), caller.memory()), (None, MemoryMode::Off));
    }
}
