//! The dry run of an import: the decision about each line, without storing anything.
//!
//! It makes the checks of [`Memories::import`], and asks the store for the same decisions.

use std::collections::HashSet;

use lar_base::Problem;
use lar_store::{ImportKey, IntentionStatus};

use super::{ImportLine, author, check_line};
use crate::{Error, Memories, WriteAccess};

/// The decisions that [`Memories::import`] would make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportPreview {
    /// The decisions, in the order of the lines.
    pub lines: Vec<LinePreview>,
    /// The number of further active intentions that the space can have before the import.
    pub active_intentions_left: u32,
}

/// The decision that [`Memories::import`] would make about a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePreview {
    /// The id of the memory or the intention; `None` if it is refused.
    pub id: Option<String>,
    /// The hash of the content. A space has one memory with it. `None` if there is no such limit.
    pub hash: Option<[u8; 32]>,
    /// Whether it is an active intention, of which a space has a limited number.
    pub is_active_intention: bool,
    /// The decision.
    pub decision: LineDecision,
}

/// A decision about a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineDecision {
    /// It would be stored.
    Create,
    /// It exists, or an earlier line is the same.
    Exists,
    /// It would be refused.
    Refuse(Problem),
}

impl LinePreview {
    fn refused(problem: Problem) -> Self {
        Self { id: None, hash: None, is_active_intention: false, decision: LineDecision::Refuse(problem) }
    }

    fn key_of(line: &ImportLine) -> (ImportKey, Self) {
        let of = |id, hash, is_active_intention| Self {
            id: Some(id),
            hash,
            is_active_intention,
            decision: LineDecision::Create,
        };
        match line {
            ImportLine::Memory(moved) => {
                let memory = &moved.memory;
                let hash = memory.deleted_at.is_none().then_some(memory.hash);
                (ImportKey::Memory { id: memory.id, hash }, of(memory.id.to_string(), hash, false))
            }
            ImportLine::Intention(intention) => {
                let is_active = intention.status == IntentionStatus::Active;
                let id = intention.id;
                (ImportKey::Intention { id }, of(id.to_string(), None, is_active))
            }
        }
    }
}

impl Memories {
    /// Decides about lines as [`Memories::import`] would if it got each after the accepted lines before it, and
    /// stores nothing. A line that could not be parsed is refused with its error.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn preview_import(
        &self,
        writer: &WriteAccess,
        lines: Vec<Result<ImportLine, Problem>>,
    ) -> Result<ImportPreview, Problem> {
        let (policy, by) = (self.options.secrets, author(writer));
        let checking = tokio::task::spawn_blocking(move || {
            let check =
                |line: Result<ImportLine, Problem>| line.and_then(|line| check_line(line, policy, by));
            let (mut keys, mut previews) = (Vec::new(), Vec::with_capacity(lines.len()));
            for line in lines {
                previews.push(match check(line) {
                    Ok(line) => {
                        let (key, preview) = LinePreview::key_of(&line);
                        keys.push(key);
                        preview
                    }
                    Err(problem) => LinePreview::refused(problem),
                });
            }
            (keys, previews)
        });
        let (keys, mut lines) = checking.await.map_err(Error::abort_error("checking memories"))?;
        let decided = self.store.memories_import_decide(writer.space, keys).await?;
        let mut earlier = Earlier { active_left: decided.active_intentions_left, ..Earlier::default() };
        let checked = lines.iter_mut().filter(|line| line.decision == LineDecision::Create);
        for (line, is_new) in checked.zip(decided.are_new) {
            line.decision = match is_new {
                Ok(true) => earlier.decide(line),
                Ok(false) => LineDecision::Exists,
                Err(conflict) => LineDecision::Refuse(conflict.into()),
            };
        }
        Ok(ImportPreview { lines, active_intentions_left: decided.active_intentions_left })
    }
}

/// The lines that an import has stored so far.
#[derive(Debug, Default)]
struct Earlier {
    ids: HashSet<String>,
    hashes: HashSet<[u8; 32]>,
    active_left: u32,
}

impl Earlier {
    /// Decides about a line that the space does not have.
    fn decide(&mut self, line: &LinePreview) -> LineDecision {
        let has_id = line.id.as_ref().is_some_and(|id| self.ids.contains(id));
        if has_id || line.hash.is_some_and(|hash| self.hashes.contains(&hash)) {
            return LineDecision::Exists;
        }
        if line.is_active_intention {
            let Some(left) = self.active_left.checked_sub(1) else {
                let full = "the space has as many active intentions as it can have; complete or delete some";
                return LineDecision::Refuse(Problem::new(lar_base::Code::Conflict, full));
            };
            self.active_left = left;
        }
        self.ids.extend(line.id.clone());
        self.hashes.extend(line.hash);
        LineDecision::Create
    }
}
