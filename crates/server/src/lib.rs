//! The HTTP server. A handler authenticates the caller, converts the request, calls one function of another
//! crate, and converts the result back.
//!
//! This is the only crate that knows about HTTP servers. [`routes`] is the route table, and each handler is
//! in the file that its path names. `lar-compat` decodes and encodes the compatible APIs. Only [`errors`] turns
//! errors into responses, in the format of the API whose router the request reached. Every request passes through
//! [`middleware`].

mod aliases;
mod answers;
mod anthropic;
mod api;
mod auth;
mod authenticator;
mod backups;
mod body_limits;
mod bridge;
mod capabilities;
mod catalog;
mod clients;
mod compat_caller;
mod conversations;
mod errors;
mod extract;
mod health;
mod idempotency;
mod key_activity;
mod keys;
mod limits;
mod listen;
mod llama_cpp;
mod mcp;
mod mcp_auth;
mod memories;
mod memory_headers;
mod metrics;
mod middleware;
mod ollama;
mod openai;
mod openapi;
mod origin_guard;
mod page;
mod pools;
mod rate_limit;
#[cfg(test)]
mod recorded_bodies;
mod request_extensions;
mod response_headers;
mod routes;
mod sign_in;
mod sign_in_links;
mod spaces;
mod sse;
mod state;
mod tasks;
mod usage;
mod users;

/// The line formats of exports, for code that has the database but no running server.
pub mod exports {
    pub use crate::conversations::conversation_line;
    pub use crate::memories::transfer::{intention_line, memory_line};
}

pub use authenticator::{Authenticator, new_secret};
pub use lar_agents::responses::RETENTION as RESPONSES_RETENTION;
pub use limits::Limits;
pub use listen::{Listener, Server, TlsFiles};
pub use mcp::fixture as mcp_fixture;
pub use openapi::document as openapi_document;
pub use origin_guard::cors::AllowedOrigins;
pub use state::Parts;
