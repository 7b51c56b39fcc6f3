//! Reminders in a chat: the intentions that are due for a user's message, and those that it creates.

use lar_base::{ConversationId, Problem, Timestamp};
use lar_store::{Intention, IntentionTrigger};
use lar_text::future_times::future_time;

use super::activity::{MemoryActivity, Reminder};
use super::texts::{Origin, excerpt};
use crate::intentions::minute;
use crate::{DueContext, DueIntention, Memories, NewIntention, ReadAccess, Repetition, WriteAccess};

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

    /// Creates the intention that a user's message asks for: at the time that its text names, or when a text
    /// mentions its topic.
    pub(super) async fn schedule(
        &self,
        writer: &WriteAccess,
        text: String,
        topic: Option<String>,
        origin: Origin,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let (content, trigger) = match topic {
            Some(topic) => {
                let trigger = IntentionTrigger::Context {
                    project: None,
                    codebase: None,
                    file_pattern: None,
                    topics: vec![topic],
                };
                (text, trigger)
            }
            None => {
                let Some(time) = future_time(&text, Timestamp::now().as_millis()) else {
                    activity.refused.push("This time has passed. Name one in the future.".into());
                    return Ok(());
                };
                (time.rest, IntentionTrigger::Time { at: Timestamp::from_millis(time.millis) })
            }
        };
        let mut new = NewIntention::new(content, trigger);
        new.conversation = origin.conversation;
        new.source = Some(origin.source.into());
        let created = self.create_intention(writer, new).await?;
        activity.scheduled.push(to_scheduled(&created.intention));
        Ok(())
    }
}

fn to_scheduled(intention: &Intention) -> Reminder {
    let reason = match &intention.trigger {
        IntentionTrigger::Time { at } => format!("at {}", minute(*at)),
        IntentionTrigger::Context { topics, .. } => format!("when you mention “{}”", topics.join("”, “")),
        IntentionTrigger::Event { condition } => format!("when you mention “{condition}”"),
        IntentionTrigger::Manual => String::new(),
    };
    Reminder { id: intention.id.to_string(), content: excerpt(&intention.content), reason }
}

fn to_reminder(due: DueIntention) -> Reminder {
    let DueIntention { intention, reason, .. } = due;
    Reminder { id: intention.id.to_string(), content: excerpt(&intention.content), reason }
}
