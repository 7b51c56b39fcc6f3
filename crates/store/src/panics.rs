//! Panics of changes and queries, which must not end the threads that run them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;

/// Runs a closure; turns a panic, which the panic hook has logged, into an error.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        tracing::error!(panic = message, "a database query panicked; it changed nothing");
        Err(Error::Panicked)
    })
}
