//! `/v1/messages`: Anthropic's API for unmodified clients. Requests become the same tasks as those of OpenAI's API.

mod blocks;
pub(crate) mod count_tokens;
mod decode;
pub(crate) mod messages;

use lar_api::anthropic::AnthropicUsage;
use lar_inference::{FinishReason, TaskSummary};

pub(crate) use decode::{count as decode_count, messages as decode_messages};

/// Returns Anthropic's stop reason and, if it applies, the stop sequence. `stops` are the request's stop sequences.
fn stop_reason(reason: FinishReason, stops: &[String]) -> (&'static str, Option<String>) {
    let word = match reason {
        FinishReason::StopText(which) => return ("stop_sequence", stops.get(which).cloned()),
        FinishReason::Stop => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
    };
    (word, None)
}

fn usage(end: &TaskSummary) -> AnthropicUsage {
    AnthropicUsage {
        input_tokens: end.tokens_in.saturating_sub(end.tokens_cached),
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: end.tokens_cached,
        output_tokens: end.tokens_out,
    }
}
