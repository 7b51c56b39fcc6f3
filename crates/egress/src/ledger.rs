//! The egress ledger: the number of connections to each destination since the start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The maximum number of destinations that are counted separately. Further ones are counted as `other`, so a
/// caller who names many hosts cannot grow the table without limit.
const DESTINATIONS_MAX: usize = 1024;

/// Connection counts by destination (`host:port`). Clones share them.
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

    /// Returns the count of every destination.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the sum over all destinations; zero if Lar has opened no outbound connection.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.snapshot().values().sum()
    }
}
