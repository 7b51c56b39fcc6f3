//! Replaces the content of a data directory with a backup. Nothing is replaced before the whole backup was
//! checked, and the previous files are moved aside rather than removed.
//!
//! If the database is a link, its target is replaced and moved aside in the target's folder; the link stays.
//! The backup is unpacked there, so that the database is written only once and the data directory's disk
//! needs no space for it.
//!
//! The old database leaves first, and the new one comes last. So after a restore that was killed in between,
//! a start finds no database, rather than a new one without its keys. When a move fails, [`Moves`] moves
//! everything back. If that fails, too, or an earlier restore did not complete, the unpacked backup stays,
//! and Lar refuses to start because of it.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, copy};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use lar_base::files::{TEXT_BYTES_MAX, open_regular, read_small};
use lar_base::shell::quote;

use super::archive::unpack;
use super::file_name::time_stamp;
use super::manifest::{CLIENTS, COMPANION_FILES, DATABASE, Manifest, SETTINGS};
use super::moves::{Failure, Moves};
use super::unfinished::{Folder, find_unfinished_restores, remove_unfinished_restores, unfinished_link};
use super::working_files::sync;
use crate::error::Error;
use crate::linked_database::{BEFORE_RESTORE, LinkedDatabase};
use crate::private_files::create_new_private;
use crate::sqlite_files::beside;
use crate::{location, migrations};

/// The treatment of the settings in a backup. Settings can name programs that Lar runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsPolicy {
    /// They are not restored; the data directory keeps its own.
    Leave,
    /// They are restored with the rest.
    Restore,
}

/// The result of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// The manifest of the restored backup.
    pub manifest: Manifest,
    /// The path of the database; outside the data directory if a link leads there.
    pub database: PathBuf,
    /// The folder with the previous files; `None` if there were none.
    pub aside: Option<PathBuf>,
    /// The folder with the previous database, beside a database that a link leads to.
    pub database_aside: Option<PathBuf>,
    /// The settings in the backup, whether they were restored or not.
    pub settings: Option<String>,
}

/// Replaces the content of the data directory `folder`, which nobody may be using, with a backup. If its
/// database is a link, the link's target is replaced, even if an unfinished restore has moved the target
/// aside. Any other dangling link is moved aside, and the database is put into the data directory. Leftovers
/// of killed restores are removed first.
///
/// # Errors
/// As [`super::verify`]; [`Error::Newer`] for a backup of a newer Lar; [`Error::Unusable`] when the link's
/// target is not a regular file, or another restore runs. Then nothing was changed. [`Error::Unusable`] also
/// when a file cannot be moved. Then everything was moved back, or the error says where each file is.
pub fn restore(backup: &Path, folder: &Path, settings: SettingsPolicy) -> Result<RestoreReport, Error> {
    let linked = follow_link(folder)?;
    let is_unfinished = is_unfinished(folder, linked.as_ref());
    remove_unfinished_restores(folder);
    let mut unpacked = Folder::of_restore(folder, linked.as_ref().map(|linked| linked.database.as_path()))?;
    unpacked.is_kept = is_unfinished;
    let manifest = unpack(backup, &unpacked.path)?;
    if manifest.schema > migrations::newest_schema() {
        return Err(Error::Newer { found: manifest.schema, known: migrations::newest_schema() });
    }
    let text = match read_small(&unpacked.path.join(SETTINGS), TEXT_BYTES_MAX) {
        Ok(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(Error::Damaged(format!("{}: {SETTINGS}: {error}", backup.display()))),
    };
    if settings == SettingsPolicy::Leave && text.is_some() {
        fs::remove_file(unpacked.path.join(SETTINGS)).map_err(Error::Backup)?;
    }
    // The other files go to the data directory, which may be on another disk: copy them before anything is
    // moved.
    let copied = match &linked {
        Some(_) => {
            let copied = Folder::of_restore(folder, None)?;
            copy_files(&unpacked.path, &copied.path, DATABASE)?;
            Some(copied)
        }
        None => None,
    };
    let exchange = Exchange {
        folder,
        linked: linked.as_ref(),
        settings,
        unpacked: &unpacked.path,
        beside: copied.as_ref().unwrap_or(&unpacked).path.as_path(),
    };
    let mut moves = Moves::default();
    match exchange.run(&mut moves) {
        Ok(Exchanged { database, aside, database_aside }) => {
            unpacked.is_kept = false;
            Ok(RestoreReport { manifest, database, aside, database_aside, settings: text })
        }
        Err(failure) => {
            let folders = [Some(unpacked), copied].into_iter().flatten().collect();
            Err(take_back(&failure, moves, folders, &command(backup, settings)))
        }
    }
}

/// Returns the target of the database link, including one that an unfinished restore moved aside. Returns
/// `None` if there is no link, or any other dangling one.
///
/// # Errors
/// When the target is not a regular file, or the link cannot be followed; as [`unfinished_link`].
fn follow_link(data_dir: &Path) -> Result<Option<LinkedDatabase>, Error> {
    let database = data_dir.join(DATABASE);
    match fs::metadata(&database) {
        Err(error) if error.kind() == ErrorKind::NotFound => unfinished_link(data_dir),
        _ if !database.is_symlink() => Ok(None),
        _ => {
            location::resolve_file(&database)?;
            Ok(LinkedDatabase::at(&database))
        }
    }
}

/// Returns whether the database is missing because a restore was killed or failed. Then Lar refuses to start
/// until another one completes. A dangling link is refused in any case.
fn is_unfinished(data_dir: &Path, linked: Option<&LinkedDatabase>) -> bool {
    let database = data_dir.join(DATABASE);
    let has_database = fs::metadata(&database).is_ok_and(|about| about.len() > 0);
    let is_restored_here = linked.is_some() || !database.is_symlink();
    is_restored_here && !has_database && !find_unfinished_restores(data_dir).is_empty()
}

/// Returns the command that restores again.
fn command(backup: &Path, settings: SettingsPolicy) -> String {
    let option = match settings {
        SettingsPolicy::Leave => "",
        SettingsPolicy::Restore => "--with-settings ",
    };
    format!("lar backup restore {option}{}", quote(backup))
}

/// The exchange of files in a data directory, once the backup is unpacked and checked.
struct Exchange<'a> {
    /// The data directory.
    folder: &'a Path,
    linked: Option<&'a LinkedDatabase>,
    settings: SettingsPolicy,
    /// The folder with the database of the backup.
    unpacked: &'a Path,
    /// The folder with the other files of the backup, on the disk of the data directory.
    beside: &'a Path,
}

/// The resulting paths, as in [`RestoreReport`].
struct Exchanged {
    database: PathBuf,
    aside: Option<PathBuf>,
    database_aside: Option<PathBuf>,
}

impl Exchange<'_> {
    fn run(&self, moves: &mut Moves) -> Result<Exchanged, Failure> {
        let (here, there) = self.replaced();
        let name = format!("{BEFORE_RESTORE}-{}", time_stamp());
        let database_aside = match self.linked {
            Some(linked) => moves.put_aside(&there, &linked.folder.join(&name))?,
            None => None,
        };
        let aside = moves.put_aside(&here, &self.folder.join(&name))?;
        for name in
            names_in(self.beside).map_err(|cause| Failure::new(self.beside, "cannot be read", cause))?
        {
            if name != DATABASE {
                moves.rename(&self.beside.join(&name), &self.folder.join(&name))?;
            }
        }
        let written = |folder: &Path| {
            sync(folder).map_err(|cause| Failure::new(folder, "cannot be synced to disk", cause))
        };
        written(self.folder)?;
        let database =
            self.linked.map_or_else(|| self.folder.join(DATABASE), |linked| linked.database.clone());
        moves.rename(&self.unpacked.join(DATABASE), &database)?;
        database.parent().map_or(Ok(()), written)?;
        Ok(Exchanged { database, aside, database_aside })
    }

    /// Returns the files to move aside: in the data directory, and beside a linked database elsewhere. The
    /// database is first.
    fn replaced(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        // Also beside a link: a log there is useless to the database that the link leads to.
        let logs = ["lar.db-wal", "lar.db-shm"];
        let mut here: Vec<PathBuf> = logs
            .into_iter()
            .chain(COMPANION_FILES)
            .chain([CLIENTS])
            .filter(|name| *name != SETTINGS || self.settings == SettingsPolicy::Restore)
            .map(|name| self.folder.join(name))
            .collect();
        let mut there = Vec::new();
        match self.linked {
            None => here.insert(0, self.folder.join(DATABASE)),
            Some(linked) => {
                let is_here = self.folder.canonicalize().is_ok_and(|folder| folder == linked.folder);
                let aside = if is_here { &mut here } else { &mut there };
                aside.splice(0..0, ["", "-wal", "-shm"].map(|end| beside(&linked.database, end)));
            }
        }
        (here, there)
    }
}

/// Moves everything back after a step of a restore failed. If that fails, the unpacked backup stays, so that
/// Lar refuses to start. Returns an error that says where everything is and what to do next.
fn take_back(failure: &Failure, mut moves: Moves, mut unpacked: Vec<Folder>, command: &str) -> Error {
    let mend = match failure.cause.kind() {
        ErrorKind::ResourceBusy => "if something is mounted there, as in a container, unmount it",
        _ => "fix the cause",
    };
    let step = format!("{mend}, and restore again: {command}");
    let Failure { path, what, cause } = failure;
    let Err(stuck) = moves.undo() else {
        let reason = format!("{what}: {cause}; all files were moved back, and nothing changed");
        return Error::Unusable { path: path.clone(), reason, step };
    };
    let listed = |folders: Vec<&Path>| {
        folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" and ")
    };
    let aside = match moves.folders() {
        none if none.is_empty() => String::new(),
        folders => format!(" The previous files that were not moved back are in {}.", listed(folders)),
    };
    let parts = listed(unpacked.iter().map(|folder| folder.path.as_path()).collect());
    for folder in &mut unpacked {
        folder.is_kept = true;
    }
    let reason = format!(
        "{what}: {cause}. Moving the files back failed, too: {stuck}. Lar does not start while its database \
         is missing.{aside} The rest of the unpacked backup is in {parts}"
    );
    Error::Unusable { path: path.clone(), reason, step }
}

/// Returns the names of a folder's entries.
fn names_in(folder: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Copies the files of a folder, except the file `without`, into the empty folder `to`. Only the owner can
/// read them.
fn copy_files(from: &Path, to: &Path, without: &str) -> Result<(), Error> {
    for entry in fs::read_dir(from).map_err(Error::Backup)? {
        let name = entry.map_err(Error::Backup)?.file_name();
        let (from, to) = (from.join(&name), to.join(&name));
        if name == without {
            continue;
        }
        if from.is_dir() {
            fs::DirBuilder::new().mode(0o700).create(&to).map_err(Error::Backup)?;
            copy_files(&from, &to, without)?;
            continue;
        }
        let copied = open_regular(&from).and_then(|mut from| {
            let mut to = create_new_private(&to)?;
            copy(&mut from, &mut to)?;
            to.sync_all()
        });
        copied.map_err(Error::Backup)?;
    }
    Ok(())
}
