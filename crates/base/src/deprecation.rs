//! Warnings about deprecated names. A renamed public name keeps working for one release; this module logs its first
//! use.
//!
//! It does not know the names: each crate calls [`warn_once`] where it accepts one. `tests/it/deprecated_names.rs`
//! lists them all.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The target of these warnings, for the log filter of commands that otherwise log only errors.
pub const LOG_TARGET: &str = "lar_base::deprecation";

/// Logs a warning that `old` is deprecated in favor of `new`; only the first time for `old` in this process.
///
/// Both are names that Lar defines, never text from a request, so that few are remembered.
pub fn warn_once(old: &str, new: &str) {
    static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let is_first = WARNED.lock().unwrap_or_else(PoisonError::into_inner).insert(old.to_owned());
    if is_first {
        tracing::warn!(
            target: LOG_TARGET,
            deprecated = old,
            replacement = new,
            "a deprecated name was used; it will stop working in the next release"
        );
    }
}
