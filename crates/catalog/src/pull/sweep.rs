//! What pulls that were killed left in `partial/`: it goes when Lar starts, but for downloads that can be taken up again.
//!
//! All files of a pull begin with its key, and who writes them has the lock `KEY.lock`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::Error;

/// The lock of one pull's files in `partial/`. Dropping it gives it up and removes its file.
#[derive(Debug)]
pub(crate) struct PullLock {
    path: PathBuf,
    _file: File,
}

impl PullLock {
    /// Waits for the lock of the pull whose files begin with `partial`. It blocks.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub(crate) fn wait(partial: &Path) -> Result<Self, Error> {
        let path = partial.with_extension("lock");
        loop {
            let file = File::create(&path).map_err(Error::io(&path))?;
            file.lock().map_err(Error::io(&path))?;
            // Whoever had it may have removed it since.
            if is_at(&file, &path) {
                return Ok(Self { path, _file: file });
            }
        }
    }

    /// Takes the lock where nobody has it.
    fn try_take(partial: &Path) -> Option<Self> {
        let path = partial.with_extension("lock");
        let file = File::create(&path).ok()?;
        let is_taken = file.try_lock().is_ok() && is_at(&file, &path);
        // Only whoever has it may remove it.
        is_taken.then(|| Self { path, _file: file })
    }
}

impl Drop for PullLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What the files of the pull `partial` begin with that belong to file `number`, from 1, of a model in several.
pub(super) fn partial_of(partial: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return partial.to_owned();
    }
    let mut name = partial.as_os_str().to_owned();
    name.push(format!("-{number}"));
    name.into()
}

/// Removes what no pull goes on with: all of a pull but downloads whose server gave them a tag, which is beside them. What
/// another process is pulling now is left alone.
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

/// Removes a download that cannot be taken up again: its server gave it no tag to compare, and no piece of it is whole.
pub(super) fn remove_unless_resumable(partial: &Path) {
    let [tag, pieces] = ["etag", "pieces"].map(|end| partial.with_extension(end));
    if [&tag, &pieces].iter().any(|path| std::fs::metadata(path).is_ok_and(|file| file.len() > 0)) {
        return;
    }
    remove(partial);
}

/// Removes what a download left, also where it could be taken up again.
pub(super) fn remove(partial: &Path) {
    for end in ["part", "etag", "pieces"] {
        let _ = std::fs::remove_file(partial.with_extension(end));
    }
}

/// Whether an open file is still the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let same =
        |one: &std::fs::Metadata, two: &std::fs::Metadata| (one.dev(), one.ino()) == (two.dev(), two.ino());
    matches!((file.metadata(), std::fs::metadata(path)), (Ok(one), Ok(two)) if same(&one, &two))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_files_that_no_pull_resumes_are_removed() {
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
        // Files of models in several: of one that is being copied, of one that was, and of a download.
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
    fn all_files_of_a_model_are_below_the_key_of_its_pull() {
        let names = |number| partial_of(Path::new("/m/partial/ab12"), number).with_extension("part");
        assert_eq!(names(1), Path::new("/m/partial/ab12.part"));
        assert_eq!(names(12), Path::new("/m/partial/ab12-12.part"));
    }

    #[test]
    fn a_lock_is_gone_when_it_is_given_up() {
        let at = tempfile::tempdir().unwrap();
        let pull = at.path().join("pull");
        let lock = PullLock::wait(&pull).unwrap();
        assert!(PullLock::try_take(&pull).is_none());
        drop(lock);
        assert_eq!(std::fs::read_dir(at.path()).unwrap().count(), 0);
        assert!(PullLock::try_take(&pull).is_some());
    }
}
