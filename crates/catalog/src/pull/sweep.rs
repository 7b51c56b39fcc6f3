//! Removes the leftovers of killed pulls from `partial/` when Lar starts, except downloads that can be
//! resumed.
//!
//! The names of all files of a pull start with its key. Only the owner of the lock `KEY.lock` writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::Error;

/// The lock on one pull's files in `partial/`. Dropping it releases the lock and removes the lock file.
#[derive(Debug)]
pub(crate) struct PullLock {
    path: PathBuf,
    _file: File,
}

impl PullLock {
    /// Blocks until it has the lock on the pull whose file names start with `partial`.
    ///
    /// # Errors
    /// Fails if the lock file cannot be created or locked.
    pub(crate) fn wait(partial: &Path) -> Result<Self, Error> {
        let path = partial.with_extension("lock");
        loop {
            let file = File::create(&path).map_err(Error::io(&path))?;
            file.lock().map_err(Error::io(&path))?;
            // The previous owner may have removed the file in the meantime.
            if is_at(&file, &path) {
                return Ok(Self { path, _file: file });
            }
        }
    }

    /// Takes the lock if it is free.
    fn try_take(partial: &Path) -> Option<Self> {
        let path = partial.with_extension("lock");
        let file = File::create(&path).ok()?;
        let is_taken = file.try_lock().is_ok() && is_at(&file, &path);
        // Only the owner of the lock may remove its file.
        is_taken.then(|| Self { path, _file: file })
    }
}

impl Drop for PullLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Returns the path prefix of file `number`, from 1, of a split model that the pull `partial` downloads.
pub(super) fn partial_of(partial: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return partial.to_owned();
    }
    let mut name = partial.as_os_str().to_owned();
    name.push(format!("-{number}"));
    name.into()
}

/// Removes the files of interrupted pulls, except downloads that can be resumed and pulls that another
/// process runs now.
pub(crate) fn sweep(partial: &Path) {
    let entries = std::fs::read_dir(partial).into_iter().flatten().flatten();
    let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let mut pulls: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in names.iter().filter_map(|name| name.split('.').next()) {
        let pull = file.split('-').next().unwrap_or(file);
        pulls.entry(pull).or_default().insert(file);
    }
    for (pull, files) in pulls {
        let Some(_lock) = PullLock::try_take(&partial.join(pull)) else { continue };
        for file in files {
            let at = |end: &str| partial.join(format!("{file}.{end}"));
            remove_unless_resumable(&partial.join(file));
            let _ = std::fs::remove_dir_all(at("pip"));
            let _ = std::fs::remove_file(at("json"));
            let _ = std::fs::remove_file(at("txt"));
        }
    }
}

/// Removes a download unless it can be resumed. A download can be resumed if its server sent an `ETag`, or if
/// at least one piece of it is complete.
pub(super) fn remove_unless_resumable(partial: &Path) {
    let [tag, pieces] = ["etag", "pieces"].map(|end| partial.with_extension(end));
    if [&tag, &pieces].iter().any(|path| std::fs::metadata(path).is_ok_and(|file| file.len() > 0)) {
        return;
    }
    remove(partial);
}

/// Removes the files of a download, even if it could be resumed.
pub(super) fn remove(partial: &Path) {
    for end in ["part", "etag", "pieces"] {
        let _ = std::fs::remove_file(partial.with_extension(end));
    }
}

/// Returns whether an open file is still the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let same =
        |one: &std::fs::Metadata, two: &std::fs::Metadata| (one.dev(), one.ino()) == (two.dev(), two.ino());
    matches!((file.metadata(), std::fs::metadata(path)), (Ok(one), Ok(two)) if same(&one, &two))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_interrupted_pulls_are_removed_unless_resumable() {
        let at = tempfile::tempdir().unwrap();
        let make = |name: &str, text: &str| std::fs::write(at.path().join(name), text).unwrap();
        make("copy.part", "half of a file");
        make("copy.lock", "");
        make("taken.part", "half of a download");
        make("taken.etag", "\"one\"");
        make("weak.part", "half of a download");
        make("weak.etag", "");
        make("manifest.json", "{");
        make("license.txt", "Apache");
        // Split models: one being copied now, one whose copy was interrupted, and one being downloaded.
        make("split.part", "a file");
        make("split-2.part", "half of a file");
        make("split-10.part", "half of a file");
        let _split = PullLock::wait(&at.path().join("split")).unwrap();
        make("old-2.part", "half of a file");
        make("more.lock", "");
        make("more-2.part", "half of a download");
        make("more-2.etag", "\"two\"");
        make("registering.json", "{");
        let _registering = PullLock::wait(&at.path().join("registering")).unwrap();
        std::fs::create_dir_all(at.path().join("wheel.pip/unpacked")).unwrap();
        make("busy.part", "half");
        let busy = File::create(at.path().join("busy.lock")).unwrap();
        busy.lock().unwrap();
        sweep(at.path());
        let left: BTreeSet<String> = std::fs::read_dir(at.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let expected = [
            "busy.lock",
            "busy.part",
            "more-2.etag",
            "more-2.part",
            "registering.json",
            "registering.lock",
            "split-10.part",
            "split-2.part",
            "split.lock",
            "split.part",
            "taken.etag",
            "taken.part",
        ]
        .map(String::from);
        assert_eq!(left, BTreeSet::from(expected));
    }

    #[test]
    fn all_files_of_a_split_model_start_with_the_key_of_its_pull() {
        let names = |number| partial_of(Path::new("/m/partial/ab12"), number).with_extension("part");
        assert_eq!(names(1), Path::new("/m/partial/ab12.part"));
        assert_eq!(names(12), Path::new("/m/partial/ab12-12.part"));
    }

    #[test]
    fn a_released_lock_leaves_no_file() {
        let at = tempfile::tempdir().unwrap();
        let pull = at.path().join("pull");
        let lock = PullLock::wait(&pull).unwrap();
        assert!(PullLock::try_take(&pull).is_none());
        drop(lock);
        assert_eq!(std::fs::read_dir(at.path()).unwrap().count(), 0);
        assert!(PullLock::try_take(&pull).is_some());
    }
}
