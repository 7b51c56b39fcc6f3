//! The lines of intentions in exports and imports of memories.

use lar_api::memories::{ExportedIntention, ExportedIntentionLine};
use lar_base::{Problem, SpaceId, Timestamp};
use lar_store::{Intention, Provenance};

use super::parse;
use crate::memories::intentions::parse::{parse_priority, parse_status, parse_trigger};
use crate::memories::view::show_trigger;

/// The name of the only field of a line with an intention.
const FIELD: &[u8] = b"\"intention\"";

/// Returns whether a line of an import has an intention.
pub(in crate::memories) fn is_intention(line: &[u8]) -> bool {
    line.trim_ascii_start().strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start().starts_with(FIELD))
}

/// Returns the line of an intention in an export.
#[must_use]
pub fn intention_line(intention: Intention) -> ExportedIntentionLine {
    let to_text = |time: Option<Timestamp>| time.map(|time| time.to_string());
    ExportedIntentionLine {
        intention: ExportedIntention {
            id: intention.id.to_string(),
            trigger: show_trigger(&intention.trigger),
            content: intention.content,
            priority: intention.priority.as_str().into(),
            deadline: to_text(intention.deadline),
            status: intention.status.as_str().into(),
            snoozed_until: to_text(intention.snoozed_until),
            source: intention.provenance.source,
            conversation: intention.provenance.conversation,
            message: intention.provenance.message,
            written_by: intention.provenance.key.to_string(),
            created_at: intention.created_at.to_string(),
            updated_at: intention.updated_at.to_string(),
            last_shown_at: to_text(intention.last_shown_at),
        },
    }
}

/// Parses the line of an intention.
pub(super) fn parse_intention(space: SpaceId, line: ExportedIntentionLine) -> Result<Intention, Problem> {
    let line = line.intention;
    let at = |field: &str, time: Option<String>| time.map(|time| parse(field, &time)).transpose();
    let created_at = parse("created_at", &line.created_at)?;
    Ok(Intention {
        id: parse("id", &line.id)?,
        space,
        content: line.content,
        trigger: parse_trigger(line.trigger, created_at)?,
        priority: parse_priority(&line.priority)?,
        deadline: at("deadline", line.deadline)?,
        status: parse_status(&line.status)?,
        snoozed_until: at("snoozed_until", line.snoozed_until)?,
        provenance: Provenance {
            key: parse("written_by", &line.written_by)?,
            source: line.source,
            conversation: line.conversation,
            message: line.message,
        },
        created_at,
        updated_at: parse("updated_at", &line.updated_at)?,
        last_shown_at: at("last_shown_at", line.last_shown_at)?,
    })
}
