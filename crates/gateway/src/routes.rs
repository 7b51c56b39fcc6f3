//! From a name to the pool that serves it.
//!
//! Every installed model has a pool, made on first use; remote engines have theirs from the start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lar_base::{Bytes, KeyId, Problem, Secret};
use lar_catalog::{Catalog, FileRole, Kind, Model, STARTER_EMBEDDING};
use lar_egress::Egress;
use lar_engines::driver::{Ability, Driver};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions, Tuning};
use lar_engines::encoder::{Encoder, EncoderOptions};
use lar_engines::llama_server::{LlamaServer, LlamaServerOptions};
use lar_engines::protocol::{CacheType, Compute, ThreadTuning, TuningResult};
use lar_engines::template::ChatTemplate;
use lar_engines::{Engines, device};
use lar_store::Store;
use tokio::sync::OnceCell;

use crate::footprint::Footprint;

/// The context of a model that does not say what it was trained for.
const CONTEXT_TOKENS_DEFAULT: u32 = 4096;
/// A context is a multiple of this,
const CONTEXT_STEP: u32 = 256;
/// and at least this; where memory is short, others make room.
const CONTEXT_MIN: u32 = 2048;
/// What is read of a text that is embedded or ranked, unless the setting says otherwise: attention takes memory
/// and time with the square of it.
const EMBEDDED_TOKENS_MAX: u32 = 2048;
/// The same for a model that does not say what it was trained for.
const EMBEDDED_TOKENS_MIN: u32 = 512;
/// Requests to an embedder or ranker that are under way at once; they share its batches.
const EMBEDDED_CONCURRENCY: u32 = 16;
/// How engines are run.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The program that becomes a worker.
    pub program: PathBuf,
    /// Runs models with this `llama-server` instead of the embedded engine.
    pub llama_server: Option<PathBuf>,
    /// Jobs at once, per model.
    pub concurrency: u32,
    /// Context of each job at most, in tokens; a model trained for less gets less. Where absent, as much as
    /// fits beside what is in memory.
    pub context_tokens_max: Option<u32>,
    /// How models compute.
    pub compute: Compute,
    /// The name of an installed model that guesses for larger ones with its vocabulary.
    pub draft_model: Option<String>,
    /// Whether llama.cpp's own grammars are taken: their cost has no bound, and a hostile one hangs its model.
    pub gbnf: bool,
    /// Whether threads and batches are measured when a model is first loaded, rather than as `compute` says.
    pub tune: bool,
    /// Host memory for what was read of prompts, per model.
    pub prompt_cache: Bytes,
    /// Whether prompts of one key may save work for those of others.
    pub share_prompt_cache: bool,
    /// What happens where the kernel cannot confine workers in every way.
    pub confinement: ConfinementPolicy,
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

/// What a measurement holds for: this processor and this build of the engine.
fn machine() -> String {
    format!("{}, lar {}", device::processor(), env!("CARGO_PKG_VERSION"))
}

/// What was measured, with all cores unless fewer threads held for long.
fn with_all_cores(tuned: TuningResult) -> TuningResult {
    let least = if tuned.settled { 1 } else { device::cores() };
    TuningResult { threads: tuned.threads.max(least), threads_batch: tuned.threads_batch.max(least), ..tuned }
}

#[derive(Debug, Clone)]
pub(crate) struct Routes {
    store: Store,
    catalog: Catalog,
    engines: Engines,
    egress: Egress,
    options: Arc<EngineOptions>,
    remotes: Arc<BTreeMap<String, Remote>>,
    /// Found out when somebody first asks: it is the kernel's and stays the same.
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
        let remotes: BTreeMap<String, Remote> =
            options.remotes.iter().map(|remote| (remote.name.clone(), remote.clone())).collect();
        for remote in remotes.values() {
            let options = LlamaServerOptions::Remote { url: remote.url.clone(), key: remote.key.clone() };
            let driver = LlamaServer::new(options, egress.clone());
            engines.add(remote.name.clone(), Arc::new(driver), Bytes(0));
        }
        Self {
            store,
            catalog,
            engines,
            egress,
            options: Arc::new(options),
            remotes: Arc::new(remotes),
            missing_confinement: Arc::default(),
        }
    }

    /// The pool for a model's name or an alias; its driver is made when it is the first to ask. `wanted` is the kind of model that a
    /// request needs, for the error.
    pub(crate) async fn find(&self, name: &str, expected_kind: Option<Kind>) -> Result<Route, Problem> {
        if self.remotes.contains_key(name) {
            return Ok(Route { pool: name.to_owned(), digest: String::new() });
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
            let tuned = self.load_tuning(&model).await;
            let driver = self.driver(&model, context_tokens, tuned)?;
            let memory = self.footprint_with(&model, context_tokens).total();
            self.engines.add(model.name.clone(), driver, memory);
        }
        Ok(Route { pool: model.name.clone(), digest: model.digest().to_owned() })
    }

    /// What happens where the kernel cannot confine workers in every way, and what it lacks.
    pub(crate) async fn confinement(&self) -> Result<(ConfinementPolicy, Vec<String>), Problem> {
        let look = || lar_engines::embedded::confinement(&self.options.program);
        let missing = self.missing_confinement.get_or_try_init(look).await?;
        Ok((self.options.confinement, missing.clone()))
    }

    /// Whether llama.cpp's own grammars are taken, whichever engine would read them.
    pub(crate) fn allows_gbnf(&self) -> bool {
        self.options.gbnf
    }

    pub(crate) fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.remotes.values()
    }

    /// What was measured of a model on this machine before.
    async fn load_tuning(&self, model: &Model) -> Option<TuningResult> {
        let stored = self.store.tuning_get(model.digest().to_owned(), machine());
        match stored.await {
            // What another version wrote is measured again; an older Lar may have kept what was measured beside a busy program.
            Ok(stored) => serde_json::from_str(&stored?).ok().map(with_all_cores),
            Err(error) => {
                tracing::warn!(%error, model = model.name, "what was measured of a model cannot be read");
                None
            }
        }
    }

    /// Has a model measured when it is first loaded and while it works, and keeps what is found. Fewer threads than cores are
    /// kept only once they held for long: a start beside a busy program must not decide for the next one.
    fn tuning(&self, model: &Model, known: Option<TuningResult>) -> Tuning {
        let (store, digest, name) = (self.store.clone(), model.digest().to_owned(), model.name.clone());
        let cores = device::cores();
        let on_tuned = move |tuned: TuningResult| {
            tracing::info!(
                model = name,
                threads = tuned.threads,
                threads_batch = tuned.threads_batch,
                batch_tokens = tuned.batch_tokens,
                token_micros = tuned.token_micros,
                settled = tuned.settled,
                cores,
                "a model was measured"
            );
            let to_store = with_all_cores(tuned);
            let (store, digest, name) = (store.clone(), digest.clone(), name.clone());
            tokio::spawn(async move {
                let tuned = serde_json::to_string(&to_store).unwrap_or_default();
                if let Err(error) = store.tuning_set(digest, machine(), tuned).await {
                    tracing::warn!(%error, model = name, "what was measured of a model cannot be kept");
                }
            });
        };
        let threads = ThreadTuning { counts: device::thread_counts(), cores, known };
        Tuning { threads, on_tuned: Arc::new(on_tuned) }
    }

    /// Tokens a second of each installed model whose decoding was measured on this machine, by its name.
    pub(crate) async fn measured_speeds(&self) -> BTreeMap<String, f64> {
        let mut speeds = BTreeMap::new();
        for model in self.catalog.list().iter().filter(|model| model.kind == Kind::Chat) {
            let micros = self.load_tuning(model).await.and_then(|tuned| tuned.token_micros);
            speeds.extend(micros.map(|micros| (model.name.clone(), 1e6 / f64::from(micros))));
        }
        speeds
    }

    pub(crate) fn threads_note(&self, threads: u32) -> Option<String> {
        let cores = device::cores();
        (threads < cores).then(|| {
            if !self.options.tune {
                return format!("`engines.threads` is {threads} and this machine has {cores} cores");
            }
            format!(
                "{threads} of {cores} cores: measured while it worked, fewer threads decode faster now; another busy program is \
                 the usual reason, and the others are tried again all the time"
            )
        })
    }

    fn driver(
        &self,
        model: &Model,
        context_tokens: u32,
        tuned: Option<TuningResult>,
    ) -> Result<Arc<dyn Driver>, Problem> {
        let path = |role| {
            self.catalog
                .path(model, role)
                .ok_or_else(|| Problem::not_found(format!("{role:?} file of the model {}", model.name)))
        };
        let weights = path(FileRole::Weights)?;
        if model.facts.format == "safetensors" {
            return Ok(Arc::new(Encoder::new(EncoderOptions {
                program: self.options.program.clone(),
                memory_max: Some(self.encoder_memory_max(model)),
                confinement: self.options.confinement,
                ranks: model.kind == Kind::Rerank,
                weights,
                tokenizer: path(FileRole::Tokenizer)?,
                config: path(FileRole::Config)?,
                pooling: self.catalog.path(model, FileRole::Pooling),
                threads: self.options.compute.threads,
                tokens_max: STARTER_EMBEDDING
                    .tokens_max
                    .filter(|_| model.digest() == STARTER_EMBEDDING.sha256)
                    .unwrap_or(context_tokens),
            })));
        }
        let options = &self.options;
        let ability = match model.kind {
            Kind::Chat => Ability::Generate,
            Kind::Embedding => Ability::Embed,
            Kind::Rerank => Ability::Rank,
        };
        if let Some(program) = options.llama_server.as_ref().filter(|_| ability == Ability::Generate) {
            let options = LlamaServerOptions::Managed {
                launcher: options.program.clone(),
                confinement: options.confinement,
                program: program.clone(),
                model: weights,
                concurrency: options.concurrency,
                context_tokens,
                threads: options.compute.threads,
            };
            let files = self.catalog.weights_paths(model);
            return Ok(Arc::new(LlamaServer::new(options, self.egress.clone()).with_files(files)));
        }
        let draft = self.draft_for(model);
        let files = [Some(model), draft.as_deref()].into_iter().flatten();
        let files = files.flat_map(|model| self.catalog.weights_paths(model)).collect();
        let driver = Embedded::new(EmbeddedOptions {
            program: options.program.clone(),
            path: weights,
            template: model.facts.chat_template.clone().map(|source| ChatTemplate {
                source,
                start: model.facts.start_token.clone(),
                end: model.facts.end_token.clone(),
            }),
            ability,
            concurrency: if ability == Ability::Generate {
                options.concurrency
            } else {
                EMBEDDED_CONCURRENCY
            },
            context_tokens,
            compute: match tuned.filter(|_| options.tune) {
                Some(TuningResult { threads, threads_batch, batch_tokens, .. }) => {
                    Compute { threads, threads_batch, batch_tokens, ..options.compute.clone() }
                }
                None => options.compute.clone(),
            },
            tuning: options.tune.then(|| self.tuning(model, tuned)),
            draft: draft.as_ref().and_then(|draft| self.catalog.path(draft, FileRole::Weights)),
            cache: options.prompt_cache,
            memory_max: Some(self.memory_max(model, context_tokens)),
            confinement: options.confinement,
        });
        Ok(Arc::new(driver.with_files(files)))
    }

    /// Whose prompts may save work for a key's, and the other way round.
    pub(crate) fn cache_of(&self, key: KeyId) -> Option<KeyId> {
        (!self.options.share_prompt_cache).then_some(key)
    }

    /// The context each job of a model gets: what it was trained for, as far as the setting and the memory
    /// allow.
    pub(crate) fn context_tokens(&self, model: &Model) -> u32 {
        if let Some(engine) = self.engines.engine(&model.name).filter(|engine| engine.context_tokens > 0) {
            return engine.context_tokens;
        }
        let trained = match (model.kind, model.facts.context_tokens) {
            (Kind::Embedding | Kind::Rerank, trained) => {
                let most = self.options.context_tokens_max.unwrap_or(EMBEDDED_TOKENS_MAX);
                return if trained == 0 { EMBEDDED_TOKENS_MIN } else { trained.min(most) };
            }
            (Kind::Chat, 0) => CONTEXT_TOKENS_DEFAULT,
            (Kind::Chat, trained) => trained,
        };
        if let Some(most) = self.options.context_tokens_max {
            return trained.min(most);
        }
        // Half of what is left, so that another model finds room too.
        let without_context = model.weights_size().get() + model.compute_memory().get();
        let left = self.engines.memory_left().get().saturating_sub(without_context) / 2;
        let per_token = self.cache_bytes(model, u64::from(self.options.concurrency)).get();
        let fits = left.checked_div(per_token).unwrap_or(u64::MAX);
        let fits = u32::try_from(fits).unwrap_or(u32::MAX) / CONTEXT_STEP * CONTEXT_STEP;
        trained.min(fits.max(CONTEXT_MIN))
    }

    /// What loading a model takes with the present settings.
    pub(crate) fn footprint(&self, model: &Model) -> Footprint {
        self.footprint_with(model, self.context_tokens(model))
    }

    fn footprint_with(&self, model: &Model, context_tokens: u32) -> Footprint {
        let weights = model.weights_size();
        let compute = model.compute_memory();
        match model.kind {
            Kind::Embedding | Kind::Rerank => Footprint { weights, compute, ..Footprint::default() },
            Kind::Chat => {
                let slots = self.options.concurrency;
                let draft = self.draft_for(model).map(|draft| {
                    let context = draft.facts.cache_bytes_per_token.saturating_mul(context_tokens.into());
                    Bytes(draft.weights_size().get() + context + draft.compute_memory().get())
                });
                Footprint {
                    weights,
                    context: self.cache_bytes(model, u64::from(context_tokens) * u64::from(slots)),
                    compute,
                    draft: draft.unwrap_or_default(),
                    slots,
                    context_tokens,
                    prompt_cache_max: self.options.prompt_cache,
                }
            }
        }
    }

    /// The model that guesses for this one: one that is smaller.
    fn draft_for(&self, model: &Model) -> Option<Arc<Model>> {
        let name = self.options.draft_model.as_deref().filter(|_| model.kind == Kind::Chat)?;
        let draft = self.catalog.resolve(name).ok()?.model;
        (draft.kind == Kind::Chat && draft.facts.parameters < model.facts.parameters).then_some(draft)
    }

    /// What a worker may take beside the mapped file: twice what it is expected to, for weights that are laid out
    /// anew for the processor, and what it may keep of prompts. A worker that wants more fails alone.
    fn memory_max(&self, model: &Model, context_tokens: u32) -> Bytes {
        let expected = self.footprint_with(model, context_tokens).total().get();
        Bytes(expected * 2 + self.options.prompt_cache.get() + Bytes::mib(1024).get())
    }

    /// What an encoder's worker may take beside the mapped file: weights that are turned and widened to 32 bits for the
    /// processor are up to twice the file, kept twice; the rest is for its tokenizer and the texts in progress.
    fn encoder_memory_max(&self, model: &Model) -> Bytes {
        Bytes(self.footprint_with(model, 0).total().get() * 4 + Bytes::mib(1024).get())
    }

    /// What so many tokens of context take in memory.
    fn cache_bytes(&self, model: &Model, tokens: u64) -> Bytes {
        let (part, of) = match (&self.options.llama_server, self.options.compute.cache_type) {
            // A llama-server keeps them as it does by default.
            (Some(_), _) | (None, CacheType::F16) => (32, 32),
            (None, CacheType::Q8) => (17, 32),
            (None, CacheType::Q4) => (9, 32),
        };
        Bytes(model.facts.cache_bytes_per_token.saturating_mul(tokens) / of * part)
    }
}
