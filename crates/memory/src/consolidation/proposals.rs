//! Proposals and runs as a person sees them, and the start of a run.

use lar_base::{Code, Problem, ProposalId, RunId};
use lar_store::{ConsolidationRun, ConsolidationTotals, DuplicateRule, Memory, Proposal, ProposedChange};

use super::status::{ConsolidationMode, ConsolidationState};
use crate::smart::{Difference, difference};
use crate::{Memories, ReadAccess, WriteAccess};

/// An open proposal with its reason and its memories.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposalDetails {
    /// The proposal, about which nobody has decided.
    pub proposal: Proposal,
    /// The reason, for people.
    pub reason: String,
    /// The memories: of a duplicate, the one that stays and then the one to supersede; of a theme, all of them.
    pub memories: Vec<Memory>,
    /// Of a duplicate, the difference from the memory to supersede to the one that stays; otherwise empty.
    pub diff: Vec<Difference>,
}

impl Memories {
    /// Returns the present work, the number of memories that are not compared yet, and the findings that wait for a
    /// person.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consolidation_state(
        &self,
        reader: &ReadAccess,
    ) -> Result<(ConsolidationState, u64, ConsolidationTotals), Problem> {
        let waiting = self.store.memories_to_compare_count(reader.spaces.clone()).await?;
        let totals = self.store.consolidation_totals(reader.spaces.clone()).await?;
        Ok((self.consolidation.state(), waiting, totals))
    }

    /// Starts a run in the writer's space, or returns the one that goes on there. It gives way to other requests
    /// only for moments.
    ///
    /// # Errors
    /// [`Code::Conflict`] if consolidation is off.
    pub async fn start_consolidation(&self, writer: &WriteAccess) -> Result<ConsolidationRun, Problem> {
        if self.options.consolidation == ConsolidationMode::Off {
            let reason = "consolidation is off; set `memory.consolidation` to `on` and restart Lar";
            return Err(Problem::new(Code::Conflict, reason));
        }
        let run = self.store.consolidation_start(writer.space, Some(writer.caller.key())).await?;
        self.consolidation.request(run.space, run.id);
        Ok(run)
    }

    /// Lists runs, newest first: at most `limit`, older than `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consolidation_runs(
        &self,
        reader: &ReadAccess,
        after: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<ConsolidationRun>, Problem> {
        Ok(self.store.consolidation_runs(reader.spaces.clone(), after, limit).await?)
    }

    /// Returns a run.
    ///
    /// # Errors
    /// [`Code::NotFound`].
    pub async fn consolidation_run(
        &self,
        reader: &ReadAccess,
        id: RunId,
    ) -> Result<ConsolidationRun, Problem> {
        Ok(self.store.consolidation_run(reader.spaces.clone(), id).await?)
    }

    /// Lists open proposals, newest first: at most `limit`, older than `after`, and with `run`, only those of this
    /// run. Returns the value of `after` for the next page as well; `None` on the last page.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_proposals(
        &self,
        reader: &ReadAccess,
        run: Option<RunId>,
        after: Option<ProposalId>,
        limit: u32,
    ) -> Result<(Vec<ProposalDetails>, Option<ProposalId>), Problem> {
        let proposals = self.store.proposals_open(reader.spaces.clone(), run, after, limit).await?;
        let next =
            (proposals.len() == limit as usize).then(|| proposals.last().map(|last| last.id)).flatten();
        let mut shown = Vec::with_capacity(proposals.len());
        for proposal in proposals {
            let ids = match &proposal.change {
                ProposedChange::Duplicate { kept, repeated, .. } => vec![*kept, *repeated],
                ProposedChange::Theme { memories, .. } => memories.clone(),
            };
            let loaded = self.store.memories_by_id(reader.spaces.clone(), ids.clone()).await?;
            let find = |id| loaded.iter().find(|memory| memory.id == id).cloned();
            let memories: Vec<Memory> = ids.iter().filter_map(|id| find(*id)).collect();
            // A memory that was deleted meanwhile is missing.
            let diff = match (&proposal.change, &memories[..]) {
                (ProposedChange::Duplicate { .. }, [kept, repeated]) => {
                    difference(&repeated.content, &kept.content)
                }
                (ProposedChange::Duplicate { .. }, _) => continue,
                (ProposedChange::Theme { .. }, _) => Vec::new(),
            };
            let reason = reason_for(&proposal.change);
            shown.push(ProposalDetails { proposal, reason, memories, diff });
        }
        Ok((shown, next))
    }
}

/// Returns the reason for a proposal, for people.
pub(super) fn reason_for(change: &ProposedChange) -> String {
    match change {
        ProposedChange::Duplicate { rule, .. } => match rule {
            DuplicateRule::SameText => "another memory has the same text".to_owned(),
            DuplicateRule::SameWords => "another memory says the same".to_owned(),
            DuplicateRule::Contained => "another memory contains this text".to_owned(),
        },
        ProposedChange::Theme { tag, memories } => {
            format!("{} memories are about “{tag}”", memories.len())
        }
    }
}
