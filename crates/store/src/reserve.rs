//! Room kept for a full disk: a file beside the database that is given up when a change that takes something back
//! (revoking a key, erasing) finds no room, and made again after it.
//!
//! Without it a full disk keeps people from the very changes that they need then.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lar_base::Bytes;
use rustix::fs::{FallocateFlags, fallocate, statvfs};

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
    /// The reserve beside the database at `database`; nothing is made yet.
    #[must_use]
    pub fn beside(database: &Path) -> Self {
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
        std::fs::remove_file(&self.path).is_ok()
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
        let there = std::fs::metadata(&self.path).map_or(0, |about| about.len());
        let Some(available) = self.available() else { return };
        let size = (available.get() / parts * of).min(SIZE_MAX.get());
        if size < SIZE_MIN.get() || there >= size {
            return;
        }
        if let Err(error) = self.allocate(size) {
            // A part of it would count as kept.
            let _ = std::fs::remove_file(&self.path);
            tracing::warn!(path = %self.path.display(), %error, "no room could be kept for a full disk");
        }
    }

    fn allocate(&self, size: u64) -> std::io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, size) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                std::io::copy(&mut std::io::Read::take(std::io::repeat(0), size), &mut file).map(drop)
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
}
