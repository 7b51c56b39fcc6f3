//! The memory service: its parts and its background tasks.
//!
//! The operations are in the files of their subjects: `ingest`, `search`, `edit`, `chat` and others.

use lar_base::TaskGroup;
use lar_gateway::Gateway;
use lar_store::Store;

use crate::client_uses::ClientUses;
use crate::consolidation::status::{Consolidation, ConsolidationMode};
use crate::embed::Embeddings;
use crate::embedding_backfill::{Backfill, Wake};
use crate::foreground::ForegroundUses;
use crate::indexes::Indexes;
use crate::judge::status::{Judge, JudgeModel};
use crate::keyword_backfill::KeywordBackfill;
use crate::metrics::Metrics;
use crate::secret_policy::SecretPolicy;
use crate::smart::SpaceLocks;

/// The settings of the memory service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The treatment of texts that contain secrets.
    pub secrets: SecretPolicy,
    /// The model that judges links.
    pub judge: JudgeModel,
    /// Whether memories are compared in idle hours.
    pub consolidation: ConsolidationMode,
}

/// The memory service. Clones share its state.
#[derive(Debug, Clone)]
pub struct Memories {
    pub(crate) store: Store,
    pub(crate) embeddings: Embeddings,
    pub(crate) indexes: Indexes,
    pub(crate) gateway: Gateway,
    pub(crate) client_uses: ClientUses,
    pub(crate) backfill: Wake,
    pub(crate) space_locks: SpaceLocks,
    pub(crate) metrics: Metrics,
    pub(crate) judge: Judge,
    pub(crate) consolidation: Consolidation,
    pub(crate) foreground: ForegroundUses,
    pub(crate) options: Options,
}

impl Memories {
    /// Creates the service and starts its background tasks: embedding backfill, keyword backfill, recording the
    /// clients' last use, judging links, and consolidation.
    pub fn start(
        store: Store,
        gateway: Gateway,
        options: Options,
        metrics: Metrics,
        tasks: &TaskGroup,
    ) -> Self {
        let embeddings = Embeddings::new(gateway.clone());
        let indexes = Indexes::new(store.clone());
        let backfill = Wake::default();
        let client_uses = ClientUses::new(store.clone());
        let space_locks = SpaceLocks::default();
        let embedding = Backfill::new(store.clone(), embeddings.clone(), indexes.clone(), backfill.clone());
        tasks.spawn(embedding.run(tasks.stopping()));
        tasks.spawn(KeywordBackfill::new(store.clone(), indexes.clone()).run(tasks.stopping()));
        tasks.spawn(client_uses.clone().run(tasks.stopping()));
        let judge = Judge::default();
        let memories = Self {
            store,
            embeddings,
            indexes,
            gateway,
            client_uses,
            backfill,
            space_locks,
            metrics,
            judge,
            consolidation: Consolidation::default(),
            foreground: ForegroundUses::default(),
            options,
        };
        tasks.spawn(memories.clone().run_judge(tasks.stopping()));
        tasks.spawn(memories.clone().run_consolidation(tasks.stopping()));
        memories
    }
}
