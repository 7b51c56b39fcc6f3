//! Memory in a turn: recalls memories for the prompt and applies the memory intents of the user's message.
//!
//! A turn never fails because of memory: errors are logged, and the model answers without memories.

use std::time::Duration;

use lar_base::{Caller, ConversationId, Problem, Scope};
use lar_memory::{Memories, MemoryActivity, MemoryScope, Origin, Recalled, Reminder};
use lar_store::Message;

/// The longest time that an answer waits for recalled memories.
const RECALL_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest time that an answer waits until the message's requests to the memory are carried out.
const INTENTS_TIMEOUT: Duration = Duration::from_secs(10);

/// Memory for the conversations that Lar stores.
#[derive(Debug, Clone)]
pub struct ChatMemory {
    /// The memory service.
    pub memories: Memories,
    /// Whether messages may change memories. If not, memories are only recalled.
    pub remember: bool,
}

impl ChatMemory {
    /// Recalls memories and reminders for a user's message and applies its memory intents.
    ///
    /// A regenerated answer applies no intents, because the first answer already did. `path` is the
    /// conversation up to the message.
    pub(crate) async fn process_turn(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        user_message: &str,
        is_regeneration: bool,
        path: &[&Message],
        model: ModelContext<'_>,
    ) -> MemoryActivity {
        let remembers = self.remember && !is_regeneration && caller.has(Scope::MemoryWrite);
        let intent_context = remembers.then(|| IntentContext {
            origin: Origin { conversation: Some(conversation), source: "chat" },
            before: path.iter().filter_map(|message| activity_of(message)).collect(),
        });
        let request = RecallRequest {
            caller,
            memory_scope: MemoryScope::default(),
            user_message,
            conversation: Some(conversation),
            is_regeneration,
            intent_context,
            recalls: caller.has(Scope::MemoryRead),
            model,
        };
        recall_and_apply(&self.memories, request).await
    }

    /// Undoes what a message changed, because its turn did not begin. A failure is logged.
    pub(crate) async fn undo_turn(&self, caller: &Caller, activity: &MemoryActivity) {
        let MemoryActivity { saved, forgotten, suggested, scheduled, .. } = activity;
        if saved.is_empty() && forgotten.is_empty() && suggested.is_empty() && scheduled.is_empty() {
            return;
        }
        let undone = async {
            let writer = self.memories.authorize_write(caller.clone(), MemoryScope::default()).await?;
            self.memories.undo_turn(&writer, activity).await
        };
        if let Err(error) = undone.await {
            tracing::warn!(%error, "could not undo what a message without an answer had changed");
        }
    }
}

/// The model that answers, whose context limits the recalled memories.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModelContext<'a> {
    /// The model's name or alias.
    pub(crate) model: &'a str,
    /// The size of its context in tokens; `usize::MAX` if unknown.
    pub(crate) context_tokens: usize,
}

/// A user's message, and how memory is used for it.
pub(crate) struct RecallRequest<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) memory_scope: MemoryScope<'a>,
    pub(crate) user_message: &'a str,
    /// The conversation, if Lar stores it.
    pub(crate) conversation: Option<ConversationId>,
    /// Whether the message was answered before, so that the answer repeats its reminders.
    pub(crate) is_regeneration: bool,
    /// The context of the message's memory intents; `None` if they are not applied.
    pub(crate) intent_context: Option<IntentContext>,
    /// Whether memories are recalled.
    pub(crate) recalls: bool,
    pub(crate) model: ModelContext<'a>,
}

/// The context in which a message's memory intents are applied.
pub(crate) struct IntentContext {
    pub(crate) origin: Origin,
    /// The memory activity of the previous turns, oldest first.
    pub(crate) before: Vec<MemoryActivity>,
}

/// Applies a message's memory intents and recalls memories, as the request says.
///
/// An answer waits for recalled memories for [`RECALL_TIMEOUT`], and for the intents for [`INTENTS_TIMEOUT`]. Intents
/// that take longer are carried out in the background, and the activity says so.
pub(crate) async fn recall_and_apply(memories: &Memories, mut request: RecallRequest<'_>) -> MemoryActivity {
    let mut activity = match request.intent_context.take() {
        Some(context) => apply(memories, &request, context).await,
        None => MemoryActivity::default(),
    };
    if request.recalls {
        match tokio::time::timeout(RECALL_TIMEOUT, recall(memories, &request, &activity)).await {
            // A memory that this message has just saved adds nothing to the prompt.
            Ok(Ok((mut recalled, reminders))) => {
                recalled.retain(|one| activity.saved.iter().all(|saved| saved.id != one.id));
                activity.recalled = recalled;
                activity.reminders = reminders;
            }
            Ok(Err(error)) => tracing::warn!(%error, "could not recall memories"),
            Err(_) => tracing::warn!("recalling memories timed out; answering without them"),
        }
    }
    activity
}

/// Applies a message's memory intents. A client that disconnects does not stop them halfway.
async fn apply(memories: &Memories, request: &RecallRequest<'_>, context: IntentContext) -> MemoryActivity {
    let IntentContext { origin, before } = context;
    let writer = match memories.authorize_write(request.caller.clone(), request.memory_scope).await {
        Ok(writer) => writer,
        Err(error) => {
            tracing::warn!(%error, "could not apply a message's memory intents");
            return MemoryActivity::default();
        }
    };
    let (memories, message) = (memories.clone(), request.user_message.to_owned());
    let applied =
        tokio::spawn(async move { memories.apply_intents(&writer, &message, origin, &before).await });
    let refused = |reason: &str| MemoryActivity { refused: vec![reason.into()], ..MemoryActivity::default() };
    match tokio::time::timeout(INTENTS_TIMEOUT, applied).await {
        Ok(Ok(Ok(activity))) => activity,
        Ok(Ok(Err(error))) => {
            tracing::warn!(%error, "could not apply a message's memory intents");
            refused("The memory failed. Try again.")
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "could not apply a message's memory intents");
            refused("The memory failed. Try again.")
        }
        Err(_) => refused(
            "The memory is busy. What the message asks of it is carried out in the background; see the memory page.",
        ),
    }
}

/// Recalls memories and reminders for a message.
async fn recall(
    memories: &Memories,
    request: &RecallRequest<'_>,
    activity: &MemoryActivity,
) -> Result<(Vec<Recalled>, Vec<Reminder>), Problem> {
    let RecallRequest { caller, memory_scope, user_message, conversation, is_regeneration, .. } = request;
    let ModelContext { model, context_tokens } = request.model;
    let reader = memories.authorize_read((*caller).clone(), *memory_scope).await?;
    let recalled = memories.recall(&reader, user_message, model, context_tokens).await?;
    // A message that sets a reminder names its topic, but is no reason to remind.
    if !activity.scheduled.is_empty() {
        return Ok((recalled, Vec::new()));
    }
    let reminded = memories.remind(&reader, user_message, *conversation, *is_regeneration).await;
    // Without reminders, the answer still has the memories.
    let reminders = reminded.unwrap_or_else(|error| {
        tracing::warn!(%error, "could not find reminders");
        Vec::new()
    });
    Ok((recalled, reminders))
}

/// Why serializing an activity cannot fail.
const SERIALIZES: &str = "an activity is lists of texts and numbers";

/// Returns the JSON of an activity, which is stored with the answer.
pub(crate) fn activity_json(activity: &MemoryActivity) -> String {
    serde_json::to_string(activity).expect(SERIALIZES)
}

/// Returns the JSON with the ids of an activity, which is stored with the task.
pub(crate) fn activity_ids_json(activity: &MemoryActivity) -> Option<String> {
    activity.ids().map(|ids| serde_json::to_string(&ids).expect(SERIALIZES))
}

/// Returns the memory activity stored with an answer.
pub(crate) fn activity_of(message: &Message) -> Option<MemoryActivity> {
    serde_json::from_str(message.memory.as_deref()?).ok()
}
