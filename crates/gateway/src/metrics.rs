//! The pipeline's numbers, under the names of the contract.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByModel {
    pub(crate) model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByModelAndPriority {
    pub(crate) model: String,
    pub(crate) priority: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByOutcome {
    pub(crate) model: String,
    pub(crate) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByReason {
    pub(crate) reason: &'static str,
}

/// Counters and histograms of all tasks.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(crate) enqueued: Family<ByModelAndPriority, Counter>,
    pub(crate) started: Family<ByModel, Counter>,
    pub(crate) canceled: Family<ByReason, Counter>,
    pub(crate) rejected: Family<ByReason, Counter>,
    pub(crate) tokens_in: Family<ByModel, Counter>,
    pub(crate) tokens_cached: Family<ByModel, Counter>,
    pub(crate) tokens_out: Family<ByModel, Counter>,
    pub(crate) tokens_drafted: Family<ByOutcome, Counter>,
    pub(crate) first_token: Family<ByModel, Histogram>,
    pub(crate) per_token: Family<ByModel, Histogram>,
    pub(crate) prediction_error: Histogram,
}

impl Metrics {
    /// Makes the numbers and names them in `registry`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        // The buckets are the OpenTelemetry GenAI conventions' for the same quantities.
        let first_token = || {
            Histogram::new([
                0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
            ])
        };
        let per_token =
            || Histogram::new([0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5]);
        let metrics = Self {
            enqueued: Family::default(),
            started: Family::default(),
            canceled: Family::default(),
            rejected: Family::default(),
            tokens_in: Family::default(),
            tokens_cached: Family::default(),
            tokens_out: Family::default(),
            tokens_drafted: Family::default(),
            first_token: Family::new_with_constructor(first_token),
            per_token: Family::new_with_constructor(per_token),
            prediction_error: Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
        };
        registry.register("lar_tasks_enqueued", "Tasks that were taken", metrics.enqueued.clone());
        registry.register("lar_tasks_started", "Tasks that an engine began", metrics.started.clone());
        registry.register("lar_tasks_canceled", "Tasks that were stopped", metrics.canceled.clone());
        registry.register("lar_tasks_rejected", "Tasks that were not taken", metrics.rejected.clone());
        registry.register("lar_tokens_in", "Prompt tokens", metrics.tokens_in.clone());
        registry.register(
            "lar_tokens_in_cached",
            "Prompt tokens that were known from earlier prompts",
            metrics.tokens_cached.clone(),
        );
        registry.register("lar_tokens_out", "Answer tokens", metrics.tokens_out.clone());
        registry.register(
            "lar_tokens_guessed",
            "Answer tokens that were computed on the chance that they follow",
            metrics.tokens_drafted.clone(),
        );
        registry.register(
            "lar_time_to_first_token_seconds",
            "From a task being taken to its first token",
            metrics.first_token.clone(),
        );
        registry.register(
            "lar_time_per_output_token_seconds",
            "Mean time per token after the first",
            metrics.per_token.clone(),
        );
        registry.register(
            "lar_predicted_start_error_seconds",
            "How far predicted and true start were apart",
            metrics.prediction_error.clone(),
        );
        metrics
    }

    /// An answer's guessed tokens, and how many of them followed.
    pub(crate) fn record_speculation(&self, model: &str, tokens: u32, accepted: u32) {
        let counted = [("right", accepted), ("wrong", tokens.saturating_sub(accepted))];
        for (outcome, count) in counted {
            let label = ByOutcome { model: model.to_owned(), outcome };
            self.tokens_drafted.get_or_create(&label).inc_by(u64::from(count));
        }
    }

    pub(crate) fn record_end(
        &self,
        model: &str,
        tokens: (u64, u64),
        first: Option<Duration>,
        decode: Duration,
    ) {
        let label = ByModel { model: model.to_owned() };
        self.tokens_in.get_or_create(&label).inc_by(tokens.0);
        self.tokens_out.get_or_create(&label).inc_by(tokens.1);
        if let Some(first) = first {
            self.first_token.get_or_create(&label).observe(first.as_secs_f64());
            if tokens.1 > 1 {
                let per_token = decode.as_secs_f64() / (tokens.1 - 1) as f64;
                self.per_token.get_or_create(&label).observe(per_token);
            }
        }
    }
}
