//! What in a data directory is for its owner alone: everything but the models, which others may share.
//!
//! New files are made so (the process's umask). Those that were made wider, by an older Lar or a copy, are narrowed when
//! the directory is opened.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Bits of a mode that let others than the owner in.
const OTHERS: u32 = 0o077;
/// The bit of a folder that everybody may write to, such as /tmp: it is nobody's own.
const STICKY: u32 = 0o1000;
/// Files that hold a secret as it is.
const SECRETS: [&str; 2] = ["owner.key", "secret.key"];
/// Folders whose files are private, too.
const FOLDERS: [&str; 2] = ["backups", "clients"];

/// A file or folder that others may read or write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wide {
    pub(crate) path: PathBuf,
    /// Its mode, as `chmod` writes it.
    pub(crate) mode: u32,
    pub(crate) is_folder: bool,
}

impl Wide {
    /// The mode it should have.
    pub(crate) fn narrowed(&self) -> u32 {
        if self.is_folder { 0o700 } else { self.mode & !OTHERS }
    }
}

/// Whether a file is one of the two that let whoever reads them in.
pub(crate) fn is_secret(path: &Path) -> bool {
    path.file_name().is_some_and(|name| SECRETS.iter().any(|secret| name == *secret))
}

/// What in a data directory others than its owner may use, the directory itself first.
pub(crate) fn wider_than_owner(data_dir: &Path) -> Vec<Wide> {
    let mut paths = vec![data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned())];
    paths.extend(children(data_dir).filter(|path| is_private(path)));
    for folder in FOLDERS {
        paths.extend(children(&data_dir.join(folder)));
    }
    paths.into_iter().filter_map(wide).collect()
}

fn children(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Whether a file or folder in a data directory is of the private ones.
fn is_private(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let is_log = path.extension().is_some_and(|end| end == "log") || name == "log";
    is_secret(path)
        || FOLDERS.contains(&name)
        || is_log
        || ["lar.db", "lar.before-schema-", "before-restore-", "before-start-"]
            .iter()
            .any(|start| name.starts_with(start))
}

fn wide(path: PathBuf) -> Option<Wide> {
    let about = std::fs::symlink_metadata(&path).ok()?;
    let mode = about.permissions().mode() & 0o7777;
    let open = mode & OTHERS != 0 && mode & STICKY == 0 && !about.is_symlink();
    open.then_some(Wide { path, mode, is_folder: about.is_dir() })
}

/// Takes from others what they may do with what is private, and logs each.
pub(super) fn narrow(data_dir: &Path) {
    for found in wider_than_owner(data_dir) {
        let Wide { path, mode, .. } = &found;
        let narrowed = found.narrowed();
        match std::fs::set_permissions(path, std::fs::Permissions::from_mode(narrowed)) {
            Ok(()) => tracing::warn!(
                path = %path.display(),
                "others could use it: its mode was {mode:o} and is {narrowed:o} now"
            ),
            Err(error) => tracing::warn!(
                path = %path.display(),
                %error,
                "others can use it (mode {mode:o}), and that cannot be changed"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(path: &Path, mode: u32) {
        std::fs::write(path, b"").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_private_is_narrowed_and_the_rest_stays() {
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
        let wide: Vec<String> = wider_than_owner(&data)
            .iter()
            .map(|wide| format!("{} {:o}", wide.path.strip_prefix(&data).unwrap().display(), wide.narrowed()))
            .collect();
        let mut sorted = wide;
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
        narrow(&data);
        assert_eq!(wider_than_owner(&data), []);
        let mode = |name: &str| std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("models"), mode("lar.toml")), (0o755, 0o644));
        assert!(is_secret(&data.join("owner.key")) && !is_secret(&data.join("lar.db")));
    }
}
