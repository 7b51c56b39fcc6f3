//! Proposals of consolidation in responses. Only a reader sees them.

use lar_api::memories::{Difference, Proposal, ProposalKind};
use lar_memory::{ProposalDetails, ReadAccess};
use lar_store::ProposedChange;

use super::links::show_linked;

/// Returns a proposal with its memories.
pub(crate) fn show_proposal(reader: &ReadAccess, details: ProposalDetails) -> Proposal {
    let ProposalDetails { proposal, reason, memories, diff } = details;
    let mut memories: Vec<_> = memories.iter().map(|memory| show_linked(reader, memory)).collect();
    let (kind, tag, pair) = match proposal.change {
        ProposedChange::Theme { tag, .. } => (ProposalKind::Theme, Some(tag), None),
        ProposedChange::Duplicate { .. } => {
            let supersede = memories.pop();
            (ProposalKind::Duplicate, None, memories.pop().zip(supersede))
        }
    };
    let (keep, supersede) = pair.unzip();
    Proposal {
        id: proposal.id.to_string(),
        run: proposal.run.to_string(),
        kind,
        reason,
        keep,
        supersede,
        diff: diff
            .into_iter()
            .map(|part| Difference { change: part.change.into(), text: part.text })
            .collect(),
        tag,
        memories,
        space: proposal.space.to_string(),
        created_at: proposal.created_at.to_string(),
    }
}
