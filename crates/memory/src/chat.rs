//! Memory in a chat: recalls memories before an answer and applies the memory intents of the user's message.
//!
//! Only the user's own text counts, never an answer, a tool's output or a title. Requests and corrections are
//! applied immediately and can be undone. Other statements that may be worth remembering go to the inbox.
//! Recalled memories are given to the model as data, in a block that says so and that no memory can close.

mod activity;
mod prompt_block;

use std::fmt::Write as _;

use lar_base::{Code, ConversationId, MemoryId, Problem};

use crate::smart::{Decision, SmartIngestResult};
use crate::strength::Event;
use crate::{Edit, Hit, Item, Memories, ReadAccess, Search, WriteAccess};
pub use activity::{Forgotten, MemoryActivity, MemoryActivityIds, Recalled, Saved, Suggested};
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
/// A memory is recalled only with at least this cosine similarity or keyword score. Less relevant memories
/// mislead a small model more than they help.
const SIMILARITY_MIN: f32 = 0.4;
const KEYWORD_SCORE_MIN: f32 = 0.55;
/// A memory is forgotten only with at least this cosine similarity or keyword score.
const FORGET_SIMILARITY_MIN: f32 = 0.5;
const FORGET_KEYWORD_SCORE_MIN: f32 = 0.6;
/// The most memories that one message can forget.
const FORGOTTEN_MAX: usize = 10;

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
            hit.keyword_score >= KEYWORD_SCORE_MIN
                || hit.similarity.is_some_and(|similarity| similarity >= SIMILARITY_MIN)
        };
        Ok(found.hits.iter().filter(|hit| near(hit)).map(to_recalled).collect())
    }

    /// Applies the memory intents of a user's message, and corrections that it makes without being asked.
    ///
    /// `before` is the memory activity of the conversation's earlier turns, oldest first. "Forget that"
    /// refers to the last turn that saved or suggested something.
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
                MemoryIntent::Remember(what) => self.remember(writer, what, origin, &mut activity).await,
                MemoryIntent::Forget { what: Some(what), all } => {
                    self.forget(writer, &what, all, &mut activity).await
                }
                MemoryIntent::Forget { what: None, .. } => {
                    self.forget_last(writer, before, &mut activity).await
                }
                MemoryIntent::LastingStatement(text) => {
                    self.correct_or_suggest(writer, text, true, origin, &mut activity).await
                }
                MemoryIntent::OtherStatement(text) => {
                    self.correct_or_suggest(writer, text, false, origin, &mut activity).await
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

    async fn remember(
        &self,
        writer: &WriteAccess,
        what: String,
        origin: Origin,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let decided = self.ingest_smart(writer, item(what, origin), None).await?;
        match decided.decision {
            Decision::Reject => activity.refused.push(decided.reason),
            _ => activity.saved.extend(self.to_saved(writer, decided).await?),
        }
        Ok(())
    }

    /// Applies a statement that corrects a memory. Other lasting statements go to the inbox.
    async fn correct_or_suggest(
        &self,
        writer: &WriteAccess,
        text: String,
        lasting: bool,
        origin: Origin,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let item = item(text.clone(), origin);
        match self.correct(writer, item.clone()).await {
            Ok(Some(decided)) => activity.saved.extend(self.to_saved(writer, decided).await?),
            Ok(None) => {}
            // Most likely it contains a secret. The user did not ask to save it, so there is nothing to
            // report.
            Err(_) => return Ok(()),
        }
        if lasting
            && activity.saved.iter().all(|saved| saved.content != text)
            && self.is_new(writer, &item).await?
        {
            let reason = "it may be worth saving, but you did not ask for it".into();
            self.suggest(writer, item, reason, None).await?;
            activity.suggested.push(Suggested { content: text });
        }
        Ok(())
    }

    async fn forget(
        &self,
        writer: &WriteAccess,
        what: &str,
        all: bool,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let reader = ReadAccess { caller: writer.caller.clone(), spaces: vec![writer.space] };
        let search = Search { query: start_of(what).to_owned(), limit: FORGOTTEN_MAX, ..Search::default() };
        let found = self.search(&reader, search).await?;
        let clear = |hit: &Hit| match all {
            true => hit.keyword_score >= FORGET_KEYWORD_SCORE_MIN,
            false => {
                hit.keyword_score >= FORGET_KEYWORD_SCORE_MIN
                    || hit.similarity.is_some_and(|similarity| similarity >= FORGET_SIMILARITY_MIN)
            }
        };
        let most = if all { FORGOTTEN_MAX } else { 1 };
        for hit in found.hits.into_iter().filter(clear).take(most) {
            self.forget_one(writer, hit.memory.id, activity).await?;
        }
        if activity.forgotten.is_empty() {
            activity.refused.push(format!("No memory is clearly about “{what}”."));
        }
        Ok(())
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

    async fn forget_one(
        &self,
        writer: &WriteAccess,
        id: MemoryId,
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let edit = Edit { deleted: Some(true), ..Edit::default() };
        let memory = self.edit(writer, id, edit, None).await?;
        let change = self.last_decision(writer, id).await?.map(|change| change.to_string());
        activity.forgotten.push(Forgotten { id: id.to_string(), content: memory.content, change });
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
    let at = hit.memory.occurred_at.unwrap_or(hit.memory.created_at).to_string();
    let mut reason = format!("keywords {:.2}", hit.keyword_score);
    if let Some(similarity) = hit.similarity {
        let _ = write!(reason, ", similarity {similarity:.2}");
    }
    Recalled {
        id: hit.memory.id.to_string(),
        content: hit.text.clone(),
        day: at.chars().take(10).collect(),
        score: hit.score,
        reason,
        cited: false,
    }
}

/// Returns at most [`QUERY_BYTES`] from the start of a text.
fn start_of(text: &str) -> &str {
    let mut end = text.len().min(QUERY_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
