//! Resolves a model's name or alias to the pool that serves it.
//!
//! Every installed model has a pool, made on first use by [`Drivers`]; engines on other machines have theirs
//! from the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use lar_base::{Bytes, KeyId, Problem};
use lar_catalog::{Catalog, EmbeddingPrompts, Kind, Model, ModelRecommendation};
use lar_egress::Egress;
use lar_engines::embedded::ConfinementPolicy;
use lar_engines::{Engines, device};
use lar_store::Store;
use tokio::sync::OnceCell;

use crate::drivers::{Drivers, EngineOptions, Remote};
use crate::sizing::{self, Footprint, ModelSize};
use crate::tuning::TuningStore;

/// The pool and the weights that serve a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The pool, which has the model's name.
    pub pool: String,
    /// The digest of the model's weights; empty if a remote engine does not report it.
    pub digest: String,
    /// The prompts of an embedder that needs them. The caller of a task adds them to its texts.
    pub prompts: Option<EmbeddingPrompts>,
}

/// The pools of all models.
#[derive(Debug, Clone)]
pub(crate) struct Routes {
    catalog: Catalog,
    engines: Engines,
    drivers: Drivers,
    tuning: TuningStore,
    options: Arc<EngineOptions>,
    remotes: Arc<BTreeMap<String, Remote>>,
    /// Read from the kernel on first use; it does not change while Lar runs.
    missing_confinement: Arc<OnceCell<Vec<String>>>,
}

impl Routes {
    pub(crate) fn new(
        store: Store,
        catalog: Catalog,
        engines: Engines,
        egress: Egress,
        options: EngineOptions,
    ) -> Self {
        let options = Arc::new(options);
        let tuning = TuningStore::new(store);
        let drivers = Drivers::new(catalog.clone(), egress, options.clone(), tuning.clone());
        let remotes: BTreeMap<String, Remote> =
            options.remotes.iter().map(|remote| (remote.name.clone(), remote.clone())).collect();
        for remote in remotes.values() {
            engines.add(remote.name.clone(), drivers.remote(remote), Bytes(0));
        }
        Self {
            catalog,
            engines,
            drivers,
            tuning,
            options,
            remotes: Arc::new(remotes),
            missing_confinement: Arc::default(),
        }
    }

    /// Finds the pool of a name or an alias and makes it on first use. `expected_kind` is the kind of model
    /// that the request needs; the error names the installed ones of that kind.
    pub(crate) async fn find(&self, name: &str, expected_kind: Option<Kind>) -> Result<Route, Problem> {
        if self.remotes.contains_key(name) {
            return Ok(Route { pool: name.to_owned(), digest: String::new(), prompts: None });
        }
        let model = match self.catalog.resolve(name) {
            Ok(resolved) => resolved.model,
            Err(_) => {
                // Another data directory may have pulled it since.
                self.catalog.refresh().await?;
                self.catalog.resolve_for(name, expected_kind)?.model
            }
        };
        if self.engines.engine(&model.name).is_none() {
            let context_tokens = self.context_tokens(&model);
            let driver = self.drivers.make(&model, context_tokens).await?;
            let memory = self.drivers.footprint(&model, context_tokens).total();
            self.engines.add(model.name.clone(), driver, memory);
        }
        Ok(Route {
            pool: model.name.clone(),
            digest: model.digest().to_owned(),
            prompts: model.embedding_prompts(),
        })
    }

    /// Returns the confinement policy, and the parts of the confinement that the kernel does not support.
    pub(crate) async fn confinement(&self) -> Result<(ConfinementPolicy, Vec<String>), Problem> {
        let look = || lar_engines::embedded::confinement(&self.options.program);
        let missing = self.missing_confinement.get_or_try_init(look).await?;
        Ok((self.options.confinement, missing.clone()))
    }

    /// Returns whether requests may use GBNF grammars, in any engine.
    pub(crate) fn allows_gbnf(&self) -> bool {
        self.options.gbnf
    }

    pub(crate) fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.remotes.values()
    }

    /// Returns the measured decoding speed of installed models, in tokens per second by name.
    pub(crate) async fn measured_speeds(&self) -> BTreeMap<String, f64> {
        self.tuning.measured_speeds(&self.catalog).await
    }

    /// Explains why a model computes with fewer threads than the machine has cores.
    pub(crate) fn threads_note(&self, threads: u32) -> Option<String> {
        let cores = device::cores();
        (threads < cores).then(|| {
            if !self.options.tune {
                return format!("`engines.threads` is {threads} and this machine has {cores} cores");
            }
            format!(
                "{threads} of {cores} cores: fewer threads decode faster at the moment, usually because another \
                 program is busy; Lar keeps measuring and will use more threads again"
            )
        })
    }

    /// Returns the owner of the prefix cache for a key's prompts; `None` if all keys share one.
    pub(crate) fn cache_of(&self, key: KeyId) -> Option<KeyId> {
        (!self.options.share_prompt_cache).then_some(key)
    }

    /// Returns the context of each slot of a model, in tokens: that of its pool if it has one.
    pub(crate) fn context_tokens(&self, model: &Model) -> u32 {
        match self.engines.engine(&model.name).map(|engine| engine.context_tokens) {
            Some(tokens) if tokens > 0 => tokens,
            _ => sizing::context_tokens(&model.into(), &self.options.sizing(), self.engines.memory_left()),
        }
    }

    /// Returns the memory that a model takes once loaded.
    pub(crate) fn footprint(&self, model: &Model) -> Footprint {
        self.drivers.footprint(model, self.context_tokens(model))
    }

    /// Returns the memory that a model which is not installed would take once loaded, without a draft model.
    pub(crate) fn expected_footprint(&self, model: &ModelRecommendation) -> Footprint {
        let (size, options) = (ModelSize::from(model), self.options.sizing());
        let context_tokens = sizing::context_tokens(&size, &options, self.engines.memory_left());
        sizing::footprint(&size, None, &options, context_tokens)
    }
}
