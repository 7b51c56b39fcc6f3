//! The limit on open files of this process. Connections, the database and the sockets of workers count.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The lowest limit that Lar starts with: enough for the database, its log, the listeners, two workers and a
/// few connections.
pub(crate) const OPEN_FILES_MIN: u64 = 128;
/// The limit that [`raise`] asks for at most.
const OPEN_FILES_TARGET: u64 = 65_536;
/// The number of files reserved for the database, workers and downloads; connections can use the rest.
const RESERVE: u64 = 256;

/// Raises this process's limit as far as the hard limit allows, and returns the new limit.
///
/// # Errors
/// If the limit is below [`OPEN_FILES_MIN`].
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
        "this process can open {reached} files, and Lar needs at least {OPEN_FILES_MIN}. Raise the limit: \
         `ulimit -n`, LimitNOFILE in a unit, or --ulimit nofile for a container"
    );
    Ok(reached)
}

/// Returns the limit that this process would have after [`raise`].
pub(crate) fn hard_limit() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(OPEN_FILES_TARGET).min(OPEN_FILES_TARGET)
}

/// Returns the number of connections that a limit of `limit` open files allows, at most `configured`.
pub(crate) fn connections_within(limit: u64, configured: usize) -> usize {
    let room = limit - (limit / 2).min(RESERVE);
    configured.min(usize::try_from(room).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_other_uses() {
        assert_eq!(connections_within(65_536, 2048), 2048);
        assert_eq!(connections_within(1024, 2048), 768);
        assert_eq!(connections_within(128, 2048), 64);
        assert_eq!(connections_within(1024, 10), 10);
    }
}
