//! The only crate that knows HTTP servers: authenticates, converts, calls one function, converts back.
//!
//! [`routes`] is the table of paths; a path's handler is in the file that its name spells. Errors of all
//! floors become answers in [`errors`] and nowhere else. [`middleware`] is what every request walks through.

mod aliases;
mod anthropic;
mod auth;
mod backups;
mod bodies;
mod bridge;
mod capabilities;
mod catalog;
mod clients;
mod compat_caller;
mod conversations;
mod errors;
mod extract;
mod fields;
mod generate;
mod health;
mod idempotency;
mod key_activity;
mod keys;
mod lenient;
mod listen;
mod llama_cpp;
mod mcp;
mod memories;
mod message_builder;
mod middleware;
mod ollama;
mod openai;
mod openapi;
mod origin_guard;
mod page;
mod pools;
mod rate_limit;
mod routes;
mod sign_in;
mod spaces;
mod sse;
mod tasks;
mod tool_call_check;
mod truncate;
mod usage;
mod users;
mod variables;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lar_agents::{CompatMemory, Turns};
use lar_base::{Bytes, TaskGroup};
use lar_catalog::{Catalog, ModelFolders};
use lar_egress::Ledger;
use lar_gateway::Gateway;
use lar_memory::Memories;
use lar_store::Store;
use prometheus_client::registry::Registry;

/// The decoders of what callers send, for the fuzz targets.
pub mod decoders {
    use lar_base::TaskId;

    /// Reads `body` as each of OpenAI's requests.
    pub fn openai(body: &[u8]) {
        let _ = crate::openai::chat_completions::decode(body, TaskId::new());
        let _ = crate::openai::completions::decode(body, TaskId::new());
        let _ = crate::openai::embeddings::decode(body);
        let _ = crate::openai::responses::decode(body, TaskId::new());
        let _ = crate::openai::rerank::decode(body);
    }

    /// Reads `body` as each of Ollama's requests.
    pub fn ollama(body: &[u8]) {
        let _ = crate::ollama::chat::decode(body, TaskId::new());
        let _ = crate::ollama::generate::decode(body, TaskId::new());
        let _ = crate::ollama::embed::decode(body, crate::ollama::embed::EmbedPath::Embed);
    }

    /// Reads `body` as each of Anthropic's requests.
    pub fn anthropic(body: &[u8]) {
        let _ = crate::anthropic::decode_messages(body, TaskId::new());
        let _ = crate::anthropic::decode_count(body);
    }
}

/// The lines of exports, for those who have only the database.
pub mod exports {
    pub use crate::conversations::conversation_line;
    pub use crate::memories::transfer::memory_line;
}

pub use auth::{Authenticator, new_secret};
pub use listen::{Listener, Server, TlsFiles};
pub use mcp::fixture as mcp_fixture;
pub use openai::responses::RETENTION as RESPONSES_RETENTION;
pub use openapi::document as openapi_document;
pub use origin_guard::cors::AllowedOrigins;

/// What becomes of each field of the compatible APIs' requests: an API's name, and its paths with a Markdown table each.
#[must_use]
pub fn field_tables() -> [(&'static str, Vec<(&'static str, String)>); 4] {
    fields::tables()
}

/// Named limits of the HTTP surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A request's body.
    pub body: Bytes,
    /// The bodies of all requests together, until their prompts are tokens or they are answered.
    pub bodies: Bytes,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a request's head may take to arrive, and an idle connection may be kept.
    pub head_timeout: Duration,
    /// Open connections. Beyond it an idle one is closed for a new one; where none is idle, the new one is refused.
    pub connections: usize,
    /// Open connections of one address; this machine's own may have seven eighths of all.
    pub connections_per_address: usize,
    /// Requests per minute of a key that has no limit of its own; 0 is none.
    pub requests_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: Bytes::mib(16),
            bodies: Bytes::mib(128),
            body_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(30),
            connections: 2048,
            connections_per_address: 512,
            requests_per_minute: 0,
        }
    }
}

/// What the server is made of.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The installed models.
    pub catalog: Catalog,
    /// The pipeline.
    pub gateway: Gateway,
    /// What is remembered.
    pub memories: Memories,
    /// Conversations' turns.
    pub turns: Turns,
    /// Who is calling.
    pub authenticator: Authenticator,
    /// What was connected to.
    pub ledger: Ledger,
    /// Where the pipeline registered its numbers; the server adds its own.
    pub registry: Registry,
    /// Where other programs keep models.
    pub places: ModelFolders,
    /// The model for titles, tags and the like, rather than the one that is asked for.
    pub background_model: Option<String>,
    /// Names and addresses, beside loopback's, that requests may be addressed to.
    pub allowed_hosts: Vec<String>,
    /// Pages of other origins that may use the model APIs with a key.
    pub allowed_origins: AllowedOrigins,
    /// Where everything of this Lar's is kept.
    pub data_dir: std::path::PathBuf,
    /// Folders that errors name to nobody but administrators, such as the person's home and the one of models. The data
    /// directory is among them anyway.
    pub hidden_folders: Vec<std::path::PathBuf>,
    /// Where what goes on behind a request runs.
    pub tasks: TaskGroup,
    /// Named limits.
    pub limits: Limits,
}

/// What handlers share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) catalog: Catalog,
    pub(crate) gateway: Gateway,
    pub(crate) memories: Memories,
    pub(crate) turns: Turns,
    pub(crate) request_memory: CompatMemory,
    pub(crate) authenticator: Authenticator,
    pub(crate) ledger: Ledger,
    pub(crate) registry: Registry,
    pub(crate) places: ModelFolders,
    pub(crate) links: sign_in::Links,
    pub(crate) rate_limiter: rate_limit::RateLimiter,
    pub(crate) bodies: bodies::BodyBudget,
    pub(crate) key_activity: key_activity::KeyActivity,
    pub(crate) requests: middleware::RequestMetrics,
    pub(crate) hosts: origin_guard::Hosts,
    pub(crate) data_dir: std::path::PathBuf,
    pub(crate) tasks: TaskGroup,
    pub(crate) background_model: Option<String>,
    pub(crate) limits: Limits,
    /// Where this machine reaches it.
    pub(crate) address: SocketAddr,
}

impl App {
    pub(crate) fn new(parts: Parts, address: SocketAddr) -> Arc<Self> {
        let mut registry = parts.registry;
        errors::hide_folders(parts.hidden_folders.into_iter().chain([parts.data_dir.clone()]));
        Arc::new(Self {
            requests: middleware::RequestMetrics::register(&mut registry),
            links: sign_in::Links::default(),
            key_activity: key_activity::KeyActivity::run(parts.store.clone(), &parts.tasks),
            rate_limiter: rate_limit::RateLimiter::new(parts.limits.requests_per_minute),
            bodies: bodies::BodyBudget::new(parts.limits.bodies, parts.limits.body),
            hosts: origin_guard::Hosts::new(parts.allowed_hosts, parts.allowed_origins),
            store: parts.store,
            catalog: parts.catalog,
            gateway: parts.gateway,
            request_memory: CompatMemory::new(parts.memories.clone()),
            memories: parts.memories,
            turns: parts.turns,
            authenticator: parts.authenticator,
            ledger: parts.ledger,
            registry,
            places: parts.places,
            data_dir: parts.data_dir,
            tasks: parts.tasks,
            background_model: parts.background_model,
            limits: parts.limits,
            address,
        })
    }
}

/// What axum hands to handlers.
pub(crate) type State = axum::extract::State<Arc<App>>;
