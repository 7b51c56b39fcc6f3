//! The Prometheus metrics of memory.

use std::time::Duration;

use lar_store::ConsolidationRun;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::search::{Mode, Stages};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDecision {
    decision: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStage {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMode {
    mode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFinding {
    kind: &'static str,
}

/// The metrics over all spaces.
#[derive(Debug, Clone)]
pub struct Metrics {
    ingests: Family<ByDecision, Counter>,
    searches: Family<ByMode, Counter>,
    search_seconds: Histogram,
    stage_seconds: Family<ByStage, Histogram>,
    comparisons: Counter,
    findings: Family<ByFinding, Counter>,
}

/// Histogram buckets. A search takes about 1 ms with 100,000 memories and 10 ms with a million.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0];

impl Metrics {
    /// Creates the metrics and registers them in `registry`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            ingests: Family::default(),
            searches: Family::default(),
            search_seconds: Histogram::new(SECONDS),
            stage_seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            comparisons: Counter::default(),
            findings: Family::default(),
        };
        registry.register(
            "lar_memory_ingests",
            "Texts given to memory, by decision",
            metrics.ingests.clone(),
        );
        registry.register(
            "lar_memory_searches",
            "Memory searches, by mode: hybrid or keyword",
            metrics.searches.clone(),
        );
        registry.register(
            "lar_memory_search_seconds",
            "Duration of a memory search, without embedding the query",
            metrics.search_seconds.clone(),
        );
        registry.register(
            "lar_memory_search_stage_seconds",
            "Duration of each stage of a memory search, without skipped stages",
            metrics.stage_seconds.clone(),
        );
        registry.register(
            "lar_memory_consolidation_pairs",
            "Pairs of memories that consolidation compared",
            metrics.comparisons.clone(),
        );
        registry.register(
            "lar_memory_consolidation_findings",
            "Findings of consolidation runs that ended, by kind: duplicate, link or theme",
            metrics.findings.clone(),
        );
        metrics
    }

    pub(crate) fn record_comparisons(&self, pairs: u64) {
        self.comparisons.inc_by(pairs);
    }

    pub(crate) fn record_findings(&self, run: &ConsolidationRun) {
        for (kind, count) in [("duplicate", run.duplicates), ("link", run.links), ("theme", run.themes)] {
            self.findings.get_or_create(&ByFinding { kind }).inc_by(count);
        }
    }

    pub(crate) fn record_ingest(&self, decision: &'static str) {
        self.ingests.get_or_create(&ByDecision { decision }).inc();
    }

    pub(crate) fn record_search(&self, mode: &Mode, stages: &Stages) {
        let mode = match mode {
            Mode::Hybrid => "hybrid",
            Mode::Keyword(_) => "keyword",
        };
        self.searches.get_or_create(&ByMode { mode }).inc();
        let named = stages.named();
        let took: Duration = named.iter().map(|(_, took)| *took).sum();
        self.search_seconds.observe((took - stages.embed).as_secs_f64());
        for (stage, took) in named.into_iter().filter(|(_, took)| !took.is_zero()) {
            self.stage_seconds.get_or_create(&ByStage { stage }).observe(took.as_secs_f64());
        }
    }
}
