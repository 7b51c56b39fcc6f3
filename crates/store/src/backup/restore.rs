//! Puts a backup in the place of what is in a data directory. Nothing is replaced before the whole backup was checked, and
//! what is replaced is put aside rather than removed.
//!
//! Where the database is a link, the file that it leads to is replaced, and put aside where it lies: the link stays. The backup
//! is unpacked there, so that the database is written once and the disk of the data directory needs no room for it.
//!
//! The old database is the first that goes and the new one the last that comes. So a start after a restore that was killed in
//! between finds no database, rather than a new one without its keys.

use std::fs;
use std::io::{ErrorKind, copy};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use lar_base::files::{TEXT_BYTES_MAX, open_regular, read_small, rename};

use super::archive::unpack;
use super::unfinished::{Folder, remove_unfinished_restores};
use super::{BESIDE, CLIENTS, DATABASE, Manifest, SETTINGS, new_private, stamp, sync};
use crate::location::{self, ASIDE_OF_RESTORE, Linked};
use crate::{Error, beside, migrations};

/// What becomes of the settings in a backup: they can name programs that Lar will run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settings {
    /// They are left out; what is in the data directory stays.
    Leave,
    /// They are restored with the rest.
    Restore,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
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
/// link, the link's target is replaced. A link that leads nowhere is put aside, and the database is in the data directory then.
/// What killed restores left is removed first.
///
/// # Errors
/// As [`super::verify`]; [`Error::Newer`] for one of a newer program; [`Error::Unusable`] where the link leads to no regular
/// file, or another restore runs. Then nothing was changed.
pub fn restore(backup: &Path, folder: &Path, settings: Settings) -> Result<Restored, Error> {
    let linked = linked(&folder.join(DATABASE))?;
    remove_unfinished_restores(folder);
    let unpacked = Folder::of_restore(folder, linked.as_ref().map(|linked| linked.database.as_path()))?;
    let manifest = unpack(backup, &unpacked.path)?;
    if manifest.schema > migrations::known() {
        return Err(Error::Newer { found: manifest.schema, known: migrations::known() });
    }
    let text = match read_small(&unpacked.path.join(SETTINGS), TEXT_BYTES_MAX) {
        Ok(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(Error::Damaged(format!("{}: {SETTINGS}: {error}", backup.display()))),
    };
    if settings == Settings::Leave && text.is_some() {
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
    let replaced = |name: &&str| *name != SETTINGS || settings == Settings::Restore;
    // Beside a link, too: a log there is of no use to the database that the link leads to.
    let logs = ["lar.db-wal", "lar.db-shm"];
    let mut here: Vec<PathBuf> = logs
        .into_iter()
        .chain(BESIDE)
        .chain([CLIENTS])
        .filter(replaced)
        .map(|name| folder.join(name))
        .collect();
    let mut there = Vec::new();
    match &linked {
        None => here.insert(0, folder.join(DATABASE)),
        Some(linked) => {
            let is_here = folder.canonicalize().is_ok_and(|folder| folder == linked.folder);
            let aside = if is_here { &mut here } else { &mut there };
            aside.splice(0..0, ["", "-wal", "-shm"].map(|end| beside(&linked.database, end)));
        }
    }
    let name = format!("{ASIDE_OF_RESTORE}-{}", stamp());
    let database_aside = match &linked {
        Some(linked) => put_aside(&there, &linked.folder.join(&name))?,
        None => None,
    };
    let aside = put_aside(&here, &folder.join(&name))?;
    let from = copied.as_ref().unwrap_or(&unpacked);
    for name in fs::read_dir(&from.path).map_err(Error::Backup)? {
        let name = name.map_err(Error::Backup)?.file_name();
        if name != DATABASE {
            fs::rename(from.path.join(&name), folder.join(&name)).map_err(Error::Backup)?;
        }
    }
    sync(folder)?;
    let database = linked.map_or_else(|| folder.join(DATABASE), |linked| linked.database);
    fs::rename(unpacked.path.join(DATABASE), &database).map_err(Error::Backup)?;
    database.parent().map_or(Ok(()), sync)?;
    Ok(Restored { manifest, database, aside, database_aside, settings: text })
}

/// Where a link at `database` leads to; none where there is no link, or one that leads nowhere.
///
/// # Errors
/// When it leads to something else than a regular file, or cannot be followed.
fn linked(database: &Path) -> Result<Option<Linked>, Error> {
    match fs::metadata(database) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        _ if !database.is_symlink() => Ok(None),
        _ => {
            location::resolve_file(database)?;
            Ok(Linked::at(database))
        }
    }
}

/// Moves what is there of `paths` into the new folder `aside`, each under its name; returns the folder, or none where nothing
/// was there.
fn put_aside(paths: &[PathBuf], aside: &Path) -> Result<Option<PathBuf>, Error> {
    let there: Vec<&PathBuf> = paths.iter().filter(|path| path.symlink_metadata().is_ok()).collect();
    if there.is_empty() {
        return Ok(None);
    }
    fs::DirBuilder::new().mode(0o700).create(aside).map_err(Error::Backup)?;
    for path in there {
        rename(path, &aside.join(path.file_name().unwrap_or_default())).map_err(Error::Backup)?;
    }
    Ok(Some(aside.to_owned()))
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
            let mut to = new_private(&to)?;
            copy(&mut from, &mut to)?;
            to.sync_all()
        });
        copied.map_err(Error::Backup)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::Store;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    /// A backup of a new data directory, with its key.
    fn backup(at: &Path) -> PathBuf {
        let (made, file) = (at.join("made"), at.join("lar.tar"));
        fs::create_dir_all(made.join(CLIENTS)).unwrap();
        fs::write(made.join("secret.key"), "restored").unwrap();
        fs::write(made.join(CLIENTS).join("curl"), "a client").unwrap();
        let store = Store::open(&made.join(DATABASE)).unwrap();
        runtime().block_on(store.backup(made, file.clone())).unwrap();
        file
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_linked_database_is_restored_where_it_lies_and_the_link_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        let file = backup(&at);
        let (data, disk) = (at.join("data"), at.join("disk"));
        for folder in [&data, &disk] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(data.join("secret.key"), "old").unwrap();
        for name in ["main.db", "main.db-wal", "main.db-shm"] {
            fs::write(disk.join(name), format!("old {name}")).unwrap();
        }
        fs::write(disk.join("other"), "another's").unwrap();
        symlink("../disk/main.db", data.join(DATABASE)).unwrap();

        let restored = restore(&file, &data, Settings::Leave).unwrap();
        assert_eq!(fs::read_link(data.join(DATABASE)).unwrap(), Path::new("../disk/main.db"));
        assert_eq!(restored.database, disk.join("main.db"));
        let (beside, there) = (restored.aside.unwrap(), restored.database_aside.unwrap());
        assert_eq!((beside.parent(), there.parent()), (Some(data.as_path()), Some(disk.as_path())));
        assert_eq!(
            (names(&beside), names(&there)),
            (
                vec!["secret.key".to_owned()],
                vec!["main.db".to_owned(), "main.db-shm".to_owned(), "main.db-wal".to_owned()]
            )
        );
        assert_eq!(fs::read_to_string(there.join("main.db-wal")).unwrap(), "old main.db-wal");
        let aside = there.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(names(&disk), [aside.clone(), "main.db".into(), "other".into()]);
        assert_eq!(names(&data), [aside, CLIENTS.into(), DATABASE.into(), "secret.key".into()]);
        assert_eq!(fs::read_to_string(data.join("secret.key")).unwrap(), "restored");
        assert_eq!(fs::read_to_string(data.join(CLIENTS).join("curl")).unwrap(), "a client");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            [mode(&there), mode(&disk.join("main.db")), mode(&data.join("secret.key"))],
            [0o700, 0o600, 0o600]
        );
        assert_eq!(Store::open(&data.join(DATABASE)).unwrap().path(), disk.join("main.db"));
    }

    #[test]
    fn a_link_that_leads_nowhere_is_put_aside_and_still_says_where_it_led() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        let file = backup(&at);
        let data = at.join("data");
        fs::create_dir(&data).unwrap();
        symlink("../away/lar.db", data.join(DATABASE)).unwrap();
        let restored = restore(&file, &data, Settings::Leave).unwrap();
        assert_eq!(restored.database, data.join(DATABASE));
        assert!(data.join(DATABASE).symlink_metadata().unwrap().is_file());
        let led = fs::read_link(restored.aside.unwrap().join(DATABASE)).unwrap();
        assert_eq!(led, data.join("../away/lar.db"));
    }

    #[test]
    fn a_link_to_a_device_is_refused_and_nothing_is_moved() {
        let folder = tempfile::tempdir().unwrap();
        let file = backup(folder.path());
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        symlink("/dev/zero", data.join(DATABASE)).unwrap();
        let refused = restore(&file, &data, Settings::Leave).unwrap_err();
        assert!(matches!(refused, Error::Unusable { .. }), "{refused:?}");
        assert_eq!(names(&data), [DATABASE]);
    }
}
