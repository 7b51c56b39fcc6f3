//! Makes the engine driver of a model: which engine runs it, with which files, limits and settings.

use std::path::PathBuf;
use std::sync::Arc;

use lar_base::{Bytes, Problem, Secret};
use lar_catalog::{Catalog, FileRole, Kind, Model};
use lar_egress::Egress;
use lar_engines::driver::{Ability, Driver};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_engines::encoder::{Encoder, EncoderOptions};
use lar_engines::llama_server::{LlamaServer, LlamaServerOptions};
use lar_inference::ChatTemplate;
use lar_inference::protocol::{CacheType, Compute, TuningResult};

use crate::sizing::{self, Footprint, ModelSize, SizingOptions};
use crate::tuning::TuningStore;

/// Requests in progress at once in an embedder or reranker; they share its batches.
const EMBEDDED_CONCURRENCY: u32 = 16;

/// How engines run models.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The program that becomes a worker: the path of Lar itself.
    pub program: PathBuf,
    /// A `llama-server` program that runs models instead of the embedded engine.
    pub llama_server: Option<PathBuf>,
    /// The slots of each model: the generations that can run at the same time.
    pub concurrency: u32,
    /// The longest context of a slot, in tokens; a model trained for less gets less. `None` uses what fits in
    /// memory.
    pub context_tokens_max: Option<u32>,
    /// Threads, batches and types of the computation.
    pub compute: Compute,
    /// The name of an installed model that drafts tokens for larger models with the same vocabulary.
    pub draft_model: Option<String>,
    /// Whether requests may use GBNF grammars: their cost has no limit, and a hostile one hangs its model.
    pub gbnf: bool,
    /// Whether threads and batches are measured, rather than taken from `compute`.
    pub tune: bool,
    /// Host memory for evicted KV caches, per model.
    pub prompt_cache: Bytes,
    /// Whether keys share the prefix cache.
    pub share_prompt_cache: bool,
    /// Whether a worker may run if the kernel cannot confine it in every way.
    pub confinement: ConfinementPolicy,
    /// Engines on other machines.
    pub remotes: Vec<Remote>,
}

/// A `llama-server` on another machine.
#[derive(Debug, Clone)]
pub struct Remote {
    /// The name of its model here.
    pub name: String,
    /// The base URL of its HTTP API.
    pub url: String,
    /// The bearer token that it expects; `None` sends none.
    pub key: Option<Secret>,
}

impl EngineOptions {
    /// Returns the settings that decide a model's size. A `llama-server` always has 16-bit KV caches.
    pub(crate) fn sizing(&self) -> SizingOptions {
        SizingOptions {
            concurrency: self.concurrency,
            context_tokens_max: self.context_tokens_max,
            cache_type: match &self.llama_server {
                Some(_) => CacheType::F16,
                None => self.compute.cache_type,
            },
            prompt_cache: self.prompt_cache,
        }
    }
}

/// Makes drivers.
#[derive(Debug, Clone)]
pub(crate) struct Drivers {
    catalog: Catalog,
    egress: Egress,
    options: Arc<EngineOptions>,
    tuning: TuningStore,
}

impl Drivers {
    pub(crate) fn new(
        catalog: Catalog,
        egress: Egress,
        options: Arc<EngineOptions>,
        tuning: TuningStore,
    ) -> Self {
        Self { catalog, egress, options, tuning }
    }

    /// Makes the driver of an engine on another machine.
    pub(crate) fn remote(&self, remote: &Remote) -> Arc<dyn Driver> {
        let options = LlamaServerOptions::Remote { url: remote.url.clone(), key: remote.key.clone() };
        Arc::new(LlamaServer::new(options, self.egress.clone()))
    }

    /// Makes the driver of an installed model with this context.
    ///
    /// # Errors
    /// [`Code::NotFound`](lar_base::Code::NotFound) if one of the model's files is missing.
    pub(crate) async fn make(&self, model: &Model, context_tokens: u32) -> Result<Arc<dyn Driver>, Problem> {
        if model.facts.format == "safetensors" {
            return self.encoder(model, context_tokens);
        }
        let weights = self.path(model, FileRole::Weights)?;
        match &self.options.llama_server {
            Some(program) if model.kind == Kind::Chat => {
                Ok(self.llama_server(model, program.clone(), weights, context_tokens))
            }
            _ => {
                let tuned = self.tuning.load(model).await;
                Ok(self.embedded(model, weights, context_tokens, tuned))
            }
        }
    }

    /// Returns the memory that a model takes once loaded with this context.
    pub(crate) fn footprint(&self, model: &Model, context_tokens: u32) -> Footprint {
        let draft = self.draft_for(model).map(|draft| ModelSize::from(&*draft));
        sizing::footprint(&model.into(), draft.as_ref(), &self.options.sizing(), context_tokens)
    }

    fn path(&self, model: &Model, role: FileRole) -> Result<PathBuf, Problem> {
        let path = self.catalog.path(model, role);
        path.ok_or_else(|| Problem::not_found(format!("{role:?} file of the model {}", model.name)))
    }

    fn encoder(&self, model: &Model, context_tokens: u32) -> Result<Arc<dyn Driver>, Problem> {
        Ok(Arc::new(Encoder::new(EncoderOptions {
            program: self.options.program.clone(),
            ranks: model.kind == Kind::Rerank,
            weights: self.path(model, FileRole::Weights)?,
            tokenizer: self.path(model, FileRole::Tokenizer)?,
            config: self.path(model, FileRole::Config)?,
            pooling: self.catalog.path(model, FileRole::Pooling),
            tokens_max: context_tokens,
            threads: self.options.compute.threads,
            memory_max: Some(self.footprint(model, 0).encoder_memory_max()),
            confinement: self.options.confinement,
        })))
    }

    fn llama_server(
        &self,
        model: &Model,
        program: PathBuf,
        weights: PathBuf,
        context_tokens: u32,
    ) -> Arc<dyn Driver> {
        let options = LlamaServerOptions::Managed {
            launcher: self.options.program.clone(),
            confinement: self.options.confinement,
            program,
            model: weights,
            concurrency: self.options.concurrency,
            context_tokens,
            threads: self.options.compute.threads,
        };
        let files = self.catalog.weights_paths(model);
        Arc::new(LlamaServer::new(options, self.egress.clone()).with_files(files))
    }

    fn embedded(
        &self,
        model: &Model,
        weights: PathBuf,
        context_tokens: u32,
        tuned: Option<TuningResult>,
    ) -> Arc<dyn Driver> {
        let options = &self.options;
        let draft = self.draft_for(model);
        let files = [Some(model), draft.as_deref()].into_iter().flatten();
        let files = files.flat_map(|model| self.catalog.weights_paths(model)).collect();
        let (ability, concurrency) = match model.kind {
            Kind::Chat => (Ability::Generate, options.concurrency),
            Kind::Embedding => (Ability::Embed, EMBEDDED_CONCURRENCY),
            Kind::Rerank => (Ability::Rank, EMBEDDED_CONCURRENCY),
        };
        let driver = Embedded::new(EmbeddedOptions {
            program: options.program.clone(),
            path: weights,
            template: model.facts.chat_template.clone().map(|source| ChatTemplate {
                source,
                start: model.facts.start_token.clone(),
                end: model.facts.end_token.clone(),
            }),
            ability,
            concurrency,
            context_tokens,
            compute: match tuned.filter(|_| options.tune) {
                Some(TuningResult { threads, threads_batch, batch_tokens, .. }) => {
                    Compute { threads, threads_batch, batch_tokens, ..options.compute.clone() }
                }
                None => options.compute.clone(),
            },
            tuning: options.tune.then(|| self.tuning.tuning(model, tuned)),
            draft: draft.as_ref().and_then(|draft| self.catalog.path(draft, FileRole::Weights)),
            cache: options.prompt_cache,
            memory_max: Some(self.footprint(model, context_tokens).worker_memory_max(&options.sizing())),
            confinement: options.confinement,
        });
        Arc::new(driver.with_files(files))
    }

    /// Returns the draft model of a model: the configured one, if it is smaller.
    fn draft_for(&self, model: &Model) -> Option<Arc<Model>> {
        let name = self.options.draft_model.as_deref().filter(|_| model.kind == Kind::Chat)?;
        let draft = self.catalog.resolve(name).ok()?.model;
        (draft.kind == Kind::Chat && draft.facts.parameters < model.facts.parameters).then_some(draft)
    }
}
