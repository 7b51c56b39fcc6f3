//! The memory that a loaded model takes, and how it is made up.

use lar_base::Bytes;

/// What loading a model takes, with the present settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// The weights, all files.
    pub weights: Bytes,
    /// The KV caches of all slots.
    pub context: Bytes,
    /// What is computed in between.
    pub compute: Bytes,
    /// The draft model, with its own context.
    pub draft: Bytes,
    /// Tasks at once; 0 where the model keeps no context.
    pub slots: u32,
    /// Tokens of context of each.
    pub context_tokens: u32,
    /// Host memory for evicted KV caches, taken as it is needed and no part of [`Footprint::total`].
    pub prompt_cache_max: Bytes,
}

impl Footprint {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Bytes {
        let Self { weights, context, compute, draft, .. } = self;
        Bytes([weights, context, compute, draft].map(|part| part.get()).iter().sum())
    }
}
