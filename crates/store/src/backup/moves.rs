//! The moves by which a restore exchanges the files of a data directory. Each move is recorded. When one
//! fails, all moves before it are undone, the last one first.
//!
//! No move overwrites a file. The old database is moved away first, so it comes back last. While any other
//! file is not back, there is no database, and Lar cannot start with a part of an older state.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use lar_base::files::rename;

use super::working_files::rename_new;

/// A failed step of a restore.
#[derive(Debug)]
pub(super) struct Failure {
    /// The file or folder of the step.
    pub(super) path: PathBuf,
    /// The failed step, such as `cannot be moved to FOLDER`.
    pub(super) what: String,
    pub(super) cause: io::Error,
}

impl Failure {
    pub(super) fn new(path: &Path, what: impl Into<String>, cause: io::Error) -> Self {
        Self { path: path.to_owned(), what: what.into(), cause }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}: {}", self.path.display(), self.what, self.cause)
    }
}

/// The moves that were made and not undone, in order.
#[derive(Debug, Default)]
pub(super) struct Moves(Vec<Move>);

#[derive(Debug)]
enum Move {
    /// A new folder.
    Folder(PathBuf),
    /// A file, folder or link with a new name.
    Renamed {
        from: PathBuf,
        to: PathBuf,
        /// The target of a link. The moved link gets an absolute target.
        target: Option<PathBuf>,
    },
}

impl Moves {
    /// Moves the existing files among `paths` into the new folder `aside`, each under its own name. Returns
    /// the folder, or `None` if no file exists.
    ///
    /// # Errors
    /// When the folder cannot be created, or one of `paths` cannot be moved.
    pub(super) fn put_aside(&mut self, paths: &[PathBuf], aside: &Path) -> Result<Option<PathBuf>, Failure> {
        let there: Vec<&PathBuf> = paths.iter().filter(|path| path.symlink_metadata().is_ok()).collect();
        if there.is_empty() {
            return Ok(None);
        }
        let made = fs::DirBuilder::new().mode(0o700).create(aside);
        made.map_err(|cause| Failure::new(aside, "cannot be created", cause))?;
        self.0.push(Move::Folder(aside.to_owned()));
        for path in there {
            self.rename(path, &aside.join(path.file_name().unwrap_or_default()))?;
        }
        Ok(Some(aside.to_owned()))
    }

    /// Renames a file, folder or link within its disk. A link keeps its target.
    ///
    /// # Errors
    /// When the new name is taken, or the file cannot be renamed.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), Failure> {
        let target = fs::read_link(from).ok();
        let renamed = match target {
            Some(_) => rename(from, to),
            None => rename_new(from, to),
        };
        renamed.map_err(|cause| Failure::new(from, format!("cannot be moved to {}", to.display()), cause))?;
        self.0.push(Move::Renamed { from: from.to_owned(), to: to.to_owned(), target });
        Ok(())
    }

    /// Undoes the moves, the last one first. Stops at the first move that cannot be undone.
    ///
    /// # Errors
    /// The move that cannot be undone, for example because its old name is taken.
    pub(super) fn undo(&mut self) -> Result<(), Failure> {
        while let Some(last) = self.0.last() {
            last.undo()?;
            self.0.pop();
        }
        Ok(())
    }

    /// Returns the folders that were created and not removed.
    pub(super) fn folders(&self) -> Vec<&Path> {
        self.0.iter().filter_map(Move::folder).collect()
    }
}

impl Move {
    fn undo(&self) -> Result<(), Failure> {
        match self {
            Self::Folder(path) => {
                // It is empty. It does no harm if it cannot be removed.
                let _ = fs::remove_dir(path);
                Ok(())
            }
            Self::Renamed { from, to, target } => {
                let undone = match target {
                    Some(target) => symlink(target, from).and_then(|()| fs::remove_file(to)),
                    None => rename_new(to, from),
                };
                let what = || format!("cannot be moved back to {}", from.display());
                undone.map_err(|cause| Failure::new(to, what(), cause))
            }
        }
    }

    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(path) => Some(path),
            Self::Renamed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_undone_in_reverse_order_and_links_are_restored() {
        let at = tempfile::tempdir().unwrap();
        let path = |name: &str| at.path().join(name);
        fs::create_dir_all(path("new")).unwrap();
        for (name, text) in
            [("lar.db", "old database"), ("secret.key", "old key"), ("new/secret.key", "new key")]
        {
            fs::write(path(name), text).unwrap();
        }
        symlink("elsewhere/lar.toml", path("lar.toml")).unwrap();
        let mut moves = Moves::default();
        let old = ["lar.db", "secret.key", "lar.toml", "owner.key"].map(path);
        let aside = moves.put_aside(&old, &path("aside")).unwrap();
        assert_eq!(aside, Some(path("aside")));
        moves.rename(&path("new/secret.key"), &path("secret.key")).unwrap();
        assert_eq!(fs::read_link(path("aside/lar.toml")).unwrap(), path("elsewhere/lar.toml"));
        assert_eq!(moves.folders(), [path("aside")]);

        moves.undo().unwrap();
        assert_eq!(fs::read_link(path("lar.toml")).unwrap(), Path::new("elsewhere/lar.toml"));
        let texts =
            ["lar.db", "secret.key", "new/secret.key"].map(|name| fs::read_to_string(path(name)).unwrap());
        assert_eq!(texts, ["old database", "old key", "new key"]);
        assert!(!path("aside").exists() && moves.folders().is_empty());
    }

    #[test]
    fn no_move_and_no_undo_overwrites_a_file() {
        let at = tempfile::tempdir().unwrap();
        let path = |name: &str| at.path().join(name);
        for name in ["lar.db", "secret.key", "clients"] {
            fs::write(path(name), name).unwrap();
        }
        let mut moves = Moves::default();
        let refused = moves.rename(&path("lar.db"), &path("secret.key")).unwrap_err();
        assert_eq!(refused.cause.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(path("secret.key")).unwrap(), "secret.key");

        moves.put_aside(&["lar.db", "secret.key", "clients"].map(path), &path("aside")).unwrap();
        fs::write(path("secret.key"), "made meanwhile").unwrap();
        let stuck = moves.undo().unwrap_err();
        assert_eq!(stuck.path, path("aside/secret.key"));
        assert!(stuck.to_string().contains("secret.key cannot be moved back to "), "{stuck}");
        assert_eq!(fs::read_to_string(path("secret.key")).unwrap(), "made meanwhile");
        assert!(path("clients").exists() && !path("lar.db").exists(), "the database would come back last");
        assert_eq!(moves.folders(), [path("aside")]);
    }
}
