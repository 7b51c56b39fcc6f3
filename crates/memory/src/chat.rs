//! Memory in a chat: recalls memories before an answer and applies the memory intents of the user's message.
//!
//! Only the user's own words count, never an answer, a pasted text, a tool's output or a title. Requests are
//! carried out immediately and can be undone. Statements that make a memory outdated, or may be worth saving,
//! go to the inbox.
//! Recalled memories are given to the model as data, in a block that says so and that no memory can close.

mod activity;
mod prompt_block;
mod reminders;

use std::fmt::Write as _;

use lar_base::{ChangeId, Code, ConversationId, MemoryId, Problem, Scope, Timestamp};
use lar_store::{Change, Memory, MemoryChange, MemoryDecision, MemoryList, MemoryPatch};

use crate::smart::{Decision, SmartIngestResult};
use crate::strength::Event;
use crate::{Hit, Item, Memories, ReadAccess, Search, WriteAccess};
pub use activity::{
    Forgotten, Listed, MemoryActivity, MemoryActivityIds, Recalled, Reminder, Saved, Suggested,
};
use lar_text::requests::{MemoryIntent, parse_intents};

/// The most memories that are recalled for an answer.
const RECALLED_MAX: usize = 5;
/// The token budget of recalled memories: the contract's 800, minus 24 for the block around them and 16 for
/// the date of each. Both are counts of the starter model, which has a small vocabulary.
const RECALL_TOKENS: usize = 800 - 24 - RECALLED_MAX * 16;
/// Recalled memories may take at most 1/`CONTEXT_SHARE` of the context.
const CONTEXT_SHARE: usize = 4;
/// The number of bytes at the start of a message that are used as the query.
const QUERY_BYTES: usize = 1000;
/// A memory is recalled only with at least this similarity, or these shares by weight of all words of
/// the message and of those that some memory contains. Less relevant memories mislead a small model more than
/// they help.
const SIMILARITY_MIN: f32 = 0.4;
const PRESENCE_MIN: f32 = 0.2;
const PRESENCE_OF_KNOWN_MIN: f32 = 0.5;
/// A single memory is forgotten only with a similarity that is certain with this embedder, or with at least this share
/// of the subject's words by weight.
const FORGET_PRESENCE_MIN: f32 = 0.7;
/// The share by weight of the words of X that a memory needs to be "about X".
const ABOUT_PRESENCE_MIN: f32 = 0.99;
/// The most memories that one message can forget.
const FORGOTTEN_MAX: usize = 200;
/// The most memories that one message can list.
const LISTED_MAX: usize = 50;
/// The most characters of a listed or forgotten memory that are stored with the answer.
const EXCERPT_CHARS: usize = 300;

/// The origin of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The conversation, if Lar stores it.
    pub conversation: Option<ConversationId>,
    /// The API or app, such as `chat`.
    pub source: &'static str,
}

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
        Ok(found.hits.iter().filter(|hit| near(hit)).map(to_recalled).collect())
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
                MemoryIntent::Correct(what) => {
                    match self.ingest_correction(writer, item(what, origin)).await.transpose() {
                        Some(decided) => self.record_saved(writer, decided, &mut activity).await,
                        None => Ok(()),
                    }
                }
                MemoryIntent::Forget { what: None, all: false } => {
                    self.forget_last(writer, before, &mut activity).await
                }
                MemoryIntent::Forget { what, all } => {
                    self.forget(writer, what.as_deref(), all, &mut activity).await
                }
                MemoryIntent::List { what } => self.list_known(writer, what.as_deref(), &mut activity).await,
                MemoryIntent::Statement { text, lasting } => {
                    self.suggest_statement(writer, text, lasting, origin, &mut activity).await
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

    /// Suggests a statement that makes a memory outdated, or a lasting one that is new.
    async fn suggest_statement(
        &self,
        writer: &WriteAccess,
        text: String,
        lasting: bool,
        origin: Origin,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let item = item(text.clone(), origin);
        // A failure most likely means that the text contains a secret. The user did not ask to save it, so
        // there is nothing to report.
        let Ok(outdated) = self.find_outdated(writer, &item).await else { return Ok(()) };
        let reason = match &outdated {
            Some(_) => "it may make a memory outdated, but you did not ask to change it",
            None if lasting && self.is_new(writer, &item).await? => {
                "it may be worth saving, but you did not ask for it"
            }
            None => return Ok(()),
        };
        let replaced = outdated.as_ref().map(|memory| memory.id);
        let candidate = self.suggest(writer, item, reason.into(), replaced).await?;
        activity.suggested.push(Suggested {
            content: text,
            candidate: candidate.map(|id| id.to_string()),
            outdated_id: replaced.map(|id| id.to_string()),
            outdated_content: outdated.map(|memory| memory.content),
        });
        Ok(())
    }

    /// Forgets the memory that is most clearly about a subject, or all memories that contain its words.
    async fn forget(
        &self,
        writer: &WriteAccess,
        what: Option<&str>,
        all: bool,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let reader = ReadAccess { caller: writer.caller.clone(), spaces: vec![writer.space] };
        let mut found = match (what, all) {
            (Some(what), true) => self.memories_about(&reader, what, FORGOTTEN_MAX).await?,
            (Some(what), false) => self.clearest_memory(&reader, what).await?,
            (None, _) => Vec::new(),
        };
        found.retain(|memory| memory.space == writer.space);
        if found.is_empty() {
            activity.refused.push(match what {
                Some(what) => format!("No memory is clearly about “{}”.", what.trim_end_matches('.')),
                None => "To forget everything, use the memory page or `lar memory forget`.".into(),
            });
            return Ok(());
        }
        let change = self.forget_memories(writer, &found).await?;
        activity.forgotten.extend(found.into_iter().map(|memory| Forgotten {
            id: memory.id.to_string(),
            content: excerpt(&memory.content),
            change: Some(change.to_string()),
        }));
        Ok(())
    }

    /// Returns the memory that is most clearly about a subject, if any.
    async fn clearest_memory(&self, reader: &ReadAccess, what: &str) -> Result<Vec<Memory>, Problem> {
        let search = Search { query: start_of(what).to_owned(), limit: 1, ..Search::default() };
        let found = self.search(reader, search).await?;
        let clear = |hit: &Hit| {
            hit.presence >= FORGET_PRESENCE_MIN
                || hit.similarity.is_some_and(|similarity| similarity >= found.certain_similarity)
        };
        Ok(found.hits.into_iter().filter(clear).map(|hit| hit.memory).collect())
    }

    /// Lists what is known about a subject, or the newest memories.
    async fn list_known(
        &self,
        writer: &WriteAccess,
        what: Option<&str>,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        // A key that may not read memories must not list them.
        if !writer.caller.has(Scope::MemoryRead) {
            return Ok(());
        }
        let reader = ReadAccess { caller: writer.caller.clone(), spaces: vec![writer.space] };
        let found = match what {
            Some(what) => self.memories_about(&reader, what, LISTED_MAX).await?,
            None => self.newest_memories(&reader, LISTED_MAX).await?,
        };
        activity.listed.extend(found.into_iter().map(|memory| Listed {
            id: memory.id.to_string(),
            day: day_of(&memory),
            content: excerpt(&memory.content),
        }));
        Ok(())
    }

    /// Returns the current memories that contain the words of a subject in any form, best first.
    async fn memories_about(
        &self,
        reader: &ReadAccess,
        what: &str,
        limit: usize,
    ) -> Result<Vec<Memory>, Problem> {
        let search = Search { query: start_of(what).to_owned(), limit, ..Search::default() };
        let found = self.search(reader, search).await?;
        let is_about = |hit: &Hit| hit.presence >= ABOUT_PRESENCE_MIN;
        Ok(found.hits.into_iter().filter(is_about).map(|hit| hit.memory).collect())
    }

    async fn newest_memories(&self, reader: &ReadAccess, limit: usize) -> Result<Vec<Memory>, Problem> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let query = MemoryList { spaces: reader.spaces.clone(), limit, ..MemoryList::default() };
        let mut memories = self.store.memory_list(query).await?;
        memories.retain(|memory| memory.superseded.is_none());
        Ok(memories)
    }

    /// Deletes memories by one decision, which one undo reverts. Returns the decision.
    async fn forget_memories(&self, writer: &WriteAccess, memories: &[Memory]) -> Result<ChangeId, Problem> {
        let changes = memories.iter().map(|memory| MemoryChange {
            id: memory.id,
            patch: MemoryPatch { deleted_at: Some(Some(Timestamp::now())), ..MemoryPatch::default() },
            chunks: Vec::new(),
            expected: None,
        });
        let decision = MemoryDecision { changes: changes.collect(), ..MemoryDecision::default() };
        let change = Change::new(writer.caller.key(), "forget", None);
        let id = change.decision;
        self.commit_decision(vec![writer.space], decision, change, None).await?;
        Ok(id)
    }

    /// Undoes the last turn that saved or suggested something.
    async fn forget_last(
        &self,
        writer: &WriteAccess,
        before: &[MemoryActivity],
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let Some(last) =
            before.iter().rev().find(|turn| !turn.saved.is_empty() || !turn.suggested.is_empty())
        else {
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
        for saved in &last.saved {
            let Ok(id) = saved.id.parse::<MemoryId>() else { continue };
            let change = saved.change.as_ref().and_then(|change| change.parse().ok());
            // Undoing makes a superseded memory current again.
            match self.undo(writer, id, change).await {
                Ok(_) => activity.forgotten.push(Forgotten {
                    id: saved.id.clone(),
                    content: saved.content.clone(),
                    change: self.last_decision(writer, id).await?.map(|change| change.to_string()),
                }),
                Err(problem) => activity.refused.push(problem.detail),
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

fn item(content: String, origin: Origin) -> Item {
    Item {
        content,
        conversation: origin.conversation.map(|id| id.to_string()),
        source: Some(origin.source.into()),
        ..Item::default()
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

/// Returns the start of a text that is shown with an answer and stored with it.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns the day when something happened, or else when it was saved.
fn day_of(memory: &Memory) -> String {
    memory.occurred_at.unwrap_or(memory.created_at).to_string().chars().take(10).collect()
}

/// Returns at most [`QUERY_BYTES`] from the start of a text.
fn start_of(text: &str) -> &str {
    let mut end = text.len().min(QUERY_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
