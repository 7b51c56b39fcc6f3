//! Sampling parameters: how tokens are chosen, the constraint on the answer, and the logprobs to report.

use lar_base::TaskId;
use serde::{Deserialize, Serialize};

use crate::Constraint;

/// How to choose tokens and when to stop. `None` uses the engine's documented default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// The temperature; 0 is greedy, default 0.8.
    pub temperature: Option<f32>,
    /// Nucleus sampling, 0 to 1; default 0.95.
    pub top_p: Option<f32>,
    /// The number of most likely tokens that remain; default 40, 0 is off.
    pub top_k: Option<i32>,
    /// The least probability relative to the most likely token; default 0.05.
    pub min_p: Option<f32>,
    /// The penalty for tokens that have occurred, -2 to 2; default 0.
    pub presence_penalty: Option<f32>,
    /// The penalty per occurrence of a token, -2 to 2; default 0.
    pub frequency_penalty: Option<f32>,
    /// The penalty for any of the last `repeat_last_n` tokens; default 1, which is off.
    pub repeat_penalty: Option<f32>,
    /// The number of last tokens to which the three penalties apply; default 64, 0 is off, -1 is the whole
    /// context.
    pub repeat_last_n: Option<i32>,
    /// Less common samplers, all off by default.
    pub extra: Option<Box<ExtraSampling>>,
    /// Values to add to the logits of these tokens.
    pub logit_bias: Vec<(i32, f32)>,
    /// Whether to ignore the model's end tokens.
    pub ignore_eos: bool,
    /// The seed of the random numbers that choose the tokens.
    pub seed: u32,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// The most tokens of the answer; 0 is no limit except the context.
    pub tokens_max: u32,
    /// Whether to report the logprob of each token, with this many of its most likely alternatives.
    pub logprobs: Option<u32>,
    /// Whether these are the logprobs after the samplers, rather than before any sampler.
    pub post_sampling: bool,
    /// Whether to report the logprobs of the prompt's tokens before the answer, too; the first token has
    /// none.
    pub prompt_logprobs: bool,
    /// The constraint on the answer; `None` allows any text.
    pub constraint: Option<Constraint>,
    /// Whether a schema that a grammar cannot express is an error rather than loosened.
    pub strict: bool,
    /// Control tokens that appear in the text; all others are removed from it.
    pub preserved: Vec<String>,
    /// Shifts a full context: removes the oldest half of the tokens after this many at the start. `None` ends
    /// the answer instead.
    pub shift_keep: Option<u32>,
    /// Whether to report tokens in groups, because nobody reads the answer while it is generated.
    pub grouped: bool,
    /// Whether to report the progress of prefill ([`Event::Prefilling`](crate::Event::Prefilling)).
    pub reports_prefill: bool,
}

impl Sampling {
    /// Returns a seed for a request without one: the low 32 bits of its task's id, which are random.
    #[must_use]
    pub fn derived_seed(task: TaskId) -> u32 {
        task.as_u128() as u32
    }
}

/// llama.cpp's further samplers, each off unless set. The formulas and constants are llama.cpp's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExtraSampling {
    /// Locally typical sampling, 0 to 1; 1 is off.
    pub typical_p: Option<f32>,
    /// Keeps logits within this many standard deviations of the largest.
    pub top_n_sigma: Option<f32>,
    /// The probability, 0 to 1, with which the most likely tokens above `xtc_threshold` are excluded.
    pub xtc_probability: Option<f32>,
    /// The threshold of `xtc_probability`; default 0.1, above 0.5 is off.
    pub xtc_threshold: Option<f32>,
    /// The range by which the temperature adapts to the entropy of the choice.
    pub dynatemp_range: Option<f32>,
    /// The exponent of `dynatemp_range`; default 1.
    pub dynatemp_exponent: Option<f32>,
    /// The strength of the penalty on repeated sequences ("don't repeat yourself"); 0 is off.
    pub dry_multiplier: Option<f32>,
    /// The base of that penalty, which grows with the length of the repetition; default 1.75.
    pub dry_base: Option<f32>,
    /// Penalizes longer repetitions; default 2 tokens.
    pub dry_allowed_length: Option<i32>,
    /// The number of last tokens that it considers; default -1, the whole context.
    pub dry_penalty_last_n: Option<i32>,
    /// Texts that end a repetition; default newline, `:`, `"`, `*`.
    pub dry_sequence_breakers: Option<Vec<String>>,
    /// The Mirostat version, 1 or 2, that replaces the truncating samplers; 0 is off.
    pub mirostat: Option<u8>,
    /// Mirostat's target entropy; default 5.
    pub mirostat_tau: Option<f32>,
    /// Mirostat's learning rate; default 0.1.
    pub mirostat_eta: Option<f32>,
    /// The fewest tokens that the truncating samplers leave.
    pub min_keep: Option<u32>,
    /// The samplers to use, in order; default [`SamplerName::ORDER`].
    pub samplers: Option<Vec<SamplerName>>,
}

/// A sampler by its name in llama.cpp's `samplers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplerName {
    /// Repeat, presence and frequency penalties.
    Penalties,
    /// The penalty on repeated sequences, "don't repeat yourself".
    Dry,
    /// Keeps logits near the largest one ([`ExtraSampling::top_n_sigma`]).
    TopNSigma,
    /// Keeps the most likely tokens ([`Sampling::top_k`]).
    TopK,
    /// Keeps locally typical tokens ([`ExtraSampling::typical_p`]).
    #[serde(alias = "typ_p")]
    TypicalP,
    /// Nucleus sampling ([`Sampling::top_p`]).
    TopP,
    /// Drops tokens of low relative probability ([`Sampling::min_p`]).
    MinP,
    /// Excludes the most likely tokens at random ([`ExtraSampling::xtc_probability`]).
    Xtc,
    /// `temperature`, with its dynamic range.
    Temperature,
}

impl SamplerName {
    /// The order in which llama.cpp applies its samplers by default.
    pub const ORDER: [SamplerName; 9] = [
        SamplerName::Penalties,
        SamplerName::Dry,
        SamplerName::TopNSigma,
        SamplerName::TopK,
        SamplerName::TypicalP,
        SamplerName::TopP,
        SamplerName::MinP,
        SamplerName::Xtc,
        SamplerName::Temperature,
    ];
}

/// A token that was chosen or could have been chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The token's number in the vocabulary.
    pub id: u32,
    /// The token's text; part of a character if the tokenizer split one.
    pub bytes: Vec<u8>,
    /// The natural logarithm of its probability: before any sampler, unless [`Sampling::post_sampling`] is
    /// set.
    pub logprob: f32,
}

/// A token of an answer and its most likely alternatives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprobs {
    /// The token that the answer has at this position.
    pub chosen: Candidate,
    /// The most likely tokens, best first.
    pub top: Vec<Candidate>,
}
