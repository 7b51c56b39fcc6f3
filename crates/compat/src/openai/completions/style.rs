//! The contents of a completion, as its request asks for them.

use lar_base::Problem;

/// The maximum size in bytes of all prompts that `echo` repeats in several answers: the default size limit of
/// a body.
const ECHO_BYTES_MAX: usize = 16 << 20;

/// The contents of a completion, as its request asks for them.
#[derive(Debug, Clone)]
pub struct CompletionStyle {
    /// The number of answers to each prompt, at least 1.
    pub(super) answers_per_prompt: usize,
    /// Whether choices have logprobs.
    pub(super) logprobs: bool,
    /// Whether the logprobs start with those of the prompt.
    pub(super) prompt_logprobs: bool,
    /// Whether `max_tokens` is 0. The engine still generates one token, which the response leaves out.
    pub(super) prefill_only: bool,
    /// Whether a stream ends with the usage.
    pub(super) include_usage: bool,
    /// The prompts with which the answers start; empty without `echo`.
    pub(super) echoed: Vec<String>,
}

impl CompletionStyle {
    /// Sets the texts of the request's prompts, with which the answers start.
    ///
    /// # Errors
    /// [`Code::InvalidParams`](lar_base::Code::InvalidParams) if several answers to each prompt would repeat
    /// more than 16 MiB of prompts.
    pub fn set_echoed(&mut self, prompts: Vec<String>) -> Result<(), Problem> {
        let bytes: usize = prompts.iter().map(String::len).sum();
        let answers = self.answers_per_prompt;
        if answers > 1 && bytes.saturating_mul(answers) > ECHO_BYTES_MAX {
            let reason = format!(
                "would repeat {bytes} bytes of prompts in {answers} answers each; the limit is \
                 {ECHO_BYTES_MAX} bytes in total"
            );
            return Err(Problem::invalid("echo", reason));
        }
        self.echoed = prompts;
        Ok(())
    }

    /// Returns the prompt with which an answer starts; empty without `echo`.
    pub(super) fn prompt(&self, answer: usize) -> &str {
        self.echoed.get(answer / self.answers_per_prompt).map_or("", String::as_str)
    }
}
