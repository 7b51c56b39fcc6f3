//! Computes the context of each slot of a model, in tokens, from the model, the settings and the free memory.

use lar_base::Bytes;
use lar_catalog::Kind;

use super::inputs::{ModelSize, SizingOptions};
use super::model_memory::cache_bytes;

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

#[cfg(test)]
mod tests {
    use lar_inference::protocol::CacheType;

    use super::*;
    use crate::sizing::inputs::examples::{MIB, chat_model, options};

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
    }
}
