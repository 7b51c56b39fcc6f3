//! How often each destination was connected to, since the start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// At most this many destinations are told apart; the rest are added up under `other`, so that a caller
/// who names many hosts cannot grow the table without end.
const DESTINATIONS_MAX: usize = 1024;

/// A shared count by destination (`host:port`).
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<BTreeMap<String, u64>>>);

impl Ledger {
    /// Counts one connection, or one request that may reuse one.
    pub fn record(&self, destination: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = counts.len() >= DESTINATIONS_MAX && !counts.contains_key(destination);
        let key = if full { "other" } else { destination };
        *counts.entry(key.to_owned()).or_default() += 1;
    }

    /// Every destination and its count, by name.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The sum over all destinations: zero on a Lar that sent nothing to anyone.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.snapshot().values().sum()
    }
}
