//! The contents of a completion in llama.cpp's form, as its request asks for them.

use serde_json::Value;

use super::settings;

/// The maximum size in bytes of the prompts in all answers together.
///
/// Above it, only the first answer to each prompt repeats the prompt.
const PROMPTS_BYTES_MAX: usize = 16 << 20;

/// The contents of a completion in llama.cpp's form, as its request asks for them.
#[derive(Debug, Clone)]
pub struct LlamaCppStyle {
    /// The paths of the requested response fields; empty for all fields.
    pub(super) fields: Vec<String>,
    /// Whether the response has token ids.
    pub(super) tokens: bool,
    /// The number of candidates in the probabilities of each token; 0 for no probabilities.
    pub(super) n_probs: u32,
    /// Whether probabilities are those after sampling.
    pub(super) post_sampling: bool,
    /// Whether every part of a stream has timings.
    pub(super) timings_per_token: bool,
    /// Whether `n_predict` is 0. The engine still generates one token, which the response leaves out.
    pub(super) prefill_only: bool,
    /// The requested token limit; 0 for none.
    pub(super) tokens_max: u64,
    /// The stop sequences.
    pub(super) stop: Vec<String>,
    /// The value of `generation_settings`.
    pub(super) settings: Value,
    /// The texts of the prompts; empty if the response has no `prompt`.
    pub(super) prompts: Vec<String>,
    /// The number of answers to each prompt, at least 1.
    pub(super) answers_per_prompt: usize,
}

impl LlamaCppStyle {
    /// Returns whether the response repeats the prompts, whose texts [`Self::set_prompts`] sets.
    #[must_use]
    pub fn has_prompts(&self) -> bool {
        self.includes("prompt")
    }

    /// Sets the texts of the request's prompts.
    pub fn set_prompts(&mut self, prompts: Vec<String>) {
        self.prompts = prompts;
    }

    /// Sets the biases of tokens in `generation_settings`.
    pub(super) fn set_logit_bias(&mut self, biases: &[(i32, f32)]) {
        settings::set_logit_bias(&mut self.settings, biases);
    }

    /// Returns whether the response lists banned end tokens, which [`Self::ban_end_tokens`] adds.
    #[must_use]
    pub fn has_end_tokens(&self) -> bool {
        self.settings["ignore_eos"] == true && self.includes("generation_settings")
    }

    /// Adds the tokens that end an answer of this model to the biases in `generation_settings`.
    ///
    /// `ignore_eos` bans these tokens.
    pub fn ban_end_tokens(&mut self, tokens: &[u32]) {
        settings::forbid(&mut self.settings, tokens);
    }

    /// Returns whether the response has a field.
    fn includes(&self, field: &str) -> bool {
        self.fields.is_empty() || self.fields.iter().any(|path| path.split('/').next() == Some(field))
    }

    /// Returns the prompt for an answer.
    ///
    /// Above [`PROMPTS_BYTES_MAX`], only the first answer to a prompt has it.
    pub(super) fn prompt(&self, answer: usize) -> String {
        let bytes: usize = self.prompts.iter().map(String::len).sum();
        if bytes.saturating_mul(self.answers_per_prompt) > PROMPTS_BYTES_MAX
            && !answer.is_multiple_of(self.answers_per_prompt)
        {
            return String::new();
        }
        self.prompts.get(answer / self.answers_per_prompt).cloned().unwrap_or_default()
    }
}
