//! Drafts tokens that a step of the model then accepts or rejects (speculative decoding).
//!
//! There are two sources. [`look_up_draft`] copies tokens from the prompt or answer. A [`Drafter`] is a small
//! model that drafts the tokens of a larger one with the same vocabulary. It reads the same text and decodes
//! greedily. It has one sequence; for another text it keeps the common prefix.
//!
//! Drafts change no answer, only the number of steps that an answer takes. `step_budget.rs` decides how many
//! draft tokens a step computes.

use lar_base::Instant;

use super::llama_cpp::{Context, ContextOptions, DecodeError, Interrupt, Model};
use lar_inference::protocol::{CacheType, Compute};

/// The most tokens that it reads at once; a step of the larger model waits for it.
const READ_MAX: usize = 256;
/// Every this many tokens, the vocabularies are compared.
const COMPARED_EVERY: usize = 101;
/// The weight of the newest measurement.
const NEWEST: f64 = 0.3;

/// A draft model.
pub(super) struct Drafter<'model> {
    context: Context<'model>,
    context_tokens: usize,
    /// The tokens in the context.
    holds: Vec<u32>,
    /// The measured seconds of one draft token.
    pub(super) token_seconds: f64,
    model: &'model Model,
}

impl<'model> Drafter<'model> {
    /// Makes a drafter.
    ///
    /// # Errors
    /// The vocabularies differ, or there is not enough memory.
    pub(super) fn new(
        model: &'model Model,
        larger: &Model,
        compute: &Compute,
        context_tokens: u32,
    ) -> Result<Self, String> {
        let (own, other) = (model.vocab(), larger.vocab());
        let same = |token: u32| own.bytes(token, true) == other.bytes(token, true);
        if own.len() != other.len() || !other.tokens().step_by(COMPARED_EVERY).all(same) {
            return Err("its vocabulary differs from that of the larger model".into());
        }
        let options = ContextOptions {
            sequences: 1,
            context_tokens,
            batch_tokens: compute.batch_tokens,
            threads: compute.threads,
            threads_batch: compute.threads_batch,
            flash_attention: compute.flash_attention,
            cache_type: CacheType::F16,
            embeddings: false,
            interrupt: Interrupt::default(),
        };
        let context = Context::new(model, options).ok_or("there is not enough memory for its context")?;
        let context_tokens = context_tokens as usize;
        Ok(Self { context, context_tokens, holds: Vec::new(), token_seconds: 0.0, model })
    }

    /// Drafts up to `most` tokens after a text; none while much of the text is unread.
    ///
    /// # Errors
    /// The model cannot compute and must not be used any more.
    pub(super) fn draft_tokens(&mut self, text: &[u32], most: usize) -> Result<Vec<u32>, DecodeError> {
        if text.is_empty() || text.len() + most > self.context_tokens {
            return Ok(Vec::new());
        }
        let same = self.holds.iter().zip(text).take_while(|(a, b)| a == b).count().min(text.len() - 1);
        self.context.forget(0, same);
        self.holds.truncate(same);
        let missing = &text[same..text.len().min(same + READ_MAX)];
        let mut output = self.read(missing)?;
        if self.holds.len() < text.len() {
            return Ok(Vec::new());
        }
        let (mut draft, vocab) = (Vec::with_capacity(most), self.model.vocab());
        while draft.len() < most {
            let token = super::shortlist::likeliest(self.context.logits(output), &[]);
            if vocab.ends(token) {
                break;
            }
            draft.push(token);
            if draft.len() < most {
                let started = Instant::now();
                output = self.read(&[token])?;
                let took = started.elapsed().as_secs_f64();
                let weight = if self.token_seconds == 0.0 { 1.0 } else { NEWEST };
                self.token_seconds += weight * (took - self.token_seconds);
            }
        }
        Ok(draft)
    }

    /// Reads tokens after the current ones. Returns the batch index of the last one's logits.
    fn read(&mut self, tokens: &[u32]) -> Result<usize, DecodeError> {
        self.context.batch_clear();
        let mut output = 0;
        for (at, token) in tokens.iter().enumerate() {
            output = self.context.batch_add(*token, self.holds.len() + at, 0, at + 1 == tokens.len());
        }
        self.context.decode()?;
        self.holds.extend_from_slice(tokens);
        Ok(output)
    }
}

/// Returns the tokens that followed an earlier occurrence of the last tokens in the prompt or answer. The
/// longest match decides, then the latest (prompt lookup decoding; the idea is Apoorv Saxena's, 2023).
pub(super) fn look_up_draft(text: &[u32], most: usize) -> &[u32] {
    /// A shorter match does not predict what follows.
    const EQUAL_MIN: usize = 3;
    /// A longer match is not compared further.
    const EQUAL_MAX: usize = 16;
    /// How far back the search goes; a comparison takes about a nanosecond.
    const LOOKED_BACK: usize = 16 << 10;
    let Some(last) = text.last() else { return &[] };
    let from = text.len().saturating_sub(LOOKED_BACK);
    let (mut best, mut length) = (None, EQUAL_MIN - 1);
    for end in (from..text.len() - 1).rev() {
        if text[end] != *last {
            continue;
        }
        let equal = text[..=end].iter().rev().zip(text.iter().rev()).take(EQUAL_MAX);
        let equal = equal.take_while(|(a, b)| a == b).count();
        if equal > length {
            (best, length) = (Some(end + 1), equal);
            if equal == EQUAL_MAX {
                break;
            }
        }
    }
    best.map_or(&[], |at| &text[at..text.len().min(at + most)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_followed_before_are_drafted() {
        assert_eq!(look_up_draft(&[1, 2, 3, 4, 5, 9, 1, 2, 3], 2), [4, 5]);
        assert_eq!(look_up_draft(&[1, 2, 3, 4, 5, 9, 1, 2, 3], 9), [4, 5, 9, 1, 2, 3]);
        // The longer match wins over the later one.
        assert_eq!(look_up_draft(&[8, 1, 2, 3, 7, 5, 1, 2, 3, 4, 8, 1, 2, 3], 1), [7]);
        assert_eq!(look_up_draft(&[2, 3, 4, 2, 3], 4), [] as [u32; 0], "a match of two tokens is too short");
        assert_eq!(look_up_draft(&[], 4), [] as [u32; 0]);
        assert_eq!(look_up_draft(&[7], 4), [] as [u32; 0]);
        assert_eq!(look_up_draft(&[7; 6], 4), [7], "a repetition continues up to the end of the text");
    }
}
