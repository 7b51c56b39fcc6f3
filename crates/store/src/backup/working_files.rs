//! Temporary files and folders of a backup, a restore or a salvage. Only their owner can read them, and they
//! are locked while in use. The system releases a lock when its process dies, so an unlocked file was left by
//! a killed process. [`super::unfinished`] and `salvage/files.rs` define which files these are and who
//! removes them.
//!
//! A process that uses or removes a file has an exclusive lock on it. A process that looks for leftovers
//! takes a shared lock for a moment. So two such processes do not take a leftover for a file in use, and a
//! process that removes the leftover waits for them. Links are not followed.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, open, renameat_with};
use rustix::io::Errno;

use crate::error::Error;

/// Renames a file or folder within its disk, if the new name is free.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system does not support this flag.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match fs::symlink_metadata(to) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(from, to),
        },
        renamed => renamed.map_err(io::Error::from),
    }
}

/// Removes those of `paths` that are regular files, and ignores errors.
pub(crate) fn remove_regular(paths: impl IntoIterator<Item = PathBuf>) {
    for path in paths {
        if is_regular(&path) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Syncs a folder, so that the names in it survive a power failure.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Returns whether the path itself is a regular file, not a link to one.
pub(crate) fn is_regular(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_file())
}

/// Returns whether the path itself is a folder, not a link to one.
pub(super) fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_dir())
}

/// Returns whether `path` is a name of an open file or folder.
pub(super) fn is_named(opened: &File, path: &Path) -> bool {
    let (opened, named) = (opened.metadata(), fs::symlink_metadata(path));
    matches!((opened, named), (Ok(one), Ok(other)) if (one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Locks a file or folder that was just created at `path`. A process that removes leftovers may have removed
/// it in between.
///
/// # Errors
/// When it no longer exists.
pub(crate) fn lock_new(made: &File, path: &Path) -> Result<(), Error> {
    // A file system without locks is used as well.
    let _ = made.lock();
    if is_named(made, path) { Ok(()) } else { Err(Error::Backup(ErrorKind::ResourceBusy.into())) }
}

/// Locks a leftover file or folder, to remove it, until the result is dropped. Returns `None` if a process
/// uses it, or has removed it meanwhile.
pub(super) fn lock_if_free(path: &Path) -> io::Result<Option<File>> {
    let file = open_no_follow(path)?;
    if is_refused(file.try_lock()) {
        if is_refused(file.try_lock_shared()) {
            return Ok(None);
        }
        // The others only look for leftovers, and each finishes in a moment.
        let _ = file.lock();
    }
    Ok(is_named(&file, path).then_some(file))
}

/// Returns whether a process uses or removes an existing file or folder.
pub(crate) fn is_in_use(path: &Path) -> bool {
    // Anything else, such as a device, is not opened.
    let is_opened = is_regular(path) || is_folder(path);
    is_opened && open_no_follow(path).is_ok_and(|file| is_refused(file.try_lock_shared()))
}

fn open_no_follow(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(open(path, flags, Mode::empty())?))
}

/// Returns whether another process has a lock. On a file system without locks, none has.
fn is_refused(locked: Result<(), TryLockError>) -> bool {
    matches!(locked, Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_files::create_new_private;

    #[test]
    fn a_shared_lock_does_not_mark_a_leftover_as_in_use() {
        let at = tempfile::tempdir().unwrap();
        let (folder, link) = (at.path().join("restore.partial"), at.path().join("link"));
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let opened = File::open(&folder).unwrap();
        opened.try_lock_shared().unwrap();
        assert!(!is_in_use(&folder), "another process looks at it, too");
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
    fn a_file_that_was_replaced_is_not_mistaken_for_the_locked_one() {
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
