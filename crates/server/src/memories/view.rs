//! What the answer to a change of memories shows of them. Only this file makes these answers: by [`whole`] for a caller who may read,
//! which [`ReadAccess`] proves, and by [`WriterView`] for a caller who may write. Results of searches and exports take a [`ReadAccess`].
//!
//! Without the scope `memory:read` the answer to a request that writes names memories by their ids and has none of their fields
//! but versions and times of the change, not even what the request itself sent: the memory may be older than the request, or
//! changed since. The decision stays, because a writer must know what became of its text. So a writer that tries texts still
//! learns whether something near them is known.

use lar_api::memories::{
    Difference, IngestResult as WireIngested, Memory as Wire, SmartIngestResult as WireDecided, WrittenMemory,
};
use lar_base::{MemoryId, Scope, Timestamp};
use lar_memory::{Decision, IngestResult, ReadAccess, SmartIngestResult, WriteAccess, strength};
use lar_store::Memory;

/// A memory with all that is known of it.
pub(crate) fn whole(_: &ReadAccess, memory: &Memory) -> Wire {
    to_wire(memory)
}

/// What a writer sees of memories in the answers to its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriterView {
    may_read: bool,
}

impl WriterView {
    /// The view of this writer.
    pub(crate) fn of(writer: &WriteAccess) -> Self {
        Self { may_read: writer.caller().has(Scope::MemoryRead) }
    }

    /// A memory that the request made or changed.
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

    /// A memory that the request was compared with.
    fn show_compared(self, memory: &Memory) -> WrittenMemory {
        if self.may_read { to_wire(memory).into() } else { id_only(memory.id) }
    }

    /// What became of something that was to be remembered.
    pub(crate) fn show_ingested(self, made: &IngestResult) -> WireIngested {
        WireIngested {
            memory: self.memory(&made.memory),
            created: made.created,
            redacted: made.redacted.clone(),
            unembedded: made.unembedded.clone(),
        }
    }

    /// What was decided about something that was to be remembered.
    pub(crate) fn show_decision(self, decided: &SmartIngestResult) -> WireDecided {
        let part = |part: &lar_memory::Difference| Difference {
            change: part.change.into(),
            text: part.text.clone(),
        };
        // Which rule decided tells what the known memory is to the text.
        let tells_why = self.may_read || matches!(decided.decision, Decision::Create | Decision::Reject);
        WireDecided {
            decision: decided.decision.as_str().into(),
            reason: tells_why.then(|| decided.reason.clone()),
            confidence: tells_why.then_some(decided.confidence),
            against: decided.against.as_ref().map(|known| self.show_compared(known)),
            memory: decided.memory.as_ref().map(|memory| self.memory(memory)),
            diff: decided.diff.iter().filter(|_| self.may_read).map(part).collect(),
            redacted: decided.redacted.clone(),
            unembedded: decided.unembedded.clone(),
        }
    }
}

/// A memory of which only the id is told.
fn id_only(id: MemoryId) -> WrittenMemory {
    WrittenMemory { id: id.to_string(), ..WrittenMemory::default() }
}

fn to_wire(memory: &Memory) -> Wire {
    let to_text = |time: Option<Timestamp>| time.map(|time| time.to_string());
    Wire {
        id: memory.id.to_string(),
        content: memory.content.clone(),
        kind: memory.kind.as_str().into(),
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
