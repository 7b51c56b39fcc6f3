//! Puts a backup in the place of what is in a data directory. Nothing is replaced before the whole backup was checked, and
//! what is replaced is put aside rather than removed.
//!
//! Where the database is a link, the file that it leads to is replaced, and put aside where it lies: the link stays. The backup
//! is unpacked there, so that the database is written once and the disk of the data directory needs no room for it.
//!
//! The old database is the first that goes and the new one the last that comes. So a start after a restore that was killed in
//! between finds no database, rather than a new one without its keys. When a move fails, [`Moves`] puts everything back. Where
//! that fails, too, or where an earlier restore did not end, what was unpacked stays, and a start is refused because of it.

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
use super::moves::{Failure, Moves};
use super::unfinished::{Folder, find_unfinished_restores, remove_unfinished_restores, unfinished_link};
use super::working_files::create_new_private;
use super::{CLIENTS, COMPANION_FILES, DATABASE, Manifest, SETTINGS, sync, time_stamp};
use crate::location::{self, BEFORE_RESTORE, LinkedDatabase};
use crate::{Error, beside, migrations};

/// What becomes of the settings in a backup: they can name programs that Lar will run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsPolicy {
    /// They are left out; what is in the data directory stays.
    Leave,
    /// They are restored with the rest.
    Restore,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// What was restored.
    pub manifest: Manifest,
    /// Where the database is: elsewhere than in the data directory where a link leads to it.
    pub database: PathBuf,
    /// Where what was there before is now; none where nothing was.
    pub aside: Option<PathBuf>,
    /// The same of a database that a link leads to elsewhere: what was there is beside it.
    pub database_aside: Option<PathBuf>,
    /// The text of the settings in the backup, whether they were restored or not.
    pub settings: Option<String>,
}

/// Puts a backup in the place of what is in the data directory `folder`, which nobody may be using. Where its database is a
/// link, the link's target is replaced; so it is where a restore that was killed or failed had put the target aside. Another
/// link that leads nowhere is put aside, and the database is in the data directory then. What killed restores left is removed
/// first.
///
/// # Errors
/// As [`super::verify`]; [`Error::Newer`] for one of a newer program; [`Error::Unusable`] where the link leads to no regular
/// file, or another restore runs. Then nothing was changed. [`Error::Unusable`] also where a file cannot be moved: then
/// everything is put back, and the error says what lies where if that fails, too.
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
    // The files beside the database go to the data directory, which may be on another disk: copied before anything is moved.
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
        Err(sqlite_error) => {
            let folders = [Some(unpacked), copied].into_iter().flatten().collect();
            Err(take_back(&sqlite_error, moves, folders, &command(backup, settings)))
        }
    }
}

/// Where a link in the place of the database leads to, or led to before a restore that did not end; none where there is no
/// link, or another one that leads nowhere.
///
/// # Errors
/// When it leads to something else than a regular file, or cannot be followed; as [`unfinished_link`].
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

/// Whether there is no database because a restore was killed or failed: a start is refused until another one ends. A link that
/// leads nowhere is refused in any case.
fn is_unfinished(data_dir: &Path, linked: Option<&LinkedDatabase>) -> bool {
    let database = data_dir.join(DATABASE);
    let has_database = fs::metadata(&database).is_ok_and(|about| about.len() > 0);
    let is_restored_here = linked.is_some() || !database.is_symlink();
    is_restored_here && !has_database && !find_unfinished_restores(data_dir).is_empty()
}

/// The command that restores again.
fn command(backup: &Path, settings: SettingsPolicy) -> String {
    let option = match settings {
        SettingsPolicy::Leave => "",
        SettingsPolicy::Restore => "--with-settings ",
    };
    format!("lar backup restore {option}{}", quote(backup))
}

/// What is moved in a data directory, once the backup is unpacked and checked.
struct Exchange<'a> {
    /// The data directory.
    folder: &'a Path,
    linked: Option<&'a LinkedDatabase>,
    settings: SettingsPolicy,
    /// Where the database of the backup is.
    unpacked: &'a Path,
    /// Where the files beside it are, on the disk of the data directory.
    beside: &'a Path,
}

/// Where everything is then, as in [`RestoreReport`].
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
            sync(folder).map_err(|cause| Failure::new(folder, "cannot be written to its disk", cause))
        };
        written(self.folder)?;
        let database =
            self.linked.map_or_else(|| self.folder.join(DATABASE), |linked| linked.database.clone());
        moves.rename(&self.unpacked.join(DATABASE), &database)?;
        database.parent().map_or(Ok(()), written)?;
        Ok(Exchanged { database, aside, database_aside })
    }

    /// What is put aside in the data directory, and what beside a linked database elsewhere; the database is the first.
    fn replaced(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        // Beside a link, too: a log there is of no use to the database that the link leads to.
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

/// Puts back what a restore had moved before a step failed. Where that cannot be done, the unpacked backup stays, so that a
/// start is refused. Returns the error that says where everything is and what to do next.
fn take_back(sqlite_error: &Failure, mut moves: Moves, mut unpacked: Vec<Folder>, command: &str) -> Error {
    let mend = match sqlite_error.cause.kind() {
        ErrorKind::ResourceBusy => "if something is mounted there, as in a container, unmount it",
        _ => "remove the cause",
    };
    let step = format!("{mend}, and restore again: {command}");
    let Failure { path, what, cause } = sqlite_error;
    let Err(stuck) = moves.undo() else {
        let reason =
            format!("{what}: {cause}; what had been moved is back in its place, and nothing is changed");
        return Error::Unusable { path: path.clone(), reason, step };
    };
    let listed = |folders: Vec<&Path>| {
        folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" and ")
    };
    let aside = match moves.folders() {
        none if none.is_empty() => String::new(),
        folders => format!(" What was there before and is not back is in {}.", listed(folders)),
    };
    let parts = listed(unpacked.iter().map(|folder| folder.path.as_path()).collect());
    for folder in &mut unpacked {
        folder.is_kept = true;
    }
    let reason = format!(
        "{what}: {cause}. Then {stuck}. Lar does not start while its database is missing.{aside} What is left of the unpacked \
         backup is in {parts}"
    );
    Error::Unusable { path: path.clone(), reason, step }
}

/// The names of what is in a folder.
fn names_in(folder: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Copies the files of a folder into the empty folder `to`, for their owner alone, without the one that is called `without`.
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
