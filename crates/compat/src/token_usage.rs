//! Usage, timings, progress and logprobs in the forms of OpenAI's and llama.cpp's APIs.

use lar_inference::{Candidate, FinishReason, PrefillProgress, TaskSummary, TokenLogprobs};

use crate::Answer;
use crate::openai::wire::{
    CompletionUsage, PromptProgress, PromptTokensDetails, Timings, TokenLogprob, TopLogprob,
};

/// OpenAI's logprob for very unlikely tokens.
const LOGPROB_MIN: f32 = -9999.0;

/// Sums the usage of answers, where `each` consecutive answers share a prompt that is counted once.
pub(crate) fn usage<'a>(ends: impl IntoIterator<Item = &'a TaskSummary>, each: usize) -> CompletionUsage {
    let mut details = PromptTokensDetails { cached_tokens: 0 };
    let mut usage = CompletionUsage {
        prompt_tokens: 0,
        completion_tokens: Some(0),
        total_tokens: 0,
        prompt_tokens_details: None,
    };
    for (index, end) in ends.into_iter().enumerate() {
        if index % each.max(1) == 0 {
            usage.prompt_tokens += end.tokens_in;
            details.cached_tokens += end.tokens_cached;
        }
        usage.completion_tokens = usage.completion_tokens.map(|tokens| tokens + end.tokens_out);
    }
    usage.prompt_tokens_details = Some(details);
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens.unwrap_or_default();
    usage
}

/// Returns the timings of an answer in llama.cpp's form; `None` unless there is exactly one answer.
pub(crate) fn timings<'a>(ends: impl IntoIterator<Item = &'a TaskSummary>) -> Option<Timings> {
    let mut ends = ends.into_iter();
    let (end, None) = (ends.next()?, ends.next()) else { return None };
    let read = end.tokens_in.saturating_sub(end.tokens_cached);
    let (prompt_ms, predicted_ms) = (end.ttft_ms.saturating_sub(end.queue_ms) as f64, end.decode_ms as f64);
    // The last step of the prefill produces the first token, so `predicted_ms` is the time of the other tokens.
    let steps = end.tokens_out.saturating_sub(1);
    let each = |ms: f64, tokens: u64| if tokens == 0 { 0.0 } else { ms / tokens as f64 };
    let rate = |ms: f64, tokens: u64| if ms > 0.0 { tokens as f64 * 1000.0 / ms } else { 0.0 };
    Some(Timings {
        cache_n: end.tokens_cached,
        prompt_n: read,
        prompt_ms,
        prompt_per_token_ms: each(prompt_ms, read),
        prompt_per_second: rate(prompt_ms, read),
        predicted_n: end.tokens_out,
        predicted_ms,
        predicted_per_token_ms: each(predicted_ms, steps),
        predicted_per_second: rate(predicted_ms, steps),
    })
}

/// Returns the timings of an answer during its prefill.
pub(crate) fn timings_of_prefill(progress: &PrefillProgress) -> Option<Timings> {
    timings([&TaskSummary {
        reason: FinishReason::Length,
        tokens_in: progress.processed,
        tokens_cached: progress.cached,
        tokens_out: 0,
        queue_ms: 0,
        ttft_ms: progress.elapsed_ms,
        decode_ms: 0,
    }])
}

/// Returns the progress of a prefill in llama.cpp's form.
pub(crate) fn prompt_progress(progress: &PrefillProgress) -> PromptProgress {
    let PrefillProgress { total, cached, processed, elapsed_ms } = *progress;
    PromptProgress { total, cache: cached, processed, time_ms: elapsed_ms }
}

/// Returns the timings of complete answers; `None` unless there is exactly one.
pub(crate) fn timings_of(answers: &[Answer]) -> Option<Timings> {
    timings(answers.iter().filter_map(|answer| answer.end.as_ref()))
}

/// Returns the usage of complete answers, where `each` consecutive answers share a prompt.
pub(crate) fn usage_of(answers: &[Answer], each: usize) -> CompletionUsage {
    usage(answers.iter().filter_map(|answer| answer.end.as_ref()), each)
}

/// Converts the logprobs of a token to OpenAI's form.
pub(crate) fn token_logprob(token: &TokenLogprobs) -> TokenLogprob {
    let top_logprobs = token.top.iter().map(top_logprob).collect();
    TokenLogprob { chosen: top_logprob(&token.chosen), top_logprobs }
}

/// Converts a candidate to OpenAI's form. Incomplete UTF-8 becomes U+FFFD in the text; `bytes` has the exact bytes.
pub(crate) fn top_logprob(candidate: &Candidate) -> TopLogprob {
    TopLogprob {
        token: String::from_utf8_lossy(&candidate.bytes).into_owned(),
        // JSON has no infinity.
        logprob: candidate.logprob.max(LOGPROB_MIN),
        bytes: candidate.bytes.clone(),
    }
}
