//! The states of pools, for the handlers of several APIs.

use lar_api::models::ModelState;
use lar_base::{Code, Problem};
use lar_engines::Engines;
use lar_engines::pools::PoolState;

/// Checks that no tasks run on a model.
///
/// # Errors
/// [`Code::Conflict`], with the number of running tasks.
pub(crate) fn refuse_active(engines: &Engines, pool: &str) -> Result<(), Problem> {
    let all = engines.status();
    match all.iter().find(|status| status.pool == pool).map_or(0, |status| status.active) {
        0 => Ok(()),
        active => {
            let detail = format!("`{pool}` has running tasks ({active}); cancel them or wait for their end");
            Err(Problem::new(Code::Conflict, detail))
        }
    }
}

/// Returns a state on the wire.
pub(crate) fn state_to_wire(state: &PoolState) -> ModelState {
    match state {
        PoolState::Unloaded => ModelState::Unloaded,
        PoolState::Loading => ModelState::Loading,
        PoolState::Ready => ModelState::Ready,
        PoolState::Failed(_) => ModelState::Failed,
    }
}
