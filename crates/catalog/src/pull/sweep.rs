//! What pulls that were killed left in `partial/`: it goes when Lar starts, but for downloads that can be taken up again.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Removes what no pull goes on with: all of a pull but a download whose server gave it a tag, which is beside it. What
/// another process is pulling now is left alone.
pub(crate) fn sweep(partial: &Path) {
    let entries = std::fs::read_dir(partial).into_iter().flatten().flatten();
    let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let pulls: BTreeSet<&str> = names.iter().filter_map(|name| name.split('.').next()).collect();
    for pull in pulls {
        let at = |end: &str| partial.join(format!("{pull}.{end}"));
        let Ok(lock) = File::create(at("lock")) else { continue };
        if lock.try_lock().is_err() || !is_at(&lock, &at("lock")) {
            continue;
        }
        remove_unless_resumable(&partial.join(pull));
        let _ = std::fs::remove_dir_all(at("pip"));
        let _ = std::fs::remove_file(at("json"));
        let _ = std::fs::remove_file(at("lock"));
    }
}

/// Removes a download that cannot be taken up again: its server gave it no tag to compare, and no piece of it is whole.
pub(super) fn remove_unless_resumable(partial: &Path) {
    let [part, tag, pieces] = ["part", "etag", "pieces"].map(|end| partial.with_extension(end));
    if [&tag, &pieces].iter().any(|path| std::fs::metadata(path).is_ok_and(|file| file.len() > 0)) {
        return;
    }
    for path in [part, tag, pieces] {
        let _ = std::fs::remove_file(path);
    }
}

/// Whether an open file is still the one at `path`.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let same =
        |one: &std::fs::Metadata, two: &std::fs::Metadata| (one.dev(), one.ino()) == (two.dev(), two.ino());
    matches!((file.metadata(), std::fs::metadata(path)), (Ok(one), Ok(two)) if same(&one, &two))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_pull_goes_on_with_is_removed() {
        let at = tempfile::tempdir().unwrap();
        let make = |name: &str, text: &str| std::fs::write(at.path().join(name), text).unwrap();
        make("copy.part", "half of a file");
        make("copy.lock", "");
        make("taken-up.part", "half of a download");
        make("taken-up.etag", "\"one\"");
        make("weak.part", "half of a download");
        make("weak.etag", "");
        make("manifest.json", "{");
        std::fs::create_dir_all(at.path().join("wheel.pip/unpacked")).unwrap();
        make("busy.part", "half");
        let busy = File::create(at.path().join("busy.lock")).unwrap();
        busy.lock().unwrap();
        sweep(at.path());
        let left: BTreeSet<String> = std::fs::read_dir(at.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let expected = ["busy.lock", "busy.part", "taken-up.etag", "taken-up.part"].map(String::from);
        assert_eq!(left, BTreeSet::from(expected));
    }
}
