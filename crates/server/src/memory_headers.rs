//! The request headers about memory: `X-Lar-Memory` sets the mode of a request to a compatible API, `X-Agent-Id`
//! selects the memories of an agent, and `X-Space` those of a team space.

use axum::http::{HeaderMap, HeaderValue};
use lar_base::{MemoryMode, Problem};
use lar_memory::MemoryScope;

/// The header that sets the memory mode.
const MODE: &str = "x-lar-memory";
/// The header that selects an agent.
const AGENT: &str = "x-agent-id";
/// The header that selects a team space.
const SPACE: &str = "x-space";

/// Returns the memory scope that the headers of a request select.
///
/// # Errors
/// [`lar_base::Code::InvalidParams`] if a header is not ASCII.
pub(crate) fn requested_scope(headers: &HeaderMap) -> Result<MemoryScope<'_>, Problem> {
    let text = |header: &str, name: &str| match headers.get(header).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(Problem::invalid(name, "must be ASCII")),
    };
    Ok(MemoryScope { agent: text(AGENT, "X-Agent-Id")?, space: text(SPACE, "X-Space")? })
}

/// Returns the memory mode that the headers of a request set; `None` without the header.
///
/// # Errors
/// [`lar_base::Code::InvalidParams`] for an unknown mode.
pub(crate) fn requested_mode(headers: &HeaderMap) -> Result<Option<MemoryMode>, Problem> {
    let Some(value) = headers.get(MODE) else { return Ok(None) };
    let mode = value.to_str().unwrap_or_default().trim().to_ascii_lowercase().parse();
    mode.map(Some).map_err(|reason: String| Problem::invalid("X-Lar-Memory", reason))
}
