//! Parses the fields of requests about memories, for the HTTP API and the MCP tools. Errors name the field.

use lar_api::memories::NewMemory;
use lar_base::{MemoryId, Problem, Timestamp};
use lar_memory::{Detail, Item};
use lar_store::MemoryKind;

use crate::extract;

/// The maximum number of results of a search.
pub(crate) const LIMIT_MAX: usize = 100;

/// Parses a memory to save.
pub(crate) fn parse_item(new: NewMemory) -> Result<Item, Problem> {
    let at = |field: &str, time: Option<String>| time.map(|time| parse_time(field, &time)).transpose();
    Ok(Item {
        content: new.content,
        kind: new.kind.as_deref().map(|text| parse_kind("kind", text)).transpose()?,
        tags: new.tags,
        source: new.source,
        project: new.project,
        occurred_at: at("occurred_at", new.occurred_at)?,
        valid_from: at("valid_from", new.valid_from)?,
        valid_to: at("valid_to", new.valid_to)?,
        after: new
            .after
            .map(|id| id.parse().map_err(|_| Problem::invalid("after", "must be the id of a memory")))
            .transpose()?,
        conversation: new.conversation,
        message: new.message,
    })
}

/// Parses the id that selects one memory.
///
/// # Errors
/// [`lar_base::Code::NotFound`], as if there were no memory with this id.
pub(crate) fn parse_memory_id(text: &str) -> Result<MemoryId, Problem> {
    extract::id(text, "memory")
}

/// Parses the kind of a memory.
pub(crate) fn parse_kind(field: &str, text: &str) -> Result<MemoryKind, Problem> {
    text.parse().map_err(|reason: String| Problem::invalid(field, reason))
}

/// Parses a time in the format of RFC 3339, or a day, which stands for its midnight in UTC.
pub(crate) fn parse_time(field: &str, text: &str) -> Result<Timestamp, Problem> {
    let day = || format!("{text}T00:00:00Z").parse();
    text.parse().or_else(|_| day()).map_err(|_| {
        Problem::invalid(field, "must be a time as in 2026-11-26T10:00:00Z, or a day as in 2026-11-26")
    })
}

/// Parses the number of results of a search; `default` if there is none.
pub(crate) fn parse_limit(limit: Option<usize>, default: usize) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(default);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::invalid("limit", format!("must be between 1 and {LIMIT_MAX}")));
    }
    Ok(limit)
}

/// Parses the part of each memory's text that a search returns; a summary if there is none.
pub(crate) fn parse_detail(text: Option<&str>) -> Result<Detail, Problem> {
    match text {
        None | Some("summary") => Ok(Detail::Summary),
        Some("brief") => Ok(Detail::Brief),
        Some("full") => Ok(Detail::Full),
        Some(_) => Err(Problem::invalid("detail", "must be brief, summary or full")),
    }
}
