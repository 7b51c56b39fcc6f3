//! The state of the server: the services of the other crates, and what its own modules keep.
//!
//! A handler takes the parts that it needs with [`axum::extract::State`]: each service, [`AuthState`] and
//! [`BodyReceiver`] can be extracted.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::FromRef;
use lar_agents::{CompatMemory, Generations, Responses, Turns};
use lar_base::TaskGroup;
use lar_catalog::{Catalog, ModelFolders};
use lar_egress::Ledger;
use lar_gateway::Gateway;
use lar_memory::Memories;
use lar_store::Store;
use prometheus_client::registry::Registry;

use crate::answers::AnswerState;
use crate::auth::AuthState;
use crate::authenticator::Authenticator;
use crate::body_limits::{BodyBudget, BodyReceiver};
use crate::conversations::ConversationState;
use crate::errors;
use crate::key_activity::KeyActivity;
use crate::limits::Limits;
use crate::metrics::requests::RequestMetrics;
use crate::origin_guard::Hosts;
use crate::origin_guard::cors::AllowedOrigins;
use crate::rate_limit::RateLimiter;
use crate::sign_in_links::Links;

/// The parts that a server is built from.
#[derive(Debug)]
pub struct Parts {
    /// The database of the data directory, opened and migrated.
    pub store: Store,
    /// The installed models.
    pub catalog: Catalog,
    /// The gateway, which admits and dispatches tasks.
    pub gateway: Gateway,
    /// The service that saves, searches and forgets memories.
    pub memories: Memories,
    /// The service that runs conversation turns.
    pub turns: Turns,
    /// The check of API keys and browser sessions.
    pub authenticator: Authenticator,
    /// The record of outgoing connections.
    pub ledger: Ledger,
    /// The metrics of the other crates; the server adds its own.
    pub registry: Registry,
    /// The folders in which other programs keep models.
    pub model_folders: ModelFolders,
    /// The model that serves background requests of chat apps, such as titles and tags, instead of the
    /// requested model.
    pub background_model: Option<String>,
    /// The host names and addresses that requests may use besides loopback.
    pub allowed_hosts: Vec<String>,
    /// The other origins whose pages may use the model APIs with a key.
    pub allowed_origins: AllowedOrigins,
    /// The absolute path of the data directory.
    pub data_dir: PathBuf,
    /// Folders that error messages show only to keys with the scope `admin`, such as the home folder and the
    /// model folder. The server adds the data directory.
    pub hidden_folders: Vec<PathBuf>,
    /// The group of background work that outlives a request.
    pub tasks: TaskGroup,
    /// The limits of connections, request bodies and request rates.
    pub limits: Limits,
}

/// The state that all handlers share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) catalog: Catalog,
    pub(crate) gateway: Gateway,
    pub(crate) memories: Memories,
    pub(crate) turns: Turns,
    pub(crate) generations: Generations,
    pub(crate) responses: Responses,
    pub(crate) ledger: Ledger,
    pub(crate) registry: Arc<Registry>,
    pub(crate) model_folders: ModelFolders,
    pub(crate) links: Links,
    pub(crate) auth: AuthState,
    pub(crate) receiver: BodyReceiver,
    pub(crate) requests: RequestMetrics,
    pub(crate) hosts: Hosts,
    pub(crate) data_dir: DataDir,
}

impl App {
    /// Creates the state of a server that this machine reaches at `address`.
    pub(crate) fn new(parts: Parts, address: SocketAddr) -> Arc<Self> {
        let mut registry = parts.registry;
        errors::hide_folders(parts.hidden_folders.into_iter().chain([parts.data_dir.clone()]));
        let memory = CompatMemory::new(parts.memories.clone());
        let generations = Generations::new(parts.gateway.clone(), memory, parts.background_model);
        Arc::new(Self {
            requests: RequestMetrics::register(&mut registry),
            links: Links::default(),
            auth: AuthState {
                key_activity: KeyActivity::run(parts.store.clone(), &parts.tasks),
                rate_limiter: Arc::new(RateLimiter::new(parts.limits.requests_per_minute)),
                authenticator: parts.authenticator,
                address,
            },
            receiver: BodyReceiver {
                bodies: Arc::new(BodyBudget::new(parts.limits.bodies, parts.limits.body)),
                limits: parts.limits,
            },
            hosts: Hosts::new(parts.allowed_hosts, parts.allowed_origins),
            responses: Responses::new(
                parts.store.clone(),
                parts.gateway.clone(),
                generations.clone(),
                &parts.tasks,
                errors::redact_for_everybody,
            ),
            generations,
            store: parts.store,
            catalog: parts.catalog,
            gateway: parts.gateway,
            memories: parts.memories,
            turns: parts.turns,
            ledger: parts.ledger,
            registry: Arc::new(registry),
            model_folders: parts.model_folders,
            data_dir: DataDir(parts.data_dir),
        })
    }
}

/// The path of the data directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(pub(crate) PathBuf);

/// The state of the routers. Clones share it.
///
/// It is a type of this crate, because types of other crates cannot implement [`FromRef`] for an [`Arc`].
#[derive(Clone)]
pub(crate) struct SharedApp(pub(crate) Arc<App>);

impl Deref for SharedApp {
    type Target = Arc<App>;

    fn deref(&self) -> &Arc<App> {
        &self.0
    }
}

/// Lets handlers and extractors take a part of the state.
macro_rules! extractable {
    ($($field:ident: $part:ty),+ $(,)?) => {$(
        impl FromRef<SharedApp> for $part {
            fn from_ref(app: &SharedApp) -> Self {
                app.$field.clone()
            }
        }
    )+};
}

impl FromRef<SharedApp> for AnswerState {
    fn from_ref(app: &SharedApp) -> Self {
        let (generations, gateway) = (app.generations.clone(), app.gateway.clone());
        Self { generations, gateway, catalog: app.catalog.clone() }
    }
}

impl FromRef<SharedApp> for ConversationState {
    fn from_ref(app: &SharedApp) -> Self {
        let (store, turns) = (app.store.clone(), app.turns.clone());
        Self { store, turns, gateway: app.gateway.clone(), memories: app.memories.clone() }
    }
}

extractable! {
    store: Store,
    catalog: Catalog,
    gateway: Gateway,
    memories: Memories,
    responses: Responses,
    ledger: Ledger,
    registry: Arc<Registry>,
    model_folders: ModelFolders,
    links: Links,
    auth: AuthState,
    receiver: BodyReceiver,
    data_dir: DataDir,
}
