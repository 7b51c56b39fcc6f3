//! The files and folders that a backup, a check of one and a restore work on. Whoever is killed leaves them, and they hold
//! copies of the database and of keys.
//!
//! | killed | left |
//! |---|---|
//! | a backup `X.tar` | `X.partial`, the backup so far, and `X.db-copy` with what SQLite keeps beside that |
//! | a copy of a backup to `FILE` | `FILE.partial` |
//! | a check of `X.tar` | the folder `X.verify-unpacked` |
//! | a restore | the folder `restore.partial` in the data directory, and `DATABASE.restore.partial` beside a linked database |
//!
//! Each is locked while it is worked on ([`super::working_files`]): `X.partial` also for `X.db-copy`, which SQLite locks in its
//! own way. Links are neither followed nor removed.
//!
//! While a data directory has no database and one of a restore's folders is there, a start is refused: the restore is to be
//! run again. So a restore that fails leaves its folder where it cannot put back what was there, and so does one that began in
//! such a data directory.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use lar_base::files::kind_of;
use lar_base::shell::quote;

use super::archive::is_known;
use super::working_files::{
    SQLITE_SUFFIXES, create_new_private, database_files, is_folder, is_in_use, is_named, is_regular,
    lock_if_free, lock_new, remove_regular, rename_new,
};
use super::{CLIENTS, DATABASE, MANIFEST, NAME_AFFIXES, is_backup, sync};
use crate::{Error, LinkedDatabase, away_path, beside};

/// Extensions in the place of a backup's: the backup until it is whole, the copy of the database, and the folder of a check.
const PARTIAL_EXTENSION: &str = "partial";
const COPY_EXTENSION: &str = "db-copy";
const VERIFY_EXTENSION: &str = "verify-unpacked";
/// What is appended to the name of a file that a backup is copied to.
const PARTIAL_SUFFIX: &str = ".partial";
/// What the folder is called in which a backup is unpacked, in a data directory and beside a database elsewhere.
const RESTORE_FOLDER: &str = "restore.partial";
const RESTORE_SUFFIX: &str = ".restore.partial";
/// Links that are followed one after another; Linux follows as many.
const LINKS_MAX: usize = 40;

/// A new file for its owner alone, locked while it is written. It is removed when dropped, unless it has another name then.
pub(super) struct NewFile {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

impl NewFile {
    /// # Errors
    /// When something is there already, or it cannot be made.
    fn make(path: PathBuf) -> Result<Self, Error> {
        let file = create_new_private(&path).map_err(Error::Backup)?;
        lock_new(&file, &path)?;
        Ok(Self { path, file })
    }

    /// Makes the file that becomes `to`, a copy of a backup, in the place of what a killed copy left.
    ///
    /// # Errors
    /// When another copy writes it, something else has its name, or it cannot be made.
    pub(super) fn for_copy(to: &Path) -> Result<Self, Error> {
        let path = beside(to, PARTIAL_SUFFIX);
        remove_leftover_copy(&path).map_err(Error::Backup)?;
        let made = Self::make(path.clone());
        made.map_err(|error| match error {
            Error::Backup(cause) if cause.kind() == ErrorKind::AlreadyExists => name_taken(path),
            error => error,
        })
    }

    /// Writes it to the disk and gives it the name `to`, where nothing is yet.
    ///
    /// # Errors
    /// When something is there, or it cannot be written or renamed.
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

/// The files of a backup that is being made. They are removed when dropped.
pub(super) struct BackupFiles {
    /// The backup until it is whole.
    pub(super) written: NewFile,
    pub(super) copy: DatabaseCopy,
}

/// The copy of a database, and what SQLite keeps beside that.
pub(super) struct DatabaseCopy(pub(super) PathBuf);

impl Drop for DatabaseCopy {
    fn drop(&mut self) {
        remove_regular(database_files(&self.0));
    }
}

impl BackupFiles {
    /// Makes the files for the backup `to`, in the place of what a killed backup left of them.
    ///
    /// # Errors
    /// When another backup has them, something else has their names, or they cannot be made.
    pub(super) fn make(to: &Path) -> Result<Self, Error> {
        remove_leftovers_of(to).map_err(Error::Backup)?;
        let written = NewFile::make(to.with_extension(PARTIAL_EXTENSION))?;
        let copy = to.with_extension(COPY_EXTENSION);
        drop(create_new_private(&copy).map_err(Error::Backup)?);
        Ok(Self { written, copy: DatabaseCopy(copy) })
    }
}

/// A new folder for its owner alone in which a backup is unpacked, locked meanwhile. It is removed when dropped, unless it is
/// to be kept.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Whether it stays, so that a start is refused until another restore ends.
    pub(super) is_kept: bool,
    opened: File,
}

impl Folder {
    /// Makes the folder of a restore, in the data directory or beside the database `linked`, in the place of what a killed
    /// restore left.
    ///
    /// # Errors
    /// When another restore has it, something else has its name, or it cannot be made.
    pub(super) fn of_restore(data_dir: &Path, linked: Option<&Path>) -> Result<Self, Error> {
        let path =
            linked.map_or_else(|| data_dir.join(RESTORE_FOLDER), |linked| beside(linked, RESTORE_SUFFIX));
        remove_folder(&path).map_err(Error::Backup)?;
        Self::make(path)
    }

    /// Makes the folder of a check, beside the backup, in the place of what a killed check left. Other programs may make
    /// folders there: one that holds anything else stays.
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

/// What killed backups, and checks of backups, left in a folder of backups that have Lar's names.
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

/// Removes what [`find_unfinished_backups`] finds, logs that, and returns it.
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
            "a backup, or a check of one, was killed: its copies of data and keys are removed"
        );
    }
    removed
}

/// What restores that were killed or failed left in a data directory, and beside the database that a link in it leads to.
#[must_use]
pub fn find_unfinished_restores(data_dir: &Path) -> Vec<PathBuf> {
    folders_of_restores(data_dir).into_iter().filter(|path| is_leftover_folder(path)).collect()
}

/// Removes what [`find_unfinished_restores`] finds, logs that, and returns it.
pub fn remove_unfinished_restores(data_dir: &Path) -> Vec<PathBuf> {
    let removed: Vec<PathBuf> =
        folders_of_restores(data_dir).into_iter().filter_map(remove_folder_or_log).collect();
    if !removed.is_empty() {
        tracing::warn!(
            ?removed,
            "a restore was killed or failed: the copies of data and keys that it left are removed"
        );
    }
    removed
}

/// Where a link that leads nowhere led to, if a restore into that place was killed or failed after it had put the database
/// aside: what it had unpacked is beside that. None where no restore is unfinished there.
///
/// # Errors
/// When the other folder of such a restore is in the data directory, and the link's disk is missing.
pub(super) fn unfinished_link(data_dir: &Path) -> Result<Option<LinkedDatabase>, Error> {
    let database = data_dir.join(DATABASE);
    let Ok(target) = fs::read_link(&database) else { return Ok(None) };
    let linked = end_of_link(&database).filter(|linked| is_folder(&beside(&linked.database, RESTORE_SUFFIX)));
    let left = data_dir.join(RESTORE_FOLDER);
    // A restore into the data directory has the database there.
    let is_of_linked = is_folder(&left) && fs::symlink_metadata(left.join(DATABASE)).is_err();
    if linked.is_none() && is_of_linked {
        let target = data_dir.join(target);
        return Err(Error::Unusable {
            path: database,
            reason: format!(
                "is a symbolic link to {}, which is not there, and a restore into that did not end",
                target.display()
            ),
            step: format!(
                "mount its disk and restore again; or, to have the database in the data directory, remove what was left and \
                 restore again: rm -r {}",
                quote(&left)
            ),
        });
    }
    Ok(linked)
}

/// Where the file is that a link leads to, also over further links, or where it would be. None where there is no link, or where
/// its folder is not there.
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

/// Whether a folder is there itself, and nobody works on it.
fn is_leftover_folder(path: &Path) -> bool {
    is_folder(path) && !is_in_use(path)
}

/// The backups in a folder, by the names that Lar gives them, of which something else is there: unfinished, or left.
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

/// Where the files of the backup `to` lie until it is whole; the one whose lock counts for all is last.
fn working_files(to: &Path) -> Vec<PathBuf> {
    database_files(&to.with_extension(COPY_EXTENSION))
        .into_iter()
        .chain([to.with_extension(PARTIAL_EXTENSION)])
        .collect()
}

/// Removes the files of the backup `to`, unless it is being made, and returns them.
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

/// Removes a part of a backup at `path`, unless it is being written. Another file stays.
fn remove_leftover_copy(path: &Path) -> io::Result<()> {
    if !is_regular(path) {
        return Ok(());
    }
    let Some(left) = lock_if_free(path)? else { return Ok(()) };
    let mut start = Vec::new();
    (&left).take(MANIFEST.len() as u64).read_to_end(&mut start)?;
    if MANIFEST.as_bytes().starts_with(&start) { fs::remove_file(path) } else { Ok(()) }
}

/// Removes a folder, unless it is worked on; says whether it did.
fn remove_folder(path: &Path) -> io::Result<bool> {
    if !is_folder(path) {
        return Ok(false);
    }
    let Some(_claimed) = lock_if_free(path)? else { return Ok(false) };
    fs::remove_dir_all(path)?;
    Ok(true)
}

/// As [`remove_folder`]; returns the folder where it was removed.
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
        "what was left here by a killed backup or restore cannot be removed; it holds copies of data and keys"
    );
}

/// Whether a folder holds anything that is not of a backup.
fn has_foreign_files(folder: &Path) -> bool {
    let is_of_database =
        |name: &str| name.strip_prefix(DATABASE).is_some_and(|end| SQLITE_SUFFIXES.contains(&end));
    let is_ours = |name: &str| name == CLIENTS || is_known(name) || is_of_database(name);
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_str().is_none_or(|name| !is_ours(name)))
}

/// Where a restore into a data directory unpacks, now or when it was killed. A restore that is killed between two moves may
/// leave a link to a database that is not there.
fn folders_of_restores(data_dir: &Path) -> Vec<PathBuf> {
    let linked = end_of_link(&data_dir.join(DATABASE));
    let there = linked.map(|linked| beside(&linked.database, RESTORE_SUFFIX));
    [data_dir.join(RESTORE_FOLDER)].into_iter().chain(there).collect()
}

/// Says why a name that Lar works under is taken.
fn name_taken(path: PathBuf) -> Error {
    let (reason, step) = match fs::symlink_metadata(&path) {
        Ok(_) if is_in_use(&path) => {
            ("is in use by another `lar backup`".to_owned(), "wait until that ends".to_owned())
        }
        about => {
            let kind = about.map_or("something", |about| kind_of(about.file_type()));
            let step = format!("move it away: mv {} {}", quote(&path), quote(&away_path(&path)));
            (format!("is {kind} that is not of Lar's, and Lar needs the name"), step)
        }
    };
    Error::Unusable { path, reason, step }
}
