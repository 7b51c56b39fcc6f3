//! The extractors of requests that may read or change memories.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use lar_memory::{Memories, ReadAccess, WriteAccess};

use crate::auth::{AuthState, Authenticated};
use crate::errors::Failure;
use crate::memory_headers::requested_scope;

/// An authenticated request that may read the memories that its headers select.
pub(crate) struct Reading(pub(crate) ReadAccess);

/// An authenticated request that may change the memories that its headers select.
pub(crate) struct Writing(pub(crate) WriteAccess);

impl<S> FromRequestParts<S> for Reading
where
    AuthState: FromRef<S>,
    Memories: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        let memories = Memories::from_ref(state);
        Ok(Self(memories.authorize_read(caller, requested_scope(&parts.headers)?).await?))
    }
}

impl<S> FromRequestParts<S> for Writing
where
    AuthState: FromRef<S>,
    Memories: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        let memories = Memories::from_ref(state);
        Ok(Self(memories.authorize_write(caller, requested_scope(&parts.headers)?).await?))
    }
}
