//! The context of a tool call: the caller, and the memories that the headers of the request select.

use axum::http::HeaderMap;
use lar_base::{Caller, Problem};
use lar_memory::{Memories, ReadAccess, WriteAccess};

use crate::memory_headers::requested_scope;

/// The context of a tool call.
pub(crate) struct ToolContext<'a> {
    /// The service that searches and changes memories.
    pub(crate) memories: &'a Memories,
    /// The caller, whose scopes decide which tools it may call.
    pub(crate) caller: Caller,
    /// The headers of the request, which select an agent or a space.
    pub(crate) headers: &'a HeaderMap,
}

impl ToolContext<'_> {
    /// Authorizes the caller to read the memories that the headers select.
    ///
    /// # Errors
    /// As [`Memories::authorize_read`] and [`requested_scope`].
    pub(super) async fn authorize_read(&self) -> Result<ReadAccess, Problem> {
        self.memories.authorize_read(self.caller.clone(), requested_scope(self.headers)?).await
    }

    /// Authorizes the caller to change the memories that the headers select.
    ///
    /// # Errors
    /// As [`Memories::authorize_write`] and [`requested_scope`].
    pub(super) async fn authorize_write(&self) -> Result<WriteAccess, Problem> {
        self.memories.authorize_write(self.caller.clone(), requested_scope(self.headers)?).await
    }
}
