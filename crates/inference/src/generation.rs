//! A request to generate, after its prompt was prepared.

use lar_base::{KeyId, UserId};

use crate::{Prompt, Sampling};

/// A user, and the API key of theirs that sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerIds {
    /// The user who owns the key. Users share the slots of an engine.
    pub person: UserId,
    /// The API key that sent the request. The keys of one user share that user's slots.
    pub key: KeyId,
}

/// A request to generate an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationRequest {
    /// The prompt that the driver's `prepare` returned.
    pub prompt: Prompt,
    /// The sampling parameters and limits.
    pub sampling: Sampling,
    /// The caller, for fair sharing of the engine between users and between the keys of one user. `None` is
    /// Lar itself.
    pub caller: Option<CallerIds>,
    /// The owner of the prefix cache: the request reuses and extends this key's cached prompts. `None` is the
    /// cache of all requests that have `None`.
    pub cache_of: Option<KeyId>,
}
