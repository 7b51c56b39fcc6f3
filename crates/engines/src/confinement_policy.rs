//! The policy for a process that runs a model and that the kernel cannot confine completely.

use serde::{Deserialize, Serialize};

/// The policy if the kernel cannot apply every part of a worker's confinement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfinementPolicy {
    /// The model is loaded. The log, `lar doctor` and the capabilities report the missing parts.
    #[default]
    BestEffort,
    /// The model is not loaded.
    Require,
}

impl ConfinementPolicy {
    /// Returns the name of the policy in the settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ConfinementPolicy::BestEffort => "best-effort",
            ConfinementPolicy::Require => "require",
        }
    }

    /// Decides whether a process may run without the whole confinement. Returns the missing parts if it may,
    /// or `None` if none is missing.
    ///
    /// # Errors
    /// The policy requires the whole confinement. The reason names `process`, the setting and the missing
    /// parts.
    pub(crate) fn allow(self, process: &str, missing: &[String]) -> Result<Option<String>, String> {
        if missing.is_empty() {
            return Ok(None);
        }
        let missing = missing.join("; ");
        match self {
            ConfinementPolicy::BestEffort => Ok(Some(missing)),
            ConfinementPolicy::Require => Err(format!(
                "{process} cannot be fully confined, which `engines.confinement` requires; missing: {missing}"
            )),
        }
    }
}
