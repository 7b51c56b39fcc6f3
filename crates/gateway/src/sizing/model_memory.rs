//! Estimates the memory that a model needs once loaded, and the memory limits of its worker.
//!
//! An estimate counts the weights, the KV caches of all slots, the compute buffers and the draft model. The
//! scheduler loads and evicts models by it. Nothing is measured here.

use lar_base::Bytes;
use lar_catalog::Kind;
use lar_inference::protocol::CacheType;

use super::inputs::{ModelSize, SizingOptions};

/// The memory of a loaded model, by use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// The size of all files of the weights.
    pub weights: Bytes,
    /// The KV caches of all slots.
    pub context: Bytes,
    /// The buffers for intermediate results of the computation.
    pub compute: Bytes,
    /// The draft model, with its own context.
    pub draft: Bytes,
    /// The number of tasks that can run at the same time; 0 for a model without a context.
    pub slots: u32,
    /// The context size of each slot, in tokens.
    pub context_tokens: u32,
    /// Host memory for evicted KV caches. It is allocated as needed and is no part of [`Footprint::total`].
    pub prompt_cache_max: Bytes,
}

impl Footprint {
    /// Returns the memory of the loaded model.
    #[must_use]
    pub fn total(&self) -> Bytes {
        let Self { weights, context, compute, draft, .. } = self;
        Bytes([weights, context, compute, draft].map(|part| part.get()).iter().sum())
    }

    /// Returns the memory limit of a llama.cpp worker, besides the mapped file: twice the expected memory and
    /// the prompt cache. The factor covers weights that are repacked for the processor. A worker that needs
    /// more fails alone.
    pub(crate) fn worker_memory_max(&self, options: &SizingOptions) -> Bytes {
        Bytes(self.total().get() * 2 + options.prompt_cache.get() + Bytes::mib(1024).get())
    }

    /// Returns the memory limit of an encoder's worker, besides the mapped file. Weights that are transposed
    /// and widened to 32 bits take up to twice the file, and are stored twice. The rest is for the tokenizer
    /// and the texts in progress.
    pub(crate) fn encoder_memory_max(&self) -> Bytes {
        Bytes(self.total().get() * 4 + Bytes::mib(1024).get())
    }
}

/// Returns the memory that a model takes once loaded, with its draft model, if any.
pub(crate) fn footprint(
    model: &ModelSize,
    draft: Option<&ModelSize>,
    options: &SizingOptions,
    context_tokens: u32,
) -> Footprint {
    let ModelSize { weights, compute, .. } = *model;
    match model.kind {
        Kind::Embedding | Kind::Rerank => Footprint { weights, compute, ..Footprint::default() },
        Kind::Chat => {
            let draft = draft.map(|draft| {
                let context = draft.cache_bytes_per_token.saturating_mul(context_tokens.into());
                Bytes(draft.weights.get() + context + draft.compute.get())
            });
            let tokens = u64::from(context_tokens) * u64::from(options.concurrency);
            Footprint {
                weights,
                context: cache_bytes(model, options, tokens),
                compute,
                draft: draft.unwrap_or_default(),
                slots: options.concurrency,
                context_tokens,
                prompt_cache_max: options.prompt_cache,
            }
        }
    }
}

/// Returns the KV cache of this many tokens. Q8_0 stores 32 entries in 34 bytes and Q4_0 in 18, instead of
/// 64.
pub(super) fn cache_bytes(model: &ModelSize, options: &SizingOptions, tokens: u64) -> Bytes {
    let (part, of) = match options.cache_type {
        CacheType::F16 => (32, 32),
        CacheType::Q8 => (17, 32),
        CacheType::Q4 => (9, 32),
    };
    Bytes(model.cache_bytes_per_token.saturating_mul(tokens) / of * part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sizing::inputs::examples::{MIB, chat_model, options};

    #[test]
    fn an_embedder_has_no_kv_cache() {
        let embedder = ModelSize { kind: Kind::Embedding, ..chat_model() };
        let size = footprint(&embedder, None, &options(), 2048);
        assert_eq!(size.total(), Bytes(1132 * MIB));
    }

    #[test]
    fn a_footprint_counts_every_slot_and_the_draft_model() {
        let draft = ModelSize {
            weights: Bytes(100 * MIB),
            compute: Bytes(42 * MIB),
            cache_bytes_per_token: 8 << 10,
            ..chat_model()
        };
        let size = footprint(&chat_model(), Some(&draft), &options(), 4096);
        let expected = Footprint {
            weights: Bytes(1000 * MIB),
            context: Bytes(512 * MIB),
            compute: Bytes(132 * MIB),
            draft: Bytes((100 + 42 + 32) * MIB),
            slots: 4,
            context_tokens: 4096,
            prompt_cache_max: Bytes(512 * MIB),
        };
        assert_eq!(size, expected);
        assert_eq!(size.total(), Bytes(1818 * MIB), "without the prompt cache, which grows as needed");
        assert_eq!(size.worker_memory_max(&options()), Bytes((2 * 1818 + 512 + 1024) * MIB));
        assert_eq!(size.encoder_memory_max(), Bytes((4 * 1818 + 1024) * MIB));
    }
}
