//! How many files this process may have open: connections, the database, and the sockets of workers count.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lar does not start with fewer: the database, its log, the listeners, two workers and a few connections.
pub(crate) const OPEN_FILES_MIN: u64 = 128;
/// More than this is not asked for.
const OPEN_FILES_TARGET: u64 = 65_536;
/// Kept for the database, workers and downloads while connections take all of the rest.
const RESERVE: u64 = 256;

/// Raises this process's limit as far as it may, and says what it is then.
///
/// # Errors
/// When it is too low to serve with.
pub(crate) fn raise() -> anyhow::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let may = limit.maximum.unwrap_or(OPEN_FILES_TARGET).min(OPEN_FILES_TARGET);
    let now = limit.current.unwrap_or(OPEN_FILES_TARGET);
    let reached = if now < may && setrlimit(Resource::Nofile, Rlimit { current: Some(may), ..limit }).is_ok()
    {
        may
    } else {
        now
    };
    ensure!(
        reached >= OPEN_FILES_MIN,
        "this process may have {reached} files open, and Lar needs {OPEN_FILES_MIN} at least; raise the limit (`ulimit -n`, \
         LimitNOFILE in a unit, --ulimit nofile of a container)"
    );
    Ok(reached)
}

/// The most files that this process could have open after [`raise`].
pub(crate) fn hard_limit() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(OPEN_FILES_TARGET).min(OPEN_FILES_TARGET)
}

/// The connections that `limit` open files leave room for, of those that are configured.
pub(crate) fn connections_within(limit: u64, configured: usize) -> usize {
    let room = limit - (limit / 2).min(RESERVE);
    configured.min(usize::try_from(room).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        assert_eq!(connections_within(65_536, 2048), 2048);
        assert_eq!(connections_within(1024, 2048), 768);
        assert_eq!(connections_within(128, 2048), 64);
        assert_eq!(connections_within(1024, 10), 10);
    }
}
