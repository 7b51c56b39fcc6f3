//! The driver of Lar's own engine: a worker process that holds one GGUF model, which generates, makes vectors
//! or ranks. Beside one that generates a second one holds only the vocabulary, and answers counts before
//! anything is loaded.

mod process;
mod questions;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lar_base::{Bytes, KeyId};
use tokio::sync::Mutex;

use crate::Error;
use crate::dialect::Dialect;
use crate::driver::{
    Ability, Constraint, Driver, Embeddings, Engine, Generation, Job, Prepared, Prompt, Ranking,
};
use crate::protocol::{Compute, Load, Tuned};
use crate::template::ChatTemplate;
use crate::vectors::{self, Cache};
use process::Worker;

/// A model for the embedded engine, in plain values.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The program that becomes a worker when called with `worker`.
    pub program: PathBuf,
    /// The GGUF file.
    pub path: PathBuf,
    /// From the file's metadata.
    pub template: Option<ChatTemplate>,
    /// What the model does.
    pub ability: Ability,
    /// Jobs at once.
    pub concurrency: u32,
    /// Context of each job, or what is read of each text, in tokens.
    pub context_tokens: u32,
    /// How it computes.
    pub compute: Compute,
    /// Measures, when it is first loaded, what it computes fastest with, and tells it; computes as told where
    /// absent.
    pub tuning: Option<Tuning>,
    /// The GGUF file of a small model with the same vocabulary that guesses next tokens.
    pub draft: Option<PathBuf>,
    /// Host memory for what sequences knew when others took their place; none turns that off.
    pub cache: Bytes,
    /// Memory that the worker may take beside the mapped file; no limit where absent.
    pub memory_max: Option<Bytes>,
}

/// What this machine's kernel would not hold a worker to, in words; nothing where it is confined in every way.
///
/// # Errors
/// When no worker can be started.
pub async fn confinement(program: &Path) -> Result<Vec<String>, Error> {
    process::confinement(program).await
}

/// The embedded engine with one model.
#[derive(Debug)]
pub struct Embedded {
    options: EmbeddedOptions,
    dialect: Dialect,
    /// Read on every job, changed on load and unload only.
    model: std::sync::Mutex<Option<Arc<Worker>>>,
    /// Only one load at a time.
    loading: Mutex<()>,
    vocabulary: Mutex<Option<Arc<Worker>>>,
    /// What was measured when it was first loaded.
    tuned: std::sync::Mutex<Option<Tuned>>,
    /// Of queries that were asked before, where it makes vectors.
    vectors: std::sync::Mutex<Cache>,
}

/// A measurement to be made.
#[derive(Clone)]
pub struct Tuning {
    /// Numbers of threads to choose from, the usual one first.
    pub threads: Vec<u32>,
    /// Hears of what was found.
    pub told: Arc<dyn Fn(Tuned) + Send + Sync>,
}

impl std::fmt::Debug for Tuning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tuning").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl EmbeddedOptions {
    fn load(&self, known: Option<Tuned>) -> Load {
        let Self { path, mut compute, memory_max, .. } = self.clone();
        if let Some(Tuned { threads, threads_batch, batch_tokens }) = known {
            compute = Compute { threads, threads_batch, batch_tokens, ..compute };
        }
        let tune = self.tuning.as_ref().filter(|_| known.is_none());
        let tune = tune.map_or_else(Vec::new, |tuning| tuning.threads.clone());
        let memory_bytes_max = memory_max.map(Bytes::get);
        match self.ability {
            Ability::Generate => Load::Model {
                path,
                sequences: self.concurrency,
                context_tokens: self.context_tokens,
                compute,
                tune,
                draft: self.draft.clone(),
                cache_bytes: self.cache.get(),
                memory_bytes_max,
            },
            Ability::Embed | Ability::Rank => {
                Load::Embedder { path, tokens_max: self.context_tokens, compute, memory_bytes_max }
            }
        }
    }
}

impl Embedded {
    /// A driver that has started nothing yet.
    #[must_use]
    pub fn new(options: EmbeddedOptions) -> Self {
        let template = options.template.as_ref().map(|template| template.source.as_str());
        Self {
            dialect: template.map(Dialect::of).unwrap_or_default(),
            options,
            model: std::sync::Mutex::new(None),
            loading: Mutex::new(()),
            vocabulary: Mutex::new(None),
            tuned: std::sync::Mutex::new(None),
            vectors: std::sync::Mutex::default(),
        }
    }

    /// The process id of the worker that holds the model, for tests that kill it and for `lar ps`.
    #[must_use]
    pub fn worker_pid(&self) -> Option<u32> {
        self.current().map(|worker| worker.pid())
    }

    /// Sequences that run, by the worker's own last count.
    #[must_use]
    pub fn worker_active(&self) -> Option<u32> {
        self.current().map(|worker| worker.active())
    }

    fn loaded(&self) -> Result<Arc<Worker>, Error> {
        self.current().ok_or_else(|| Error::Failed("the worker is not there".into()))
    }

    fn current(&self) -> Option<Arc<Worker>> {
        lock(&self.model).clone().filter(|worker| worker.death().is_none())
    }

    async fn tokens(&self, prompt: Prompt) -> Result<(Vec<u32>, String), Error> {
        let template = match prompt {
            Prompt::Chat(_) => self.options.template.clone(),
            _ => None,
        };
        let infill = matches!(prompt, Prompt::Infill { .. });
        match self.vocabulary().await?.tokenize(prompt, template).await {
            Err(Error::Template(_)) if infill => {
                Err(Error::Unable { engine: "this model".into(), wanted: "fill in the middle" })
            }
            tokens => tokens,
        }
    }

    async fn vocabulary(&self) -> Result<Arc<Worker>, Error> {
        let mut held = self.vocabulary.lock().await;
        if let Some(worker) = held.as_ref().filter(|worker| worker.death().is_none()) {
            return Ok(worker.clone());
        }
        let load = Load::Vocabulary { path: self.options.path.clone() };
        let worker = Arc::new(Worker::start(&self.options.program, load).await?);
        *held = Some(worker.clone());
        Ok(worker)
    }
}

impl Driver for Embedded {
    fn engine(&self) -> Engine {
        Engine {
            name: "llama.cpp (embedded)".into(),
            ability: self.options.ability,
            concurrency: self.options.concurrency,
            context_tokens: self.options.context_tokens,
        }
    }

    fn load(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            let _one = self.loading.lock().await;
            if self.current().is_some() {
                return Ok(());
            }
            let known = *lock(&self.tuned);
            let worker = Worker::start(&self.options.program, self.options.load(known)).await?;
            if let (Some(tuned), Some(tuning)) = (worker.tuned, &self.options.tuning) {
                *lock(&self.tuned) = Some(tuned);
                (tuning.told)(tuned);
            }
            *lock(&self.model) = Some(Arc::new(worker));
            Ok(())
        }
        .boxed()
    }

    fn died(&self) -> BoxFuture<'_, String> {
        async {
            let worker = lock(&self.model).clone();
            match worker {
                Some(worker) => worker.died().await,
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn unload(&self) -> BoxFuture<'_, ()> {
        async {
            let model = lock(&self.model).take();
            let vocabulary = self.vocabulary.lock().await.take();
            for worker in [model, vocabulary].into_iter().flatten() {
                worker.stop().await;
            }
        }
        .boxed()
    }

    fn count<'a>(&'a self, prompt: &'a Prompt) -> BoxFuture<'a, Result<usize, Error>> {
        async { Ok(self.tokens(prompt.clone()).await?.0.len()) }.boxed()
    }

    fn prepare(&self, prompt: Prompt) -> BoxFuture<'_, Result<Prepared, Error>> {
        async {
            let chat = match &prompt {
                Prompt::Chat(chat) => Some(chat.clone()),
                _ => None,
            };
            let (tokens, tail) = self.tokens(prompt).await?;
            let reading = chat.map(|chat| self.dialect.reading(&chat, &tail)).unwrap_or_default();
            Ok(Prepared { reading, ..Prepared::counted(tokens) })
        }
        .boxed()
    }

    fn check<'a>(&'a self, constraint: &'a Constraint) -> BoxFuture<'a, Result<(), Error>> {
        async {
            match constraint {
                // What cannot be expressed of them is left free.
                Constraint::Calls(_) => Ok(()),
                _ => self.vocabulary().await?.check(constraint.clone()).await,
            }
        }
        .boxed()
    }

    fn generate(&self, job: Job) -> Result<Generation, Error> {
        let worker = self.loaded()?;
        let Prompt::Tokens(tokens) = job.prompt else {
            return Err(Error::Failed("the prompt was not prepared".into()));
        };
        Ok(Worker::generate(&worker, tokens, job.sampling, job.cache_of))
    }

    fn embed(
        &self,
        mut texts: Vec<String>,
        cache_of: Option<KeyId>,
    ) -> BoxFuture<'_, Result<Embeddings, Error>> {
        async move {
            let worker = self.loaded()?;
            // A query is one text; passages come many at a time and are not asked again.
            let digest = match texts.as_slice() {
                [text] => vectors::digest(text, cache_of),
                _ => None,
            };
            if let Some((vector, tokens)) = digest.and_then(|digest| lock(&self.vectors).get(&digest)) {
                return Ok(Embeddings { vectors: vec![vector], tokens, truncated: Vec::new() });
            }
            let questions::Embedded { values, tokens, truncated } =
                worker.embed(None, std::mem::take(&mut texts)).await?;
            if let (Some(digest), [vector], []) = (digest, values.as_slice(), truncated.as_slice()) {
                lock(&self.vectors).put(digest, vector.clone(), tokens);
            }
            Ok(Embeddings { vectors: values, tokens, truncated })
        }
        .boxed()
    }

    fn rank(&self, query: String, texts: Vec<String>) -> BoxFuture<'_, Result<Ranking, Error>> {
        async {
            let questions::Embedded { values, tokens, truncated } =
                self.loaded()?.embed(Some(query), texts).await?;
            let scores = values.iter().map(|classes| Ranking::score(classes)).collect();
            Ok(Ranking { scores, tokens, truncated })
        }
        .boxed()
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
