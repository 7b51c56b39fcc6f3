//! Computes how much context a model gets and how much memory it needs. Pure functions of the model, the
//! settings and the free memory.

use lar_base::Bytes;
use lar_catalog::{Kind, Model};
use lar_inference::protocol::CacheType;

/// The context of a model whose file does not state one, in tokens.
const CONTEXT_TOKENS_DEFAULT: u32 = 4096;
/// A context is a multiple of this many tokens.
const CONTEXT_STEP: u32 = 256;
/// The smallest context that memory limits to, in tokens: below it, the scheduler evicts other models
/// instead.
const CONTEXT_MIN: u32 = 2048;
/// The default limit of an embedder or reranker, in tokens per text: the memory and time of attention grow
/// with its square.
const EMBEDDED_TOKENS_MAX: u32 = 2048;
/// The limit of an embedder or reranker whose file does not state one.
const EMBEDDED_TOKENS_DEFAULT: u32 = 512;

/// The facts of a model that decide its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ModelSize {
    pub(crate) kind: Kind,
    /// The context it was trained for, in tokens; 0 if its file does not state one.
    pub(crate) trained_context: u32,
    /// All files of its weights.
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
    /// Slots per model.
    pub(crate) concurrency: u32,
    /// The longest context, in tokens; `None` uses what fits in memory.
    pub(crate) context_tokens_max: Option<u32>,
    /// The type of the KV cache's entries.
    pub(crate) cache_type: CacheType,
    /// Host memory for evicted KV caches, per model.
    pub(crate) prompt_cache: Bytes,
}

/// The memory of a loaded model, by use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// The weights, all files.
    pub weights: Bytes,
    /// The KV caches of all slots.
    pub context: Bytes,
    /// Intermediate results.
    pub compute: Bytes,
    /// The draft model, with its own context.
    pub draft: Bytes,
    /// Slots; 0 for a model without a context.
    pub slots: u32,
    /// The context of each slot, in tokens.
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

/// Returns the context of each slot, in tokens: the trained context, limited by the setting or, without one,
/// by memory. A model may take half of the memory that is left, so that another model fits, too.
pub(crate) fn context_tokens(model: &ModelSize, options: &SizingOptions, memory_left: Bytes) -> u32 {
    let trained = match (model.kind, model.trained_context) {
        (Kind::Embedding | Kind::Rerank, 0) => return EMBEDDED_TOKENS_DEFAULT,
        (Kind::Embedding | Kind::Rerank, trained) => {
            return trained.min(options.context_tokens_max.unwrap_or(EMBEDDED_TOKENS_MAX));
        }
        (Kind::Chat, 0) => CONTEXT_TOKENS_DEFAULT,
        (Kind::Chat, trained) => trained,
    };
    if let Some(most) = options.context_tokens_max {
        return trained.min(most);
    }
    let without_context = model.weights.get() + model.compute.get();
    let left = memory_left.get().saturating_sub(without_context) / 2;
    let per_token = cache_bytes(model, options, u64::from(options.concurrency)).get();
    let fits = left.checked_div(per_token).unwrap_or(u64::MAX);
    let fits = u32::try_from(fits).unwrap_or(u32::MAX) / CONTEXT_STEP * CONTEXT_STEP;
    trained.min(fits.max(CONTEXT_MIN))
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
fn cache_bytes(model: &ModelSize, options: &SizingOptions, tokens: u64) -> Bytes {
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

    const MIB: u64 = 1 << 20;

    fn chat_model() -> ModelSize {
        ModelSize {
            kind: Kind::Chat,
            trained_context: 32_768,
            weights: Bytes(1000 * MIB),
            compute: Bytes(132 * MIB),
            cache_bytes_per_token: 32 << 10,
        }
    }

    fn options() -> SizingOptions {
        SizingOptions {
            concurrency: 4,
            context_tokens_max: None,
            cache_type: CacheType::F16,
            prompt_cache: Bytes(512 * MIB),
        }
    }

    #[test]
    fn a_context_takes_half_of_the_memory_that_is_left() {
        // Half of 4,096 MiB holds 16,384 tokens of 4 slots at 32 KiB each.
        let left = Bytes((1000 + 132 + 4096) * MIB);
        assert_eq!(context_tokens(&chat_model(), &options(), left), 16_384);
        let quantized = SizingOptions { cache_type: CacheType::Q8, ..options() };
        assert_eq!(context_tokens(&chat_model(), &quantized, left), 30_720, "Q8 needs 17/32 of it");
        assert_eq!(context_tokens(&chat_model(), &options(), Bytes(1 << 40)), 32_768, "the trained context");
        assert_eq!(context_tokens(&chat_model(), &options(), Bytes(0)), CONTEXT_MIN);
        let odd = Bytes((1000 + 132 + 4097) * MIB);
        assert_eq!(context_tokens(&chat_model(), &options(), odd) % CONTEXT_STEP, 0);
    }

    #[test]
    fn the_setting_limits_the_context_whatever_the_memory() {
        let limited = SizingOptions { context_tokens_max: Some(8192), ..options() };
        assert_eq!(context_tokens(&chat_model(), &limited, Bytes(0)), 8192);
        let small = ModelSize { trained_context: 2048, ..chat_model() };
        assert_eq!(context_tokens(&small, &limited, Bytes(0)), 2048, "no more than it was trained for");
        let unknown = ModelSize { trained_context: 0, ..chat_model() };
        assert_eq!(context_tokens(&unknown, &limited, Bytes(0)), CONTEXT_TOKENS_DEFAULT);
    }

    #[test]
    fn texts_of_embedders_have_a_limit_of_their_own() {
        let embedder = ModelSize { kind: Kind::Embedding, trained_context: 8192, ..chat_model() };
        assert_eq!(context_tokens(&embedder, &options(), Bytes(0)), EMBEDDED_TOKENS_MAX);
        let limited = SizingOptions { context_tokens_max: Some(4096), ..options() };
        assert_eq!(context_tokens(&embedder, &limited, Bytes(0)), 4096);
        let unknown = ModelSize { trained_context: 0, ..embedder };
        assert_eq!(context_tokens(&unknown, &options(), Bytes(0)), EMBEDDED_TOKENS_DEFAULT);
        let size = footprint(&embedder, None, &options(), 2048);
        assert_eq!(size.total(), Bytes(1132 * MIB), "no KV cache");
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
