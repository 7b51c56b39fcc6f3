//! The sampling fields of a request and its constraints on the answer.

use serde::Deserialize;
use serde_json::Value;

use super::one_or_many::OneOrMany;

/// The sampling fields of chat completions and completions. Ollama's and llama.cpp's paths read them, too.
///
/// A number that is out of range is an error. Ollama's and llama.cpp's paths clamp it to a valid number;
/// there, temperatures go up to 100 and penalties from -100 to 100. The defaults are llama.cpp's. A remote
/// engine may have others.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Sampling {
    /// The sampling temperature, from 0 to 2; 0.8 if absent. 0 always takes the likeliest token.
    pub temperature: Option<f32>,
    /// The probability mass of the candidates, from 0 to 1; 0.95 if absent. 1 keeps all.
    pub top_p: Option<f32>,
    /// The number of likeliest tokens that stay candidates; 40 if absent. 0 or less keeps all.
    pub top_k: Option<i32>,
    /// The least probability of a candidate relative to the likeliest, from 0 to 1; 0.05 if absent.
    pub min_p: Option<f32>,
    /// The amount that lowers the logit of a token that has occurred, from -2 to 2; 0 if absent.
    pub presence_penalty: Option<f32>,
    /// The amount that lowers a token's logit for each of its occurrences, from -2 to 2; 0 if absent.
    pub frequency_penalty: Option<f32>,
    /// The factor by which a token that has occurred is penalized, from 0.1 to 10; 1 if absent, no penalty.
    pub repeat_penalty: Option<f32>,
    /// vLLM's field for a `repeat_penalty` over the whole context; it counts only without `repeat_penalty`.
    pub repetition_penalty: Option<f32>,
    /// The number of last tokens that the penalties consider; 64 if absent, -1 for the whole context.
    pub repeat_last_n: Option<i32>,
    /// The probability mass of locally typical sampling, from 0 to 1; 1, which is off, if absent.
    pub typical_p: Option<f32>,
    /// The distance from the largest logit that candidates may have, in standard deviations: -1 to 100.
    ///
    /// It is off at 0 and below, and if absent.
    pub top_n_sigma: Option<f32>,
    /// The probability with which XTC excludes the likeliest tokens, from 0 to 1; 0, which is off, if absent.
    pub xtc_probability: Option<f32>,
    /// The probability above which XTC excludes a token, from 0 to 1; 0.1 if absent. Above 0.5, XTC is off.
    pub xtc_threshold: Option<f32>,
    /// The most by which the entropy changes the temperature, from 0 to 100; 0, which is off, if absent.
    pub dynatemp_range: Option<f32>,
    /// The exponent of the entropy in this change of the temperature, from 0 to 100; 1 if absent.
    pub dynatemp_exponent: Option<f32>,
    /// The strength of the DRY penalty on repeated sequences, from 0 to 100; 0, which is off, if absent.
    pub dry_multiplier: Option<f32>,
    /// The base by which the DRY penalty grows with a repetition's length, from 0 to 100; 1.75 if absent.
    pub dry_base: Option<f32>,
    /// The number of tokens that may repeat without a DRY penalty, at least 0; 2 if absent.
    pub dry_allowed_length: Option<i32>,
    /// The number of last tokens that DRY considers; -1, the whole context, if absent.
    pub dry_penalty_last_n: Option<i32>,
    /// The texts that end a repetition for DRY, at most 32; `\n`, `:`, `"` and `*` if absent.
    pub dry_sequence_breakers: Option<Vec<String>>,
    /// The version of Mirostat, 1 or 2, which replaces the truncating samplers; 0, which is off, if absent.
    pub mirostat: Option<u8>,
    /// The target entropy of Mirostat, from 0 to 100; 5 if absent.
    pub mirostat_tau: Option<f32>,
    /// The learning rate of Mirostat, from 0 to 100; 0.1 if absent.
    pub mirostat_eta: Option<f32>,
    /// The minimum number of candidates that each truncating sampler keeps; 0 if absent.
    pub min_keep: Option<u32>,
    /// The names of the samplers in the order of their use; llama.cpp's default order if absent.
    pub samplers: Option<Vec<String>>,
    /// Whether the model cannot end the answer itself; false if absent.
    pub ignore_eos: Option<bool>,
    /// Whether a stream reports the progress of the prefill; false if absent.
    pub return_progress: Option<bool>,
    /// Whether Lar drops the oldest half of a full context and continues; if absent, the answer ends there.
    pub context_shift: Option<bool>,
    /// The number of tokens at the start that `context_shift` keeps; 0 if absent.
    ///
    /// -1 keeps the whole prompt, but Lar keeps at most half of the context. Any number but 0 needs
    /// `context_shift`.
    pub n_keep: Option<i32>,
    /// The grammar of the answer in GBNF, llama.cpp's notation; absent or blank for none.
    pub grammar: Option<String>,
    /// The JSON Schema of the answer, in llama.cpp's field.
    pub json_schema: Option<Value>,
    /// The constraint on the answer, in vLLM's field.
    pub structured_outputs: Option<StructuredOutputs>,
    /// The JSON Schema of the answer, or a string with it, in an older field of vLLM.
    pub guided_json: Option<Value>,
    /// The regular expression for the whole answer, at most 16 KiB, in an older field of vLLM.
    pub guided_regex: Option<String>,
    /// The possible answers, 1 to 1024 of at most 64 KiB in total, in an older field of vLLM.
    pub guided_choice: Option<Vec<String>>,
    /// The grammar of the answer in GBNF, in an older field of vLLM; absent or blank for none.
    pub guided_grammar: Option<String>,
    /// The amounts to add to the logits of tokens, from -100 to 100, by token id; at most 1024.
    ///
    /// An object as in OpenAI's API, or a list of pairs as in llama.cpp's. It is parsed separately.
    pub logit_bias: Option<Value>,
    /// The seed of the random choices; a random one if -1 or absent. It is folded to 32 bits.
    pub seed: Option<i64>,
    /// The texts that end the answer and are not part of it: at most 32 of 1024 bytes each.
    pub stop: Option<OneOrMany>,
}

/// vLLM's constraints on the answer. At most one of the fields may be set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct StructuredOutputs {
    /// The JSON Schema of the answer, or a string with it.
    pub json: Option<Value>,
    /// The regular expression for the whole answer, at most 16 KiB.
    pub regex: Option<String>,
    /// The possible answers: 1 to 1024 of at most 64 KiB in total.
    pub choice: Option<Vec<String>>,
    /// The grammar of the answer in GBNF; absent or blank for none.
    pub grammar: Option<String>,
    /// Whether the answer must be any JSON object; false if absent.
    pub json_object: Option<bool>,
    /// The structural tags of vLLM. Lar rejects this field.
    pub structural_tag: Option<Value>,
}
