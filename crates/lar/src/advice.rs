//! The next step after an error of the system or the database: a full disk, a read-only disk, a file of
//! another user, too many open files, or a symbolic link that Lar does not follow. The error itself names the
//! path.

use std::io::ErrorKind;

use lar_store::Error as StoreError;

/// EMFILE: this process has reached its limit of open files. ENFILE: the machine has.
const TOO_MANY_FILES: [i32; 2] = [24, 23];

/// Returns the next step, if there is one for the cause of the error.
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

const FULL: &str =
    "free some space on that disk (`df -h` shows it), or use another disk with --data-dir or models_dir";
const READ_ONLY: &str =
    "that disk is mounted read-only: mount it for writing, or use another disk with --data-dir";

/// SQLite reports the same error for everything that prevents a write.
const NOT_WRITABLE: &str = "check that this user can write to the file and its folder (`ls -ld`), and that \
                            the disk is mounted for writing; or use another data directory with --data-dir";

/// Returns the next step for an error of the system.
pub(crate) fn of_system(error: &std::io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(FULL),
        ErrorKind::FileTooLarge => {
            Some("allow larger files: `ulimit -f unlimited`, or LimitFSIZE= in the unit")
        }
        ErrorKind::ReadOnlyFilesystem => Some(READ_ONLY),
        ErrorKind::PermissionDenied => {
            Some("it belongs to another user: run lar as that user, or change the owner with `sudo chown`")
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
    fn each_cause_has_its_own_next_step() {
        let step = |code: i32| {
            let failed = Err::<(), _>(std::io::Error::from_raw_os_error(code))
                .context("/data/lar.db cannot be opened");
            next_step(&failed.unwrap_err())
        };
        // ENOSPC, EROFS, EACCES, EMFILE, EFBIG, ENOENT.
        let found = [28, 30, 13, 24, 27, 2]
            .map(|code| step(code).map(|text| text.split(' ').take(3).collect::<Vec<_>>().join(" ")));
        let expected = [
            Some("free some space"),
            Some("that disk is"),
            Some("it belongs to"),
            Some("allow more open"),
            Some("allow larger files:"),
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
