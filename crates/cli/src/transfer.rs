//! Exports and imports of conversations and memories as JSON lines, one per line.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use lar_api::conversations::ImportResult;
use lar_base::lines::read_line_blocking;
use serde_json::json;

use crate::output::{JsonPieces, counted};
use crate::{Client, Output};

/// The minimum size of the lines in one import request, except the last. It is far below the server's limit
/// of a body.
const IMPORT_GROUP_BYTES: usize = 4 << 20;

/// The maximum size of a line, which is one memory, or one conversation with its messages. It is sixteen times the
/// server's default `limits.body`, so that the server decides; only a file without line ends exceeds it.
const LINE_BYTES_MAX: usize = 256 << 20;

/// The byte order mark that some editors write at the start of a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Checks that a path does not exist, so that nothing is overwritten.
///
/// # Errors
/// If it exists; the message names the next step.
pub fn refuse_existing(file: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        file.symlink_metadata().is_err(),
        "{} already exists: choose another name, or remove it first",
        file.display()
    );
    Ok(())
}

/// Exports all of `what` (`conversations` or `memories`) to a file, or to standard output. On a terminal,
/// characters that would control it are written as JSON escapes.
pub(crate) async fn export(
    client: &Client,
    output: &Output,
    what: &str,
    file: Option<PathBuf>,
) -> anyhow::Result<()> {
    let Some(file) = file else {
        let mut lines = std::pin::pin!(client.download(&format!("{what}/export")).await?.stream());
        let mut shown = std::io::stdout().is_terminal().then(JsonPieces::default);
        while let Some(part) = lines.next().await {
            let part = part?;
            match &mut shown {
                Some(pieces) => output.text(&pieces.push(&part))?,
                None => output.bytes(&part)?,
            }
        }
        return Ok(());
    };
    refuse_existing(&file)?;
    let written = write(client, what, &file).await.with_context(|| file.display().to_string())?;
    output.show(&json!({ what: written }), || {
        format!("Exported {} to {}.", items(written, what), file.display())
    })
}

/// Imports an exported file. Importing twice changes nothing.
pub(crate) async fn import(client: &Client, output: &Output, what: &str, file: &Path) -> anyhow::Result<()> {
    let done = read(client, output, what, file)
        .await
        .with_context(|| format!("{} could not be imported", file.display()))?;
    output.show(&done, || {
        format!("Imported {}; {} already existed.", items(done.imported, what), done.unchanged)
    })
}

/// Formats a number of conversations or memories.
fn items(number: usize, what: &str) -> String {
    match what {
        "conversations" => counted(number, "conversation", "conversations"),
        _ => counted(number, "memory", "memories"),
    }
}

/// Writes to a file beside `file` and renames it at the end, so that a lost connection leaves no incomplete
/// export.
async fn write(client: &Client, what: &str, file: &Path) -> anyhow::Result<usize> {
    let mut lines = std::pin::pin!(client.download(&format!("{what}/export")).await?.stream());
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let mut out = std::io::BufWriter::new(File::create(&partial)?);
    let mut written = 0;
    while let Some(part) = lines.next().await {
        let part = part?;
        written += part.iter().filter(|byte| **byte == b'\n').count();
        out.write_all(&part)?;
    }
    out.into_inner()?.sync_all()?;
    std::fs::rename(partial, file)?;
    Ok(written)
}

async fn read(client: &Client, output: &Output, what: &str, file: &Path) -> anyhow::Result<ImportResult> {
    let length = std::fs::metadata(file)?.len();
    let mut lines = open(file)?;
    let mut done = ImportResult { imported: 0, unchanged: 0 };
    let progress = output.progress(length);
    let mut lines_before = 0;
    loop {
        let group = next_group(&mut lines, IMPORT_GROUP_BYTES)?;
        if group.is_empty() {
            break;
        }
        progress.inc(group.len() as u64);
        let lines_in_group = group.iter().filter(|byte| **byte == b'\n').count();
        let answer = client.post_lines::<ImportResult>(&format!("{what}/import"), group).await;
        // The server counts lines from the start of the request.
        let answer = match lines_before {
            0 => answer?,
            lines => answer.with_context(|| format!("in the lines from {} on", lines + 1))?,
        };
        lines_before += lines_in_group;
        done = ImportResult {
            imported: done.imported + answer.imported,
            unchanged: done.unchanged + answer.unchanged,
        };
    }
    progress.finish_and_clear();
    Ok(done)
}

/// Opens a file after its byte order mark, if it has one.
fn open(file: &Path) -> std::io::Result<BufReader<File>> {
    let mut lines = BufReader::new(File::open(file)?);
    if lines.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        lines.consume(BYTE_ORDER_MARK.len());
    }
    Ok(lines)
}

/// Reads whole lines until they have at least `bytes_min` bytes together. Returns nothing at the end of the
/// file.
///
/// # Errors
/// If the file cannot be read, or a line is longer than [`LINE_BYTES_MAX`].
fn next_group(lines: &mut impl BufRead, bytes_min: usize) -> std::io::Result<Vec<u8>> {
    let mut group = Vec::new();
    while group.len() < bytes_min
        && let Some(line) = read_line_blocking(lines, LINE_BYTES_MAX)?
    {
        group.append(&mut line.complete(LINE_BYTES_MAX)?);
    }
    Ok(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_skipped_and_groups_are_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.ndjson");
        let groups = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let mut lines = open(&path).unwrap();
            let groups = std::iter::from_fn(|| {
                let group = String::from_utf8(next_group(&mut lines, 9).unwrap()).unwrap();
                Some(group).filter(|group| !group.is_empty())
            });
            groups.collect::<Vec<_>>()
        };
        let (one, two, three) = ("{\"a\":1}\r\n", "{}\r\n", "{\"b\":2}");
        let expected = [one.to_owned(), format!("{two}{three}")];
        assert_eq!(groups(&format!("\u{feff}{one}{two}{three}")), expected);
        assert_eq!(groups(&format!("{one}{two}{three}")), expected);
        // Elsewhere than at the start of the file, it is a part of the text.
        assert_eq!(groups(&format!("{two}\u{feff}{three}")), [format!("{two}\u{feff}{three}")]);
        assert_eq!(groups("\u{feff}"), [""; 0]);
        assert_eq!(groups(""), [""; 0]);
    }

    #[test]
    fn an_existing_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.ndjson");
        assert!(refuse_existing(&path).is_ok());
        std::fs::write(&path, "{}").unwrap();
        let refused = refuse_existing(&path).unwrap_err().to_string();
        assert!(refused.ends_with("all.ndjson already exists: choose another name, or remove it first"));
    }
}
