//! The sender of a request to a compatible API, with the memory headers of the request.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use lar_agents::{Arrival, Requester};
use lar_base::default_models::DEFAULT_CHAT;
use lar_base::{Caller, KeyId, MemoryMode, Scope};
use lar_compat::MEMORY_SUFFIX;
use lar_memory::MemoryScope;

use crate::auth::{AuthState, Inference};
use crate::body_limits::BodyShare;
use crate::errors::Failure;
use crate::memory_headers::{requested_mode, requested_scope};

/// Returns the default model's name with the memory suffix, for lists of models.
///
/// Returns `None` if the key may not read memories.
pub(crate) fn default_with_memory(caller: &Caller) -> Option<String> {
    caller.has(Scope::MemoryRead).then(|| format!("{DEFAULT_CHAT}{MEMORY_SUFFIX}"))
}

/// An authenticated caller with permission to use models, and the memory headers of the request.
pub(crate) struct CompatCaller {
    caller: Caller,
    /// The permits of the request's body.
    pub(crate) body: BodyShare,
    /// The time at which the request arrived.
    pub(crate) arrival: Arrival,
    memory_mode: Option<MemoryMode>,
    agent: Option<String>,
    space: Option<String>,
}

impl<S> FromRequestParts<S> for CompatCaller
where
    AuthState: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let arrival = Arrival::now();
        let Inference(caller) = Inference::from_request_parts(parts, state).await?;
        let memory_mode = requested_mode(&parts.headers)?;
        let MemoryScope { agent, space } = requested_scope(&parts.headers)?;
        let [agent, space] = [agent, space].map(|name| name.map(ToOwned::to_owned));
        let body = parts.extensions.get::<BodyShare>().cloned().unwrap_or_default();
        Ok(Self { caller, body, arrival, memory_mode, agent, space })
    }
}

impl CompatCaller {
    /// Returns the caller.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns the key.
    pub(crate) fn key(&self) -> KeyId {
        self.caller.key()
    }

    /// Returns the requester of tasks, under this name of the API in usage records.
    pub(crate) fn requester(&self, api: &'static str) -> Requester {
        Requester {
            caller: self.caller.clone(),
            api,
            memory_mode: self.memory_mode,
            agent: self.agent.clone(),
            space: self.space.clone(),
            arrival: self.arrival,
        }
    }
}
