//! `/v1/messages`: Anthropic's API, for its unchanged clients. Requests become the same tasks as OpenAI's.

mod blocks;
pub(crate) mod count_tokens;
mod decode;
pub(crate) mod messages;

use lar_api::anthropic::Usage;
use lar_engines::driver::FinishReason;
use lar_gateway::End;

pub(crate) use decode::{count as decode_count, messages as decode_messages};

/// Anthropic's words for how an answer ended, and the stop text that did it, where that is known; `stops` are those
/// of the request.
fn stop_reason(reason: FinishReason, stops: &[String]) -> (&'static str, Option<String>) {
    let word = match reason {
        FinishReason::StopText(which) => return ("stop_sequence", stops.get(which).cloned()),
        FinishReason::Stop => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
    };
    (word, None)
}

fn usage(end: &End) -> Usage {
    Usage {
        input_tokens: end.tokens_in.saturating_sub(end.tokens_cached),
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: end.tokens_cached,
        output_tokens: end.tokens_out,
    }
}
