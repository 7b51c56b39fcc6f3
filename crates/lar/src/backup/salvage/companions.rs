//! Copies the files beside a damaged database that Lar needs with it: its keys and settings.
//!
//! Copies small regular files only. Anyone who can write to that folder may have replaced a file with a link,
//! a device or a huge file. Such a file is skipped, and the others are copied.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use lar_base::Bytes;
use lar_base::files::{KEY_BYTES_MAX, TEXT_BYTES_MAX, read_small_nofollow};
use lar_base::shell::quote;
use lar_store::backup::write_private;
use serde::Serialize;

/// The files, each with its maximum size.
const FILES: [(&str, Bytes); 3] =
    [("secret.key", KEY_BYTES_MAX), ("owner.key", KEY_BYTES_MAX), ("lar.toml", TEXT_BYTES_MAX)];

/// A file that was skipped.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct SkippedFile {
    pub(super) file: PathBuf,
    pub(super) reason: String,
    /// The command that copies it, if a person may want that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) step: Option<String>,
}

impl SkippedFile {
    /// Renders the file, the reason and the command for a person.
    pub(super) fn text(&self) -> String {
        let Self { file, reason, step } = self;
        let step = step.as_ref().map(|step| format!(". If the file is yours: {step}")).unwrap_or_default();
        format!("{} was not copied: {reason}{step}", file.display())
    }
}

/// Copies the files beside `database` into the new data directory `folder`, readable by their owner only.
/// Returns the skipped files.
///
/// # Errors
/// If a file cannot be written.
pub(super) fn copy(database: &Path, folder: &Path) -> anyhow::Result<Vec<SkippedFile>> {
    let mut left_out = Vec::new();
    for (name, max) in FILES {
        let (from, to) = (database.with_file_name(name), folder.join(name));
        match read_small_nofollow(&from, max) {
            Ok(bytes) => {
                write_private(&to, &bytes).with_context(|| format!("{} cannot be written", to.display()))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let step = from.is_symlink().then(|| format!("cp {} {}", quote(&from), quote(&to)));
                left_out.push(SkippedFile { file: from, reason: error.to_string(), step });
            }
        }
    }
    Ok(left_out)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_huge_files_beside_a_damaged_database_are_skipped_with_a_reason() {
        let at = tempfile::tempdir().unwrap();
        let (data, saved) = (at.path().join("data"), at.path().join("saved"));
        for folder in [&data, &saved] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(at.path().join("shadow"), "of root").unwrap();
        symlink("../shadow", data.join("secret.key")).unwrap();
        File::create(data.join("owner.key")).unwrap().set_len(1 << 40).unwrap();
        fs::write(data.join("lar.toml"), "log = \"warn\"\n").unwrap();
        let left_out = copy(&data.join("lar.db"), &saved).unwrap();
        let [link, huge] = ["secret.key", "owner.key"].map(|name| data.join(name));
        let copied = format!("cp {} {}", link.display(), saved.join("secret.key").display());
        let expected = [
            SkippedFile {
                file: link,
                reason: "it is a symbolic link, not a regular file".into(),
                step: Some(copied.clone()),
            },
            SkippedFile { file: huge, reason: "it is larger than the limit of 4.0 KiB".into(), step: None },
        ];
        assert_eq!(left_out, expected);
        assert!(left_out[0].text().ends_with(&format!("regular file. If the file is yours: {copied}")));
        let entries = fs::read_dir(&saved).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(entries.collect::<Vec<_>>(), ["lar.toml"], "the other file is copied");
        assert_eq!(fs::read(saved.join("lar.toml")).unwrap(), b"log = \"warn\"\n");
    }
}
