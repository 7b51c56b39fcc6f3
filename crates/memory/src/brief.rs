//! The brief for the start of a session: pinned memories first, the others by kind and retrievability.

use lar_base::{Problem, Timestamp};
use lar_store::{Memory, MemoryKind, MemoryList};

use crate::search::{Hit, check_token_budget};
use crate::{Memories, ReadAccess, strength};

/// The number of newest memories that are considered.
const NEWEST: u32 = 200;
/// The most memories in a brief.
const MEMORIES_MAX: usize = 20;

impl Memories {
    /// Returns the memories for the start of a session, most important first.
    ///
    /// With `project`, memories of other projects are left out. The budget counts tokens of `model`, with
    /// each memory on a line with its date. The result may be empty.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] for a budget of zero tokens;
    /// [`lar_base::Code::ComponentUnavailable`] if no model can count tokens; when the database fails.
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
        // The sort is stable: memories of equal weight stay newest first.
        memories.sort_by(|a, b| weight(b, now).total_cmp(&weight(a, now)));
        memories.truncate(MEMORIES_MAX);
        let hits = memories.into_iter().map(Hit::whole).collect();
        let (hits, _, _) = self.pack_to_budget(hits, token_budget, model, line).await?;
        Ok(hits.into_iter().map(|hit| hit.memory).collect())
    }
}

/// Formats a memory as a line of the brief, with its date.
fn line(hit: &Hit) -> String {
    let at = hit.memory.occurred_at.unwrap_or(hit.memory.created_at).to_string();
    format!("- ({}) {}\n", at.get(..10).unwrap_or(&at), hit.text)
}

/// Returns the importance of a memory in a brief: whether it is pinned, its kind, and its retrievability.
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
