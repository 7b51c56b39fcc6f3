//! Permissions in a data directory: only its owner can access the files, except for the models, which others
//! can share.
//!
//! The process's umask gives new files these permissions. When a directory is locked, [`restrict`] narrows
//! the modes of files that are too wide, for example after a copy. If the directory also contains files of
//! other programs, it keeps its mode, and only files with names that only Lar uses are narrowed. The same
//! applies to the folder of a linked database.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use lar_base::shell::quote;
use lar_store::LinkedDatabase;

/// The mode bits that give access to others than the owner.
const OTHERS: u32 = 0o077;
/// The mode bits that allow others to write.
const OTHERS_WRITE: u32 = 0o022;
/// The sticky bit. It marks a folder that everyone can write to, such as /tmp.
const STICKY: u32 = 0o1000;
/// Files with a secret in plain text.
const SECRETS: [&str; 2] = ["owner.key", "secret.key"];
/// Folders whose files are private.
const FOLDERS: [&str; 2] = ["backups", "clients"];
/// Prefixes of names that only Lar uses for files and folders.
const LAR_PREFIXES: [&str; 4] = ["lar.db", "lar.before-schema-", "before-restore-", "before-start-"];
/// Other names that Lar uses in a data directory. Each also exists with the suffix `.new`. `heard` and
/// `rehearsal` are the names of `hook-queue` and `dry-run` in earlier releases.
const OTHER_LAR_FILES: [&str; 13] = [
    "models",
    "hook-queue",
    "heard",
    "dry-run",
    "rehearsal",
    "restore.partial",
    "lock",
    "lar.toml",
    "lar.reserve",
    "server.json",
    "upgrade.json",
    "sign-in.html",
    ".doctor",
];
/// The folder that some file systems have at their root, where a disk is mounted.
const LOST_AND_FOUND: &str = "lost+found";

/// A file or folder that others than the owner can access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExposedPath {
    pub(crate) path: PathBuf,
    /// The permission bits, as in `chmod`.
    pub(crate) mode: u32,
    pub(crate) is_folder: bool,
    /// Why Lar does not change the mode, or `None` if it narrows the mode.
    pub(crate) skip_reason: Option<SkipReason>,
}

/// The reason why Lar does not change a mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SkipReason {
    /// The directory contains this file or folder of another program.
    Foreign(PathBuf),
    /// The file belongs to another user than the data directory.
    OtherUsers,
    /// The folder contains a linked database and belongs to another user.
    OtherUsersFolder,
    /// The folder contains a linked database, and others can replace files there. It may also contain files
    /// of other programs.
    WritableFolder,
}

impl ExposedPath {
    /// Returns the mode that it should have.
    pub(crate) fn restricted_mode(&self) -> u32 {
        if self.is_folder { 0o700 } else { self.mode & !OTHERS }
    }

    /// Returns the next step for a person.
    pub(crate) fn step(&self) -> String {
        match &self.skip_reason {
            Some(SkipReason::Foreign(foreign)) => {
                format!("{} is not a file of Lar: use a separate folder, with --data-dir", foreign.display())
            }
            Some(SkipReason::OtherUsersFolder) => {
                "move the database into a folder that the owner of the data directory owns, and link to it \
                 there"
                    .into()
            }
            Some(SkipReason::OtherUsers) => "change its owner to that of the data directory: `chown`".into(),
            Some(SkipReason::WritableFolder) => format!("chmod go-w {}", quote(&self.path)),
            None => format!("chmod {:o} {}", self.restricted_mode(), quote(&self.path)),
        }
    }

    /// Returns a description of the problem.
    pub(crate) fn fault(&self) -> String {
        let (path, mode) = (self.path.display(), self.mode);
        match &self.skip_reason {
            Some(SkipReason::OtherUsersFolder) => {
                format!("the database is in {path}, which belongs to another user")
            }
            Some(SkipReason::OtherUsers) => format!("{path} belongs to another user"),
            Some(SkipReason::WritableFolder) => {
                format!("the database is in {path}, and other users can write to that folder (mode {mode:o})")
            }
            Some(SkipReason::Foreign(_)) | None => format!("other users can access {path} (mode {mode:o})"),
        }
    }
}

/// Returns whether a file is one of the two that contain a secret in plain text.
pub(crate) fn is_secret(path: &Path) -> bool {
    path.file_name().is_some_and(|name| SECRETS.iter().any(|secret| name == *secret))
}

/// Returns everything in a data directory that others than its owner can access, the directory itself first.
pub(crate) fn find_exposed(data_dir: &Path) -> Vec<ExposedPath> {
    let foreign = children(data_dir).find(|path| !is_private(path) && !is_known(path));
    let is_shared = foreign.is_some();
    let mut paths: Vec<PathBuf> =
        children(data_dir).filter(|path| if is_shared { is_ours(path) } else { is_private(path) }).collect();
    for folder in FOLDERS {
        paths.extend(children(&data_dir.join(folder)).filter(|path| !is_shared || is_backup(path)));
    }
    let folder = exposed(data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned()));
    let folder = folder.map(|folder| ExposedPath { skip_reason: foreign.map(SkipReason::Foreign), ..folder });
    let mut found: Vec<ExposedPath> =
        folder.into_iter().chain(paths.into_iter().filter_map(exposed)).collect();
    let linked = LinkedDatabase::at(&data_dir.join("lar.db"));
    found.extend(linked.iter().flat_map(|linked| find_exposed_beside_link(data_dir, linked)));
    found
}

/// As [`find_exposed`], for the folder of a linked database: the folder first, then Lar's files in it. Skips
/// what [`find_exposed`] has found already.
fn find_exposed_beside_link(data_dir: &Path, linked: &LinkedDatabase) -> Vec<ExposedPath> {
    let Ok(owner) = std::fs::metadata(data_dir).map(|about| about.uid()) else { return Vec::new() };
    let is_here = data_dir.canonicalize().is_ok_and(|data_dir| data_dir == linked.folder);
    let folder = exposed_folder(&linked.folder, owner).filter(|_| !is_here);
    // `find_exposed` has already checked the names with Lar's prefixes in the data directory.
    let files = linked.files().into_iter().filter(|path| !(is_here && is_ours(path)));
    let files = files.filter_map(|path| {
        let is_other_users = std::fs::symlink_metadata(&path).is_ok_and(|about| about.uid() != owner);
        let found = exposed(path)?;
        // Otherwise, root would change the mode of any file that the link leads to.
        Some(if is_other_users {
            ExposedPath { skip_reason: Some(SkipReason::OtherUsers), ..found }
        } else {
            found
        })
    });
    folder.into_iter().chain(files).collect()
}

/// Returns the folder of a linked database if others than the owner of the data directory and root can
/// replace files in it.
fn exposed_folder(folder: &Path, owner: u32) -> Option<ExposedPath> {
    let about = std::fs::metadata(folder).ok()?;
    let mode = about.permissions().mode() & 0o7777;
    let skip_reason = match about.uid() {
        uid if uid != owner && uid != 0 => SkipReason::OtherUsersFolder,
        _ if mode & OTHERS_WRITE != 0 => SkipReason::WritableFolder,
        _ => return None,
    };
    Some(ExposedPath { path: folder.to_owned(), mode, is_folder: true, skip_reason: Some(skip_reason) })
}

fn children(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}

/// Returns whether only Lar uses this name. All such files and folders are private.
fn is_ours(path: &Path) -> bool {
    is_secret(path)
        || name_of(path).is_some_and(|name| LAR_PREFIXES.iter().any(|start| name.starts_with(start)))
}

fn is_backup(path: &Path) -> bool {
    name_of(path).is_some_and(lar_store::backup::is_backup)
}

/// Returns whether a file or folder is private, in a data directory that only Lar uses.
fn is_private(path: &Path) -> bool {
    let is_log = |name: &str| name == "log" || (name.starts_with("lar") && name.ends_with(".log"));
    is_ours(path)
        || is_backup(path)
        || name_of(path).is_some_and(|name| FOLDERS.contains(&name) || is_log(name))
}

/// Returns whether Lar, or the file system, uses this name for something that need not be private.
fn is_known(path: &Path) -> bool {
    let Some(name) = name_of(path) else { return false };
    let plain = name.strip_suffix(".new").unwrap_or(name);
    let is_export = name.ends_with(".ndjson")
        && ["conversations-", "memories-"].iter().any(|start| name.starts_with(start));
    OTHER_LAR_FILES.contains(&plain) || SECRETS.contains(&plain) || name == LOST_AND_FOUND || is_export
}

fn exposed(path: PathBuf) -> Option<ExposedPath> {
    let about = std::fs::symlink_metadata(&path).ok()?;
    let mode = about.permissions().mode() & 0o7777;
    let open = mode & OTHERS != 0 && mode & STICKY == 0 && !about.is_symlink();
    open.then_some(ExposedPath { path, mode, is_folder: about.is_dir(), skip_reason: None })
}

/// Narrows the mode of each exposed file and folder, and logs each change.
pub(super) fn restrict(data_dir: &Path) {
    for found in find_exposed(data_dir) {
        let ExposedPath { path, mode, .. } = &found;
        if found.skip_reason.is_some() {
            let (path, fault) = (path.display(), found.fault());
            tracing::warn!(%path, step = found.step(), "{fault}; Lar does not change this");
            continue;
        }
        let restricted_mode = found.restricted_mode();
        match std::fs::set_permissions(path, std::fs::Permissions::from_mode(restricted_mode)) {
            Ok(()) => tracing::warn!(
                path = %path.display(),
                "other users had access (mode {mode:o}); changed the mode to {restricted_mode:o}"
            ),
            Err(error) => tracing::warn!(
                path = %path.display(),
                %error,
                "other users have access (mode {mode:o}), and the mode could not be changed"
            ),
        }
    }
}

/// Creates a file that only its owner can read, and removes any file of that name before. Writing to an
/// existing file could block, or follow a link to another file.
pub(super) fn new_file(path: &Path) -> std::io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(path: &Path, mode: u32) {
        std::fs::write(path, b"").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn private_files_are_restricted_and_other_files_keep_their_mode() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path().canonicalize().unwrap().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::create_dir(data.join("backups")).unwrap();
        std::fs::create_dir(data.join("models")).unwrap();
        for folder in [&data, &data.join("backups"), &data.join("models")] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        for name in
            ["lar.db", "lar.db-wal", "lar.before-schema-9.db", "owner.key", "lar.toml", "backups/lar-1.tar"]
        {
            make(&data.join(name), 0o644);
        }
        make(&data.join("secret.key"), 0o600);
        let exposed: Vec<String> = find_exposed(&data)
            .iter()
            .map(|exposed| {
                format!(
                    "{} {:o}",
                    exposed.path.strip_prefix(&data).unwrap().display(),
                    exposed.restricted_mode()
                )
            })
            .collect();
        let mut sorted = exposed;
        sorted[1..].sort();
        assert_eq!(
            sorted,
            [
                " 700",
                "backups 700",
                "backups/lar-1.tar 600",
                "lar.before-schema-9.db 600",
                "lar.db 600",
                "lar.db-wal 600",
                "owner.key 600"
            ]
        );
        restrict(&data);
        assert_eq!(find_exposed(&data), []);
        let mode = |name: &str| std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("models"), mode("lar.toml")), (0o755, 0o644));
        assert!(is_secret(&data.join("owner.key")) && !is_secret(&data.join("lar.db")));
    }

    #[test]
    fn a_linked_database_is_restricted_and_its_folder_is_only_reported() {
        let at = tempfile::tempdir().unwrap();
        let at = at.path().canonicalize().unwrap();
        let (data, disk) = (at.join("data"), at.join("a disk"));
        for (folder, mode) in [(&data, 0o700), (&disk, 0o775)] {
            std::fs::create_dir(folder).unwrap();
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let (ours, theirs) = (
            ["lar.db", "lar.db-wal", "lar.db-shm", "lar.db-wal.aside-1-00", "lar.before-schema-9.db"],
            ["photos.db", "lar.db2"],
        );
        for name in ours.iter().chain(&theirs) {
            make(&disk.join(name), 0o644);
        }
        std::os::unix::fs::symlink("../a disk/lar.db", data.join("lar.db")).unwrap();
        let found = find_exposed(&data);
        assert_eq!(
            (found[0].path.as_path(), &found[0].skip_reason),
            (disk.as_path(), &Some(SkipReason::WritableFolder))
        );
        assert_eq!(found[0].step(), format!("chmod go-w '{}'", disk.display()));
        assert_eq!(found.len(), 1 + ours.len(), "{found:?}");
        assert!(found[1].step().starts_with("chmod 600 '/"), "{}", found[1].step());
        restrict(&data);
        let mode = |name: &str| std::fs::metadata(disk.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((ours.map(mode), theirs.map(mode), mode("")), ([0o600; 5], [0o644; 2], 0o775));
        std::fs::set_permissions(&disk, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_exposed(&data), [], "others can list the folder, but not write to it");
    }

    /// Runs as root only: only root can create files of another user.
    #[test]
    fn root_changes_no_mode_of_other_users_files_behind_a_link() {
        let at = tempfile::tempdir().unwrap();
        let at = at.path().canonicalize().unwrap();
        let (data, other) = (at.join("data"), at.join("other"));
        for folder in [&data, &other] {
            std::fs::create_dir(folder).unwrap();
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        make(&other.join("passwd"), 0o644);
        std::os::unix::fs::symlink(other.join("passwd"), data.join("lar.db")).unwrap();
        if std::os::unix::fs::chown(&data, Some(65534), Some(65534)).is_err() {
            return;
        }
        restrict(&data);
        let mode = std::fs::metadata(other.join("passwd")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o644);
        assert_eq!(find_exposed(&data).last().unwrap().skip_reason, Some(SkipReason::OtherUsers));
    }

    #[test]
    fn a_folder_with_files_of_other_programs_keeps_its_mode_and_so_do_their_files() {
        let at = tempfile::tempdir().unwrap();
        let data = at.path().canonicalize().unwrap().join("srv");
        for folder in ["", "backups", "clients", "before-start-1"] {
            std::fs::create_dir(data.join(folder)).unwrap();
            std::fs::set_permissions(data.join(folder), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let (ours, theirs) = (
            ["lar.db", "owner.key", "backups/lar-20261128.tar"],
            ["www.html", "nginx.log", "lar.log", "backups/www.tar", "clients/list"],
        );
        for name in ours.iter().chain(&theirs) {
            make(&data.join(name), 0o644);
        }
        let first = &find_exposed(&data)[0];
        assert_eq!((first.path.as_path(), first.mode), (data.as_path(), 0o755));
        assert!(first.step().contains("is not a file of Lar: use a separate folder"), "{}", first.step());
        restrict(&data);
        let mode = |name: &str| std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(["", "backups", "clients", "before-start-1"].map(mode), [0o755, 0o755, 0o755, 0o700]);
        assert_eq!((ours.map(mode), theirs.map(mode)), ([0o600; 3], [0o644; 5]));

        // Without the files of other programs, only Lar uses the directory.
        for name in ["www.html", "nginx.log"] {
            std::fs::remove_file(data.join(name)).unwrap();
        }
        restrict(&data);
        assert_eq!((find_exposed(&data), mode("")), (Vec::new(), 0o700));
    }
}
