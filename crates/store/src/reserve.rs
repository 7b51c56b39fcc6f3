//! Room kept for a full disk: a file beside the database that is given up when a change that takes something back
//! (revoking a key, erasing) finds no room, and made again after it.
//!
//! Without it a full disk keeps people from the very changes that they need then.
//!
//! The file's name is known, so that something else can have it: `lar.db` may be a link to it. What is a database is never
//! removed and never written to.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lar_base::Bytes;
use lar_base::files::{kind_of, open_regular};
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::location;

/// What the file is called.
pub(crate) const NAME: &str = "lar.reserve";
/// What every database of SQLite begins with (SQLite's file format, 1.3); a reserve begins with zeros.
const HEADER: &[u8; 16] = b"SQLite format 3\0";
/// Its size where the disk has room: a hundred times what revoking a key or erasing a long conversation writes.
const SIZE_MAX: Bytes = Bytes::mib(16);
/// A smaller one would be of no use.
const SIZE_MIN: Bytes = Bytes(256 << 10);
/// Less room than this when Lar starts is too little to open a database.
const START_MIN: Bytes = Bytes::mib(4);

/// The room kept in one folder.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    /// The database that it is for; a link to it was followed.
    database: PathBuf,
    /// Released and made by one at a time.
    busy: Mutex<()>,
    /// The room that is free in a folder: [`available_in`], unless a test says another.
    available_in: fn(&Path) -> Option<Bytes>,
}

impl Reserve {
    /// The reserve beside the database at `database`, on its disk where that is a link; nothing is made yet.
    #[must_use]
    pub fn beside(database: &Path) -> Self {
        // A link that leads nowhere is refused when the database is opened.
        let database = location::resolve(database).unwrap_or_else(|_| database.to_owned());
        Self { path: database.with_file_name(NAME), database, busy: Mutex::default(), available_in }
    }

    /// Gives the room up where the disk is so full that Lar could not start.
    pub fn release_to_start(&self) {
        if !self.has_room_to_start() && self.release() {
            tracing::warn!(path = %self.path.display(), "the disk is full: the room kept for that is given up");
        }
    }

    /// Whether the disk has the room that Lar needs to start; also where nobody can say.
    pub(crate) fn has_room_to_start(&self) -> bool {
        self.available().is_none_or(|available| available >= START_MIN)
    }

    /// Gives the room up; says whether there was any.
    pub(crate) fn release(&self) -> bool {
        let _busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        match self.size() {
            Ok(_) => fs::remove_file(&self.path).is_ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "there is no room to give up for a full disk");
                false
            }
        }
    }

    /// Gives the room up for `work`, and keeps room again after it, also where none was kept before. Where there was none to give
    /// up and `work` failed, it is as little as [`Reserve::keep`] takes: other changes need what is left.
    pub(crate) fn release_for<T>(&self, work: impl FnOnce() -> T, has_failed: impl FnOnce(&T) -> bool) -> T {
        let is_released = self.release();
        if is_released {
            tracing::warn!(
                path = %self.path.display(),
                "the disk is full: a change that frees something uses the room kept for it"
            );
        }
        let done = work();
        if has_failed(&done) && !is_released {
            self.keep();
        } else {
            self.keep_again();
        }
        done
    }

    /// Keeps room: an eighth of what is free, 16 MiB at most. What is there already stays.
    pub fn keep(&self) {
        self.make(8);
    }

    /// Keeps room again after it was given up: nearly all that is left, since other changes would use up the rest.
    fn keep_again(&self) {
        self.make_part(15, 16);
    }

    fn make(&self, part: u64) {
        self.make_part(1, part);
    }

    fn make_part(&self, of: u64, parts: u64) {
        let _busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let there = match self.size() {
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            // To write to a pipe would wait for its reader, a link may lead to anything, and a database is nobody's room.
            Err(error) => return self.log_failure(&error),
        };
        let Some(available) = self.available() else { return };
        let size = (available.get() / parts * of).min(SIZE_MAX.get());
        if size < SIZE_MIN.get() || there >= size {
            return;
        }
        if let Err(error) = self.allocate(size) {
            // A part of it would count as kept.
            let _ = fs::remove_file(&self.path);
            self.log_failure(&error);
        }
    }

    /// The size of the file.
    ///
    /// # Errors
    /// When it is not there, when something else is, or a database, and when nobody can say.
    fn size(&self) -> io::Result<u64> {
        let refused = |reason: String| Err(io::Error::new(ErrorKind::InvalidInput, reason));
        if self.path == self.database {
            return refused("it is the database".into());
        }
        let about = fs::symlink_metadata(&self.path)?;
        if !about.is_file() {
            return refused(format!("it is {}, not a regular file", kind_of(about.file_type())));
        }
        let is_same = |other: fs::Metadata| (other.dev(), other.ino()) == (about.dev(), about.ino());
        if fs::metadata(&self.database).is_ok_and(is_same) {
            return refused("it is a hard link to the database".into());
        }
        if is_database(&self.path)? {
            return refused("it is a database of SQLite".into());
        }
        Ok(about.len())
    }

    fn log_failure(&self, error: &io::Error) {
        tracing::warn!(path = %self.path.display(), %error, "no room could be kept for a full disk");
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, size) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                io::copy(&mut io::Read::take(io::repeat(0), size), &mut file).map(drop)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn available(&self) -> Option<Bytes> {
        (self.available_in)(self.path.parent()?)
    }
}

/// The room that is free on the disk of a folder; none where nobody can say.
fn available_in(folder: &Path) -> Option<Bytes> {
    let disk = statvfs(folder).ok()?;
    Some(Bytes(disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// Whether a file begins as a database of SQLite does.
fn is_database(path: &Path) -> io::Result<bool> {
    let mut start = [0; HEADER.len()];
    match open_regular(path)?.read_exact(&mut start) {
        Ok(()) => Ok(start == *HEADER),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What a reserve leaves alone is there as it was.
    fn assert_left_alone(reserve: &Reserve, path: &Path, bytes: &[u8]) {
        assert!(!reserve.release(), "it is not removed");
        reserve.keep();
        reserve.keep_again();
        assert_eq!(fs::read(path).unwrap(), bytes, "it is not written to");
    }

    #[test]
    fn room_is_made_once_given_up_once_and_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&directory.path().join("lar.db"));
        let size = || std::fs::metadata(directory.path().join(NAME)).map_or(0, |about| about.len());
        assert!(!reserve.release(), "nothing is there yet");
        reserve.keep();
        assert_eq!(size(), SIZE_MAX.get());
        reserve.release_to_start();
        assert_eq!(size(), SIZE_MAX.get(), "this disk has room");
        assert!(reserve.release());
        assert_eq!((size(), reserve.release()), (0, false));
        for room in ["none", "some"] {
            assert_eq!(reserve.release_for(size, |_| false), 0, "{room} was kept");
            assert_eq!(size(), SIZE_MAX.get(), "{room} was kept");
        }
    }

    #[test]
    fn a_failed_retry_leaves_room_for_other_changes() {
        let directory = tempfile::tempdir().unwrap();
        let reserve = Reserve {
            available_in: |_| Some(Bytes::mib(1)),
            ..Reserve::beside(&directory.path().join("lar.db"))
        };
        let size_after = |succeeds: bool| {
            reserve.release_for(|| succeeds, |succeeded| !succeeded);
            fs::metadata(directory.path().join(NAME)).map_or(0, |about| about.len())
        };
        let nearly_all = Bytes::mib(1).get() / 16 * 15;
        assert_eq!(size_after(false), 0, "an eighth would be of no use");
        assert_eq!(size_after(true), nearly_all);
        assert_eq!(size_after(false), nearly_all, "what was given up is kept again");
    }

    #[test]
    fn the_reserve_does_not_touch_special_files() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join(NAME), directory.path().join("other"));
        let reserve = Reserve::beside(&directory.path().join("lar.db"));
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        reserve.keep();
        assert!(!reserve.release() && path.exists(), "it does not wait for a reader");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&other, "kept").unwrap();
        symlink(&other, &path).unwrap();
        reserve.keep();
        assert!(!reserve.release());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "kept");
    }

    #[test]
    fn a_reserve_that_is_the_database_is_neither_removed_nor_written_to() {
        // Not even its header says that it is one.
        let bytes = b"what was remembered";
        for is_hard in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let (path, database) = (directory.path().join(NAME), directory.path().join("lar.db"));
            fs::write(&path, bytes).unwrap();
            match is_hard {
                true => fs::hard_link(&path, &database).unwrap(),
                false => symlink(NAME, &database).unwrap(),
            }
            assert_left_alone(&Reserve::beside(&database), &path, bytes);
            assert_eq!(fs::read(&database).unwrap(), bytes);
        }
        // A link from a data directory elsewhere, and a database of that name that is still to be made.
        let directory = tempfile::tempdir().unwrap();
        let (data, disk) = (directory.path().join("data"), directory.path().join("disk"));
        for folder in [&data, &disk] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(disk.join(NAME), bytes).unwrap();
        symlink(disk.join(NAME), data.join("lar.db")).unwrap();
        assert_left_alone(&Reserve::beside(&data.join("lar.db")), &disk.join(NAME), bytes);
        let reserve = Reserve::beside(&data.join(NAME));
        reserve.keep();
        assert!(!reserve.release() && !data.join(NAME).exists());
    }

    #[test]
    fn a_database_in_the_place_of_the_reserve_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, database) = (directory.path().join(NAME), directory.path().join("lar.db"));
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
        drop(connection);
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.starts_with(HEADER));
        let reserve = Reserve::beside(&database);
        assert_left_alone(&reserve, &path, &bytes);
        // What is shorter than a header is no database.
        fs::write(&path, &HEADER[..15]).unwrap();
        assert!(reserve.release() && !path.exists());
    }
}
