//! The working files of a salvage, beside the new database. They are a copy of the damaged database, and the
//! unfinished new one.
//!
//! They are removed when the salvage ends, even with an error. A killed salvage leaves them; the next one to
//! the same path removes them ([`remove_leftovers`]). Nothing else is removed: no link, no folder, and not
//! the damaged database itself.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::backup::working_files::{is_in_use, is_regular, lock_new, remove_regular};
use crate::error::Error;
use crate::private_files::create_new_private;
use crate::sparse_file;
use crate::sqlite_files::database_files;

/// The extension of the copy of the damaged database.
const COPY: &str = "damaged-copy";
/// The extension of the unfinished new database.
const UNFINISHED: &str = "unfinished";
/// The extensions of all working files, including those that [`super::repair`] and [`super::schema`] create
/// for a moment.
const EXTENSIONS: [&str; 4] = [COPY, UNFINISHED, "new-header", "new-schema"];

/// The files of a running salvage.
pub(super) struct WorkingFiles {
    /// A copy of the damaged database without its write-ahead log.
    pub(super) copy: PathBuf,
    /// The new database, until it is complete.
    pub(super) unfinished: PathBuf,
    to: PathBuf,
    /// The copy, locked so that another salvage does not take it for a leftover.
    locked: File,
}

impl WorkingFiles {
    /// Creates the files for a salvage of the database at `damaged` into `to`, and copies the damaged
    /// database.
    ///
    /// # Errors
    /// When `to` exists; as [`remove_leftovers`]; when a file cannot be created or the database cannot be
    /// read.
    pub(super) fn make(damaged: &Path, to: &Path) -> Result<Self, Error> {
        if fs::symlink_metadata(to).is_ok() {
            return Err(Error::Backup(ErrorKind::AlreadyExists.into()));
        }
        remove_leftovers(damaged, to)?;
        let (copy, unfinished) = (to.with_extension(COPY), to.with_extension(UNFINISHED));
        let locked = create_new_private(&copy).map_err(Error::Backup)?;
        lock_new(&locked, &copy)?;
        let files = Self { copy, unfinished, to: to.to_owned(), locked };
        files.fill(damaged)?;
        drop(create_new_private(&files.unfinished).map_err(Error::Backup)?);
        Ok(files)
    }

    /// Overwrites the copy with the damaged database.
    ///
    /// # Errors
    /// When the database cannot be read or the copy cannot be written.
    pub(super) fn fill(&self, damaged: &Path) -> Result<(), Error> {
        let filled = File::open(damaged).and_then(|from| {
            self.locked.set_len(0)?;
            sparse_file::copy(&from, &self.locked)
        });
        filled.map_err(Error::Backup)
    }

    /// Syncs the new database, gives it its name, and removes the other files.
    ///
    /// # Errors
    /// When it cannot be synced or renamed.
    pub(super) fn finish(self) -> Result<PathBuf, Error> {
        let written = File::open(&self.unfinished).and_then(|file| file.sync_all());
        written.and_then(|()| fs::rename(&self.unfinished, &self.to)).map_err(Error::Backup)?;
        Ok(self.to.clone())
    }
}

impl Drop for WorkingFiles {
    fn drop(&mut self) {
        remove_regular(paths(&self.to));
    }
}

/// Returns the leftovers of a killed salvage into the new database `to`. They are regular files with the
/// names of working files. A finished database is never among them.
#[must_use]
pub fn find_leftovers(to: &Path) -> Vec<PathBuf> {
    paths(to).into_iter().filter(|path| is_regular(path)).collect()
}

/// Removes the files that [`find_leftovers`] finds, for a salvage of `damaged`.
///
/// # Errors
/// When another salvage into `to` runs; when `damaged` is one of these files; when one cannot be removed.
pub fn remove_leftovers(damaged: &Path, to: &Path) -> Result<(), Error> {
    let leftovers = find_leftovers(to);
    for path in &leftovers {
        if is_same(damaged, path) {
            return Err(Error::Unusable {
                path: damaged.to_owned(),
                reason: "has the name of a working file of this salvage".into(),
                step: "name another folder: lar backup salvage FOLDER".into(),
            });
        }
        if is_in_use(path) {
            return Err(Error::Unusable {
                path: path.clone(),
                reason: "is in use by another salvage".into(),
                step: "wait until it ends, or name another folder: lar backup salvage FOLDER".into(),
            });
        }
    }
    leftovers.into_iter().try_for_each(fs::remove_file).map_err(Error::Backup)
}

/// Returns the paths of all working files of a salvage into `to`, and of SQLite's files beside them.
fn paths(to: &Path) -> Vec<PathBuf> {
    let files = EXTENSIONS.map(|extension| to.with_extension(extension));
    files.iter().flat_map(|file| database_files(file)).collect()
}

fn is_same(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| fs::metadata(path).map(|about| (about.dev(), about.ino())).ok();
    file(one).is_some_and(|one| file(other) == Some(one))
}
