//! Room kept for a full disk: a file beside the database that is given up when a change that takes something back
//! (revoking a key, erasing) finds no room, and made again after it.
//!
//! Without it a full disk keeps people from the very changes that they need then.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lar_base::Bytes;
use lar_base::files::kind_of;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::location;

/// What the file is called.
const NAME: &str = "lar.reserve";
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
    /// Released and made by one at a time.
    busy: Mutex<()>,
}

impl Reserve {
    /// The reserve beside the database at `database`, on its disk where that is a link; nothing is made yet.
    #[must_use]
    pub fn beside(database: &Path) -> Self {
        // A link that leads nowhere is refused when the database is opened.
        let database = location::resolve(database).unwrap_or_else(|_| database.to_owned());
        Self { path: database.with_file_name(NAME), busy: Mutex::default() }
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
        self.size().is_ok() && std::fs::remove_file(&self.path).is_ok()
    }

    /// Keeps room: an eighth of what is free, 16 MiB at most. What is there already stays.
    pub fn keep(&self) {
        self.make(8);
    }

    /// Keeps room again after it was given up: nearly all that is left, since other changes would use up the rest.
    pub(crate) fn keep_again(&self) {
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
            // To write to a pipe would wait for its reader, and a link may lead to anything.
            Err(error) => return self.log_failure(&error),
        };
        let Some(available) = self.available() else { return };
        let size = (available.get() / parts * of).min(SIZE_MAX.get());
        if size < SIZE_MIN.get() || there >= size {
            return;
        }
        if let Err(error) = self.allocate(size) {
            // A part of it would count as kept.
            let _ = std::fs::remove_file(&self.path);
            self.log_failure(&error);
        }
    }

    /// The size of the file.
    ///
    /// # Errors
    /// When it is not there, or something else is.
    fn size(&self) -> io::Result<u64> {
        let about = std::fs::symlink_metadata(&self.path)?;
        if !about.is_file() {
            let reason = format!("it is {}, not a regular file", kind_of(about.file_type()));
            return Err(io::Error::new(ErrorKind::InvalidInput, reason));
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
        let disk = statvfs(self.path.parent()?).ok()?;
        Some(Bytes(disk.f_bavail.saturating_mul(disk.f_frsize)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        reserve.keep_again();
        assert_eq!(size(), SIZE_MAX.get());
    }

    #[test]
    fn what_is_no_regular_file_is_left_alone_in_the_place_of_the_reserve() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join(NAME), directory.path().join("other"));
        let reserve = Reserve::beside(&directory.path().join("lar.db"));
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        reserve.keep();
        assert!(!reserve.release() && path.exists(), "it does not wait for a reader");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&other, "kept").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        reserve.keep();
        assert!(!reserve.release());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "kept");
    }
}
