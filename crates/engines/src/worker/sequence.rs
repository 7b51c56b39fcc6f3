//! One answer that is written: its place in the context, what chooses its tokens, and how they become text.

use lar_base::Instant;

use super::Progress;
use super::cache::PromptTokens;
use super::detokenizer::{DetokenizeStep, Detokenizer};
use super::draft::Drafter;
use super::llama_cpp::Vocab;
use super::sampler::{SampledToken, Sampler};
use super::step_budget::{AcceptanceRate, DRAFT_TOKENS_MAX, StepBudget, look_up_draft};
use crate::driver::{FinishReason, TokenLogprobs};
use crate::protocol::{CREDIT, CallerNumbers};

/// A running answer.
pub(super) struct Sequence<'model> {
    pub(super) id: i32,
    /// Whose it is.
    pub(super) caller: CallerNumbers,
    /// When it got its sequence, or later when its prompt was read.
    pub(super) since: Instant,
    /// Whether it once had to give its sequence to another.
    pub(super) was_paused: bool,
    /// The prompt's tokens and behind them those of the answer that were decoded.
    pub(super) prompt: PromptTokens,
    /// Tokens of it that were known from earlier, until that is told.
    pub(super) cached_tokens: Option<usize>,
    /// Tokens of the prompt that the last report of prefill counted; none where there are no such reports.
    pub(super) reported: Option<usize>,
    /// Tokens in the context.
    pub(super) position: usize,
    /// Sampled but not decoded yet; the prompt was read when there is one.
    pub(super) next: Option<u32>,
    pub(super) produced: u32,
    pub(super) tokens_max: u32,
    /// How many tokens at the beginning stay when the context is full and the oldest others make room.
    pub(super) shift_keep: Option<usize>,
    /// Whether some did: what is kept of it depends on what is gone.
    pub(super) shifted: bool,
    pub(super) sampler: Sampler<'model>,
    /// With guesses from its text, and with those of a drafter.
    pub(super) acceptance: [AcceptanceRate; 2],
    /// Tokens that were guessed, and how many of them rightly.
    pub(super) draft_counts: (u32, u32),
    /// Control tokens that show in the text.
    pub(super) preserved: Vec<u32>,
    /// Whether the probabilities of the prompt's tokens are told, with so many likely ones beside each.
    pub(super) scored: Option<usize>,
    pub(super) detokenizer: Option<Detokenizer>,
    pub(super) pending: PendingDelta,
    pub(super) credit: u32,
    /// Its part of the step that is being computed.
    pub(super) part: Option<StepPart>,
}

/// Tokens of an answer that nobody reads along are told in groups of so many: each message takes time from the cores that
/// compute.
const GROUP_TOKENS: u32 = 16;

/// What was produced and is not told yet.
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

    /// Adds a token's text, and tells what there is unless more is waited for. The first token is told at once.
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

/// What a step computes for a sequence.
pub(super) struct StepPart {
    /// Tokens in the context before.
    pub(super) from: usize,
    /// Where in the batch what comes after its last certain token is, when that was computed.
    pub(super) output: Option<usize>,
    /// Where in the batch what comes after its first token is, when that was computed for all of them.
    pub(super) first: Option<usize>,
    /// Tokens that were computed along on the chance that they follow; their outputs are the next ones.
    pub(super) draft: Vec<u32>,
    /// Who guessed them.
    pub(super) source: DraftSource,
}

/// Where guesses come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DraftSource {
    Text = 0,
    Drafter = 1,
}

impl Sequence<'_> {
    pub(super) fn runnable(&self) -> bool {
        (self.next.is_none() && self.scored.is_none()) || self.credit > 0
    }

    /// Reports how much of the prompt is in the KV cache, and has [`Self::report_prefill`] report what follows.
    pub(super) fn report_position(&mut self, report: &mut dyn FnMut(Progress)) {
        self.reported = Some(self.position);
        self.credit = self.credit.saturating_sub(1);
        report(Progress::Prefilling { tokens: u32::try_from(self.position).unwrap_or(u32::MAX) });
    }

    /// Reports how much of the prompt is in the KV cache, where that is asked for and more than was reported: what a paused
    /// stream had read may be read again. Half of the credit is left to the answer; the last report is sent in any case.
    pub(super) fn report_prefill(&mut self, report: &mut dyn FnMut(Progress)) {
        let is_more = self.reported.is_some_and(|reported| reported < self.position);
        // An answer that was paused is read again, too, behind its prompt.
        let reads_prompt = self.cached_tokens.is_some();
        let is_last = self.position == self.prompt.tokens.len();
        if is_more && reads_prompt && (is_last || self.credit > CREDIT / 2) {
            self.report_position(report);
        }
    }

    /// Tokens that may follow its last one, as many as are worth computing along, and who thinks so.
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

    /// Takes one chosen token into the answer; returns why it ended, if it did.
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
