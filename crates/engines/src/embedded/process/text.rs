//! Questions about the vocabulary and the template, which a vocabulary's worker answers.

use tokio::sync::oneshot;

use super::{Question, Worker};
use crate::Error;
use crate::driver::{TextAnswer, TextQuestion};
use crate::protocol::ToWorker;
use crate::template::ChatTemplate;

impl Worker {
    /// Answers a question. Dropping the future stops the work.
    pub(in crate::embedded) async fn text(
        &self,
        question: TextQuestion,
        template: Option<ChatTemplate>,
    ) -> Result<TextAnswer, Error> {
        let bytes = match &question {
            TextQuestion::Tokenize { text, .. } => text.len(),
            TextQuestion::Detokenize { tokens } => tokens.len(),
            TextQuestion::Render(chat) => chat.bytes(),
        };
        let _large = self.shared.turn_of_large(bytes).await;
        let (answer, answered) = oneshot::channel();
        let asked = self.ask(Question::Text(answer));
        self.shared.send_text(ToWorker::Text { id: asked.id, question, template }).await?;
        match answered.await {
            Ok(answer) => answer.map_err(Error::Template),
            Err(_) => Err(Error::Failed(self.died().await)),
        }
    }
}
