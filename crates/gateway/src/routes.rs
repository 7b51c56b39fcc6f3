//! From a name to the pool that serves it.
//!
//! Every installed model has a pool, made on first use; remote engines have theirs from the start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lar_base::{Bytes, KeyId, Problem, Secret};
use lar_catalog::{Catalog, FileRole, Kind, Model, STARTER_EMBEDDING};
use lar_egress::Egress;
use lar_engines::Engines;
use lar_engines::driver::Driver;
use lar_engines::embedded::{Embedded, EmbeddedOptions};
use lar_engines::encoder::{Encoder, EncoderOptions};
use lar_engines::llama_server::{LlamaServer, LlamaServerOptions};
use lar_engines::template::ChatTemplate;

/// How engines are run.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The program that becomes a worker.
    pub program: PathBuf,
    /// Runs models with this `llama-server` instead of the embedded engine.
    pub llama_server: Option<PathBuf>,
    /// Jobs at once, per model.
    pub concurrency: u32,
    /// Context of each job at most, in tokens; a model trained for less gets less.
    pub context_tokens_max: u32,
    /// Threads that compute.
    pub threads: u32,
    /// Host memory for what was read of prompts, per model.
    pub prompt_cache: Bytes,
    /// Whether prompts of one key may save work for those of others.
    pub share_prompt_cache: bool,
    /// Engines that run elsewhere.
    pub remotes: Vec<Remote>,
}

/// A `llama-server` that runs elsewhere.
#[derive(Debug, Clone)]
pub struct Remote {
    /// What its model is called here.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What it wants as a bearer token.
    pub key: Option<Secret>,
}

/// Where a task goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The pool, which has the model's name.
    pub pool: String,
    /// The digest of its weights; empty where a remote engine does not tell.
    pub digest: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Routes {
    catalog: Catalog,
    engines: Engines,
    egress: Egress,
    options: Arc<EngineOptions>,
    remotes: Arc<BTreeMap<String, Remote>>,
}

impl Routes {
    pub(crate) fn new(catalog: Catalog, engines: Engines, egress: Egress, options: EngineOptions) -> Self {
        let remotes: BTreeMap<String, Remote> =
            options.remotes.iter().map(|remote| (remote.name.clone(), remote.clone())).collect();
        for remote in remotes.values() {
            let options = LlamaServerOptions::Remote { url: remote.url.clone(), key: remote.key.clone() };
            engines.add(remote.name.clone(), Arc::new(LlamaServer::new(options, egress.clone())));
        }
        Self { catalog, engines, egress, options: Arc::new(options), remotes: Arc::new(remotes) }
    }

    /// The pool for a model's name or an alias; its driver is made when it is the first to ask.
    pub(crate) async fn find(&self, name: &str) -> Result<Route, Problem> {
        if self.remotes.contains_key(name) {
            return Ok(Route { pool: name.to_owned(), digest: String::new() });
        }
        let model = match self.catalog.resolve(name) {
            Ok(resolved) => resolved.model,
            Err(_) => {
                // Another data directory may have pulled it since.
                self.catalog.refresh().await?;
                self.catalog.resolve(name)?.model
            }
        };
        if self.engines.engine(&model.name).is_none() {
            self.engines.add(model.name.clone(), self.driver(&model)?);
        }
        Ok(Route { pool: model.name.clone(), digest: model.digest().to_owned() })
    }

    pub(crate) fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.remotes.values()
    }

    fn driver(&self, model: &Model) -> Result<Arc<dyn Driver>, Problem> {
        let path = |role| {
            self.catalog
                .path(model, role)
                .ok_or_else(|| Problem::not_found(format!("{role:?} file of the model {}", model.name)))
        };
        let weights = path(FileRole::Weights)?;
        if model.facts.format == "safetensors" {
            return Ok(Arc::new(Encoder::new(EncoderOptions {
                weights,
                tokenizer: path(FileRole::Tokenizer)?,
                config: path(FileRole::Config)?,
                tokens_max: STARTER_EMBEDDING
                    .tokens_max
                    .filter(|_| model.digest() == STARTER_EMBEDDING.sha256)
                    .unwrap_or(model.facts.context_tokens),
            })));
        }
        let options = &self.options;
        let context_tokens = self.context_tokens(model);
        if let Some(program) = &options.llama_server {
            let options = LlamaServerOptions::Managed {
                program: program.clone(),
                model: weights,
                concurrency: options.concurrency,
                context_tokens,
                threads: options.threads,
            };
            return Ok(Arc::new(LlamaServer::new(options, self.egress.clone())));
        }
        Ok(Arc::new(Embedded::new(EmbeddedOptions {
            program: options.program.clone(),
            path: weights,
            template: model.facts.chat_template.clone().map(|source| ChatTemplate {
                source,
                start: model.facts.start_token.clone(),
                end: model.facts.end_token.clone(),
            }),
            concurrency: options.concurrency,
            context_tokens,
            threads: options.threads,
            cache: options.prompt_cache,
        })))
    }

    /// Whose prompts may save work for a key's, and the other way round.
    pub(crate) fn cache_of(&self, key: KeyId) -> Option<KeyId> {
        (!self.options.share_prompt_cache).then_some(key)
    }

    /// The context each job of a model gets.
    pub(crate) fn context_tokens(&self, model: &Model) -> u32 {
        match (model.kind, model.facts.context_tokens) {
            (Kind::Embedding, trained) => trained,
            (Kind::Chat, 0) => self.options.context_tokens_max,
            (Kind::Chat, trained) => trained.min(self.options.context_tokens_max),
        }
    }
}
