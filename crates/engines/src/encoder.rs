//! The driver of models of BERT's family (safetensors) that make vectors or rank: a worker process that holds one.
//!
//! The files come from strangers, so that the server opens none of them: this file starts the worker, cuts texts to what
//! the model can use and remembers the vectors of queries. The worker computes with the modules below.

mod bert;
mod kernels;
mod service;
mod text_tokenizer;
mod weights;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lar_base::{Bytes, KeyId};

use crate::Error;
use crate::driver::{
    Ability, CheckedConstraint, Constraint, Driver, Embeddings, Engine, Generation, GenerationRequest,
    PreparedPrompt, Prompt, Ranking,
};
use crate::embedded::{ConfinementPolicy, Worker};
use crate::embedding_cache::{self, EmbeddingCache};
use crate::protocol::{Load, LoadEncoder};
pub(crate) use bert::Scratch;
pub(crate) use kernels::prepare;
pub(crate) use service::Service;

/// Requests that may be in progress at once; they share the threads.
const CONCURRENCY: u32 = 16;

/// A model of BERT's family, in plain values.
#[derive(Debug, Clone)]
pub struct EncoderOptions {
    /// The program that becomes a worker when called with `worker`.
    pub program: PathBuf,
    /// Whether it ranks texts for a query, with the classifier on top of it, rather than making vectors.
    pub ranks: bool,
    /// `model.safetensors`.
    pub weights: PathBuf,
    /// `tokenizer.json`.
    pub tokenizer: PathBuf,
    /// `config.json`.
    pub config: PathBuf,
    /// sentence-transformers' `1_Pooling/config.json`; where absent, the mean over the tokens.
    pub pooling: Option<PathBuf>,
    /// Tokens of a text that are read; sentence-transformers' `max_seq_length`.
    pub tokens_max: u32,
    /// Threads that compute.
    pub threads: u32,
    /// Memory that the worker may take beside the mapped file; no limit where absent.
    pub memory_max: Option<Bytes>,
    /// What happens where the kernel cannot confine the worker in every way.
    pub confinement: ConfinementPolicy,
}

/// The encoder with one model.
#[derive(Debug)]
pub struct Encoder {
    options: EncoderOptions,
    worker: Mutex<Option<Arc<Worker>>>,
    /// Only one load at a time.
    loading: tokio::sync::Mutex<()>,
    /// Vectors of queries that came before.
    cache: Mutex<EmbeddingCache>,
}

impl Encoder {
    /// A driver that has started nothing yet.
    #[must_use]
    pub fn new(options: EncoderOptions) -> Self {
        let (worker, loading, cache) = (Mutex::default(), tokio::sync::Mutex::default(), Mutex::default());
        Self { options, worker, loading, cache }
    }

    /// The process id of its worker, for tests and measurements.
    #[must_use]
    pub fn worker_pid(&self) -> Option<u32> {
        self.current().map(|worker| worker.pid())
    }

    fn current(&self) -> Option<Arc<Worker>> {
        lock(&self.worker).clone().filter(|worker| worker.death().is_none())
    }

    fn loaded_worker(&self) -> Result<Arc<Worker>, Error> {
        self.current().ok_or_else(|| Error::Failed("the worker is not there".into()))
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
            embedding_cache::embed(&worker, &self.cache, texts, cache_of, tokens_max).await
        }
        .boxed()
    }

    fn rank(&self, query: String, texts: Vec<String>) -> BoxFuture<'_, Result<Ranking, Error>> {
        async move {
            self.check_ability(true)?;
            let worker = self.loaded_worker()?;
            embedding_cache::rank(&worker, query, texts, self.options.tokens_max).await
        }
        .boxed()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
