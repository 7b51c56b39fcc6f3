//! Supervises one engine: loads it when ordered, notices its death, and waits longer after each one.

use std::sync::Arc;
use std::time::Duration;

use lar_base::Instant;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::manager::{Order, PoolManager};
use super::status::PoolState;
use crate::driver::Driver;
use crate::scheduler::PoolId;

/// The wait after the first death; it doubles with each further death.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// An engine that lived this long resets the wait.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// Carries out orders until the pool is removed or Lar stops.
pub(super) async fn run(
    pool: PoolId,
    driver: Arc<dyn Driver>,
    mut orders: mpsc::Receiver<Order>,
    manager: Arc<PoolManager>,
    stopping: CancellationToken,
) {
    let set_state = |state: PoolState| manager.set_state(&pool, state);
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
        set_state(PoolState::Loading);
        if deaths > 0 {
            let wait = BACKOFF_FIRST.saturating_mul(1 << (deaths - 1).min(16)).min(BACKOFF_MAX);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopping.cancelled() => break,
            }
        }
        let started = Instant::now();
        let loaded = tokio::select! {
            loaded = driver.load() => loaded,
            () = stopping.cancelled() => break,
        };
        if let Err(error) = loaded {
            tracing::warn!(%pool, %error, "a model could not be loaded");
            // A failed load is retried at the next request, after the shortest wait. Only deaths make the
            // wait longer.
            deaths = deaths.max(1);
            set_state(PoolState::Failed(error.to_string()));
            continue;
        }
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(%pool, took_ms, "a model was loaded");
        set_state(PoolState::Ready);
        let since = Instant::now();
        let ended = loop {
            tokio::select! {
                reason = driver.wait_for_death() => break ExitCause::Died(reason),
                order = orders.recv() => match order {
                    Some(Order::Load) => {}
                    Some(Order::Unload) => break ExitCause::Unloaded,
                    Some(Order::Remove) | None => break ExitCause::Removed,
                },
                () = stopping.cancelled() => break ExitCause::Removed,
            }
        };
        match ended {
            ExitCause::Died(reason) => {
                deaths = if since.elapsed() >= HEALTHY_AFTER { 1 } else { deaths + 1 };
                tracing::warn!(%pool, %reason, deaths, "an engine died");
                driver.unload().await;
                set_state(PoolState::Unloaded);
            }
            ExitCause::Unloaded => {
                deaths = 0;
                driver.unload().await;
                set_state(PoolState::Unloaded);
            }
            ExitCause::Removed => break,
        }
    }
    driver.unload().await;
}

enum ExitCause {
    Died(String),
    Unloaded,
    Removed,
}
