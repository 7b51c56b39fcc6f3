//! What to do next about an error of the system or the database: a full disk, one that is only read, a file of somebody
//! else's, too many open files, a link where none is followed. The error itself says which path it is about.

use std::io::ErrorKind;

use lar_store::Error as StoreError;

/// EMFILE: this process has as many files open as it may. ENFILE: so has the machine.
const TOO_MANY_FILES: [i32; 2] = [24, 23];

/// The next step, where the cause is one that has one.
pub(crate) fn next_step(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            return of_system(error).map(Into::into);
        }
        match cause.downcast_ref::<StoreError>()? {
            full if full.is_full_disk() => Some(FULL.into()),
            StoreError::ReadOnly { .. } => Some(NOT_WRITABLE.into()),
            StoreError::Unusable { step, .. } => Some(step.clone()),
            _ => None,
        }
    })
}

const FULL: &str = "make room on that disk (`df -h` shows it), or use another with --data-dir or models_dir";
const READ_ONLY: &str =
    "that disk is mounted read-only: mount it for writing, or use another with --data-dir";

/// SQLite says the same of all that keeps it from writing.
const NOT_WRITABLE: &str = "see to it that this user may write to the file and its folder (`ls -ld`), and that their disk is mounted for \
                            writing; or use another with --data-dir";

/// The next step for an error of the system.
pub(crate) fn of_system(error: &std::io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(FULL),
        ErrorKind::FileTooLarge => {
            Some("let this process make larger files: `ulimit -f unlimited`, or LimitFSIZE= in the unit")
        }
        ErrorKind::ReadOnlyFilesystem => Some(READ_ONLY),
        ErrorKind::PermissionDenied => {
            Some("it belongs to another user: run lar as that user, or make it yours with `sudo chown`")
        }
        _ if error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code)) => {
            Some("allow more open files: `ulimit -n 4096`, or LimitNOFILE= in the unit")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn each_cause_has_its_own_step() {
        let step = |code: i32| {
            let failed = Err::<(), _>(std::io::Error::from_raw_os_error(code))
                .context("/data/lar.db cannot be opened");
            next_step(&failed.unwrap_err())
        };
        // ENOSPC, EROFS, EACCES, EMFILE, EFBIG, ENOENT.
        let found = [28, 30, 13, 24, 27, 2]
            .map(|code| step(code).map(|text| text.split(' ').take(3).collect::<Vec<_>>().join(" ")));
        let expected = [
            Some("make room on"),
            Some("that disk is"),
            Some("it belongs to"),
            Some("allow more open"),
            Some("let this process"),
            None,
        ];
        assert_eq!(found.each_ref().map(Option::as_deref), expected);
        let full = anyhow::Error::new(StoreError::Full { path: None, why: None })
            .context("the database cannot be opened");
        assert_eq!(next_step(&full).as_deref(), Some(FULL));
        let path = "/data/lar.db-wal".into();
        let link = StoreError::Unusable { path, reason: "is a link".into(), step: "rm it".into() };
        assert_eq!(next_step(&anyhow::Error::new(link)).as_deref(), Some("rm it"));
    }
}
