//! Memories: ingest, search, strength, and all changes of a memory.
//!
//! The database is the source of truth: a memory's text, keyword entry and vectors are stored in one commit.
//! Searches run on indexes built from it, which are private to this crate. Reading a memory changes nothing.
//! *Using* one is a separate event and counts as a review ([`strength`]). Saving needs no language model.
//!
//! Access is decided once, when a [`ReadAccess`] or [`WriteAccess`] is created for a caller. Every query of
//! the store is limited to the spaces in it.

mod access;
mod brief;
mod chat;
mod chunking;
mod clients;
mod commit;
mod edit;
mod embed;
mod embedding_backfill;
mod error;
mod inbox;
mod index;
mod indexes;
mod ingest;
mod intent;
mod metrics;
mod readable;
mod rerank;
mod search;
mod secret_scan;
mod smart;
pub mod strength;
mod terms;
mod transfer;
mod vectors;

use lar_base::TaskGroup;
use lar_gateway::Gateway;
use lar_store::Store;

pub use access::{MemoryScope, ReadAccess, WriteAccess, check_agent_name};
pub use chat::{Forgotten, MemoryActivity, MemoryActivityIds, Origin, Recalled, Saved, Suggested};
pub use edit::Edit;
pub use error::Error;
pub use index::Filter;
pub use ingest::{IngestResult, Item, chunks};
pub use intent::{MemoryIntent, parse_intents};
pub use metrics::Metrics;
pub use search::{Detail, Hit, Mode, Search, SearchResults, Stages, Superseded};
pub use secret_scan::SecretPolicy;
pub use smart::{Decision, Difference, SimilarityThresholds, SmartIngestResult, decision_on};
pub use transfer::Export;
pub use vectors::encode_vector;

/// Limits on saved memories and queries, for the API's description.
pub mod limits {
    pub use crate::access::NAME_CHARS_MAX;
    pub use crate::ingest::{BATCH_MAX, CONTENT_BYTES_MAX, TAG_CHARS_MAX, TAGS_MAX};
    pub use crate::search::QUERY_BYTES_MAX;
}

/// The settings of the memory service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// The treatment of texts that contain secrets.
    pub secrets: SecretPolicy,
}

/// The memory service. Clones share its state.
#[derive(Debug, Clone)]
pub struct Memories {
    store: Store,
    embeddings: embed::Embeddings,
    indexes: indexes::Indexes,
    gateway: Gateway,
    clients: clients::Clients,
    backfill: embedding_backfill::Wake,
    space_locks: smart::SpaceLocks,
    metrics: Metrics,
    options: Options,
}

impl Memories {
    /// Creates the service and starts its background tasks: embedding backfill and recording the clients'
    /// last use.
    pub fn start(
        store: Store,
        gateway: Gateway,
        options: Options,
        metrics: Metrics,
        tasks: &TaskGroup,
    ) -> Self {
        let embeddings = embed::Embeddings::new(gateway.clone());
        let indexes = indexes::Indexes::new(store.clone());
        let backfill = embedding_backfill::Wake::default();
        let clients = clients::Clients::new(store.clone());
        let space_locks = smart::SpaceLocks::default();
        let memories =
            Self { store, embeddings, indexes, gateway, clients, backfill, space_locks, metrics, options };
        tasks.spawn(embedding_backfill::run(memories.clone(), tasks.stopping()));
        tasks.spawn(memories.clients.clone().run(tasks.stopping()));
        memories
    }
}
