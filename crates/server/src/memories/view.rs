//! The memories in responses, with the fields that the caller may read.
//!
//! Only this module creates them: [`whole`], [`show_link`], [`show_linked`], [`show_proposal`] and
//! [`show_intention`] for a caller who may read, which [`ReadAccess`] proves, [`show_results`] for a search, which
//! requires a [`ReadAccess`], too, and [`WriterView`] for a caller who may write. The tools of Vestige have their own
//! format and ask [`WriterView::readable`]. Exports are in `transfer.rs`; they require the scope `memory:read`.
//!
//! Without the scope `memory:read`, the response to a write contains ids of memories, versions and times of
//! the change, but no other fields. It leaves out even the fields that the request sent, because the memory
//! may be older than the request or have changed since. It contains the decision, because a writer must know
//! what happened to its text. So a writer that tries out texts can still learn whether a similar memory
//! exists.

mod intentions;
mod links;
mod proposals;
mod search_results;

use lar_api::memories::{
    Difference, IngestDecision, IngestResult as WireIngested, Memory as Wire, MemoryKind as WireKind,
    SmartIngestResult as WireDecided, SmartLink, WrittenMemory,
};
use lar_base::{MemoryId, Scope, Timestamp};
use lar_memory::{Decision, IngestResult, ReadAccess, SmartIngestResult, WriteAccess, strength};
use lar_store::{Memory, MemoryKind};

pub(crate) use self::intentions::{show_intention, show_trigger};
pub(crate) use self::links::{show_link, show_linked};
pub(crate) use self::proposals::show_proposal;
pub(crate) use self::search_results::show_results;

/// Returns a memory with all its fields.
pub(crate) fn whole(_: &ReadAccess, memory: &Memory) -> Wire {
    to_wire(memory)
}

/// The view of memories in the responses to a writer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriterView {
    may_read: bool,
}

impl WriterView {
    /// Returns the view of this writer.
    pub(crate) fn of(writer: &WriteAccess) -> Self {
        Self { may_read: writer.caller().has(Scope::MemoryRead) }
    }

    /// Returns the memory if the writer may read it.
    pub(crate) fn readable(self, memory: &Memory) -> Option<&Memory> {
        self.may_read.then_some(memory)
    }

    /// Returns the reason for a decision if the writer may know it.
    pub(crate) fn reason(self, decided: &SmartIngestResult) -> Option<&str> {
        // The reason would reveal how the existing memory relates to the text.
        let is_unrelated =
            decided.against.is_none() && matches!(decided.decision, Decision::Create | Decision::Reject);
        (self.may_read || is_unrelated).then_some(decided.reason.as_str())
    }

    /// Returns a memory that the request created or changed.
    pub(crate) fn memory(self, memory: &Memory) -> WrittenMemory {
        if self.may_read {
            return to_wire(memory).into();
        }
        WrittenMemory {
            version: Some(memory.version),
            updated_at: Some(memory.updated_at.to_string()),
            deleted_at: memory.deleted_at.map(|at| at.to_string()),
            ..id_only(memory.id)
        }
    }

    /// Returns a memory that the request's text was compared with.
    fn show_compared(self, memory: &Memory) -> WrittenMemory {
        if self.may_read { to_wire(memory).into() } else { id_only(memory.id) }
    }

    /// Returns the result of saving a memory.
    pub(crate) fn show_ingested(self, made: &IngestResult) -> WireIngested {
        WireIngested {
            memory: self.memory(&made.memory),
            created: made.created,
            redacted: made.redacted.clone(),
            unembedded: made.unembedded.clone(),
        }
    }

    /// Returns a decision of smart ingest.
    pub(crate) fn show_decision(self, decided: &SmartIngestResult) -> WireDecided {
        let part = |part: &lar_memory::Difference| Difference {
            change: part.change.into(),
            text: part.text.clone(),
        };
        WireDecided {
            decision: decision_to_wire(decided.decision),
            reason: self.reason(decided).map(ToOwned::to_owned),
            confidence: None,
            against: decided.against.as_ref().map(|known| self.show_compared(known)),
            memory: decided.memory.as_ref().map(|memory| self.memory(memory)),
            link: decided
                .link
                .as_ref()
                .map(|link| SmartLink { id: link.id.to_string(), older: link.older.to_string() }),
            diff: decided.diff.iter().filter(|_| self.may_read).map(part).collect(),
            redacted: decided.redacted.clone(),
            unembedded: decided.unembedded.clone(),
        }
    }
}

/// Returns a memory with only its id.
fn id_only(id: MemoryId) -> WrittenMemory {
    WrittenMemory { id: id.to_string(), ..WrittenMemory::default() }
}

/// Returns the kind of a memory on the wire.
pub(super) fn kind_to_wire(kind: MemoryKind) -> WireKind {
    match kind {
        MemoryKind::Fact => WireKind::Fact,
        MemoryKind::Event => WireKind::Event,
        MemoryKind::Preference => WireKind::Preference,
        MemoryKind::Person => WireKind::Person,
        MemoryKind::Place => WireKind::Place,
        MemoryKind::Decision => WireKind::Decision,
        MemoryKind::Procedure => WireKind::Procedure,
        MemoryKind::Pattern => WireKind::Pattern,
        MemoryKind::Note => WireKind::Note,
    }
}

fn decision_to_wire(decision: Decision) -> IngestDecision {
    match decision {
        Decision::Create => IngestDecision::Create,
        Decision::Reinforce => IngestDecision::Reinforce,
        Decision::Update => IngestDecision::Update,
        Decision::Supersede => IngestDecision::Supersede,
        Decision::Merge => IngestDecision::Merge,
        Decision::Reject => IngestDecision::Reject,
    }
}

fn to_wire(memory: &Memory) -> Wire {
    let to_text = |time: Option<Timestamp>| time.map(|time| time.to_string());
    Wire {
        id: memory.id.to_string(),
        content: memory.content.clone(),
        kind: kind_to_wire(memory.kind),
        tags: memory.tags.clone(),
        source: memory.provenance.source.clone(),
        project: memory.project.clone(),
        space: memory.space.to_string(),
        written_by: memory.provenance.key.to_string(),
        conversation: memory.provenance.conversation.clone(),
        message: memory.provenance.message.clone(),
        occurred_at: to_text(memory.occurred_at),
        valid_from: to_text(memory.valid_from),
        valid_to: to_text(memory.valid_to),
        after: memory.after.map(|id| id.to_string()),
        superseded_by: memory.superseded.map(|(by, _)| by.to_string()),
        superseded_at: to_text(memory.superseded.map(|(_, at)| at)),
        pinned: memory.pinned,
        retrievability: strength::retrievability(&memory.strength, Timestamp::now()),
        stability: memory.strength.stability,
        version: memory.version,
        created_at: memory.created_at.to_string(),
        updated_at: memory.updated_at.to_string(),
        deleted_at: to_text(memory.deleted_at),
    }
}
