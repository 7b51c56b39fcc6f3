//! The temporary files and folders of a backup, a check of a backup, and a restore. A killed process leaves
//! them behind, and they contain copies of the database and of keys.
//!
//! | killed process | leftovers |
//! |---|---|
//! | a backup `X.tar` | `X.partial`, the backup so far, and `X.db-copy` with SQLite's files beside it |
//! | a copy of a backup to `FILE` | `FILE.partial` |
//! | a check of `X.tar` | the folder `X.verify-unpacked` |
//! | a restore | `restore.partial` in the data directory, `DATABASE.restore.partial` beside a linked database |
//!
//! Each is locked while in use ([`super::working_files`]). The lock of `X.partial` also covers `X.db-copy`,
//! which SQLite locks in its own way. Links are neither followed nor removed.
//!
//! If a data directory has no database but a folder of a restore, Lar refuses to start, and the restore must
//! be run again. So a failed restore keeps its folder if it cannot move the previous files back, or if it
//! began in such a data directory.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use lar_base::files::kind_of;
use lar_base::shell::quote;

use super::file_name::{NAME_AFFIXES, is_backup};
use super::manifest::{CLIENTS, DATABASE, MANIFEST, is_known};
use super::working_files::{
    is_folder, is_in_use, is_named, is_regular, lock_if_free, lock_new, remove_regular, rename_new, sync,
};
use crate::error::Error;
use crate::linked_database::LinkedDatabase;
use crate::location::away_path;
use crate::private_files::create_new_private;
use crate::sqlite_files::{SQLITE_SUFFIXES, beside, database_files};

/// The extension of an unfinished backup.
const PARTIAL_EXTENSION: &str = "partial";
/// The extension of the copy of the database for a backup.
const COPY_EXTENSION: &str = "db-copy";
/// The extension of the folder into which a check unpacks a backup.
const VERIFY_EXTENSION: &str = "verify-unpacked";
/// The suffix of an unfinished copy of a backup.
const PARTIAL_SUFFIX: &str = ".partial";
/// The folder into which a restore unpacks a backup, in a data directory.
const RESTORE_FOLDER: &str = "restore.partial";
/// The suffix of that folder beside a linked database.
const RESTORE_SUFFIX: &str = ".restore.partial";
/// The most links to follow in a row, as in Linux.
const LINKS_MAX: usize = 40;

/// A new file that only its owner can read, locked while it is written. Dropping it removes the file unless
/// it was renamed.
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

impl NewFile {
    /// # Errors
    /// When the path exists, or the file cannot be created.
    fn make(path: PathBuf) -> Result<Self, Error> {
        let file = create_new_private(&path).map_err(Error::Backup)?;
        lock_new(&file, &path)?;
        Ok(Self { path, file })
    }

    /// Creates the file that becomes `to`, a copy of a backup. Replaces the leftover of a killed copy.
    ///
    /// # Errors
    /// When another copy writes the file, its name is taken, or it cannot be created.
    pub(super) fn for_copy(to: &Path) -> Result<Self, Error> {
        let path = beside(to, PARTIAL_SUFFIX);
        remove_leftover_copy(&path).map_err(Error::Backup)?;
        let made = Self::make(path.clone());
        made.map_err(|error| match error {
            Error::Backup(cause) if cause.kind() == ErrorKind::AlreadyExists => name_taken(path),
            error => error,
        })
    }

    /// Syncs the file and renames it to `to`, which must not exist.
    ///
    /// # Errors
    /// When `to` exists, or the file cannot be written or renamed.
    pub(super) fn finish(self, to: &Path) -> Result<(), Error> {
        self.file.sync_all().and_then(|()| rename_new(&self.path, to)).map_err(Error::Backup)?;
        to.parent().map_or(Ok(()), sync).map_err(Error::Backup)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if is_named(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The files of a backup in progress. Dropping them removes them.
pub(super) struct BackupFiles {
    /// The file that becomes the backup when it is complete.
    pub(super) written: NewFile,
    pub(super) copy: DatabaseCopy,
}

/// The copy of a database, with SQLite's files beside it.
pub(super) struct DatabaseCopy(pub(super) PathBuf);

impl Drop for DatabaseCopy {
    fn drop(&mut self) {
        remove_regular(database_files(&self.0));
    }
}

impl BackupFiles {
    /// Creates the files for the backup `to`. Replaces the leftovers of a killed backup.
    ///
    /// # Errors
    /// When another backup uses the files, their names are taken, or they cannot be created.
    pub(super) fn make(to: &Path) -> Result<Self, Error> {
        remove_leftovers_of(to).map_err(Error::Backup)?;
        let written = NewFile::make(to.with_extension(PARTIAL_EXTENSION))?;
        let copy = to.with_extension(COPY_EXTENSION);
        drop(create_new_private(&copy).map_err(Error::Backup)?);
        Ok(Self { written, copy: DatabaseCopy(copy) })
    }
}

/// A new folder that only its owner can read, into which a backup is unpacked. It is locked meanwhile.
/// Dropping it removes the folder unless it is to be kept.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Whether the folder stays, so that Lar refuses to start until another restore completes.
    pub(super) is_kept: bool,
    opened: File,
}

impl Folder {
    /// Creates the folder of a restore, in the data directory or beside the database `linked`. Replaces the
    /// leftover of a killed restore.
    ///
    /// # Errors
    /// When another restore uses the folder, its name is taken, or it cannot be created.
    pub(super) fn of_restore(data_dir: &Path, linked: Option<&Path>) -> Result<Self, Error> {
        let path =
            linked.map_or_else(|| data_dir.join(RESTORE_FOLDER), |linked| beside(linked, RESTORE_SUFFIX));
        remove_folder(&path).map_err(Error::Backup)?;
        Self::make(path)
    }

    /// Creates the folder of a check beside the backup. Replaces the leftover of a killed check. A folder
    /// with any other file stays, since other programs may create folders there.
    ///
    /// # Errors
    /// As [`Folder::of_restore`].
    pub(super) fn of_check(backup: &Path) -> Result<Self, Error> {
        let path = backup.with_extension(VERIFY_EXTENSION);
        if !has_foreign_files(&path) {
            remove_folder(&path).map_err(Error::Backup)?;
        }
        Self::make(path)
    }

    fn make(path: PathBuf) -> Result<Self, Error> {
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(name_taken(path)),
            Err(error) => return Err(Error::Backup(error)),
        }
        let opened = File::open(&path).map_err(Error::Backup)?;
        lock_new(&opened, &path)?;
        Ok(Self { path, is_kept: false, opened })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_kept && is_named(&self.opened, &self.path) {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Returns the leftovers of killed backups and checks of backups, by Lar's names, in a folder of backups.
#[must_use]
pub fn find_unfinished_backups(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for to in backups_with_leftovers(folder) {
        if !is_in_use(&to.with_extension(PARTIAL_EXTENSION)) {
            found.extend(working_files(&to).into_iter().filter(|path| is_regular(path)));
        }
        found.extend(
            Some(to.with_extension(VERIFY_EXTENSION))
                .filter(|path| is_leftover_folder(path) && !has_foreign_files(path)),
        );
    }
    found
}

/// Removes the leftovers that [`find_unfinished_backups`] finds; logs and returns them.
pub fn remove_unfinished_backups(folder: &Path) -> Vec<PathBuf> {
    let mut removed = Vec::new();
    for to in backups_with_leftovers(folder) {
        match remove_leftovers_of(&to) {
            Ok(files) => removed.extend(files),
            Err(error) => log_failure(&to.with_extension(PARTIAL_EXTENSION), &error),
        }
        let checked = to.with_extension(VERIFY_EXTENSION);
        if !has_foreign_files(&checked) {
            removed.extend(remove_folder_or_log(checked));
        }
    }
    if !removed.is_empty() {
        tracing::warn!(
            ?removed,
            "removed copies of data and keys that a killed backup, or a check of one, left"
        );
    }
    removed
}

/// Returns the leftovers of killed or failed restores, in a data directory and beside the target of its
/// database link.
#[must_use]
pub fn find_unfinished_restores(data_dir: &Path) -> Vec<PathBuf> {
    folders_of_restores(data_dir).into_iter().filter(|path| is_leftover_folder(path)).collect()
}

/// Removes the leftovers that [`find_unfinished_restores`] finds; logs and returns them.
pub fn remove_unfinished_restores(data_dir: &Path) -> Vec<PathBuf> {
    let removed: Vec<PathBuf> =
        folders_of_restores(data_dir).into_iter().filter_map(remove_folder_or_log).collect();
    if !removed.is_empty() {
        tracing::warn!(?removed, "removed copies of data and keys that a killed or failed restore left");
    }
    removed
}

/// Returns the target of a dangling database link if a restore to that target is unfinished. It was killed or
/// failed after it had moved the database aside, so the unpacked backup is beside the target. Otherwise
/// returns `None`.
///
/// # Errors
/// When such a restore left its other folder in the data directory, but the link's disk is missing.
pub(super) fn unfinished_link(data_dir: &Path) -> Result<Option<LinkedDatabase>, Error> {
    let database = data_dir.join(DATABASE);
    let Ok(target) = fs::read_link(&database) else { return Ok(None) };
    let linked = end_of_link(&database).filter(|linked| is_folder(&beside(&linked.database, RESTORE_SUFFIX)));
    let left = data_dir.join(RESTORE_FOLDER);
    // A restore into the data directory itself has the database in that folder.
    let is_of_linked = is_folder(&left) && fs::symlink_metadata(left.join(DATABASE)).is_err();
    if linked.is_none() && is_of_linked {
        let target = data_dir.join(target);
        return Err(Error::Unusable {
            path: database,
            reason: format!(
                "is a symbolic link to {}, which does not exist, and a restore to it did not complete",
                target.display()
            ),
            step: format!(
                "mount its disk and restore again; or, to have the database in the data directory, remove \
                 the leftovers and restore again: rm -r {}",
                quote(&left)
            ),
        });
    }
    Ok(linked)
}

/// Returns the file at the end of a link, across further links, even if it does not exist. Returns `None` if
/// there is no link, or the file's folder does not exist.
fn end_of_link(link: &Path) -> Option<LinkedDatabase> {
    let mut end = link.parent()?.join(fs::read_link(link).ok()?);
    for _ in 1..LINKS_MAX {
        match fs::read_link(&end) {
            Ok(target) => end = end.parent()?.join(target),
            Err(_) => {
                let folder = fs::canonicalize(end.parent()?).ok()?;
                return Some(LinkedDatabase { database: folder.join(end.file_name()?), folder });
            }
        }
    }
    None
}

/// Returns whether the path is a folder that no process uses.
fn is_leftover_folder(path: &Path) -> bool {
    is_folder(path) && !is_in_use(path)
}

/// Returns the backups in a folder, by Lar's names, that have temporary files, in use or left over.
fn backups_with_leftovers(folder: &Path) -> BTreeSet<PathBuf> {
    let backup = |name: String| {
        let (stem, end) = name.rsplit_once('.')?;
        let is_copy = end.strip_prefix(COPY_EXTENSION).is_some_and(|end| SQLITE_SUFFIXES.contains(&end));
        let backup = format!("{stem}{}", NAME_AFFIXES.1);
        ((is_copy || end == PARTIAL_EXTENSION || end == VERIFY_EXTENSION) && is_backup(&backup))
            .then(|| folder.join(backup))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| backup(entry.file_name().into_string().ok()?)).collect()
}

/// Returns the temporary files of the backup `to`; the file whose lock covers all of them is last.
fn working_files(to: &Path) -> Vec<PathBuf> {
    database_files(&to.with_extension(COPY_EXTENSION))
        .into_iter()
        .chain([to.with_extension(PARTIAL_EXTENSION)])
        .collect()
}

/// Removes the temporary files of the backup `to`, unless it is in progress, and returns them.
fn remove_leftovers_of(to: &Path) -> io::Result<Vec<PathBuf>> {
    let written = to.with_extension(PARTIAL_EXTENSION);
    let claimed = if is_regular(&written) { Some(lock_if_free(&written)?) } else { None };
    if matches!(claimed, Some(None)) {
        return Ok(Vec::new());
    }
    let left: Vec<PathBuf> = working_files(to).into_iter().filter(|path| is_regular(path)).collect();
    left.iter().try_for_each(fs::remove_file)?;
    Ok(left)
}

/// Removes an incomplete backup at `path`, unless it is being written. Any other file stays.
fn remove_leftover_copy(path: &Path) -> io::Result<()> {
    if !is_regular(path) {
        return Ok(());
    }
    let Some(left) = lock_if_free(path)? else { return Ok(()) };
    let mut start = Vec::new();
    (&left).take(MANIFEST.len() as u64).read_to_end(&mut start)?;
    if MANIFEST.as_bytes().starts_with(&start) { fs::remove_file(path) } else { Ok(()) }
}

/// Removes a folder unless it is in use; returns whether it did.
fn remove_folder(path: &Path) -> io::Result<bool> {
    if !is_folder(path) {
        return Ok(false);
    }
    let Some(_claimed) = lock_if_free(path)? else { return Ok(false) };
    fs::remove_dir_all(path)?;
    Ok(true)
}

/// Like [`remove_folder`]; returns the folder if it was removed.
fn remove_folder_or_log(path: PathBuf) -> Option<PathBuf> {
    match remove_folder(&path) {
        Ok(is_removed) => is_removed.then_some(path),
        Err(error) => {
            log_failure(&path, &error);
            None
        }
    }
}

fn log_failure(path: &Path, error: &io::Error) {
    tracing::error!(
        path = %path.display(),
        %error,
        "leftovers of a killed backup or restore could not be removed; they have copies of data and keys"
    );
}

/// Returns whether a folder contains anything that does not come from a backup.
fn has_foreign_files(folder: &Path) -> bool {
    let is_of_database =
        |name: &str| name.strip_prefix(DATABASE).is_some_and(|end| SQLITE_SUFFIXES.contains(&end));
    let is_ours = |name: &str| name == CLIENTS || is_known(name) || is_of_database(name);
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_str().is_none_or(|name| !is_ours(name)))
}

/// Returns the folders into which a restore into a data directory unpacks. A restore that was killed between
/// two moves may leave a dangling link to the database.
fn folders_of_restores(data_dir: &Path) -> Vec<PathBuf> {
    let linked = end_of_link(&data_dir.join(DATABASE));
    let there = linked.map(|linked| beside(&linked.database, RESTORE_SUFFIX));
    [data_dir.join(RESTORE_FOLDER)].into_iter().chain(there).collect()
}

/// Explains why a name that Lar needs is taken.
fn name_taken(path: PathBuf) -> Error {
    let (reason, step) = match fs::symlink_metadata(&path) {
        Ok(_) if is_in_use(&path) => {
            ("is in use by another `lar backup`".to_owned(), "wait until it ends".to_owned())
        }
        about => {
            let kind = about.map_or("something", |about| kind_of(about.file_type()));
            let step = format!("move it away: mv {} {}", quote(&path), quote(&away_path(&path)));
            (format!("is {kind} that Lar did not create, and Lar needs the name"), step)
        }
    };
    Error::Unusable { path, reason, step }
}
