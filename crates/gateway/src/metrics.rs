//! The metrics of the pipeline. Their names are part of the API.

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
    /// The same numbers as `tokens_drafted`, under the name of earlier releases.
    tokens_guessed: Family<ByOutcome, Counter>,
    pub(crate) first_token: Family<ByModel, Histogram>,
    pub(crate) per_token: Family<ByModel, Histogram>,
    pub(crate) prediction_error: Histogram,
}

impl Metrics {
    /// Makes the metrics and registers them in `registry`.
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
            tokens_guessed: Family::default(),
            first_token: Family::new_with_constructor(first_token),
            per_token: Family::new_with_constructor(per_token),
            prediction_error: Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
        };
        registry.register("lar_tasks_enqueued", "Tasks enqueued", metrics.enqueued.clone());
        registry.register("lar_tasks_started", "Tasks started on an engine", metrics.started.clone());
        registry.register("lar_tasks_canceled", "Tasks cancelled", metrics.canceled.clone());
        registry.register("lar_tasks_rejected", "Tasks rejected", metrics.rejected.clone());
        registry.register("lar_tokens_in", "Prompt tokens", metrics.tokens_in.clone());
        registry.register(
            "lar_tokens_in_cached",
            "Prompt tokens found in the prefix cache",
            metrics.tokens_cached.clone(),
        );
        registry.register("lar_tokens_out", "Answer tokens", metrics.tokens_out.clone());
        registry.register(
            "lar_tokens_drafted",
            "Draft tokens of speculative decoding, by outcome: accepted or rejected",
            metrics.tokens_drafted.clone(),
        );
        registry.register(
            "lar_tokens_guessed",
            "Deprecated, use lar_tokens_drafted: the same tokens with the outcomes right and wrong",
            metrics.tokens_guessed.clone(),
        );
        registry.register(
            "lar_time_to_first_token_seconds",
            "Time from the admission of a task to its first token",
            metrics.first_token.clone(),
        );
        registry.register(
            "lar_time_per_output_token_seconds",
            "Mean time per token after the first",
            metrics.per_token.clone(),
        );
        registry.register(
            "lar_predicted_start_error_seconds",
            "Difference between the predicted and the actual start of a task",
            metrics.prediction_error.clone(),
        );
        metrics
    }

    /// Counts the draft tokens of an answer, of which `accepted` were accepted.
    pub(crate) fn record_speculation(&self, model: &str, tokens: u32, accepted: u32) {
        let rejected = tokens.saturating_sub(accepted);
        let counted = [
            (&self.tokens_drafted, "accepted", accepted),
            (&self.tokens_drafted, "rejected", rejected),
            (&self.tokens_guessed, "right", accepted),
            (&self.tokens_guessed, "wrong", rejected),
        ];
        for (family, outcome, count) in counted {
            let label = ByOutcome { model: model.to_owned(), outcome };
            family.get_or_create(&label).inc_by(u64::from(count));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draft_tokens_are_counted_under_the_new_and_the_deprecated_name() {
        let mut registry = Registry::default();
        Metrics::register(&mut registry).record_speculation("m", 5, 3);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "lar_tokens_drafted_total{model=\"m\",outcome=\"accepted\"} 3\n",
            "lar_tokens_drafted_total{model=\"m\",outcome=\"rejected\"} 2\n",
            "lar_tokens_guessed_total{model=\"m\",outcome=\"right\"} 3\n",
            "lar_tokens_guessed_total{model=\"m\",outcome=\"wrong\"} 2\n",
            "# HELP lar_tokens_guessed Deprecated",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
