//! The queue of a client's prompts that were not delivered to Lar yet: one file per prompt, in order.
//!
//! Prompts wait here while Lar is not running. A prompt can be delivered twice, which does no harm: memory
//! already has it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lar_base::files::read_small_text;
use lar_base::{Bytes, Timestamp};
use serde_json::json;

use crate::{ApiError, Client};

/// The maximum number of waiting prompts. Beyond it, the oldest is removed.
const WAITING_MAX: usize = 256;
/// The maximum size of a prompt. A longer one was probably pasted, and is not queued.
const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// The number of digits of the time in a file name.
const TIME_DIGITS: usize = 15;

/// The folder of all queues in the data directory.
const FOLDER: &str = "hook-queue";
/// The name of that folder in earlier releases.
const OLD_FOLDER: &str = "heard";

/// The queue of one client.
#[derive(Debug)]
pub(super) struct Queue {
    folder: PathBuf,
    /// The folder of the queue in earlier releases. Its prompts are delivered too; none are added.
    old_folder: PathBuf,
}

impl Queue {
    pub(super) fn of(data_dir: &Path, client: &str) -> Self {
        let [folder, old_folder] = [FOLDER, OLD_FOLDER].map(|name| data_dir.join(name).join(client));
        Self { folder, old_folder }
    }

    /// Adds a prompt. It is on disk when this returns.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn push(&self, prompt: &str) -> std::io::Result<()> {
        if prompt.trim().is_empty() || prompt.len() > MESSAGE_BYTES_MAX {
            return Ok(());
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let waiting = self.pending();
        for oldest in waiting.iter().take((waiting.len() + 1).saturating_sub(WAITING_MAX)) {
            fs::remove_file(oldest)?;
        }
        // The order of the names is the order of the prompts.
        let name = format!("{:0TIME_DIGITS$}-{}", Timestamp::now().as_millis(), std::process::id());
        let partial = self.folder.join(format!(".{name}"));
        let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&partial)?;
        file.write_all(prompt.as_bytes())?;
        file.sync_data()?;
        fs::rename(partial, self.folder.join(name))
    }

    /// Delivers the prompts to Lar in order, until Lar cannot be reached or the queue is empty. Drops prompts
    /// that Lar rejects.
    pub(super) async fn deliver(&self, client: &Client) {
        for path in self.pending() {
            let Ok(prompt) = read_small_text(&path, Bytes(MESSAGE_BYTES_MAX as u64)) else { continue };
            let delivered =
                client.post::<serde_json::Value>("memories/intents", &json!({ "content": prompt })).await;
            match delivered {
                Err(error)
                    if error
                        .downcast_ref::<ApiError>()
                        .is_none_or(|ApiError(problem)| problem.status >= 500) =>
                {
                    return;
                }
                _ => drop(fs::remove_file(&path)),
            }
        }
        // Fails if the folder is not empty: it may contain other files, and another client may have a queue.
        if fs::remove_dir(&self.old_folder).is_ok() {
            let _ = self.old_folder.parent().map(fs::remove_dir);
        }
    }

    /// Returns the files in order. Skips files that a queue did not write.
    fn pending(&self) -> Vec<PathBuf> {
        let folders = [&self.old_folder, &self.folder].into_iter();
        let entries = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        let ours = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            let parts = name.to_str().and_then(|name| name.split_once('-'));
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            parts.is_some_and(|(time, process)| time.len() == TIME_DIGITS && digits(time) && digits(process))
                && entry.file_type().is_ok_and(|kind| kind.is_file())
        };
        let mut files: Vec<PathBuf> = entries.filter(ours).map(|entry| entry.path()).collect();
        files.sort_by(|one, other| one.file_name().cmp(&other.file_name()));
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_of_an_earlier_release_come_first() {
        let data = tempfile::tempdir().unwrap();
        let queue = Queue::of(data.path(), "claude-code");
        queue.push("new").unwrap();
        let old = data.path().join("heard/claude-code");
        fs::create_dir_all(&old).unwrap();
        fs::write(old.join("000000000000001-1"), "old").unwrap();
        let prompts: Vec<String> =
            queue.pending().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert_eq!(prompts, ["old", "new"]);
        assert!(queue.folder.starts_with(data.path().join("hook-queue")));
    }

    #[test]
    fn the_queue_keeps_its_order_and_limit() {
        let data = tempfile::tempdir().unwrap();
        let queue = Queue::of(data.path(), "claude-code");
        for number in 0..WAITING_MAX + 3 {
            queue.push(&format!("{number}")).unwrap();
            // Two prompts in the same millisecond can only come from two processes.
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        queue.push(" \n").unwrap();
        fs::write(queue.folder.join("letter"), "somebody's").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", queue.folder.join("000000000000001-1")).unwrap();
        queue.push(&"x".repeat(MESSAGE_BYTES_MAX + 1)).unwrap();
        let prompt: Vec<String> =
            queue.pending().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        let expected: Vec<String> = (3..WAITING_MAX + 3).map(|number| number.to_string()).collect();
        assert_eq!(prompt, expected);
    }
}
