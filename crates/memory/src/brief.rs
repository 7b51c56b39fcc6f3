//! What to know at the start: pinned memories first, then who and what a person is and wants, then what is new.

use lar_base::{Problem, Timestamp};
use lar_store::{Memory, MemoryKind, MemoryList};

use crate::search::{Hit, check_token_budget};
use crate::{Memories, ReadAccess, strength};

/// The newest memories that are looked through.
const NEWEST: u32 = 200;
/// Memories of a brief at most.
const MEMORIES_MAX: usize = 20;

impl Memories {
    /// The memories that matter at the start of a session, within a budget of tokens as `model` counts them, each on a
    /// line with its day; those of
    /// `project` and of none where one is named. Nothing is an answer.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] for a budget of no tokens; when the database fails;
    /// [`lar_base::Code::ComponentUnavailable`] when no model counts tokens.
    pub async fn brief(
        &self,
        reader: &ReadAccess,
        project: Option<&str>,
        token_budget: usize,
        model: &str,
    ) -> Result<Vec<Memory>, Problem> {
        check_token_budget(token_budget)?;
        let query = MemoryList { spaces: reader.spaces.clone(), limit: NEWEST, ..MemoryList::default() };
        let now = Timestamp::now();
        let mut memories = self.store.memory_list(query).await?;
        memories.retain(|memory| {
            let ended = memory.superseded.is_some() || memory.valid_to.is_some_and(|to| to <= now);
            let fits = project.is_none() || memory.project.is_none() || memory.project.as_deref() == project;
            !ended && fits
        });
        // Stable: what is equal stays newest first.
        memories.sort_by(|a, b| weight(b, now).total_cmp(&weight(a, now)));
        memories.truncate(MEMORIES_MAX);
        let hits = memories.into_iter().map(Hit::whole).collect();
        let (hits, _, _) = self.pack_to_budget(hits, token_budget, model, line).await?;
        Ok(hits.into_iter().map(|hit| hit.memory).collect())
    }
}

/// A memory as a brief is told: on a line, with its day.
fn line(hit: &Hit) -> String {
    let at = hit.memory.occurred_at.unwrap_or(hit.memory.created_at).to_string();
    format!("- ({}) {}\n", at.get(..10).unwrap_or(&at), hit.text)
}

/// What a memory counts at the start: pinned before everything, then what it is about, then how well it holds.
fn weight(memory: &Memory, now: Timestamp) -> f64 {
    let about = match memory.kind {
        MemoryKind::Preference | MemoryKind::Person => 1.0,
        MemoryKind::Decision | MemoryKind::Procedure => 0.8,
        MemoryKind::Fact | MemoryKind::Pattern | MemoryKind::Place => 0.5,
        MemoryKind::Event | MemoryKind::Note => 0.3,
    };
    let pinned = if memory.pinned { 10.0 } else { 0.0 };
    pinned + about + strength::retrievability(&memory.strength, now)
}
