//! A database that a symbolic link leads to, and the files beside it that belong to Lar.

use std::fs;
use std::path::{Path, PathBuf};

use crate::location::LOCK_SUFFIX;
use crate::reserve;
use crate::sqlite_files::{SHM_SUFFIX, WAL_SUFFIX, beside};

/// Prefix of the folder into which a restore moves the previous files.
pub(crate) const BEFORE_RESTORE: &str = "before-restore";
/// Prefix of the folder into which a start without a lost database moves the previous files.
const BEFORE_START: &str = "before-start";

/// The target of a symbolic link to a database, and the files that belong to it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedDatabase {
    /// The path of the file that the link leads to.
    pub database: PathBuf,
    /// The target's folder, which may contain unrelated files.
    pub folder: PathBuf,
}

impl LinkedDatabase {
    /// Follows the link at `database`; returns `None` if it is not a link, or not a link to a file.
    #[must_use]
    pub fn at(database: &Path) -> Option<Self> {
        fs::symlink_metadata(database).ok().filter(fs::Metadata::is_symlink)?;
        let database = fs::canonicalize(database).ok().filter(|target| target.is_file())?;
        Some(Self { folder: database.parent()?.to_owned(), database })
    }

    /// Returns the paths of SQLite's write-ahead log and of the file through which connections share it.
    #[must_use]
    pub fn log_files(&self) -> [PathBuf; 2] {
        [WAL_SUFFIX, SHM_SUFFIX].map(|end| beside(&self.database, end))
    }

    /// Returns the database and everything beside it that only Lar and SQLite create. These are its logs and
    /// their copies, copies from before migrations, files moved by a restore or a start, and the reserved
    /// disk space.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let name = self.database.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = self.database.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let starts = [
            format!("{name}-"),
            format!("{name}{LOCK_SUFFIX}"),
            format!("{name}.restore."),
            format!("{stem}.before-schema-"),
            format!("{BEFORE_RESTORE}-"),
            format!("{BEFORE_START}-"),
        ];
        let is_ours = |path: &PathBuf| {
            let found = path.file_name().unwrap_or_default().to_string_lossy();
            found == name.as_str()
                || found == reserve::NAME
                || starts.iter().any(|start| found.starts_with(start.as_str()))
        };
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_ours).collect();
        files.sort_unstable();
        files
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::location::lock_file;

    #[test]
    fn only_files_of_a_linked_database_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        let (disk, data) = (at.join("disk"), at.join("data"));
        for folder in [&disk, &data, &disk.join("before-restore-20261129T060430000Z")] {
            fs::create_dir(folder).unwrap();
        }
        let (ours, theirs) = (
            [
                "lar.before-schema-9.db",
                "lar.db",
                "lar.db-shm",
                "lar.db-wal",
                "lar.db-wal.aside-1-00",
                "lar.db.lock",
                "lar.reserve",
            ],
            ["lar.db2", "lar.reserve2", "other.db", "other.db-wal", "before-noon"],
        );
        for name in ours.iter().chain(&theirs) {
            fs::write(disk.join(name), "").unwrap();
        }
        let link = data.join("lar.db");
        assert_eq!(LinkedDatabase::at(&link), None);
        symlink("../disk/lar.db", &link).unwrap();
        let linked = LinkedDatabase::at(&link).unwrap();
        assert_eq!((&linked.database, &linked.folder), (&disk.join("lar.db"), &disk));
        let mut expected: Vec<PathBuf> = ours.iter().map(|name| disk.join(name)).collect();
        expected.insert(0, disk.join("before-restore-20261129T060430000Z"));
        assert_eq!(linked.files(), expected);
        assert_eq!(lock_file(&link), lock_file(&disk.join("lar.db")), "both paths have the same lock");
        assert_eq!(LinkedDatabase::at(&disk.join("lar.db")), None, "it is not a link");
        let device = data.join("device.db");
        symlink("/dev/zero", &device).unwrap();
        assert_eq!(lock_file(&device), data.join("device.db.lock"), "no lock file is beside a device");
    }
}
