//! The names of backups, and the folder for them in a data directory.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use lar_base::Timestamp;

use crate::error::Error;

/// The folder with the backups of a data directory.
pub const FOLDER: &str = "backups";
/// The prefix and the suffix of a backup's name; the time is in between.
pub(super) const NAME_AFFIXES: (&str, &str) = ("lar-", ".tar");

/// Returns the path for the next backup of the data directory `folder`, and creates the folder for it.
///
/// # Errors
/// When the folder cannot be created.
pub fn next_path(folder: &Path) -> Result<PathBuf, Error> {
    let backups = folder.join(FOLDER);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&backups).map_err(Error::Backup)?;
    Ok(backups.join(format!("{}{}{}", NAME_AFFIXES.0, time_stamp(), NAME_AFFIXES.1)))
}

/// Returns whether a file of this name is a backup.
#[must_use]
pub fn is_backup(name: &str) -> bool {
    name.starts_with(NAME_AFFIXES.0) && name.ends_with(NAME_AFFIXES.1)
}

/// Returns the current time as part of a file name.
pub(super) fn time_stamp() -> String {
    Timestamp::now().to_string().chars().filter(char::is_ascii_alphanumeric).collect()
}
