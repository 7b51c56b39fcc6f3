//! Exports and imports: JSON lines, one of what is moved in each.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use lar_api::conversations::ImportResult;
use serde_json::json;

use crate::output::JsonPieces;
use crate::{Client, Output};

/// Lines of an import that are sent at once: a request stays far below the server's limit of a body.
const IMPORT_GROUP_BYTES: usize = 4 << 20;

/// What some editors put at the head of a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Refuses to write over a file, or over whatever else has its name.
///
/// # Errors
/// When something is there, with what to do.
pub fn refuse_existing(file: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        file.symlink_metadata().is_err(),
        "{} is there already: choose another name, or remove it first",
        file.display()
    );
    Ok(())
}

/// Exports all of `what` (a path of the API) to a file, or to standard output. On a terminal, escapes of JSON stand for characters
/// that would steer it.
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
    output.show(&json!({ what: written }), || format!("Wrote {written} {what} to {}.", file.display()))
}

/// Imports what was exported. Doing it twice changes nothing.
pub(crate) async fn import(client: &Client, output: &Output, what: &str, file: &Path) -> anyhow::Result<()> {
    let done = read(client, output, what, file).await.with_context(|| file.display().to_string())?;
    output.show(&done, || format!("{} imported; {} were there already.", done.imported, done.unchanged))
}

/// Writes beside the file and renames at the end, so that a broken line leaves no half of an export.
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
    loop {
        let group = next_group(&mut lines, IMPORT_GROUP_BYTES)?;
        if group.is_empty() {
            break;
        }
        progress.inc(group.len() as u64);
        let answer: ImportResult = client.post_lines(&format!("{what}/import"), group).await?;
        done = ImportResult {
            imported: done.imported + answer.imported,
            unchanged: done.unchanged + answer.unchanged,
        };
    }
    progress.finish_and_clear();
    Ok(done)
}

/// Opens a file behind its byte order mark, if it has one.
fn open(file: &Path) -> std::io::Result<BufReader<File>> {
    let mut lines = BufReader::new(File::open(file)?);
    if lines.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        lines.consume(BYTE_ORDER_MARK.len());
    }
    Ok(lines)
}

/// Reads whole lines until they have `bytes_min` bytes together; empty at the end.
fn next_group(lines: &mut impl BufRead, bytes_min: usize) -> std::io::Result<Vec<u8>> {
    let mut group = Vec::new();
    while group.len() < bytes_min && lines.read_until(b'\n', &mut group)? > 0 {}
    Ok(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_left_out_and_groups_are_whole_lines() {
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
        // Only at the head is it none of the text.
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
        assert!(refused.ends_with("all.ndjson is there already: choose another name, or remove it first"));
    }
}
