//! Questions about the vocabulary and the template, which a vocabulary's worker answers: a prompt's tokens, how far an
//! answer can be held to constraints, and those of [`TokenizerQuery`].
//!
//! `caller` is the key that asks, or `None` for Lar itself. Callers take turns in the worker.

use lar_base::KeyId;
use tokio::sync::oneshot;

use super::{PendingReply, Worker};
use crate::Error;
use crate::driver::{Prompt, TokenizerAnswer, TokenizerQuery};
use crate::embedded::rpc::{CheckOutcome, PendingChecks, TokenizeFrame, TokenizeReply};
use crate::protocol::{ConstraintCheck, FRAME_BYTES_MAX, ToWorker};
use crate::template::ChatTemplate;

impl Worker {
    /// A prompt's tokens, up to so many; their number only where `tokens_max` is absent. Dropping the future stops the
    /// work.
    pub(in crate::embedded) async fn tokenize(
        &self,
        caller: Option<KeyId>,
        prompt: &Prompt,
        template: Option<&ChatTemplate>,
        tokens_max: Option<u32>,
    ) -> Result<TokenizeReply, Error> {
        let _large = self.shared.acquire_large_prompt_permit(prompt.bytes()).await;
        let (answer, answered) = oneshot::channel();
        let question = self.register(PendingReply::Tokenize(answer));
        let caller = self.shared.caller_number(caller);
        let frame = TokenizeFrame { id: question.id, caller, prompt, template, tokens_max };
        // The only text that one frame may be too short for is one that no context is long enough for.
        let sent = self.shared.send_text(frame).await;
        sent.map_err(|error| Error::ContextTooLong(error.to_string()))?;
        match answered.await {
            Ok(answer) => answer.map_err(Error::Template),
            Err(_) => Err(Error::Failed(self.wait_for_death().await)),
        }
    }

    /// How far an answer can be held to each of a request's constraints, in their order. Dropping the future stops the
    /// work.
    ///
    /// # Errors
    /// [`Error::Constraint`] where they are too long together, and where the worker ends.
    pub(in crate::embedded) async fn check_all(
        &self,
        caller: Option<KeyId>,
        constraints: Vec<ConstraintCheck>,
    ) -> Result<Vec<CheckOutcome>, Error> {
        if constraints.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        let question = self.register(PendingReply::Check(PendingChecks::new(constraints.len(), answer)));
        let caller = self.shared.caller_number(caller);
        let sent = self.shared.send_text(ToWorker::Check { id: question.id, caller, constraints }).await;
        // A frame that is too long is all that cannot be sent.
        sent.map_err(|_| {
            Error::Constraint(format!("it is too long: {} MiB of schemas at most", FRAME_BYTES_MAX >> 20))
        })?;
        match answered.await {
            Ok(outcomes) => Ok(outcomes),
            Err(_) => Err(Error::Failed(self.wait_for_death().await)),
        }
    }

    /// Answers a question. Dropping the future stops the work.
    pub(in crate::embedded) async fn query_tokenizer(
        &self,
        caller: Option<KeyId>,
        question: TokenizerQuery,
        template: Option<ChatTemplate>,
    ) -> Result<TokenizerAnswer, Error> {
        let _large = self.shared.acquire_large_prompt_permit(question.bytes()).await;
        let (answer, answered) = oneshot::channel();
        let pending = self.register(PendingReply::Text(answer));
        let caller = self.shared.caller_number(caller);
        self.shared.send_text(ToWorker::Text { id: pending.id, caller, question, template }).await?;
        match answered.await {
            Ok(answer) => answer.map_err(Error::Template),
            Err(_) => Err(Error::Failed(self.wait_for_death().await)),
        }
    }
}
