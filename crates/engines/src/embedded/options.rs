//! The options for one model of the embedded engine, and the frame that loads it.

use std::path::PathBuf;
use std::sync::Arc;

use lar_base::Bytes;
use lar_inference::ChatTemplate;
use lar_inference::protocol::{Compute, Load, ThreadTuning, TuningResult};

use crate::confinement_policy::ConfinementPolicy;
use crate::driver::Ability;

/// The options for one model of the embedded engine, as plain values.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The program that becomes a worker when it is started with the argument `worker`.
    pub program: PathBuf,
    /// The path of the GGUF file.
    pub path: PathBuf,
    /// The chat template in the file's metadata.
    pub template: Option<ChatTemplate>,
    /// The kind of work that the model does.
    pub ability: Ability,
    /// The number of generations that can run at the same time.
    pub concurrency: u32,
    /// The context of each generation, or the longest text that is embedded or ranked, in tokens.
    pub context_tokens: u32,
    /// The threads, batches and number formats of the computation.
    pub compute: Compute,
    /// Measures the fastest number of threads, at the first load and during work, and reports it. With
    /// `None`, `compute` applies as it is.
    pub tuning: Option<Tuning>,
    /// The GGUF file of a small draft model with the same vocabulary, for speculative decoding.
    pub draft: Option<PathBuf>,
    /// The host memory for KV caches that were evicted from their sequence; 0 turns this off.
    pub cache: Bytes,
    /// The memory that the worker may allocate besides the mapped file; `None` is no limit.
    pub memory_max: Option<Bytes>,
    /// The policy if the kernel cannot apply every part of the confinement.
    pub confinement: ConfinementPolicy,
}

/// The measurements of the best number of threads.
#[derive(Clone)]
pub struct Tuning {
    /// The choices of the worker.
    pub threads: ThreadTuning,
    /// Called with the result when the model is loaded and whenever the result changes.
    pub on_tuned: Arc<dyn Fn(TuningResult) + Send + Sync>,
}

impl std::fmt::Debug for Tuning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tuning").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl EmbeddedOptions {
    /// Returns the frame that makes a worker load the model. `known` is the last measurement of the threads.
    pub(super) fn load(&self, files: Vec<PathBuf>, known: Option<TuningResult>) -> Load {
        let Self { path, mut compute, memory_max, .. } = self.clone();
        if let Some(tuned) = known {
            let TuningResult { threads, threads_batch, batch_tokens, .. } = tuned;
            compute = Compute { threads, threads_batch, batch_tokens, ..compute };
        }
        let tuning = self
            .tuning
            .as_ref()
            .map(|tuning| ThreadTuning { known: known.or(tuning.threads.known), ..tuning.threads.clone() });
        let memory_bytes_max = memory_max.map(Bytes::get);
        match self.ability {
            Ability::Generate => Load::Model {
                path,
                files,
                sequences: self.concurrency,
                context_tokens: self.context_tokens,
                compute,
                tuning,
                draft: self.draft.clone(),
                cache_bytes: self.cache.get(),
                memory_bytes_max,
            },
            Ability::Embed | Ability::Rank => {
                Load::Embedder { path, files, tokens_max: self.context_tokens, compute, memory_bytes_max }
            }
        }
    }
}
