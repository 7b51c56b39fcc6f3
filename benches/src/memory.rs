//! Benchmarks of memory: search quality, smart ingest, and the speed of searches and writes.
//!
//! [`MemoryFixture`] is a Lar without its HTTP server.

pub(crate) mod batches;
pub(crate) mod chats;
pub(crate) mod consolidation;
pub(crate) mod growth;
pub(crate) mod imports;
pub(crate) mod judge;
mod labeled;
pub(crate) mod large_space;
pub(crate) mod multilingual;
pub(crate) mod quality;
pub(crate) mod scale;
pub(crate) mod secrets;
pub(crate) mod smart;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use lar_base::{Bytes, Caller, KeyId, Scopes, TaskGroup};
use lar_catalog::{Catalog, DEFAULT_EMBEDDING, HUB};
use lar_egress::Egress;
use lar_engines::scheduler::Limits;
use lar_engines::{Engines, device};
use lar_gateway::{EngineOptions, Gateway, Metrics};
use lar_inference::protocol::Compute;
use lar_memory::{Memories, Options};
use lar_store::Store;
use prometheus_client::registry::Registry;

/// The crates up to `memory`, on a temporary data directory.
pub(crate) struct MemoryFixture {
    pub(crate) store: Store,
    pub(crate) memories: Memories,
    pub(crate) caller: Caller,
    /// The digest of the embedder's weights.
    pub(crate) embedder: String,
    _directory: tempfile::TempDir,
}

impl MemoryFixture {
    /// Opens a fixture with the default embedder.
    pub(crate) async fn open() -> anyhow::Result<Self> {
        Self::with_embedder(DEFAULT_EMBEDDING).await?.context("no embedder is installed: run make models")
    }

    /// Opens a fixture with this embedder. Returns `None` if it is not installed.
    pub(crate) async fn with_embedder(name: &str) -> anyhow::Result<Option<Self>> {
        let directory = tempfile::tempdir_in(".")?;
        let store = Store::open(&directory.path().join("lar.db"))?;
        let (egress, tasks) = (Egress::new()?, TaskGroup::new());
        let catalog =
            Catalog::open(lar_tests::models_dir(), None, HUB, store.clone(), egress.clone()).await?;
        if catalog.resolve(name).is_err() {
            return Ok(None);
        }
        if name != DEFAULT_EMBEDDING {
            catalog.alias_set(DEFAULT_EMBEDDING.into(), name.to_owned()).await?;
        }
        let engines = Engines::run(Limits { memory: Bytes(u64::MAX), ..Limits::default() }, &tasks);
        let options = EngineOptions {
            program: lar_tests::program(),
            llama_server: None,
            concurrency: 4,
            context_tokens_max: None,
            compute: Compute::with_threads(device::threads()),
            draft_model: None,
            gbnf: false,
            tune: false,
            prompt_cache: Bytes(0),
            share_prompt_cache: false,
            confinement: lar_engines::embedded::ConfinementPolicy::BestEffort,
            remotes: Vec::new(),
        };
        let metrics = Metrics::register(&mut Registry::default());
        let gateway = Gateway::start(store.clone(), catalog, engines, egress, options, metrics, &tasks);
        let embedder = gateway.route(DEFAULT_EMBEDDING).await?.digest;
        let memories = Memories::start(
            store.clone(),
            gateway,
            Options::default(),
            lar_memory::Metrics::register(&mut Registry::default()),
            &tasks,
        );
        let user = store.owner().await?;
        let caller =
            Caller::authenticated(user, KeyId::new(), None, Scopes::all(), lar_base::MemoryMode::Off);
        Ok(Some(Self { store, memories, caller, embedder, _directory: directory }))
    }
}

/// Returns the path of a file that `scripts/bench-data.sh` downloads.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.build/bench")).join(name)
}

/// A pseudorandom number generator with the same numbers in every run (an MCG; L'Ecuyer 1999).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// Returns a number from 0 to `below`, exclusive.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(3_935_559_000_370_003_845);
        ((self.0 >> 32) as usize) % below
    }

    /// Returns a roughly normal number with mean 0 and deviation 1: the sum of twelve uniform numbers.
    pub(crate) fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.below(1 << 20) as f32 / (1 << 20) as f32).sum::<f32>() - 6.0
    }
}
