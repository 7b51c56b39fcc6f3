//! Who is calling. A [`Caller`] is proof that authentication happened: only `server`'s authenticator and
//! Lar itself make one, and every operation that needs it takes it by value or reference.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::id::{KeyId, UserId};
use crate::problem::Problem;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Chat, completions, embeddings, and the key's own tasks.
    #[serde(rename = "inference")]
    Inference,
    /// The person's conversations, and the tasks of all of the person's keys.
    #[serde(rename = "conversations")]
    Conversations,
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
    pub const ALL: [Scope; 5] =
        [Scope::Inference, Scope::Conversations, Scope::MemoryRead, Scope::MemoryWrite, Scope::Admin];

    /// The scope as written on the wire.
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

/// An authenticated caller. Its fields are private, so that nobody widens what a key may do on the way.
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
    /// The caller that a key stands for. For the authenticator, which has just recognised the key's secret.
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

    /// Lar itself, doing one kind of work on behalf of a key: such work is accounted to that key and needs no scope
    /// of it.
    #[must_use]
    pub fn internal(user: UserId, key: KeyId, scope: Scope) -> Self {
        let scopes = Scopes::of([scope]);
        Self { user, key, agent: None, scopes, memory: MemoryMode::Off, request_id: None }
    }

    /// The same caller, whose work is done for the request with this id.
    #[must_use]
    pub fn with_request_id(self, request_id: Option<Arc<str>>) -> Self {
        Self { request_id, ..self }
    }

    /// The person behind the key.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// The key, also for a browser session: sessions stand on a key.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// The agent that the key belongs to, whose memories are apart from the person's; absent for a person's key.
    #[must_use]
    pub fn agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }

    /// What the key may do.
    #[must_use]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// What memory does for requests of the compatible APIs that do not say it.
    #[must_use]
    pub const fn memory(&self) -> MemoryMode {
        self.memory
    }

    /// The id of the request that the work is done for, as `X-Request-Id` tells it; absent for what Lar does by itself.
    #[must_use]
    pub const fn request_id(&self) -> Option<&Arc<str>> {
        self.request_id.as_ref()
    }

    /// Whether the key has a scope.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// Checks that the caller may do what `scope` stands for.
    ///
    /// # Errors
    /// [`Code::ForbiddenScope`], naming the scope that is missing.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.has(scope) {
            return Ok(());
        }
        Err(Problem::new(
            Code::ForbiddenScope,
            format!("this needs the scope `{scope}`, which key {} does not have", self.key),
        ))
    }

    /// The keys whose work the caller may see.
    #[must_use]
    pub fn visible_keys(&self) -> VisibleKeys {
        let key = (!self.has(Scope::Conversations)).then_some(self.key);
        VisibleKeys { user: self.user, key }
    }
}

/// The keys whose work a caller may see and stop: their own key; with [`Scope::Conversations`] every key of the person. Work
/// is what came of a person's words and is not shared: tasks, the usage of models, and what waits in the inbox of memories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisibleKeys {
    user: UserId,
    key: Option<KeyId>,
}

impl VisibleKeys {
    /// Whether this key of this person is among them.
    #[must_use]
    pub fn includes(&self, user: UserId, key: KeyId) -> bool {
        self.user == user && self.key.is_none_or(|own| own == key)
    }

    /// The person whose keys they are.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// The one key; `None` stands for all keys of the person.
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
    fn an_internal_caller_has_one_scope() {
        let caller = Caller::internal(UserId::new(), KeyId::new(), Scope::Inference);
        let allowed = Scope::ALL.map(|scope| caller.require(scope).is_ok());
        assert_eq!(allowed, [true, false, false, false, false]);
    }
}
