//! Intentions: creating, listing, changing and deleting the texts of which a person wants to be reminded.
//!
//! An intention belongs to a space, like a memory, and the same checks of access and of secrets apply to it.
//! [`due`] decides when one is due, [`reminders`] selects those to show now, and [`check`] checks their fields.
//! Words for times ("next Friday") are not parsed here.

mod check;
mod due;
mod glob;
mod reminders;

use lar_base::{ConversationId, IntentionId, Problem, Timestamp};
use lar_store::{
    Intention, IntentionList, IntentionPatch, IntentionPriority, IntentionStatus, IntentionTrigger,
    Provenance,
};

pub use self::check::{CONTENT_BYTES_MAX, MINUTES_MAX, PATTERN_CHARS_MAX, TEXT_CHARS_MAX, TOPICS_MAX};
pub(crate) use self::due::minute;
pub use self::due::{DueCause, DueContext, DueIntention};
pub use self::reminders::{BriefIntentions, Repetition};
use crate::{Memories, ReadAccess, WriteAccess};

/// An intention to create.
#[derive(Debug, Clone, PartialEq)]
pub struct NewIntention {
    /// The text, up to 8 KiB.
    pub content: String,
    /// The event that makes it due.
    pub trigger: IntentionTrigger,
    /// The importance.
    pub priority: IntentionPriority,
    /// The time from which it is overdue; `None` if it has no deadline.
    pub deadline: Option<Timestamp>,
    /// The conversation of Lar in which the user asked for it; `None` for another origin.
    pub conversation: Option<ConversationId>,
    /// The source, a name of the caller's choice.
    pub source: Option<String>,
}

impl NewIntention {
    /// Creates an intention of normal importance without a deadline.
    #[must_use]
    pub fn new(content: impl Into<String>, trigger: IntentionTrigger) -> Self {
        Self {
            content: content.into(),
            trigger,
            priority: IntentionPriority::default(),
            deadline: None,
            conversation: None,
            source: None,
        }
    }
}

/// The result of creating an intention.
#[derive(Debug, Clone, PartialEq)]
pub struct CreatedIntention {
    /// The stored intention: the new one, or an active one with the same text and trigger.
    pub intention: Intention,
    /// Whether it is new.
    pub created: bool,
    /// The rules that found secrets, which were redacted.
    pub redacted: Vec<String>,
}

impl Memories {
    /// Creates an intention in the writer's space. If an active one has the same text and trigger, returns that
    /// one.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] for an invalid field, or one that contains a secret;
    /// [`lar_base::Code::Conflict`] if the space has a thousand active intentions.
    pub async fn create_intention(
        &self,
        writer: &WriteAccess,
        new: NewIntention,
    ) -> Result<CreatedIntention, Problem> {
        let NewIntention { mut content, mut trigger, priority, deadline, conversation, mut source } = new;
        let policy = self.options.secrets;
        let mut redacted = check::check_content(policy, &mut content)?;
        redacted.extend(check::check_trigger(policy, &mut trigger)?);
        if let Some(source) = &mut source {
            redacted.extend(check::check_text(policy, "source", source)?);
        }
        check::check_time("deadline", deadline)?;
        let now = Timestamp::now();
        let intention = Intention {
            id: IntentionId::new(),
            space: writer.space,
            content,
            trigger,
            priority,
            deadline,
            status: IntentionStatus::Active,
            snoozed_until: None,
            provenance: Provenance {
                key: writer.caller.key(),
                source,
                conversation: conversation.map(|id| id.to_string()),
                message: None,
            },
            created_at: now,
            updated_at: now,
            last_shown_at: None,
        };
        let (intention, created) = self.store.intention_create(intention).await?;
        Ok(CreatedIntention { intention, created, redacted })
    }

    /// Returns an intention.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`].
    pub async fn intention(&self, reader: &ReadAccess, id: IntentionId) -> Result<Intention, Problem> {
        Ok(self.store.intention_get(reader.spaces.clone(), id).await?)
    }

    /// Lists intentions, newest first: at most `limit`, older than `after`. Without a status, lists all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intentions(
        &self,
        reader: &ReadAccess,
        status: Option<IntentionStatus>,
        after: Option<IntentionId>,
        limit: u32,
    ) -> Result<Vec<Intention>, Problem> {
        let list = IntentionList { spaces: reader.spaces.clone(), status, after, limit };
        Ok(self.store.intention_list(list).await?)
    }

    /// Changes an intention: completes, cancels, reopens, snoozes or edits it.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`]; [`lar_base::Code::ForbiddenSpace`] if the writer may only read its space;
    /// [`lar_base::Code::InvalidParams`] for an invalid field, one that contains a secret, or a snooze that ends
    /// in the past; [`lar_base::Code::Conflict`] if an intention that is not active is snoozed, or the space has
    /// a thousand active intentions.
    pub async fn update_intention(
        &self,
        writer: &WriteAccess,
        id: IntentionId,
        mut patch: IntentionPatch,
    ) -> Result<Intention, Problem> {
        let policy = self.options.secrets;
        if let Some(content) = &mut patch.content {
            check::check_content(policy, content)?;
        }
        if let Some(trigger) = &mut patch.trigger {
            check::check_trigger(policy, trigger)?;
        }
        check::check_time("deadline", patch.deadline.flatten())?;
        check::check_snooze(patch.snoozed_until.flatten(), Timestamp::now())?;
        self.check_writable_intention(writer, id).await?;
        Ok(self.store.intention_update(writer.spaces.clone(), id, patch).await?)
    }

    /// Erases an intention permanently.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`]; [`lar_base::Code::ForbiddenSpace`] if the writer may only read its space.
    pub async fn erase_intention(&self, writer: &WriteAccess, id: IntentionId) -> Result<(), Problem> {
        self.check_writable_intention(writer, id).await?;
        self.store.intention_erase(writer.spaces.clone(), id).await?;
        self.store.remove_from_answers().await;
        Ok(())
    }

    /// Checks that the writer may change an intention.
    async fn check_writable_intention(&self, writer: &WriteAccess, id: IntentionId) -> Result<(), Problem> {
        let found = self.store.intention_get(writer.spaces.clone(), id).await;
        if matches!(found, Err(lar_store::Error::NotFound(_)))
            && self.store.intention_get(writer.read_only.clone(), id).await.is_ok()
        {
            let reason = format!("you have only read access to the space of intention {id}");
            return Err(Problem::new(lar_base::Code::ForbiddenSpace, reason));
        }
        found?;
        Ok(())
    }
}

/// Checks and screens an imported intention.
///
/// # Errors
/// [`lar_base::Code::InvalidParams`] for an invalid field, or one that contains a secret.
pub(crate) fn check_imported(
    mut intention: Intention,
    policy: crate::SecretPolicy,
) -> Result<Intention, Problem> {
    check::check_content(policy, &mut intention.content)?;
    check::check_trigger(policy, &mut intention.trigger)?;
    check::check_time("deadline", intention.deadline)?;
    let provenance = &mut intention.provenance;
    for (field, text) in [
        ("source", &mut provenance.source),
        ("conversation", &mut provenance.conversation),
        ("message", &mut provenance.message),
    ] {
        if let Some(text) = text {
            check::check_text(policy, field, text)?;
        }
    }
    Ok(intention)
}
