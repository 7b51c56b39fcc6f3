//! Intentions in responses, with the fields that the caller may read.

use lar_api::memories::{
    Intention as Wire, IntentionPriority as WirePriority, IntentionStatus as WireStatus,
    IntentionTrigger as WireTrigger,
};
use lar_base::Timestamp;
use lar_memory::ReadAccess;
use lar_store::{Intention, IntentionPriority, IntentionStatus, IntentionTrigger};

use super::WriterView;

/// Returns an intention with all its fields.
pub(crate) fn show_intention(_: &ReadAccess, intention: &Intention) -> Wire {
    to_wire(intention)
}

impl WriterView {
    /// Returns an intention that the request created or changed, with the fields that the writer may read.
    pub(crate) fn intention(self, intention: &Intention) -> Wire {
        let shown = to_wire(intention);
        if self.may_read {
            return shown;
        }
        Wire {
            content: String::new(),
            trigger: None,
            deadline: None,
            snoozed_until: None,
            source: None,
            written_by: None,
            last_shown_at: None,
            ..shown
        }
    }
}

/// Returns a trigger on the wire, in the form that exports use, too.
pub(crate) fn show_trigger(trigger: &IntentionTrigger) -> WireTrigger {
    let of_kind = |kind: &str| WireTrigger { kind: Some(kind.into()), ..WireTrigger::default() };
    match trigger {
        IntentionTrigger::Time { at } => WireTrigger { at: Some(at.to_string()), ..of_kind("time") },
        IntentionTrigger::Context { project, codebase, file_pattern, topics } => WireTrigger {
            project: project.clone(),
            codebase: codebase.clone(),
            file_pattern: file_pattern.clone(),
            topics: topics.clone(),
            ..of_kind("context")
        },
        IntentionTrigger::Event { condition } => {
            WireTrigger { condition: Some(condition.clone()), ..of_kind("event") }
        }
        IntentionTrigger::Manual => of_kind("manual"),
    }
}

fn to_wire(intention: &Intention) -> Wire {
    let to_text = |time: Option<Timestamp>| time.map(|time| time.to_string());
    Wire {
        id: intention.id.to_string(),
        content: intention.content.clone(),
        trigger: Some(show_trigger(&intention.trigger)),
        priority: match intention.priority {
            IntentionPriority::Low => WirePriority::Low,
            IntentionPriority::Normal => WirePriority::Normal,
            IntentionPriority::High => WirePriority::High,
            IntentionPriority::Critical => WirePriority::Critical,
        },
        deadline: to_text(intention.deadline),
        status: match intention.status {
            IntentionStatus::Active => WireStatus::Active,
            IntentionStatus::Done => WireStatus::Done,
            IntentionStatus::Cancelled => WireStatus::Cancelled,
        },
        snoozed_until: to_text(intention.snoozed_until),
        source: intention.provenance.source.clone(),
        space: intention.space.to_string(),
        written_by: Some(intention.provenance.key.to_string()),
        created_at: intention.created_at.to_string(),
        updated_at: intention.updated_at.to_string(),
        last_shown_at: to_text(intention.last_shown_at),
        redacted: Vec::new(),
    }
}
