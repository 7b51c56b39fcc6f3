//! Files and folders that a backup, a restore or a salvage works on for a while: made for their owner alone and locked. The
//! system releases a lock when its process dies, so what nobody has locked was left by a killed process. Which files these are
//! and who removes them is in [`super::unfinished`] and `salvage/files.rs`.
//!
//! Whoever works on one, or removes one, has an exclusive lock on it. Whoever looks for leftovers takes a shared lock for a
//! moment: others who look are not misled by it, and whoever removes the leftover waits for it. Links are not followed.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, open, renameat_with};
use rustix::io::Errno;

use crate::{Error, beside};

/// What SQLite appends to the name of a database for the files beside it.
pub(crate) const SQLITE_SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// A database and what SQLite keeps beside it.
pub(crate) fn database_files(database: &Path) -> [PathBuf; 4] {
    SQLITE_SUFFIXES.map(|end| beside(database, end))
}

/// A new file for its owner alone, where there is none.
pub(crate) fn create_new_private(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes a new file for its owner alone, down to the disk.
///
/// # Errors
/// When something is there already, or the file cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create_new_private(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Renames a file or folder within its disk where nothing has the new name.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A disk that cannot promise that.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match fs::symlink_metadata(to) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(from, to),
        },
        renamed => renamed.map_err(io::Error::from),
    }
}

/// Removes those of `paths` that are regular files, as far as the system lets it.
pub(crate) fn remove_regular(paths: impl IntoIterator<Item = PathBuf>) {
    for path in paths {
        if is_regular(&path) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether a regular file is there itself, no link to one.
pub(crate) fn is_regular(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_file())
}

/// Whether a folder is there itself, no link to one.
pub(super) fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_dir())
}

/// Whether an open file or folder is what has a name.
pub(super) fn is_named(opened: &File, path: &Path) -> bool {
    let (opened, named) = (opened.metadata(), fs::symlink_metadata(path));
    matches!((opened, named), (Ok(one), Ok(other)) if (one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Locks what was just made at `path`. Whoever removes leftovers has it locked for a moment, and may have been faster.
///
/// # Errors
/// When it is no longer there.
pub(crate) fn lock_new(made: &File, path: &Path) -> Result<(), Error> {
    // A disk without locks is used as well.
    let _ = made.lock();
    if is_named(made, path) { Ok(()) } else { Err(Error::Backup(ErrorKind::ResourceBusy.into())) }
}

/// Locks a file or folder, to remove it, until what is returned is dropped. None where a process works on it, or has removed it
/// meanwhile.
pub(super) fn lock_if_free(path: &Path) -> io::Result<Option<File>> {
    let file = open_unlinked(path)?;
    if is_refused(file.try_lock()) {
        if is_refused(file.try_lock_shared()) {
            return Ok(None);
        }
        // Others only look whether anybody works on it; each of them is done in a moment.
        let _ = file.lock();
    }
    Ok(is_named(&file, path).then_some(file))
}

/// Whether a process works on a file or folder that is there, or removes it.
pub(crate) fn is_in_use(path: &Path) -> bool {
    // Something else, such as a device, is not opened.
    let is_opened = is_regular(path) || is_folder(path);
    is_opened && open_unlinked(path).is_ok_and(|file| is_refused(file.try_lock_shared()))
}

fn open_unlinked(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(open(path, flags, Mode::empty())?))
}

/// Whether another process has a lock. A disk without locks refuses none.
fn is_refused(locked: Result<(), TryLockError>) -> bool {
    matches!(locked, Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_only_looks_at_a_leftover_does_not_take_it_for_one_in_use() {
        let at = tempfile::tempdir().unwrap();
        let (folder, link) = (at.path().join("restore.partial"), at.path().join("link"));
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let opened = File::open(&folder).unwrap();
        opened.try_lock_shared().unwrap();
        assert!(!is_in_use(&folder), "another one looks, too");
        opened.unlock().unwrap();
        opened.try_lock().unwrap();
        assert!(is_in_use(&folder) && !is_in_use(&link));
        assert!(lock_if_free(&folder).unwrap().is_none() && lock_if_free(&link).is_err());
        drop(opened);
        let claimed = lock_if_free(&folder).unwrap();
        assert!(claimed.is_some() && is_in_use(&folder));
        drop(claimed);
        assert!(!is_in_use(&folder));
    }

    #[test]
    fn what_was_made_anew_meanwhile_is_not_taken_for_what_was_locked() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("lar-1.partial");
        let old = create_new_private(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let new = create_new_private(&path).unwrap();
        assert!(!is_named(&old, &path) && is_named(&new, &path));
        let refused = lock_new(&old, &path).unwrap_err();
        assert!(
            matches!(&refused, Error::Backup(cause) if cause.kind() == ErrorKind::ResourceBusy),
            "{refused:?}"
        );
        lock_new(&new, &path).unwrap();
        assert!(is_in_use(&path));
    }
}
