//! The models behind the gateway: where their requests go, their size and their speed.

use std::collections::BTreeMap;

use lar_base::Problem;
use lar_catalog::{Kind, Model, ModelRecommendation};
use lar_engines::embedded::ConfinementPolicy;
use lar_engines::pools::PoolState;

use super::Gateway;
use crate::drivers::Remote;
use crate::routes::Route;
use crate::sizing::Footprint;

impl Gateway {
    /// Finds the pool of a model's name or alias, and makes its driver on first use.
    ///
    /// # Errors
    /// No model has that name.
    pub async fn route(&self, model: &str) -> Result<Route, Problem> {
        self.shared.routes.find(model, None).await
    }

    /// Finds a pool like [`Gateway::route`], for a request that needs a model of this kind. The error names
    /// the installed models of that kind.
    ///
    /// # Errors
    /// No model has that name.
    pub async fn route_for(&self, model: &str, expected_kind: Kind) -> Result<Route, Problem> {
        self.shared.routes.find(model, Some(expected_kind)).await
    }

    /// Returns the engines on other machines.
    pub fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.shared.routes.remotes()
    }

    /// Returns whether a model is loaded on this machine.
    #[must_use]
    pub fn is_loaded_here(&self, model: &str) -> bool {
        let is_remote = self.remotes().any(|remote| remote.name == model);
        let pools = self.shared.engines.status();
        !is_remote && pools.iter().any(|pool| *pool.pool == *model && pool.state == PoolState::Ready)
    }

    /// Returns the confinement policy, and the parts of the confinement that the kernel does not support.
    ///
    /// # Errors
    /// No worker can be started to find out.
    pub async fn confinement(&self) -> Result<(ConfinementPolicy, Vec<String>), Problem> {
        self.shared.routes.confinement().await
    }

    /// Returns the context of each slot of an installed model, loaded or not, in tokens.
    #[must_use]
    pub fn context_of(&self, model: &Model) -> u32 {
        self.shared.routes.context_tokens(model)
    }

    /// Returns the memory that an installed model takes once loaded, with the current settings.
    #[must_use]
    pub fn footprint(&self, model: &Model) -> Footprint {
        self.shared.routes.footprint(model)
    }

    /// Returns the memory that a recommended model which is not installed would take once loaded, with the
    /// current settings.
    #[must_use]
    pub fn expected_footprint(&self, model: &ModelRecommendation) -> Footprint {
        self.shared.routes.expected_footprint(model)
    }

    /// Returns the decoding speed of each installed model that was measured on this machine, in tokens per
    /// second by name.
    pub async fn measured_speeds(&self) -> BTreeMap<String, f64> {
        self.shared.routes.measured_speeds().await
    }

    /// Explains why a model computes with this many threads, if the machine has more cores.
    #[must_use]
    pub fn threads_note(&self, threads: u32) -> Option<String> {
        self.shared.routes.threads_note(threads)
    }
}
