//! The inputs of sizing: the facts of a model and the settings that decide its context and its memory.

use lar_base::Bytes;
use lar_catalog::{Kind, Model, ModelRecommendation, STARTER_EMBEDDING};
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
        // The starter embedder's file states the context of the model that it was made from.
        let starter = STARTER_EMBEDDING.tokens_max.filter(|_| model.digest() == STARTER_EMBEDDING.sha256);
        Self {
            kind: model.kind,
            trained_context: starter.unwrap_or(model.facts.context_tokens),
            weights: model.weights_size(),
            compute: model.compute_memory(),
            cache_bytes_per_token: model.facts.cache_bytes_per_token,
        }
    }
}

impl From<&ModelRecommendation> for ModelSize {
    fn from(model: &ModelRecommendation) -> Self {
        Self {
            kind: Kind::Chat,
            trained_context: model.context_tokens,
            weights: model.size,
            compute: model.compute_memory(),
            cache_bytes_per_token: model.cache_bytes_per_token,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_embedder_has_the_context_that_it_was_trained_for() {
        let context_of = |digest: &str| {
            let model = serde_json::json!({
                "name": "all-minilm-l6-v2",
                "kind": "embedding",
                "files": [{ "role": "weights", "sha256": digest, "size": 90_868_376, "place": "blob" }],
                "facts": {
                    "architecture": "bert",
                    "format": "safetensors",
                    "quantization": null,
                    "license": null,
                    "parameters": 22_713_216,
                    "context_tokens": 512,
                    "cache_bytes_per_token": 0,
                    "chat_template": null,
                    "start_token": "",
                    "end_token": "",
                },
                "source": STARTER_EMBEDDING.source,
                "added_at": "2026-11-30T10:00:00.000Z",
            });
            let model: Model = serde_json::from_value(model).unwrap();
            ModelSize::from(&model).trained_context
        };
        assert_eq!(context_of(STARTER_EMBEDDING.sha256), 256);
        assert_eq!(context_of("another embedder"), 512);
    }
}
