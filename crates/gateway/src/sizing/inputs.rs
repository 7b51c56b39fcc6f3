//! The inputs of sizing: the facts of a model and the settings that decide its context and its memory.

use lar_base::Bytes;
use lar_catalog::{Kind, Model};
use lar_inference::protocol::CacheType;

/// The facts of a model that decide its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ModelSize {
    pub(crate) kind: Kind,
    /// The context it was trained for, in tokens; 0 if its file does not state one.
    pub(crate) trained_context: u32,
    /// The size of all files of the weights.
    pub(crate) weights: Bytes,
    /// Intermediate results, beside weights and context.
    pub(crate) compute: Bytes,
    /// The KV cache of one token, in bytes, with 16-bit entries.
    pub(crate) cache_bytes_per_token: u64,
}

impl From<&Model> for ModelSize {
    fn from(model: &Model) -> Self {
        Self {
            kind: model.kind,
            trained_context: model.facts.context_tokens,
            weights: model.weights_size(),
            compute: model.compute_memory(),
            cache_bytes_per_token: model.facts.cache_bytes_per_token,
        }
    }
}

/// The settings that decide a model's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizingOptions {
    /// The number of slots of each chat model, at least 1.
    pub(crate) concurrency: u32,
    /// The longest context, in tokens; `None` uses what fits in memory.
    pub(crate) context_tokens_max: Option<u32>,
    /// The type of the KV cache's entries.
    pub(crate) cache_type: CacheType,
    /// The host memory per model for evicted KV caches; 0 turns it off.
    pub(crate) prompt_cache: Bytes,
}

/// The model and the settings that the tests of sizing use.
#[cfg(test)]
pub(crate) mod examples {
    use super::*;

    pub(crate) const MIB: u64 = 1 << 20;

    pub(crate) fn chat_model() -> ModelSize {
        ModelSize {
            kind: Kind::Chat,
            trained_context: 32_768,
            weights: Bytes(1000 * MIB),
            compute: Bytes(132 * MIB),
            cache_bytes_per_token: 32 << 10,
        }
    }

    pub(crate) fn options() -> SizingOptions {
        SizingOptions {
            concurrency: 4,
            context_tokens_max: None,
            cache_type: CacheType::F16,
            prompt_cache: Bytes(512 * MIB),
        }
    }
}
