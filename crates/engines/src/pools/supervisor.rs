//! Keeps one engine as it should be: loads it when ordered, notices its death, waits longer after each.

use std::sync::Arc;
use std::time::Duration;

use lar_base::Instant;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::PoolState;
use super::host::Host;
use crate::driver::Driver;
use crate::scheduler::PoolId;

/// The wait after the first death; it doubles with every further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// It does not grow beyond this.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// An engine that lived this long starts over with the first wait.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// What a supervisor is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Be loaded.
    Load,
    /// Let go of the memory.
    Unload,
    /// Let go of the memory and end.
    Remove,
}

/// Obeys orders until told to end.
pub(super) async fn run(
    pool: PoolId,
    driver: Arc<dyn Driver>,
    mut orders: mpsc::Receiver<Order>,
    host: Arc<Host>,
    stopping: CancellationToken,
) {
    let tell = |state: PoolState| host.is_now(&pool, state);
    let mut deaths = 0u32;
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            () = stopping.cancelled() => None,
        };
        match order {
            None | Some(Order::Remove) => break,
            Some(Order::Unload) => continue,
            Some(Order::Load) => {}
        }
        tell(PoolState::Loading);
        if deaths > 0 {
            let wait = BACKOFF_FIRST.saturating_mul(1 << (deaths - 1).min(16)).min(BACKOFF_MAX);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopping.cancelled() => break,
            }
        }
        let begun = Instant::now();
        let loaded = tokio::select! {
            loaded = driver.load() => loaded,
            () = stopping.cancelled() => break,
        };
        if let Err(error) = loaded {
            tracing::warn!(%pool, %error, "a model could not be loaded");
            // Whoever asks again is told again, soon: only engines that die while they run wait longer.
            deaths = deaths.max(1);
            tell(PoolState::Failed(error.to_string()));
            continue;
        }
        tracing::info!(%pool, took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX), "a model was loaded");
        tell(PoolState::Ready);
        let since = Instant::now();
        let ended = loop {
            tokio::select! {
                reason = driver.died() => break Ended::Died(reason),
                order = orders.recv() => match order {
                    Some(Order::Load) => {}
                    Some(Order::Unload) => break Ended::Unloaded,
                    Some(Order::Remove) | None => break Ended::Removed,
                },
                () = stopping.cancelled() => break Ended::Removed,
            }
        };
        match ended {
            Ended::Died(reason) => {
                deaths = if since.elapsed() >= HEALTHY_AFTER { 1 } else { deaths + 1 };
                tracing::warn!(%pool, %reason, deaths, "an engine died");
                driver.unload().await;
                tell(PoolState::Unloaded);
            }
            Ended::Unloaded => {
                deaths = 0;
                driver.unload().await;
                tell(PoolState::Unloaded);
            }
            Ended::Removed => break,
        }
    }
    driver.unload().await;
}

enum Ended {
    Died(String),
    Unloaded,
    Removed,
}
