//! Reserved disk space: a file beside the database. When the disk is full, the file is removed for a change
//! that frees something (a revoked key, an erasure) and created again afterwards.
//!
//! Without it, a full disk would block the very changes that help.
//!
//! The file's name is fixed, so another file may have it: `lar.db` may even be a link to it. A file that is a
//! database is never removed or written to.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lar_base::Bytes;
use lar_base::files::{kind_of, open_regular};
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::location;

/// The name of the file.
pub(crate) const NAME: &str = "lar.reserve";
/// The first bytes of every SQLite database (SQLite's file format, 1.3). A reserve begins with zeros.
const HEADER: &[u8; 16] = b"SQLite format 3\0";
/// The size on a disk with enough space. Revoking a key or erasing a long conversation writes a hundredth of
/// it.
const SIZE_MAX: Bytes = Bytes::mib(16);
/// A smaller reserve would be useless.
const SIZE_MIN: Bytes = Bytes(256 << 10);
/// The free space that a start needs; with less, a database cannot be opened.
const START_MIN: Bytes = Bytes::mib(4);

/// The disk space reserved in one folder.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    /// The database that it belongs to, with a symbolic link resolved.
    database: PathBuf,
    /// Lets one thread at a time create or remove the file.
    busy: Mutex<()>,
    /// Returns the free space of a folder: [`available_in`], except in tests.
    available_in: fn(&Path) -> Option<Bytes>,
}

impl Reserve {
    /// Returns the reserve beside the database at `database`, or beside its target if that is a link. Creates
    /// nothing.
    #[must_use]
    pub fn beside(database: &Path) -> Self {
        // Opening the database refuses a dangling link.
        let database = location::resolve(database).unwrap_or_else(|_| database.to_owned());
        Self { path: database.with_file_name(NAME), database, busy: Mutex::default(), available_in }
    }

    /// Releases the reserve if the disk is too full for Lar to start.
    pub fn release_to_start(&self) {
        if !self.has_room_to_start() && self.release() {
            tracing::warn!(path = %self.path.display(), "the disk is full: released the reserved space");
        }
    }

    /// Returns whether the disk has the space that Lar needs to start. An unknown amount counts as enough.
    pub(crate) fn has_room_to_start(&self) -> bool {
        self.available().is_none_or(|available| available >= START_MIN)
    }

    /// Releases the reserved space; returns whether there was any.
    pub(crate) fn release(&self) -> bool {
        let _busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        match self.size() {
            Ok(_) => fs::remove_file(&self.path).is_ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "the reserved disk space could not be released");
                false
            }
        }
    }

    /// Releases the reserve, runs `work`, and reserves space again, even if there was no reserve before. If
    /// there was none and `work` failed, the new reserve is only as large as [`Reserve::keep`] makes it:
    /// other changes need the remaining space.
    pub(crate) fn release_for<T>(&self, work: impl FnOnce() -> T, has_failed: impl FnOnce(&T) -> bool) -> T {
        let is_released = self.release();
        if is_released {
            tracing::warn!(
                path = %self.path.display(),
                "the disk is full: released the reserved space for a change that frees something"
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

    /// Reserves an eighth of the free space, 16 MiB at most. A reserve that is at least that large stays as
    /// it is.
    pub fn keep(&self) {
        self.make(8);
    }

    /// Reserves space again after a release: nearly all that is left, since other changes would use it up.
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
            // Opening a pipe for writing would wait for its reader. A link may lead anywhere. A database must
            // stay.
            Err(error) => return self.log_failure(&error),
        };
        let Some(available) = self.available() else { return };
        let size = (available.get() / parts * of).min(SIZE_MAX.get());
        if size < SIZE_MIN.get() || there >= size {
            return;
        }
        if let Err(error) = self.allocate(size) {
            // A partial file would count as a reserve.
            let _ = fs::remove_file(&self.path);
            self.log_failure(&error);
        }
    }

    /// Returns the size of the file.
    ///
    /// # Errors
    /// When the file does not exist, is not a regular file, is a database, or cannot be examined.
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
            return refused("it is an SQLite database".into());
        }
        Ok(about.len())
    }

    fn log_failure(&self, error: &io::Error) {
        tracing::warn!(path = %self.path.display(), %error, "no disk space could be reserved");
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

/// Returns the free space on the disk of a folder; `None` if the system does not report it.
fn available_in(folder: &Path) -> Option<Bytes> {
    let disk = statvfs(folder).ok()?;
    Some(Bytes(disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// Returns whether a file begins with SQLite's header.
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

    /// Asserts that the reserve neither removes nor changes the file.
    fn assert_left_alone(reserve: &Reserve, path: &Path, bytes: &[u8]) {
        assert!(!reserve.release(), "the file is not removed");
        reserve.keep();
        reserve.keep_again();
        assert_eq!(fs::read(path).unwrap(), bytes, "the file is not changed");
    }

    #[test]
    fn the_reserve_is_created_released_and_created_again() {
        let directory = tempfile::tempdir().unwrap();
        let reserve = Reserve::beside(&directory.path().join("lar.db"));
        let size = || std::fs::metadata(directory.path().join(NAME)).map_or(0, |about| about.len());
        assert!(!reserve.release(), "there is no reserve yet");
        reserve.keep();
        assert_eq!(size(), SIZE_MAX.get());
        reserve.release_to_start();
        assert_eq!(size(), SIZE_MAX.get(), "this disk has space");
        assert!(reserve.release());
        assert_eq!((size(), reserve.release()), (0, false));
        for room in ["none", "some"] {
            assert_eq!(reserve.release_for(size, |_| false), 0, "{room} was reserved");
            assert_eq!(size(), SIZE_MAX.get(), "{room} was reserved");
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
        assert_eq!(size_after(false), 0, "an eighth would be too small");
        assert_eq!(size_after(true), nearly_all);
        assert_eq!(size_after(false), nearly_all, "released space is reserved again");
    }

    #[test]
    fn the_reserve_does_not_touch_special_files() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join(NAME), directory.path().join("other"));
        let reserve = Reserve::beside(&directory.path().join("lar.db"));
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        reserve.keep();
        assert!(!reserve.release() && path.exists(), "the pipe is neither removed nor opened");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&other, "kept").unwrap();
        symlink(&other, &path).unwrap();
        reserve.keep();
        assert!(!reserve.release());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "kept");
    }

    #[test]
    fn a_reserve_that_is_the_database_is_neither_removed_nor_changed() {
        // The file is not even recognizable as a database.
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
        // A link from another data directory, and a new database that has the reserve's name.
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
    fn a_database_with_the_name_of_the_reserve_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, database) = (directory.path().join(NAME), directory.path().join("lar.db"));
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
        drop(connection);
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.starts_with(HEADER));
        let reserve = Reserve::beside(&database);
        assert_left_alone(&reserve, &path, &bytes);
        // A file that is shorter than the header is not a database.
        fs::write(&path, &HEADER[..15]).unwrap();
        assert!(reserve.release() && !path.exists());
    }
}
