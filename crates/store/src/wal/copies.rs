//! Copies of write-ahead logs (`lar.db-wal.aside-…`): Lar makes one before SQLite overwrites what it does not read of a log, so
//! that a person can still look at it. They go when something is erased, because a copy may hold it.
//!
//! A copy is worth less than a start: on a full disk Lar goes without one where a power failure explains the log. A file
//! that this module did not make is never deleted.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use lar_base::Timestamp;
use lar_base::files::{NoRoom, open_regular};

use super::Break;
use crate::backup::create_new_private;
use crate::location::WAL_SUFFIX;
use crate::{Error, Reserve, beside, sparse_file};

/// What a copy of a log is called: the database's name with this end, and the time.
pub(super) const COPY_SUFFIX: &str = "-wal.aside-";
/// Copies that are kept; the oldest ones go. A log has 4 MiB where no reader holds a checkpoint up.
pub(super) const COPIES_MAX: usize = 5;
/// Names that are tried where one is taken: copies of the same millisecond.
const NAMES_MAX: usize = 100;

/// Keeps a copy of a log that SQLite will not read to its end, beside the database, and logs where it is. On a full disk the
/// reserve is given up for it. Where that is not enough, a log that a power failure explains is left without a copy, and
/// the log says so.
///
/// # Errors
/// When the copy cannot be written for another reason; on a full disk when a power failure does not explain the log.
pub(crate) fn keep_copy(database: &Path, found: &Break, reserve: &Reserve) -> Result<(), Error> {
    let what = match found.frame {
        0 => "nothing in the write-ahead log can be read, so it is left out: its disk damaged it",
        _ => {
            "the last transaction in the write-ahead log is incomplete and is left out: after a power failure nothing that \
             was acknowledged is lost; otherwise its disk damaged it"
        }
    };
    // Errors and no warnings: commands other than `lar serve` log errors only.
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

/// Why there was no room for a copy.
fn explain_missing_copy(error: &Error) -> String {
    match error {
        Error::Full { why: Some(why), .. } => why.to_string(),
        _ => NoRoom::DiskFull.to_string(),
    }
}

/// Makes a copy with `copy`, on a full disk a second time without the reserve. A copy that leaves too little room for Lar to
/// start is taken back.
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

/// Copies the log into a new file, for its owner alone. Of a copy that fails nothing is left.
fn copy(database: &Path) -> Result<PathBuf, Error> {
    let from = open_regular(&beside(database, WAL_SUFFIX)).map_err(Error::Backup)?;
    let (path, to) = new_copy(database, Timestamp::now())?;
    match sparse_file::copy(&from, &to).and_then(|()| to.sync_all()) {
        Ok(()) => Ok(path),
        Err(error) => {
            // A part of it would be taken for all of it.
            let _ = std::fs::remove_file(&path);
            Err(failed(error, path))
        }
    }
}

/// Makes the file of a copy, under a name that no other has.
fn new_copy(database: &Path, at: Timestamp) -> Result<(PathBuf, File), Error> {
    let stamp: String = at.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    for number in 0..NAMES_MAX {
        // Two digits, so that names are in the order of their making.
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

/// The copies that are beside a database, the oldest first.
///
/// # Errors
/// When its folder cannot be read.
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

/// Removes every copy beside a database: what was erased may be in them.
///
/// # Errors
/// When one is there still.
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
    fn a_copy_never_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("lar.db");
        let at = Timestamp::now();
        let made: Vec<PathBuf> = (0..3).map(|_| new_copy(&database, at).unwrap().0).collect();
        for (number, copy) in made.iter().enumerate() {
            fs::write(copy, number.to_string()).unwrap();
        }
        assert_eq!(find_copies(&database).unwrap(), made, "each has a name of its own, in order");
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
    fn a_copy_without_room_says_whether_the_disk_the_quota_or_a_limit_is_in_the_way() {
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
    fn a_full_disk_gives_the_reserve_up_and_only_a_power_failure_goes_without_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("lar.db");
        let reserve = Reserve::beside(&database);
        let full = |_: &Path| Err(Error::Full { path: None, why: None });
        let made = |_: &Path| Ok(database.clone());
        assert!(copy_with_room(&database, &reserve, full).unwrap_err().is_full_disk(), "no reserve is there");
        reserve.keep();
        assert_eq!(copy_with_room(&database, &reserve, made).unwrap(), database);
        assert_eq!(names(folder.path()), ["lar.reserve"], "there was room");
        let tries = Cell::new(0);
        let fits_without_the_reserve = |database: &Path| {
            tries.set(tries.get() + 1);
            if tries.get() == 1 { full(database) } else { made(database) }
        };
        assert_eq!(copy_with_room(&database, &reserve, fits_without_the_reserve).unwrap(), database);
        assert_eq!((tries.get(), names(folder.path())), (2, Vec::new()), "the reserve is given up");
        assert!(POWER_FAILURE.is_of_a_power_failure() && !NO_HEADER.is_of_a_power_failure());
    }
}
