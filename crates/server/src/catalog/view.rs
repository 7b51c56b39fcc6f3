//! The models of the catalog on the wire.

use std::collections::BTreeMap;

use lar_api::models::{EmbeddingPrompts as WirePrompts, MemoryParts, Model as Wire, ModelKind, ModelState};
use lar_base::{Caller, Scope};
use lar_catalog::{Catalog, EmbeddingPrompts, FileRole, Kind, Model, STARTER_CHAT, STARTER_EMBEDDING};
use lar_engines::pools::{PoolState, PoolStatus};
use lar_gateway::Gateway;

use crate::errors::file_names;
use crate::pools::state_to_wire;

/// The models, the states of their engines and their speeds at one time.
pub(super) struct ModelStates {
    catalog: Catalog,
    gateway: Gateway,
    pools: Vec<PoolStatus>,
    /// The measured tokens per second of installed models, by name.
    speeds: BTreeMap<String, f64>,
}

impl ModelStates {
    /// Reads the states and the speeds.
    pub(super) async fn read(catalog: Catalog, gateway: Gateway) -> Self {
        let speeds = gateway.measured_speeds().await;
        Self { pools: gateway.engines().status(), catalog, gateway, speeds }
    }

    /// Returns the installed models, sorted by name, then the models of remote engines.
    pub(super) fn all(&self) -> Vec<Wire> {
        let mut models: Vec<Wire> = self.catalog.list().iter().map(|model| self.installed(model)).collect();
        for remote in self.gateway.remotes() {
            let Some(pool) = self.pool(&remote.name) else { continue };
            let mut model = remote_model(&remote.name, pool);
            model.context_tokens = pool.engine.context_tokens;
            model.source = remote.url.clone();
            models.push(model);
        }
        models
    }

    /// Returns an installed model.
    pub(super) fn installed(&self, model: &Model) -> Wire {
        let pool = self.pool(&model.name);
        let context = self.gateway.context_of(model);
        let footprint = self.gateway.footprint(model);
        let aliases = self.catalog.aliases().into_iter().filter(|(_, target)| *target == model.name);
        Wire {
            name: model.name.clone(),
            kind: match model.kind {
                Kind::Chat => ModelKind::Chat,
                Kind::Embedding => ModelKind::Embedding,
                Kind::Rerank => ModelKind::Rerank,
            },
            state: pool.map_or(ModelState::Unloaded, |pool| state_to_wire(&pool.state)),
            reason: pool.and_then(reason),
            engine: pool.map(|pool| pool.engine.name.clone()),
            active: pool.map_or(0, |pool| pool.active as u64),
            waiting: pool.map_or(0, |pool| pool.waiting.iter().sum::<usize>() as u64),
            context_tokens: context,
            context_tokens_trained: model.facts.context_tokens,
            size_bytes: model.size().get(),
            memory_bytes: footprint.total().get(),
            memory: MemoryParts {
                weights_bytes: footprint.weights.get(),
                context_bytes: footprint.context.get(),
                slots: footprint.slots,
                compute_bytes: footprint.compute.get(),
                draft_bytes: footprint.draft.get(),
                prompt_cache_max_bytes: footprint.prompt_cache_max.get(),
            },
            tokens_per_second: self.speeds.get(&model.name).copied(),
            digest: model.digest().into(),
            architecture: Some(model.facts.architecture.clone()),
            quantization: model.facts.quantization.clone(),
            license: model.facts.license.clone(),
            attribution: model.attribution.clone(),
            license_file: self.catalog.path(model, FileRole::License).map(|path| path.display().to_string()),
            parameters: model.facts.parameters,
            source: model.source.clone(),
            prompts: model
                .embedding_prompts()
                .map(|EmbeddingPrompts { query, passage }| WirePrompts { query, passage }),
            aliases: aliases.map(|(name, _)| name).collect(),
            starter: [STARTER_CHAT, STARTER_EMBEDDING].iter().any(|starter| starter.sha256 == model.digest()),
            added_at: Some(model.added_at.to_string()),
        }
    }

    fn pool(&self, name: &str) -> Option<&PoolStatus> {
        self.pools.iter().find(|pool| pool.pool == name)
    }
}

/// Returns a model as the caller may see it: without the scope `admin`, file paths have no folders.
pub(super) fn redact_for(caller: &Caller, mut model: Wire) -> Wire {
    if !caller.has(Scope::Admin) {
        for text in [&mut model.reason, &mut model.license_file].into_iter().flatten() {
            *text = file_names(text).into_owned();
        }
        model.source = file_names(&model.source).into_owned();
    }
    model
}

/// Returns the model of a remote engine, most of whose properties are unknown.
fn remote_model(name: &str, pool: &PoolStatus) -> Wire {
    Wire {
        name: name.into(),
        kind: ModelKind::Chat,
        state: state_to_wire(&pool.state),
        reason: reason(pool),
        engine: Some(pool.engine.name.clone()),
        active: pool.active as u64,
        waiting: pool.waiting.iter().sum::<usize>() as u64,
        context_tokens: 0,
        context_tokens_trained: 0,
        size_bytes: 0,
        memory_bytes: 0,
        memory: MemoryParts::default(),
        tokens_per_second: None,
        digest: String::new(),
        architecture: None,
        quantization: None,
        license: None,
        attribution: None,
        license_file: None,
        parameters: 0,
        source: String::new(),
        prompts: None,
        aliases: Vec::new(),
        starter: false,
        added_at: None,
    }
}

fn reason(pool: &PoolStatus) -> Option<String> {
    match &pool.state {
        PoolState::Failed(reason) => Some(reason.clone()),
        _ => None,
    }
}
