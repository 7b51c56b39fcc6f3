//! Estimates when a waiting task will start, from how long tasks of its pool have taken.

use std::time::Duration;

/// The weight of the newest task in the mean: about the last eight tasks count.
const WEIGHT: f64 = 0.2;
/// The assumed duration of a task before any was measured.
const FIRST_ESTIMATE: Duration = Duration::from_secs(3);
/// The assumed duration of a load; models on a local disk take 0.2 to 10 s.
const LOAD_ESTIMATE: Duration = Duration::from_secs(2);

/// Estimates when tasks start, from an exponentially weighted mean of the time between grant and confirmed stop.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StartEstimate {
    mean_s: Option<f64>,
}

impl StartEstimate {
    pub(super) fn add(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.mean_s = Some(self.mean_s.map_or(took, |mean| WEIGHT * took + (1.0 - WEIGHT) * mean));
    }

    /// Estimates the wait of the task at `position`. `running` has the time for which each current task has
    /// run on the `concurrency` slots. Each slot becomes free after the mean duration of a task, again and
    /// again.
    pub(super) fn start_of(
        &self,
        position: usize,
        running: &[Duration],
        concurrency: usize,
        ready: bool,
    ) -> Duration {
        let mean = self.mean_s.map_or(FIRST_ESTIMATE, Duration::from_secs_f64);
        let load = if ready { Duration::ZERO } else { LOAD_ESTIMATE };
        let mut free_in: Vec<Duration> = running.iter().map(|since| mean.saturating_sub(*since)).collect();
        free_in.resize(concurrency.max(running.len()), Duration::ZERO);
        free_in.sort_unstable();
        free_in.truncate(concurrency);
        let rounds = u32::try_from(position / concurrency).unwrap_or(u32::MAX);
        load + free_in[position % concurrency] + mean.saturating_mul(rounds)
    }
}
