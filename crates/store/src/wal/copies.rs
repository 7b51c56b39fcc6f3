//! Copies of write-ahead logs (`lar.db-wal.aside-…`). Lar makes one before SQLite overwrites the part of a
//! log that it does not read, so that a person can still examine it. An erasure removes all copies, because a
//! copy may contain what was erased.
//!
//! A start matters more than a copy: on a full disk, Lar starts without one if a power failure explains the
//! log. A copy never replaces an existing file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use lar_base::Timestamp;
use lar_base::files::{NoRoom, open_regular};

use super::verdict::Break;
use crate::error::Error;
use crate::private_files::create_new_private;
use crate::reserve::Reserve;
use crate::sparse_file;
use crate::sqlite_files::{WAL_SUFFIX, beside};

/// The suffix of a copy: after the database's name, before the time.
pub(super) const COPY_SUFFIX: &str = "-wal.aside-";
/// The most copies that are kept; older ones are removed. A log has 4 MiB unless a reader blocks checkpoints.
pub(super) const COPIES_MAX: usize = 5;
/// The most names that are tried: copies of the same millisecond need different ones.
const NAMES_MAX: usize = 100;

/// Keeps a copy of a log that SQLite will not read to its end, and logs the copy's path. The copy is beside
/// the database. On a full disk, the reserve is released for it. If that is not enough and a power failure
/// explains the log, no copy is kept, and an error is logged.
///
/// # Errors
/// When the copy cannot be written for another reason, or on a full disk if a power failure does not explain
/// the log.
pub(crate) fn keep_copy(database: &Path, found: &Break, reserve: &Reserve) -> Result<(), Error> {
    let what = match found.frame {
        0 => "the write-ahead log is unreadable and is ignored: its disk damaged it",
        _ => {
            "the last transaction in the write-ahead log is incomplete and is dropped: after a power \
             failure, no acknowledged change is lost; otherwise its disk damaged it"
        }
    };
    // Errors, not warnings: commands other than `lar serve` log errors only.
    match copy_with_room(database, reserve, copy) {
        Ok(copy) => {
            remove_oldest(database);
            tracing::error!(
                database = %database.display(),
                copy = %copy.display(),
                frame = found.frame,
                frames = found.frames,
                "{what}. A copy of the log is kept"
            );
            Ok(())
        }
        Err(error) if error.is_full_disk() && found.is_of_a_power_failure() => {
            tracing::error!(
                database = %database.display(),
                %error,
                frame = found.frame,
                frames = found.frames,
                "{what}. No copy of the log could be kept: {}",
                explain_missing_copy(&error)
            );
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Explains why there was no space for a copy.
fn explain_missing_copy(error: &Error) -> String {
    match error {
        Error::Full { why: Some(why), .. } => why.to_string(),
        _ => NoRoom::DiskFull.to_string(),
    }
}

/// Makes a copy with `copy`; on a full disk, it tries again with the reserve released. A copy that leaves too
/// little space for Lar to start is removed.
fn copy_with_room(
    database: &Path,
    reserve: &Reserve,
    copy: impl Fn(&Path) -> Result<PathBuf, Error>,
) -> Result<PathBuf, Error> {
    let made = match copy(database) {
        Err(error) if error.is_full_disk() && reserve.release() => copy(database),
        made => made,
    }?;
    reserve.release_to_start();
    if reserve.has_room_to_start() {
        return Ok(made);
    }
    let _ = std::fs::remove_file(&made);
    Err(Error::Full { path: Some(made), why: Some(NoRoom::DiskFull) })
}

/// Copies the log into a new file that only its owner can read. A failed copy leaves no file behind.
fn copy(database: &Path) -> Result<PathBuf, Error> {
    let from = open_regular(&beside(database, WAL_SUFFIX)).map_err(Error::Backup)?;
    let (path, to) = new_copy(database, Timestamp::now())?;
    match sparse_file::copy(&from, &to).and_then(|()| to.sync_all()) {
        Ok(()) => Ok(path),
        Err(error) => {
            // A partial copy would look complete.
            let _ = std::fs::remove_file(&path);
            Err(failed(error, path))
        }
    }
}

/// Creates the file for a copy, under an unused name.
fn new_copy(database: &Path, at: Timestamp) -> Result<(PathBuf, File), Error> {
    let stamp: String = at.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    for number in 0..NAMES_MAX {
        // Two digits, so that names sort in the order of creation.
        let path = beside(database, &format!("{COPY_SUFFIX}{stamp}-{number:02}"));
        match create_new_private(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error, path)),
        }
    }
    Err(Error::Backup(io::ErrorKind::AlreadyExists.into()))
}

fn failed(error: io::Error, copy: PathBuf) -> Error {
    match NoRoom::of(&error) {
        Some(why) => Error::Full { path: Some(copy), why: Some(why) },
        None => Error::Backup(error),
    }
}

/// Returns the copies beside a database, the oldest first.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn find_copies(database: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(name) = database.file_name() else { return Ok(Vec::new()) };
    let start = format!("{}{COPY_SUFFIX}", name.to_string_lossy());
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&start) {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes every copy beside a database, because copies may contain what was erased.
///
/// # Errors
/// When a copy cannot be removed.
pub(crate) fn remove_copies(database: &Path) -> Result<(), Error> {
    for copy in find_copies(database).map_err(Error::Backup)? {
        match std::fs::remove_file(&copy) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::Backup(error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Removes copies beyond [`COPIES_MAX`], the oldest first.
fn remove_oldest(database: &Path) {
    for copy in find_copies(database).unwrap_or_default().iter().rev().skip(COPIES_MAX) {
        let _ = std::fs::remove_file(copy);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::*;

    const POWER_FAILURE: Break = Break { frame: 3, frames: 9, commits: 1 };
    const NO_HEADER: Break = Break { frame: 0, frames: 9, commits: 0 };

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_copy_of_a_log_never_replaces_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("lar.db");
        let at = Timestamp::now();
        let made: Vec<PathBuf> = (0..3).map(|_| new_copy(&database, at).unwrap().0).collect();
        for (number, copy) in made.iter().enumerate() {
            fs::write(copy, number.to_string()).unwrap();
        }
        assert_eq!(find_copies(&database).unwrap(), made, "each has its own name, in order");
        for _ in 3..NAMES_MAX {
            new_copy(&database, at).unwrap();
        }
        assert!(matches!(new_copy(&database, at), Err(Error::Backup(_))));
        for (number, copy) in made.iter().enumerate() {
            assert_eq!(fs::read_to_string(copy).unwrap(), number.to_string());
        }
        remove_copies(&database).unwrap();
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    #[test]
    fn a_failed_copy_says_whether_the_disk_the_quota_or_a_limit_is_the_cause() {
        // ENOSPC, EDQUOT, EFBIG.
        let said = [28, 122, 27].map(|code| {
            let error = failed(io::Error::from_raw_os_error(code), "/data/lar.db-wal.aside-1".into());
            assert!(error.is_full_disk(), "{error}");
            let why = explain_missing_copy(&error);
            assert_eq!(error.to_string(), format!("/data/lar.db-wal.aside-1 cannot be written: {why}"));
            why
        });
        assert!(said[0].starts_with("its disk is full"), "{said:?}");
        assert!(said[1].contains("quota") && !said[1].contains("full"), "{said:?}");
        assert!(said[2].contains("`ulimit -f`") && !said[2].contains("full"), "{said:?}");
    }

    #[test]
    fn a_copy_on_a_full_disk_releases_the_reserve() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("lar.db");
        let reserve = Reserve::beside(&database);
        let full = |_: &Path| Err(Error::Full { path: None, why: None });
        let made = |_: &Path| Ok(database.clone());
        assert!(copy_with_room(&database, &reserve, full).unwrap_err().is_full_disk(), "there is no reserve");
        reserve.keep();
        assert_eq!(copy_with_room(&database, &reserve, made).unwrap(), database);
        assert_eq!(names(folder.path()), ["lar.reserve"], "there was space");
        let tries = Cell::new(0);
        let fits_without_the_reserve = |database: &Path| {
            tries.set(tries.get() + 1);
            if tries.get() == 1 { full(database) } else { made(database) }
        };
        assert_eq!(copy_with_room(&database, &reserve, fits_without_the_reserve).unwrap(), database);
        assert_eq!((tries.get(), names(folder.path())), (2, Vec::new()), "the reserve is released");
        assert!(POWER_FAILURE.is_of_a_power_failure() && !NO_HEADER.is_of_a_power_failure());
    }
}
