//! One running sequence: its position in the context, its sampler, and its text.

use lar_base::Instant;

use super::backend::Progress;
use super::detokenizer::{DetokenizeStep, Detokenizer};
use super::draft::{Drafter, look_up_draft};
use super::llama_cpp::Vocab;
use super::prefix_cache::PromptTokens;
use super::sampler::{SampledToken, Sampler};
use super::step_budget::{AcceptanceRate, DRAFT_TOKENS_MAX, StepBudget};
use lar_inference::protocol::{CREDIT, CallerNumbers};
use lar_inference::{FinishReason, TokenLogprobs};

/// A running sequence.
pub(super) struct Sequence<'model> {
    pub(super) id: i32,
    /// The user and key that sent the request.
    pub(super) caller: CallerNumbers,
    /// When it got its sequence, or when its prefill ended if that was later.
    pub(super) since: Instant,
    /// Whether it has been paused at least once.
    pub(super) was_paused: bool,
    /// The prompt's tokens, followed by the decoded tokens of the answer.
    pub(super) prompt: PromptTokens,
    /// The number of cached tokens, until it is reported.
    pub(super) cached_tokens: Option<usize>,
    /// The number of tokens in the last prefill report; `None` if no reports are requested.
    pub(super) reported: Option<usize>,
    /// The number of tokens in the context.
    pub(super) position: usize,
    /// The token that is sampled but not decoded yet; `None` during prefill.
    pub(super) next: Option<u32>,
    pub(super) produced: u32,
    pub(super) tokens_max: u32,
    /// The number of tokens at the start that stay when a full context is shifted; `None` does not shift.
    pub(super) shift_keep: Option<usize>,
    /// Whether the context was shifted. Its state then depends on removed tokens.
    pub(super) shifted: bool,
    pub(super) sampler: Sampler<'model>,
    /// The acceptance rates of drafts from the text and from the draft model.
    pub(super) acceptance: [AcceptanceRate; 2],
    /// The number of draft tokens, and of accepted ones.
    pub(super) draft_counts: (u32, u32),
    /// Control tokens that appear in the text.
    pub(super) preserved: Vec<u32>,
    /// The number of top logprobs per prompt token, if logprobs of the prompt are requested.
    pub(super) scored: Option<usize>,
    pub(super) detokenizer: Option<Detokenizer>,
    pub(super) pending: PendingDelta,
    pub(super) credit: u32,
    /// The tokens that the current step computes for it; `None` if it takes no part.
    pub(super) part: Option<StepPart>,
}

/// The number of tokens per delta of a grouped answer: each frame takes time from the cores that compute.
const GROUP_TOKENS: u32 = 16;

/// Output that is not reported yet.
#[derive(Debug, Default)]
pub(super) struct PendingDelta {
    grouped: bool,
    text: String,
    tokens: u32,
    logprobs: Vec<TokenLogprobs>,
}

impl PendingDelta {
    pub(super) fn new(grouped: bool) -> Self {
        Self { grouped, ..Self::default() }
    }

    /// Adds a token's text, and reports it unless more is to be collected. The first token is reported
    /// immediately.
    fn add(
        &mut self,
        text: &str,
        logprobs: Vec<TokenLogprobs>,
        waits: bool,
        report: &mut dyn FnMut(Progress),
    ) {
        self.text.push_str(text);
        self.tokens += 1;
        self.logprobs.extend(logprobs);
        if self.grouped && waits && self.tokens < GROUP_TOKENS {
            return;
        }
        let text = std::mem::take(&mut self.text);
        let (tokens, logprobs) = (std::mem::take(&mut self.tokens), std::mem::take(&mut self.logprobs));
        report(Progress::Delta { text, tokens, logprobs });
    }
}

/// A sequence's part of a step.
pub(super) struct StepPart {
    /// The number of tokens in the context before the step.
    pub(super) from: usize,
    /// The batch index of the logits after the last certain token, if they are computed.
    pub(super) output: Option<usize>,
    /// The batch index of the logits after the first token, if they are computed for every token.
    pub(super) first: Option<usize>,
    /// The draft tokens; their logits follow `output`.
    pub(super) draft: Vec<u32>,
    /// The text or the draft model that proposed the draft tokens.
    pub(super) source: DraftSource,
}

/// A source of draft tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DraftSource {
    Text = 0,
    Drafter = 1,
}

impl Sequence<'_> {
    pub(super) fn runnable(&self) -> bool {
        (self.next.is_none() && self.scored.is_none()) || self.credit > 0
    }

    /// Reports how much of the prompt is in the KV cache, and makes [`Self::report_prefill`] report the rest.
    pub(super) fn report_position(&mut self, report: &mut dyn FnMut(Progress)) {
        self.reported = Some(self.position);
        self.credit = self.credit.saturating_sub(1);
        report(Progress::Prefilling { tokens: u32::try_from(self.position).unwrap_or(u32::MAX) });
    }

    /// Reports how much of the prompt is in the KV cache, if reports are requested and the number has grown.
    /// It may not have grown, because the tokens of a paused stream can be computed again. Half of the credit
    /// is left for the answer; the last report is always sent.
    pub(super) fn report_prefill(&mut self, report: &mut dyn FnMut(Progress)) {
        let is_more = self.reported.is_some_and(|reported| reported < self.position);
        // The prefill of a resumed answer covers the answer, too.
        let reads_prompt = self.cached_tokens.is_some();
        let is_last = self.position == self.prompt.tokens.len();
        if is_more && reads_prompt && (is_last || self.credit > CREDIT / 2) {
            self.report_position(report);
        }
    }

    /// Drafts as many tokens as are worth computing. Returns them with their source.
    pub(super) fn draft(
        &mut self,
        budget: &StepBudget,
        context_tokens: usize,
        drafter: &mut Option<Drafter<'_>>,
    ) -> (Vec<u32>, DraftSource) {
        let limits = [
            DRAFT_TOKENS_MAX,
            (self.credit as usize).saturating_sub(1),
            (self.tokens_max.saturating_sub(self.produced) as usize).saturating_sub(1),
            context_tokens.saturating_sub(self.position + 1),
        ];
        let most = limits.into_iter().min().unwrap_or(0);
        let candidates = look_up_draft(&self.prompt.tokens, most);
        if !candidates.is_empty() {
            let acceptance = &mut self.acceptance[DraftSource::Text as usize];
            let worth = budget.draft_len(acceptance.probability(), 0.0, candidates.len());
            if worth > 0 {
                return (candidates[..worth].to_vec(), DraftSource::Text);
            }
            acceptance.record_skipped();
        }
        let Some(small) = drafter else { return (Vec::new(), DraftSource::Text) };
        let acceptance = &mut self.acceptance[DraftSource::Drafter as usize];
        let worth = budget.draft_len(acceptance.probability(), small.token_seconds, most);
        if worth == 0 {
            acceptance.record_skipped();
            return (Vec::new(), DraftSource::Drafter);
        }
        let draft = small.draft_tokens(&self.prompt.tokens, worth).unwrap_or_else(|_| {
            *drafter = None;
            Vec::new()
        });
        (draft, DraftSource::Drafter)
    }

    /// Adds a chosen token to the answer. Returns the reason why the answer ended, if it did.
    pub(super) fn take(
        &mut self,
        choice: SampledToken,
        vocab: Vocab<'_>,
        context_tokens: usize,
        report: &mut dyn FnMut(Progress),
    ) -> Option<FinishReason> {
        let SampledToken { token, logprobs, last } = choice;
        let mut detokenizer = self.detokenizer.take()?;
        if vocab.ends(token) {
            let (text, logprobs) = detokenizer.finish();
            self.pending.add(&text, logprobs, false, report);
            return Some(FinishReason::Stop);
        }
        self.next = Some(token);
        self.produced += 1;
        self.credit = self.credit.saturating_sub(1);
        detokenizer.add_logprobs(logprobs);
        let mut text = match detokenizer.push(&vocab.bytes(token, self.preserved.contains(&token))) {
            DetokenizeStep::Stopped(text, which) => {
                self.pending.add(&text, Vec::new(), false, report);
                return Some(FinishReason::StopText(which));
            }
            DetokenizeStep::More(text) => text,
        };
        let context_full = self.shift_keep.is_none() && self.position + 1 >= context_tokens;
        if self.produced >= self.tokens_max || context_full || last {
            let (rest, logprobs) = detokenizer.finish();
            text.push_str(&rest);
            self.pending.add(&text, logprobs, false, report);
            return Some(if last { FinishReason::Stop } else { FinishReason::Length });
        }
        let waits = self.produced > 1;
        self.pending.add(&text, detokenizer.take_logprobs(), waits, report);
        self.detokenizer = Some(detokenizer);
        None
    }
}
