//! Feedback on a memory, for the HTTP API and the MCP tools.

use lar_base::{MemoryId, Problem, Timestamp};
use lar_memory::strength::Event;
use lar_memory::{Edit, Memories, WriteAccess};
use lar_store::Memory;

/// The maximum length of a reason.
pub(crate) const REASON_CHARS_MAX: usize = 500;

/// Applies feedback to a memory, and returns the changed memory.
///
/// # Errors
/// [`lar_base::Code::InvalidParams`] for unknown feedback or a long reason; errors of the memories.
pub(crate) async fn apply_feedback(
    memories: &Memories,
    writer: &WriteAccess,
    id: MemoryId,
    feedback: &str,
    reason: Option<String>,
) -> Result<Memory, Problem> {
    let reason = check_reason(reason)?;
    match feedback {
        "useful" => memories.review(writer, id, Event::Used, reason).await,
        "wrong" => memories.review(writer, id, Event::Wrong, reason).await,
        "outdated" => {
            let edit = Edit { valid_to: Some(Some(Timestamp::now())), ..Edit::default() };
            memories.edit(writer, id, edit, None).await
        }
        _ => Err(Problem::invalid("feedback", "must be useful, wrong or outdated")),
    }
}

/// Checks the length of the reason for a review.
///
/// # Errors
/// [`lar_base::Code::InvalidParams`] if the reason is longer than [`REASON_CHARS_MAX`].
pub(crate) fn check_reason(reason: Option<String>) -> Result<Option<String>, Problem> {
    match &reason {
        Some(text) if text.chars().count() > REASON_CHARS_MAX => {
            Err(Problem::invalid("reason", format!("must have at most {REASON_CHARS_MAX} characters")))
        }
        _ => Ok(reason),
    }
}
