//! Decides whether a prompt fits the context of a model, which prompt and answer share.
//!
//! A prompt fits if it leaves room for at least one token of the answer.

use lar_base::Problem;

/// Returns the number of tokens that a prompt of `tokens_in` tokens leaves for the answer, at least 1.
///
/// # Errors
/// [`Code::ContextTooLong`](lar_base::Code::ContextTooLong) if none is left.
pub(super) fn room_for_answer(tokens_in: usize, context_tokens: u32, model: &str) -> Result<u32, Problem> {
    let length = u32::try_from(tokens_in).unwrap_or(u32::MAX);
    match context_tokens.saturating_sub(length) {
        0 => Err(too_long(tokens_in, "", context_tokens, model)),
        room => Ok(room),
    }
}

/// Makes the error for a prompt with too many tokens; `counted` describes how they were counted.
pub(super) fn too_long(tokens: usize, counted: &str, context_tokens: u32, model: &str) -> Problem {
    let why = format!(
        "{counted}this model's maximum context length is {context_tokens} tokens, shared by prompt and answer \
         (`{model}`)"
    );
    Problem::context_too_long(tokens, context_tokens.saturating_sub(1) as usize, &why)
}

#[cfg(test)]
mod tests {
    use lar_base::Code;

    use super::*;

    #[test]
    fn a_prompt_leaves_room_for_at_least_one_token() {
        assert_eq!(room_for_answer(0, 4096, "m").unwrap(), 4096);
        assert_eq!(room_for_answer(4095, 4096, "m").unwrap(), 1);
        for tokens_in in [4096, 4097, usize::MAX] {
            let problem = room_for_answer(tokens_in, 4096, "m").unwrap_err();
            let why = "this model's maximum context length is 4096 tokens, shared by prompt and answer (`m`)";
            let detail = format!("prompt is too long: {tokens_in} tokens > 4095 maximum; {why}");
            assert_eq!(problem, Problem::new(Code::ContextTooLong, detail));
        }
    }
}
