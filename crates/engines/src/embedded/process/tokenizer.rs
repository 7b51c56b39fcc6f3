//! Calls to a vocabulary worker: tokenizing a prompt, checking constraints, and the queries of
//! [`TokenizerQuery`].
//!
//! `caller` is the key on whose behalf Lar asks, or `None` for Lar itself. The worker serves callers in turn.

use lar_base::KeyId;
use tokio::sync::oneshot;

use super::Worker;
use crate::embedded::rpc::{CheckOutcome, PendingChecks, PendingReply, TokenizeFrame, TokenizeReply};
use lar_inference::ChatTemplate;
use lar_inference::Error;
use lar_inference::protocol::{ConstraintCheck, FRAME_BYTES_MAX, ToWorker};
use lar_inference::{Prompt, TokenizerAnswer, TokenizerQuery};

impl Worker {
    /// Returns a prompt's tokens, up to `tokens_max`; only their number if that is `None`. Dropping the
    /// future stops the work.
    pub(in crate::embedded) async fn tokenize(
        &self,
        caller: Option<KeyId>,
        prompt: &Prompt,
        template: Option<&ChatTemplate>,
        tokens_max: Option<u32>,
    ) -> Result<TokenizeReply, Error> {
        let _large = self.connection.acquire_large_prompt_permit(prompt.bytes()).await;
        let (answer, answered) = oneshot::channel();
        let call = self.connection.register(PendingReply::Tokenize(answer));
        let caller = self.connection.caller_number(caller);
        let frame = TokenizeFrame { id: call.id, caller, prompt, template, tokens_max };
        // A prompt that exceeds one frame also exceeds every context.
        let sent = self.connection.send_text(frame).await;
        sent.map_err(|error| Error::ContextTooLong(error.to_string()))?;
        match answered.await {
            Ok(answer) => answer.map_err(Error::Template),
            Err(_) => Err(Error::Failed(self.wait_for_death().await)),
        }
    }

    /// Checks how much of each constraint of a request the engine can apply, in order. Dropping the future
    /// stops the work.
    ///
    /// # Errors
    /// [`Error::Constraint`] if all of them together are too long for one frame; another error if the worker
    /// dies.
    pub(in crate::embedded) async fn check_all(
        &self,
        caller: Option<KeyId>,
        constraints: Vec<ConstraintCheck>,
    ) -> Result<Vec<CheckOutcome>, Error> {
        if constraints.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        let call =
            self.connection.register(PendingReply::Check(PendingChecks::new(constraints.len(), answer)));
        let caller = self.connection.caller_number(caller);
        let sent = self.connection.send_text(ToWorker::Check { id: call.id, caller, constraints }).await;
        // Sending fails only for a frame that is too long.
        sent.map_err(|_| {
            Error::Constraint(format!(
                "the schemas are too long: {} MiB together at most",
                FRAME_BYTES_MAX >> 20
            ))
        })?;
        match answered.await {
            Ok(outcomes) => Ok(outcomes),
            Err(_) => Err(Error::Failed(self.wait_for_death().await)),
        }
    }

    /// Answers a query. Dropping the future stops the work.
    pub(in crate::embedded) async fn query_tokenizer(
        &self,
        caller: Option<KeyId>,
        query: TokenizerQuery,
        template: Option<ChatTemplate>,
    ) -> Result<TokenizerAnswer, Error> {
        let _large = self.connection.acquire_large_prompt_permit(query.bytes()).await;
        let (answer, answered) = oneshot::channel();
        let pending = self.connection.register(PendingReply::Text(answer));
        let caller = self.connection.caller_number(caller);
        self.connection.send_text(ToWorker::Text { id: pending.id, caller, query, template }).await?;
        match answered.await {
            Ok(answer) => answer.map_err(Error::Template),
            Err(_) => Err(Error::Failed(self.wait_for_death().await)),
        }
    }
}
