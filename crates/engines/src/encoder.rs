//! The driver for BERT models in safetensors format, which compute embeddings or rank texts in a worker
//! process.
//!
//! Model files are not trusted, so the server never opens them. This file starts the worker, truncates texts
//! to the length that the model can read, and caches the embeddings of queries. The computation is in
//! `crates/worker/src/encoder`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lar_base::{Bytes, KeyId};

use crate::confinement_policy::ConfinementPolicy;
use crate::driver::{Ability, Driver, Engine, Generation, PreparedPrompt};
use crate::embedded::Worker;
use crate::embedding_steps;
use crate::embedding_steps::EmbeddingCache;
use lar_inference::Error;
use lar_inference::protocol::{Load, LoadEncoder};
use lar_inference::{CheckedConstraint, Constraint, Embeddings, GenerationRequest, Prompt, Ranking};

/// The number of requests that may be in progress at the same time; they share the threads.
const CONCURRENCY: u32 = 16;

/// The options for one BERT model, as plain values.
#[derive(Debug, Clone)]
pub struct EncoderOptions {
    /// The program that becomes a worker when it is started with the argument `worker`.
    pub program: PathBuf,
    /// Whether the model ranks texts for a query with its classifier head. Otherwise it computes embeddings.
    pub ranks: bool,
    /// The path of the model's `model.safetensors`, which the worker maps into memory.
    pub weights: PathBuf,
    /// The path of Hugging Face's `tokenizer.json`, which has the vocabulary.
    pub tokenizer: PathBuf,
    /// The path of the model's `config.json`, which has the sizes of its layers.
    pub config: PathBuf,
    /// The path of sentence-transformers' `1_Pooling/config.json`. With `None`, an embedding is the mean over
    /// the tokens.
    pub pooling: Option<PathBuf>,
    /// The number of tokens that the model reads of each text; sentence-transformers' `max_seq_length`.
    pub tokens_max: u32,
    /// The number of threads that compute, at least 1.
    pub threads: u32,
    /// The memory that the worker may allocate besides the mapped weights; `None` is no limit.
    pub memory_max: Option<Bytes>,
    /// The policy if the kernel cannot apply every part of the confinement.
    pub confinement: ConfinementPolicy,
}

/// A driver for one BERT model.
#[derive(Debug)]
pub struct Encoder {
    options: EncoderOptions,
    worker: Mutex<Option<Arc<Worker>>>,
    /// Held while the model loads, so that it loads only once.
    loading: tokio::sync::Mutex<()>,
    /// The embeddings of recent queries.
    cache: Mutex<EmbeddingCache>,
}

impl Encoder {
    /// Makes a driver that has not started anything yet.
    #[must_use]
    pub fn new(options: EncoderOptions) -> Self {
        let (worker, loading, cache) = (Mutex::default(), tokio::sync::Mutex::default(), Mutex::default());
        Self { options, worker, loading, cache }
    }

    /// Returns the process id of the worker, for tests and measurements.
    #[must_use]
    pub fn worker_pid(&self) -> Option<u32> {
        self.current().map(|worker| worker.pid())
    }

    fn current(&self) -> Option<Arc<Worker>> {
        lock(&self.worker).clone().filter(|worker| worker.death().is_none())
    }

    fn loaded_worker(&self) -> Result<Arc<Worker>, Error> {
        self.current().ok_or_else(|| Error::Failed("the worker is not running".into()))
    }

    fn check_ability(&self, ranks: bool) -> Result<(), Error> {
        if ranks == self.options.ranks {
            return Ok(());
        }
        Err(self.unable(if ranks { "rank texts" } else { "make embeddings" }))
    }

    fn unable(&self, operation: &'static str) -> Error {
        Error::Unable { engine: self.engine().name, operation }
    }
}

impl EncoderOptions {
    fn load(&self) -> Load {
        let Self { ranks, weights, tokenizer, config, pooling, tokens_max, threads, memory_max, .. } =
            self.clone();
        let memory_bytes_max = memory_max.map(Bytes::get);
        Load::Encoder(LoadEncoder {
            ranks,
            weights,
            tokenizer,
            config,
            pooling,
            tokens_max,
            threads,
            memory_bytes_max,
        })
    }
}

impl Driver for Encoder {
    fn engine(&self) -> Engine {
        Engine {
            name: "BERT encoder (embedded)".into(),
            ability: if self.options.ranks { Ability::Rank } else { Ability::Embed },
            concurrency: CONCURRENCY,
            paused_max: 0,
            context_tokens: self.options.tokens_max,
        }
    }

    fn load(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            let _one = self.loading.lock().await;
            if self.current().is_some() {
                return Ok(());
            }
            let Self { options, .. } = self;
            let worker =
                Worker::start(&options.program, options.load(), options.confinement, Box::new(|_| {}))
                    .await?;
            *lock(&self.worker) = Some(Arc::new(worker));
            Ok(())
        }
        .boxed()
    }

    fn wait_for_death(&self) -> BoxFuture<'_, String> {
        async {
            let worker = lock(&self.worker).clone();
            match worker {
                Some(worker) => worker.wait_for_death().await,
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn unload(&self) -> BoxFuture<'_, ()> {
        async {
            let worker = lock(&self.worker).take();
            if let Some(worker) = worker {
                worker.stop().await;
            }
        }
        .boxed()
    }

    fn count<'a>(&'a self, _: &'a Prompt) -> BoxFuture<'a, Result<usize, Error>> {
        std::future::ready(Err(self.unable("generate text"))).boxed()
    }

    fn prepare(&self, _: Prompt) -> BoxFuture<'_, Result<PreparedPrompt, Error>> {
        std::future::ready(Err(self.unable("generate text"))).boxed()
    }

    fn check(&self, _: Constraint, _: bool) -> BoxFuture<'_, Result<CheckedConstraint, Error>> {
        std::future::ready(Err(self.unable("generate text"))).boxed()
    }

    fn generate(&self, _: GenerationRequest) -> Result<Generation, Error> {
        Err(self.unable("generate text"))
    }

    fn embed(&self, texts: Vec<String>, cache_of: Option<KeyId>) -> BoxFuture<'_, Result<Embeddings, Error>> {
        async move {
            self.check_ability(false)?;
            let (worker, tokens_max) = (self.loaded_worker()?, self.options.tokens_max);
            embedding_steps::embed(&worker, &self.cache, texts, cache_of, tokens_max).await
        }
        .boxed()
    }

    fn rank(&self, query: String, texts: Vec<String>) -> BoxFuture<'_, Result<Ranking, Error>> {
        async move {
            self.check_ability(true)?;
            let worker = self.loaded_worker()?;
            embedding_steps::rank(&worker, query, texts, self.options.tokens_max).await
        }
        .boxed()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
