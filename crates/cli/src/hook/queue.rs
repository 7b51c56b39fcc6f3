//! What a person said in a client, from when a hook heard it until a Lar has it: a file each, in the order in which it was said.
//! A Lar that is away is told later; one that is told twice knows it already.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lar_base::files::read_small_text;
use lar_base::{Bytes, Timestamp};
use serde_json::json;

use crate::{ApiError, Client};

/// What waits at most; beyond that the oldest goes.
const WAITING_MAX: usize = 256;
/// Bytes of a message at most: what is longer was pasted.
const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Digits of the time in a name.
const TIME_DIGITS: usize = 15;

/// What waits of one client.
#[derive(Debug)]
pub(super) struct Queue {
    folder: PathBuf,
}

impl Queue {
    pub(super) fn of(data_dir: &Path, client: &str) -> Self {
        Self { folder: data_dir.join("heard").join(client) }
    }

    /// Keeps what was said, on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn push(&self, prompt: &str) -> std::io::Result<()> {
        if prompt.trim().is_empty() || prompt.len() > MESSAGE_BYTES_MAX {
            return Ok(());
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let waiting = self.pending();
        for oldest in waiting.iter().take((waiting.len() + 1).saturating_sub(WAITING_MAX)) {
            fs::remove_file(oldest)?;
        }
        // Its name is its place in the order.
        let name = format!("{:0TIME_DIGITS$}-{}", Timestamp::now().as_millis(), std::process::id());
        let partial = self.folder.join(format!(".{name}"));
        let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&partial)?;
        file.write_all(prompt.as_bytes())?;
        file.sync_data()?;
        fs::rename(partial, self.folder.join(name))
    }

    /// Tells it to a Lar, in order, until that is away or all is told. What it refuses is let go.
    pub(super) async fn deliver(&self, client: &Client) {
        for path in self.pending() {
            let Ok(prompt) = read_small_text(&path, Bytes(MESSAGE_BYTES_MAX as u64)) else { continue };
            let delivered =
                client.post::<serde_json::Value>("memories/heard", &json!({ "content": prompt })).await;
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
    }

    /// The files, in order. What is not of a queue's making is not told and not removed.
    fn pending(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let ours = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            let parts = name.to_str().and_then(|name| name.split_once('-'));
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            parts.is_some_and(|(time, process)| time.len() == TIME_DIGITS && digits(time) && digits(process))
                && entry.file_type().is_ok_and(|kind| kind.is_file())
        };
        let mut files: Vec<PathBuf> = entries.filter(ours).map(|entry| entry.path()).collect();
        files.sort();
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_keeps_its_order_and_limit() {
        let data = tempfile::tempdir().unwrap();
        let queue = Queue::of(data.path(), "claude-code");
        for number in 0..WAITING_MAX + 3 {
            queue.push(&format!("{number}")).unwrap();
            // Two in one millisecond come from two processes.
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
