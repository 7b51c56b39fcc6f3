//! Ratings of answers. A good rating strengthens the memories that the answer recalled.

use lar_base::{Caller, MessageId, Problem, Scope};
use lar_memory::strength::Event;
use lar_memory::{Memories, MemoryScope};
use lar_store::{Message, OwnedConversation, Rating, Store};

use crate::recall::activity_of;

/// Stores a reader's rating of an answer and returns the answer; `None` removes the rating.
///
/// When the rating becomes good, a use of each memory that the answer recalled is recorded, if the caller has
/// the scope `memory:write`. An error there is logged and does not undo the rating.
///
/// # Errors
/// [`lar_store::Error::NotFound`] when the conversation has no such message; when the database fails.
pub async fn rate_answer(
    store: &Store,
    memories: &Memories,
    caller: &Caller,
    conversation: &OwnedConversation,
    answer: MessageId,
    rating: Option<Rating>,
) -> Result<Message, lar_store::Error> {
    let before = store.message_get(conversation, answer).await?.rating;
    let rated = store.message_rate(conversation, answer, rating).await?;
    if rating == Some(Rating::Good) && before != Some(Rating::Good) {
        record_use(memories, caller, &rated).await;
    }
    Ok(rated)
}

/// Records a use of each memory that a good answer recalled.
async fn record_use(memories: &Memories, caller: &Caller, answer: &Message) {
    let activity = activity_of(answer).filter(|_| caller.has(Scope::MemoryWrite));
    let Some(activity) = activity else { return };
    let used = async {
        let writer = memories.authorize_write(caller.clone(), MemoryScope::default()).await?;
        for recalled in &activity.recalled {
            let reason = Some("an answer that recalled it was rated good".to_owned());
            if let Ok(id) = recalled.id.parse() {
                memories.review(&writer, id, Event::Used, reason).await?;
            }
        }
        Ok::<_, Problem>(())
    };
    if let Err(problem) = used.await {
        tracing::debug!(%problem, "could not record the use of a memory");
    }
}
