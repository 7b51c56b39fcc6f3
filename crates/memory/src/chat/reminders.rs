//! Reminders in a chat: the intentions that are due for a user's message.

use lar_base::{ConversationId, Problem, Timestamp};

use super::activity::Reminder;
use super::excerpt;
use crate::{DueContext, DueIntention, Memories, ReadAccess, Repetition};

/// The most reminders in an answer. Others follow in later answers.
const REMINDERS_MAX: usize = 3;

impl Memories {
    /// Returns the intentions of which an answer to the user's message reminds, most important first.
    ///
    /// An intention is repeated after an hour: in a conversation of Lar's, or for a key. With `repeats`, it is
    /// repeated at once, for an answer that is generated again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remind(
        &self,
        reader: &ReadAccess,
        user_message: &str,
        conversation: Option<ConversationId>,
        repeats: bool,
    ) -> Result<Vec<Reminder>, Problem> {
        let context = DueContext { texts: vec![user_message.to_owned()], ..DueContext::default() };
        let repetition = match (repeats, conversation) {
            (true, _) => Repetition::Always,
            (false, Some(conversation)) => Repetition::HourlyIn(conversation.to_string()),
            (false, None) => Repetition::Hourly,
        };
        let due = self.due_intentions(reader, context, Timestamp::now(), repetition, REMINDERS_MAX).await?;
        Ok(due.into_iter().map(to_reminder).collect())
    }
}

fn to_reminder(due: DueIntention) -> Reminder {
    let DueIntention { intention, reason, .. } = due;
    Reminder { id: intention.id.to_string(), content: excerpt(&intention.content), reason }
}
