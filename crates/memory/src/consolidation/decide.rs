//! Decisions of a person about proposals and runs: accepting and rejecting a proposal, accepting all of a run, and
//! undoing a run.
//!
//! An accepted proposal is one decision in the history of its memories, and is undone like any other. Undoing a run
//! takes its decisions back, the latest first, also those about its links. A memory that changed since is named and
//! stays as it is. Then the run's open proposals and links are withdrawn.

use lar_base::{Code, MemoryId, Problem, ProposalId, RunId};
use lar_store::{
    Change, ConsolidationRun, Memory, MemoryChange, MemoryDecision, Proposal, ProposedChange, RunDecision,
};

use super::proposals::reason_for;
use crate::smart::Decision;
use crate::supersede::{Rewrite, TRIES_MAX, confirm_change, supersede_change};
use crate::{Memories, WriteAccess};

/// The action in the history of memories that get the tag of a theme.
const TAG: &str = "tag";
/// The most proposals of a run that are accepted together.
const TOGETHER_MAX: u32 = 1000;

/// The result of accepting all open proposals of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunAcceptance {
    /// The proposals that were accepted.
    pub accepted: Vec<ProposalId>,
    /// The proposals that could not be accepted, with the reasons.
    pub conflicts: Vec<(ProposalId, String)>,
}

/// The result of undoing a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunUndo {
    /// The memories that are as they were before, each once.
    pub undone: Vec<Memory>,
    /// The number of open proposals and links that were withdrawn.
    pub withdrawn: u64,
    /// The decisions that stay.
    pub conflicts: Vec<UndoConflict>,
}

/// A decision that is not undone because one of its memories changed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoConflict {
    /// One of the memories that the decision changed.
    pub memory: MemoryId,
    /// The reason, for people.
    pub reason: String,
}

impl Memories {
    /// Carries out a proposal, as one decision. Returns the changed memories: of a duplicate, the one that stays
    /// and then the superseded one; of a theme, those that got the tag.
    ///
    /// # Errors
    /// [`Code::NotFound`]; [`Code::ForbiddenSpace`] if the writer may only read its space; [`Code::Conflict`] if
    /// the proposal is not open, or another memory has the same text and tags; [`Code::VersionMismatch`] if other
    /// requests keep changing the memories.
    pub async fn accept_proposal(
        &self,
        writer: &WriteAccess,
        id: ProposalId,
    ) -> Result<Vec<Memory>, Problem> {
        let space = self.get_writable_proposal(writer, id).await?.space;
        // A smart ingest that compares with one of the memories runs before or after.
        let _lock = self.space_locks.lock(space).await;
        for _ in 0..TRIES_MAX {
            let proposal = self.store.proposal_get(vec![space], id).await?;
            match self.carry_out(writer, &proposal).await {
                Err(problem) if problem.code == Code::VersionMismatch => {}
                done => return done,
            }
        }
        Err(Problem::new(Code::VersionMismatch, "other requests keep changing these memories; try again"))
    }

    /// Rejects a proposal. The same two memories, or the same theme, are never proposed again.
    ///
    /// # Errors
    /// [`Code::NotFound`]; [`Code::ForbiddenSpace`] if the writer may only read its space; [`Code::Conflict`] if
    /// the proposal is not open.
    pub async fn reject_proposal(&self, writer: &WriteAccess, id: ProposalId) -> Result<(), Problem> {
        let proposal = self.get_writable_proposal(writer, id).await?;
        Ok(self.store.proposal_reject(vec![proposal.space], id).await?)
    }

    /// Accepts all open proposals of a run, the oldest first. Its links stay open: each of them has several answers.
    ///
    /// # Errors
    /// [`Code::NotFound`]; [`Code::ForbiddenSpace`] if the writer may only read its space; when the database fails.
    pub async fn accept_run(&self, writer: &WriteAccess, id: RunId) -> Result<RunAcceptance, Problem> {
        let run = self.get_writable_run(writer, id).await?;
        let open = self.store.proposals_open(vec![run.space], Some(id), None, TOGETHER_MAX).await?;
        let mut result = RunAcceptance::default();
        for proposal in open.iter().rev() {
            match self.accept_proposal(writer, proposal.id).await {
                Ok(_) => result.accepted.push(proposal.id),
                Err(problem) if is_conflict(&problem) => result.conflicts.push((proposal.id, problem.detail)),
                Err(problem) => return Err(problem),
            }
        }
        Ok(result)
    }

    /// Undoes a run: takes back what was accepted from it, and withdraws its open proposals and links. A run that
    /// goes on ends.
    ///
    /// # Errors
    /// [`Code::NotFound`]; [`Code::ForbiddenSpace`] if the writer may only read its space; when the database fails.
    pub async fn undo_run(&self, writer: &WriteAccess, id: RunId) -> Result<RunUndo, Problem> {
        let run = self.get_writable_run(writer, id).await?;
        let there = WriteAccess { space: run.space, ..writer.clone() };
        let mut result = RunUndo::default();
        for RunDecision { decision, memory } in self.store.consolidation_decisions(id).await? {
            match self.undo(&there, memory, Some(decision)).await {
                Ok(undone) => {
                    result.undone.retain(|known| undone.iter().all(|memory| memory.id != known.id));
                    result.undone.extend(undone);
                }
                Err(problem) if is_conflict(&problem) => {
                    result.conflicts.push(UndoConflict { memory, reason: problem.detail });
                }
                Err(problem) => return Err(problem),
            }
        }
        result.withdrawn = self.store.consolidation_withdraw(id).await?;
        Ok(result)
    }

    async fn carry_out(&self, writer: &WriteAccess, proposal: &Proposal) -> Result<Vec<Memory>, Problem> {
        let reason = reason_for(&proposal.change);
        let (changes, action) = match &proposal.change {
            ProposedChange::Duplicate { kept, repeated, .. } => {
                let kept = self.store.memory_get(vec![proposal.space], *kept).await?;
                let repeated = self.store.memory_get(vec![proposal.space], *repeated).await?;
                let changes = vec![
                    // The decision also changes the kept memory, so that it can be undone from both.
                    self.keep_change(writer, &kept, &repeated).await?,
                    supersede_change(&repeated, kept.id, None),
                ];
                (changes, Decision::Supersede.as_str())
            }
            ProposedChange::Theme { tag, memories } => {
                (self.tag_changes(writer, proposal, tag, memories).await?, TAG)
            }
        };
        let decision = MemoryDecision { changes, proposal: Some(proposal.id), ..MemoryDecision::default() };
        let change = Change::new(writer.caller.key(), action, Some(format!("you accepted: {reason}")));
        Ok(self.commit_decision(vec![proposal.space], decision, change, None).await?.changed)
    }

    /// Returns the change of a memory that stays: it gets the tags of the repeated one, or else is confirmed.
    async fn keep_change(
        &self,
        writer: &WriteAccess,
        kept: &Memory,
        repeated: &Memory,
    ) -> Result<MemoryChange, Problem> {
        if repeated.tags.iter().all(|tag| kept.tags.contains(tag)) {
            return Ok(confirm_change(kept));
        }
        self.tags_change(writer, kept, &repeated.tags).await
    }

    async fn tag_changes(
        &self,
        writer: &WriteAccess,
        proposal: &Proposal,
        tag: &String,
        memories: &[MemoryId],
    ) -> Result<Vec<MemoryChange>, Problem> {
        let mut changes = Vec::with_capacity(memories.len());
        for id in memories {
            let memory = self.store.memory_get(vec![proposal.space], *id).await?;
            if !memory.tags.contains(tag) {
                changes.push(self.tags_change(writer, &memory, std::slice::from_ref(tag)).await?);
            }
        }
        Ok(changes)
    }

    /// Returns the change that adds tags to a memory.
    async fn tags_change(
        &self,
        writer: &WriteAccess,
        known: &Memory,
        tags: &[String],
    ) -> Result<MemoryChange, Problem> {
        let content = known.content.clone();
        let rewrite = Rewrite { content, tags, valid_from: None, valid_to: None };
        self.rewrite_change(writer, known, rewrite).await
    }

    /// Loads a proposal that the writer may decide about.
    async fn get_writable_proposal(&self, writer: &WriteAccess, id: ProposalId) -> Result<Proposal, Problem> {
        let found = self.store.proposal_get(writer.spaces.clone(), id).await;
        if matches!(found, Err(lar_store::Error::NotFound(_)))
            && self.store.proposal_get(writer.read_only.clone(), id).await.is_ok()
        {
            let reason = format!("you have only read access to the space of proposal {id}");
            return Err(Problem::new(Code::ForbiddenSpace, reason));
        }
        Ok(found?)
    }

    /// Loads a run that the writer may decide about.
    async fn get_writable_run(&self, writer: &WriteAccess, id: RunId) -> Result<ConsolidationRun, Problem> {
        let found = self.store.consolidation_run(writer.spaces.clone(), id).await;
        if matches!(found, Err(lar_store::Error::NotFound(_)))
            && self.store.consolidation_run(writer.read_only.clone(), id).await.is_ok()
        {
            let reason = format!("you have only read access to the space of run {id}");
            return Err(Problem::new(Code::ForbiddenSpace, reason));
        }
        Ok(found?)
    }
}

/// Returns whether a problem concerns one proposal or memory only, so that the others go on.
fn is_conflict(problem: &Problem) -> bool {
    matches!(problem.code, Code::Conflict | Code::VersionMismatch | Code::NotFound | Code::InvalidParams)
}
