//! A small model that guesses what a larger one with the same vocabulary will write.
//!
//! It reads what the larger one has read and goes on greedily. It holds one text; another one displaces it as
//! far as the two differ. What it does changes no answer, only how many steps it takes.

use lar_base::Instant;

use super::llama_cpp::{Context, ContextOptions, DecodeError, Interrupt, Model};
use crate::protocol::{CacheType, Compute};

/// Tokens of a text that are read in one go; a step of the larger model waits for it.
const READ_MAX: usize = 256;
/// Every so many tokens of the vocabularies are compared.
const COMPARED_EVERY: usize = 101;
/// Weight of the newest measurement.
const NEWEST: f64 = 0.3;

pub(super) struct Drafter<'model> {
    context: Context<'model>,
    context_tokens: usize,
    /// What the context knows.
    holds: Vec<u32>,
    /// Seconds that a guess takes, measured.
    pub(super) token_seconds: f64,
    model: &'model Model,
}

impl<'model> Drafter<'model> {
    /// # Errors
    /// When the vocabularies differ or there is no memory.
    pub(super) fn new(
        model: &'model Model,
        larger: &Model,
        compute: &Compute,
        context_tokens: u32,
    ) -> Result<Self, String> {
        let (ours, theirs) = (model.vocab(), larger.vocab());
        let same = |token: u32| ours.bytes(token, true) == theirs.bytes(token, true);
        if ours.len() != theirs.len() || !theirs.tokens().step_by(COMPARED_EVERY).all(same) {
            return Err("its vocabulary is not that of the model it would guess for".into());
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
        let context = model.context(options).ok_or("there is no memory for its context")?;
        let context_tokens = context_tokens as usize;
        Ok(Self { context, context_tokens, holds: Vec::new(), token_seconds: 0.0, model })
    }

    /// Up to `most` tokens that may follow a text; none while it has still to read much of it.
    ///
    /// # Errors
    /// When it cannot compute; it is of no use then.
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

    /// Reads tokens behind what it holds; where in the batch the last one's output is.
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
