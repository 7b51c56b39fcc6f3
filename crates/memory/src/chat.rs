//! Memory in a chat: what is recalled before an answer, and what a person's message has it remember or forget.
//!
//! Only what they say themselves counts: never an answer, a tool's output or a title. Requests and corrections are done
//! at once and shown with an undo; what may be worth remembering waits in the inbox. What is recalled is data for the
//! model, in a frame that says so and that a memory cannot close.

mod activity;

use std::fmt::Write as _;

use lar_base::{Code, ConversationId, MemoryId, Problem};

use crate::intent::{MemoryIntent, parse_intents};
use crate::smart::{Decision, SmartIngestResult};
use crate::strength::Event;
use crate::{Edit, Hit, Item, Memories, ReadAccess, Search, WriteAccess};
pub use activity::{Forgotten, MemoryActivity, MemoryActivityIds, Recalled, Saved, Suggested};

/// Memories that an answer is given at most.
const RECALLED_MAX: usize = 5;
/// Tokens of them at most: the contract's 800, less the frame and the day of each (16 and 24 of the starter model's, whose
/// vocabulary is small).
const RECALL_TOKENS: usize = 800 - 24 - RECALLED_MAX * 16;
/// The part of a context that they may take.
const CONTEXT_SHARE: usize = 4;
/// Bytes of a message that are searched with.
const QUERY_BYTES: usize = 1000;
/// A memory is told to a model when it means this much of what was said, or has this much of its words: what is only
/// somewhat near misleads a small model more than it helps.
const SIMILARITY_MIN: f32 = 0.4;
const KEYWORD_SCORE_MIN: f32 = 0.55;
/// A memory is forgotten by its words or meaning from here on.
const FORGET_SIMILARITY_MIN: f32 = 0.5;
const FORGET_KEYWORD_SCORE_MIN: f32 = 0.6;
/// Memories that one message has forgotten at most.
const FORGOTTEN_MAX: usize = 10;

/// Where something was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The conversation, if Lar keeps it.
    pub conversation: Option<ConversationId>,
    /// The surface, such as `chat`.
    pub source: &'static str,
}

impl Memories {
    /// What an answer to this should be given, best first; within a quarter of `context_tokens` as `model` counts.
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

    /// Does what a person's message asks of memory, and remembers what it corrects. `before` is what memory did in
    /// the conversation's turns, the last of them last; "forget that" means those.
    ///
    /// # Errors
    /// When the database fails; what is refused for what it says is told in the outcome.
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

    /// Tells the memories that an answer cites that they were of use; who may not change one leaves it as it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn review_cited(&self, writer: &WriteAccess, activity: &MemoryActivity) -> Result<(), Problem> {
        for recalled in activity.recalled.iter().filter(|recalled| recalled.cited) {
            let Ok(id) = recalled.id.parse::<MemoryId>() else { continue };
            match self.review(writer, id, Event::Cited, Some("an answer says it".into())).await {
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

    /// What is said without being asked to be remembered: a correction is, what may be lasting waits.
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
            // A secret, most likely: nobody asked for it to be remembered.
            Err(_) => return Ok(()),
        }
        if lasting
            && activity.saved.iter().all(|saved| saved.content != text)
            && self.is_new(writer, &item).await?
        {
            self.suggest(writer, item, "it may be lasting, and nobody asked to remember it".into()).await?;
            activity.waiting.push(Suggested { content: text });
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
            activity.refused.push(format!("Nothing that is remembered is clearly about “{what}”."));
        }
        Ok(())
    }

    /// Takes back what the last turn that remembered something did.
    async fn forget_last(
        &self,
        writer: &WriteAccess,
        before: &[MemoryActivity],
        activity: &mut MemoryActivity,
    ) -> Result<(), Problem> {
        let Some(last) = before.iter().rev().find(|turn| !turn.saved.is_empty() || !turn.waiting.is_empty())
        else {
            activity.refused.push("Nothing was remembered in this conversation.".into());
            return Ok(());
        };
        for waiting in &last.waiting {
            self.dismiss_text(writer, &waiting.content).await?;
            activity.forgotten.push(Forgotten {
                id: String::new(),
                content: waiting.content.clone(),
                change: None,
            });
        }
        for saved in &last.saved {
            let Ok(id) = saved.id.parse::<MemoryId>() else { continue };
            let change = saved.change.as_ref().and_then(|change| change.parse().ok());
            // What it took the place of is current again.
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

    /// What was remembered, as it is shown.
    async fn to_saved(
        &self,
        writer: &WriteAccess,
        decided: SmartIngestResult,
    ) -> Result<Option<Saved>, Problem> {
        let Some(memory) = decided.memory else { return Ok(None) };
        let against =
            decided.against.filter(|_| matches!(decided.decision, Decision::Supersede | Decision::Update));
        let instead_of_id = against.as_ref().map(|against| against.id.to_string());
        let instead_of = against.map(|against| against.content);
        let change = self.last_decision(writer, memory.id).await?.map(|change| change.to_string());
        let (id, decision) = (memory.id.to_string(), decided.decision.as_str().into());
        Ok(Some(Saved { id, decision, content: memory.content, instead_of, instead_of_id, change }))
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
    let mut reason = format!("words {:.2}", hit.keyword_score);
    if let Some(similarity) = hit.similarity {
        let _ = write!(reason, ", meaning {similarity:.2}");
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

/// The beginning of a text, at a character's border.
fn start_of(text: &str) -> &str {
    let mut end = text.len().min(QUERY_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
