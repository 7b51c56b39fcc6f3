//! What Lar remembers: ingest, search, strength, and every change of a memory.
//!
//! The database is the truth: a memory's text, words and vectors are one commit. Searches run on indexes that are
//! made of it ([`index`](self) is private: nothing else sees one). Reading changes nothing; *use* is told apart
//! from it and counts as a review ([`strength`]). Writing needs no language model.
//!
//! Whose memories a call may see is decided once, when a [`Reader`] or [`Writer`] is made of its caller, and held
//! to by every query of the store.

mod brief;
mod chat;
mod clients;
mod commit;
mod edit;
mod embed;
mod error;
mod fill;
mod heard;
mod inbox;
mod index;
mod indexes;
mod ingest;
mod metrics;
mod place;
mod readable;
mod rerank;
mod screen;
mod search;
mod smart;
mod split;
pub mod strength;
mod transfer;
mod vectors;
mod words;

use lar_base::Tasks;
use lar_gateway::Gateway;
use lar_store::Store;

pub use chat::{Forgotten, InTurn, Noted, Origin, Recalled, Saved, Waiting};
pub use edit::Edit;
pub use error::Error;
pub use heard::{Heard, heard};
pub use index::Filter;
pub use ingest::{Ingested, Item, passages};
pub use metrics::Metrics;
pub use place::{Place, Reader, Writer, checked_agent};
pub use screen::SecretPolicy;
pub use search::{Detail, Found, Hit, InsteadOf, Mode, Search, Stages};
pub use smart::{Decided, Decision, Difference, Nearness, decision_on};
pub use transfer::Export;
pub use vectors::encoded;

/// Limits of what is saved and searched, for the API's description.
pub mod limits {
    pub use crate::ingest::{BATCH_MAX, CONTENT_BYTES_MAX, TAG_CHARS_MAX, TAGS_MAX};
    pub use crate::place::NAME_CHARS_MAX;
    pub use crate::search::QUERY_BYTES_MAX;
}

/// What becomes of memories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// What is done about a secret in what is to be remembered.
    pub secrets: SecretPolicy,
}

/// All memories. Clones share them.
#[derive(Debug, Clone)]
pub struct Memories {
    store: Store,
    embeddings: embed::Embeddings,
    indexes: indexes::Indexes,
    gateway: Gateway,
    clients: clients::Clients,
    fill: fill::Wake,
    decisions: smart::Turns,
    metrics: Metrics,
    options: Options,
}

impl Memories {
    /// Starts what goes on in the background: vectors for what was stored without, and notes of who used what.
    pub fn run(store: Store, gateway: Gateway, options: Options, metrics: Metrics, tasks: &Tasks) -> Self {
        let embeddings = embed::Embeddings::new(gateway.clone());
        let indexes = indexes::Indexes::new(store.clone());
        let fill = fill::Wake::default();
        let clients = clients::Clients::new(store.clone());
        let decisions = smart::Turns::default();
        let memories =
            Self { store, embeddings, indexes, gateway, clients, fill, decisions, metrics, options };
        tasks.spawn(fill::run(memories.clone(), tasks.stopping()));
        tasks.spawn(memories.clients.clone().run(tasks.stopping()));
        memories
    }
}
