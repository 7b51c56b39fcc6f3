//! Puts a backup in the place of what is in a data directory. Nothing is replaced before the whole backup was checked, and
//! what is replaced is put aside rather than removed.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use lar_base::files::{TEXT_BYTES_MAX, read_small};

use super::archive::unpack;
use super::{BESIDE, CLIENTS, Manifest, RemovedOnDrop, SETTINGS, stamp, sync};
use crate::{Error, migrations};

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
    /// Where what was there before is now; none where nothing was.
    pub aside: Option<PathBuf>,
    /// The text of the settings in the backup, whether they were restored or not.
    pub settings: Option<String>,
}

/// Puts a backup in the place of what is in the data directory `folder`, which nobody may be using.
///
/// # Errors
/// As [`super::verify`]; [`Error::Newer`] for one of a newer program. Then nothing was changed.
pub fn restore(backup: &Path, folder: &Path, settings: Settings) -> Result<Restored, Error> {
    let unpacked = RemovedOnDrop(folder.join("restore.partial"));
    let manifest = unpack(backup, &unpacked.0)?;
    if manifest.schema > migrations::known() {
        return Err(Error::Newer { found: manifest.schema, known: migrations::known() });
    }
    let text = match read_small(&unpacked.0.join(SETTINGS), TEXT_BYTES_MAX) {
        Ok(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(Error::Damaged(format!("{}: {SETTINGS}: {error}", backup.display()))),
    };
    if settings == Settings::Leave && text.is_some() {
        fs::remove_file(unpacked.0.join(SETTINGS)).map_err(Error::Backup)?;
    }
    let aside = folder.join(format!("before-restore-{}", stamp()));
    let replaced = |name: &&str| *name != SETTINGS || settings == Settings::Restore;
    let here = ["lar.db", "lar.db-wal", "lar.db-shm"].into_iter().chain(BESIDE).chain([CLIENTS]);
    let here: Vec<&str> =
        here.filter(replaced).filter(|name| folder.join(name).symlink_metadata().is_ok()).collect();
    if !here.is_empty() {
        fs::DirBuilder::new().mode(0o700).create(&aside).map_err(Error::Backup)?;
    }
    for name in &here {
        fs::rename(folder.join(name), aside.join(name)).map_err(Error::Backup)?;
    }
    for name in fs::read_dir(&unpacked.0).map_err(Error::Backup)? {
        let name = name.map_err(Error::Backup)?.file_name();
        fs::rename(unpacked.0.join(&name), folder.join(&name)).map_err(Error::Backup)?;
    }
    sync(folder)?;
    Ok(Restored { manifest, aside: (!here.is_empty()).then_some(aside), settings: text })
}
