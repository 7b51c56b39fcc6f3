//! The HTTP server. A handler authenticates the caller, converts the request, calls one function of another
//! crate, and converts the result back.
//!
//! This is the only crate that knows about HTTP servers. [`routes`] is the route table, and each handler is
//! in the file that its path names. Only [`errors`] turns errors into responses. Every request passes through
//! [`middleware`].

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
mod json;
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

/// The decoders of request bodies, for the fuzz targets.
pub mod decoders {
    use lar_base::TaskId;

    /// Decodes `body` as each request type of OpenAI's API.
    pub fn openai(body: &[u8]) {
        let _ = crate::openai::chat_completions::decode(body, TaskId::new());
        let _ = crate::openai::completions::decode(body, TaskId::new());
        let _ = crate::openai::embeddings::decode(body);
        let _ = crate::openai::responses::decode(body, TaskId::new());
        let _ = crate::openai::rerank::decode(body);
    }

    /// Decodes `body` as each request type of Ollama's API.
    pub fn ollama(body: &[u8]) {
        let _ = crate::ollama::chat::decode(body, TaskId::new());
        let _ = crate::ollama::generate::decode(body, TaskId::new());
        let _ = crate::ollama::embed::decode(body, crate::ollama::embed::EmbedPath::Embed);
    }

    /// Decodes `body` as each request type of Anthropic's API.
    pub fn anthropic(body: &[u8]) {
        let _ = crate::anthropic::decode_messages(body, TaskId::new());
        let _ = crate::anthropic::decode_count(body);
    }
}

/// The line formats of exports, for code that has the database but no running server.
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

/// Returns how Lar treats each request field of the compatible APIs.
///
/// The result has one item per API: its name, and a Markdown table for each of its paths.
#[must_use]
pub fn field_tables() -> [(&'static str, Vec<(&'static str, String)>); 4] {
    fields::tables()
}

/// The limits of the HTTP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The maximum size of a request body.
    pub body: Bytes,
    /// The maximum size of all request bodies together. A body over 16 KiB counts until its prompt is
    /// tokenized or the request is answered.
    pub bodies: Bytes,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a TLS handshake and a request's head may each take, and how long an idle connection stays
    /// open.
    pub head_timeout: Duration,
    /// The maximum number of open connections. At the limit, a new connection replaces the one that has been
    /// idle longest, and is refused if none is idle.
    pub connections: usize,
    /// The maximum number of open connections per IPv4 address or IPv6 /64 network. Loopback connections may
    /// take seven eighths of `connections` instead.
    pub connections_per_address: usize,
    /// The rate limit of keys that have no limit of their own, in requests per minute; 0 means no limit.
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

/// The parts that a server is built from.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The installed models.
    pub catalog: Catalog,
    /// The gateway, which admits and dispatches tasks.
    pub gateway: Gateway,
    /// The memories.
    pub memories: Memories,
    /// The service that runs conversation turns.
    pub turns: Turns,
    /// The authenticator of requests.
    pub authenticator: Authenticator,
    /// The record of outgoing connections.
    pub ledger: Ledger,
    /// The metrics of the other crates; the server adds its own.
    pub registry: Registry,
    /// The folders in which other programs keep models.
    pub places: ModelFolders,
    /// The model that serves background requests of chat apps, such as titles and tags, instead of the
    /// requested model.
    pub background_model: Option<String>,
    /// The host names and addresses that requests may use besides loopback.
    pub allowed_hosts: Vec<String>,
    /// The other origins whose pages may use the model APIs with a key.
    pub allowed_origins: AllowedOrigins,
    /// The data directory.
    pub data_dir: std::path::PathBuf,
    /// Folders that error messages show only to keys with the scope `admin`, such as the home folder and the
    /// model folder. The server adds the data directory.
    pub hidden_folders: Vec<std::path::PathBuf>,
    /// The group of background work that outlives a request.
    pub tasks: TaskGroup,
    /// The limits of the server.
    pub limits: Limits,
}

/// The state that all handlers share.
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
    /// The address at which this machine reaches the server.
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

/// The extractor of the shared state.
pub(crate) type State = axum::extract::State<Arc<App>>;
