//! Memory in a chat: recalls memories before an answer and applies the memory intents of the user's message.
//!
//! Only the user's own words count, never an answer, a pasted text, a tool's output or a title. Requests are
//! carried out immediately and can be undone. Statements that make a memory outdated, or may be worth saving,
//! go to the inbox.
//! Recalled memories are given to the model as data, in a block that says so and that no memory can close.

mod activity;
mod changes;
mod corrections;
mod prompt_block;
mod reminders;
mod subjects;
mod texts;

use std::collections::HashSet;
use std::fmt::Write as _;

use lar_base::{Code, IntentionId, MemoryId, Problem};
use lar_store::{IntentionPatch, IntentionStatus};

use crate::smart::{Decision, SmartIngestResult};
use crate::strength::Event;
use crate::{Hit, Memories, ReadAccess, Search, WriteAccess};
pub use activity::{
    Forgotten, Listed, MemoryActivity, MemoryActivityIds, Recalled, Reminder, Saved, Suggested,
};
use lar_text::requests::{MemoryIntent, parse_intents};

use self::changes::Passing;
use self::corrections::Correction;
use self::subjects::Forgetting;
pub use self::texts::Origin;
use self::texts::{day_of, excerpt, item, start_of};

/// The most memories that are recalled for an answer.
const RECALLED_MAX: usize = 5;
/// The token budget of recalled memories: the contract's 800, minus 24 for the block around them and 16 for
/// the date of each. Both are counts of the starter model, which has a small vocabulary.
const RECALL_TOKENS: usize = 800 - 24 - RECALLED_MAX * 16;
/// Recalled memories may take at most 1/`CONTEXT_SHARE` of the context.
const CONTEXT_SHARE: usize = 4;
/// A memory is recalled only with at least this similarity, or these shares by weight of all words of
/// the message and of those that some memory contains. Less relevant memories mislead a small model more than
/// they help.
const SIMILARITY_MIN: f32 = 0.4;
const PRESENCE_MIN: f32 = 0.2;
const PRESENCE_OF_KNOWN_MIN: f32 = 0.5;
impl Memories {
    /// Returns the memories that are relevant to a user's message, best first.
    ///
    /// They take at most a quarter of `context_tokens`, counted in tokens of `model`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recall(
        &self,
        reader: &ReadAccess,
        user_message: &str,
        model: &str,
        context_tokens: usize,
    ) -> Result<Vec<Recalled>, Problem> {
        let search = Search {
            query: start_of(user_message).to_owned(),
            limit: RECALLED_MAX,
            token_budget: Some(RECALL_TOKENS.min(context_tokens / CONTEXT_SHARE)),
            model: Some(model.to_owned()),
            ..Search::default()
        };
        if search.query.trim().is_empty() {
            return Ok(Vec::new());
        }
        let found = self.search(reader, search).await?;
        let near = |hit: &Hit| {
            hit.presence >= PRESENCE_MIN && hit.presence_of_known >= PRESENCE_OF_KNOWN_MIN
                || hit.similarity.is_some_and(|similarity| similarity >= SIMILARITY_MIN)
        };
        let near_ids: HashSet<MemoryId> =
            found.hits.iter().filter(|hit| near(hit)).map(|hit| hit.memory.id).collect();
        // A newer memory is recalled with the older one that it may make outdated.
        let is_recalled = |hit: &&Hit| {
            near_ids.contains(&hit.memory.id)
                || (hit.is_only_linked() && hit.links.iter().any(|link| near_ids.contains(&link.memory)))
        };
        Ok(found.hits.iter().filter(is_recalled).map(to_recalled).collect())
    }

    /// Carries out what a user's message asks of the memory, and suggests what it states in passing.
    ///
    /// Only requests change memories. A statement that makes a memory outdated becomes a candidate in the
    /// inbox that asks whether to replace it. `before` is the memory activity of the conversation's earlier
    /// turns, oldest first. "Forget that" refers to the last turn that saved or suggested something.
    ///
    /// # Errors
    /// None at present: refusals and failures are reported in the activity.
    pub async fn apply_intents(
        &self,
        writer: &WriteAccess,
        user_message: &str,
        origin: Origin,
        before: &[MemoryActivity],
    ) -> Result<MemoryActivity, Problem> {
        let mut activity = MemoryActivity::default();
        for intent in parse_intents(user_message) {
            let outcome = match intent {
                MemoryIntent::Remember(what) => {
                    let decided = self.ingest_smart(writer, item(what, origin), None).await;
                    self.record_saved(writer, decided, &mut activity).await
                }
                MemoryIntent::Correct { text, object, about, is_certain } => {
                    let correction = Correction { text, object, about, is_certain };
                    self.correct(writer, correction, origin, &mut activity).await
                }
                MemoryIntent::Forget { what: None, all: false, .. } => {
                    self.forget_last(writer, before, &mut activity).await
                }
                MemoryIntent::Forget { what, parts, all, spared } => {
                    self.forget(writer, what.as_deref(), Forgetting { parts, all, spared }, &mut activity)
                        .await
                }
                MemoryIntent::ForgetNamed { subjects, all, spared } => {
                    let forgetting = Forgetting { parts: subjects, all, spared };
                    self.forget_parts(writer, &forgetting, &mut activity).await
                }
                MemoryIntent::List { what } => self.list_known(writer, what.as_deref(), &mut activity).await,
                MemoryIntent::Remind { text, topic } => {
                    self.schedule(writer, text, topic, origin, &mut activity).await
                }
                MemoryIntent::Statement { text, lasting, change } => {
                    let statement = Passing { text, lasting, change };
                    self.suggest_statement(writer, statement, origin, &mut activity).await
                }
            };
            if let Err(problem) = outcome {
                activity.refused.push(problem.detail);
            }
        }
        Ok(activity)
    }

    /// Records a review of each memory that an answer cites.
    ///
    /// Memories that the writer may not change, or that no longer exist, are skipped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn review_cited(&self, writer: &WriteAccess, activity: &MemoryActivity) -> Result<(), Problem> {
        for recalled in activity.recalled.iter().filter(|recalled| recalled.cited) {
            let Ok(id) = recalled.id.parse::<MemoryId>() else { continue };
            match self.review(writer, id, Event::Cited, Some("cited in an answer".into())).await {
                Err(problem) if !matches!(problem.code, Code::NotFound | Code::ForbiddenSpace) => {
                    return Err(problem);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds what a request saved to the activity, or why it was refused.
    async fn record_saved(
        &self,
        writer: &WriteAccess,
        decided: Result<SmartIngestResult, Problem>,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let decided = decided?;
        match decided.decision {
            Decision::Reject => activity.refused.push(decided.reason),
            _ => activity.saved.extend(self.to_saved(writer, decided).await?),
        }
        Ok(())
    }

    /// Undoes the last turn that changed something.
    async fn forget_last(
        &self,
        writer: &WriteAccess,
        before: &[MemoryActivity],
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let has_new = |turn: &&MemoryActivity| {
            !(turn.saved.is_empty() && turn.suggested.is_empty() && turn.scheduled.is_empty())
        };
        let Some(last) = before.iter().rev().find(has_new) else {
            activity.refused.push("Nothing was saved in this conversation.".into());
            return Ok(());
        };
        for suggested in &last.suggested {
            self.dismiss_text(writer, &suggested.content).await?;
            activity.forgotten.push(Forgotten {
                id: String::new(),
                content: suggested.content.clone(),
                change: None,
            });
        }
        for scheduled in &last.scheduled {
            let Ok(id) = scheduled.id.parse::<IntentionId>() else { continue };
            let cancelled =
                IntentionPatch { status: Some(IntentionStatus::Cancelled), ..IntentionPatch::default() };
            match self.update_intention(writer, id, cancelled).await {
                Ok(intention) => activity.forgotten.push(Forgotten {
                    id: intention.id.to_string(),
                    content: excerpt(&intention.content),
                    change: None,
                }),
                Err(problem) => activity.refused.push(problem.detail),
            }
        }
        for saved in &last.saved {
            let Ok(id) = saved.id.parse::<MemoryId>() else { continue };
            let change = saved.change.as_ref().and_then(|change| change.parse().ok());
            let content = match self.store.memory_get(vec![writer.space], id).await {
                Ok(memory) if saved.content.is_empty() => excerpt(&memory.content),
                _ => saved.content.clone(),
            };
            // Undoing makes a superseded memory current again.
            match self.undo(writer, id, change).await {
                Ok(_) => activity.forgotten.push(Forgotten {
                    id: saved.id.clone(),
                    content,
                    change: self.last_decision(writer, id).await?.map(|change| change.to_string()),
                }),
                Err(problem) => activity.refused.push(problem.detail),
            }
        }
        Ok(())
    }

    /// Undoes what a message changed, because its turn did not begin.
    ///
    /// # Errors
    /// When the database fails. What cannot be undone, because something else changed it, stays.
    pub async fn undo_turn(&self, writer: &WriteAccess, activity: &MemoryActivity) -> Result<(), Problem> {
        let mut undone = MemoryActivity::default();
        self.forget_last(writer, std::slice::from_ref(activity), &mut undone).await?;
        let mut decisions = HashSet::new();
        for forgotten in &activity.forgotten {
            let ids = (forgotten.id.parse::<MemoryId>(), forgotten.change.as_ref().map(|id| id.parse()));
            if let (Ok(id), Some(Ok(change))) = ids
                && decisions.insert(change)
                && let Err(problem) = self.undo(writer, id, Some(change)).await
            {
                tracing::warn!(%problem, "could not undo what a message without an answer had forgotten");
            }
        }
        Ok(())
    }

    /// Describes a saved memory for the activity.
    async fn to_saved(
        &self,
        writer: &WriteAccess,
        decided: SmartIngestResult,
    ) -> Result<Option<Saved>, Problem> {
        let Some(memory) = decided.memory else { return Ok(None) };
        let against =
            decided.against.filter(|_| matches!(decided.decision, Decision::Supersede | Decision::Update));
        let superseded_id = against.as_ref().map(|against| against.id.to_string());
        let superseded_content = against.map(|against| against.content);
        let change = self.last_decision(writer, memory.id).await?.map(|change| change.to_string());
        let (id, decision) = (memory.id.to_string(), decided.decision.as_str().into());
        let content = memory.content;
        Ok(Some(Saved { id, decision, content, superseded_content, superseded_id, change }))
    }
}

fn to_recalled(hit: &Hit) -> Recalled {
    let mut reason = format!("keywords {:.2}", hit.keyword_score);
    if let Some(similarity) = hit.similarity {
        let _ = write!(reason, ", similarity {similarity:.2}");
    }
    Recalled {
        id: hit.memory.id.to_string(),
        content: hit.text.clone(),
        day: day_of(&hit.memory),
        possibly_outdated: hit.is_possibly_outdated(),
        score: hit.score,
        reason,
        cited: false,
    }
}
