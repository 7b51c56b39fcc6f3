//! The metric of request durations.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    path: String,
    status: u16,
}

/// The durations of requests, by method, path and status.
#[derive(Debug, Clone)]
pub(crate) struct RequestMetrics(Family<RequestLabels, Histogram>);

impl RequestMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0]);
        let family = Family::new_with_constructor(seconds as fn() -> Histogram);
        let help = "Time from a request's head to the response's head";
        registry.register("lar_http_request_duration_seconds", help, family.clone());
        Self(family)
    }

    /// Records the duration of a request to a route.
    pub(crate) fn record(&self, method: &'static str, path: String, status: u16, took: Duration) {
        self.0.get_or_create(&RequestLabels { method, path, status }).observe(took.as_secs_f64());
    }
}
