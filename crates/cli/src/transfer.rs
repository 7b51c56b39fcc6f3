//! Exports and imports: JSON lines, one of what is moved in each.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use lar_api::conversations::Imported;
use serde_json::json;

use crate::{Client, Output};

/// Lines of an import that are sent at once: a request stays far below the server's limit of a body.
const IMPORT_GROUP_BYTES: usize = 4 << 20;

/// What some editors put at the head of a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Exports all of `what` (a path of the API) to a file, or to standard output.
pub(crate) async fn export(
    client: &Client,
    output: &Output,
    what: &str,
    file: Option<PathBuf>,
) -> anyhow::Result<()> {
    let Some(file) = file else {
        let mut lines = std::pin::pin!(client.download(&format!("{what}/export")).await?.stream());
        while let Some(part) = lines.next().await {
            output.bytes(&part?)?;
        }
        return Ok(());
    };
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
    let mut out = std::io::BufWriter::new(std::fs::File::create(&partial)?);
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

async fn read(client: &Client, output: &Output, what: &str, file: &Path) -> anyhow::Result<Imported> {
    let length = std::fs::metadata(file)?.len();
    let mut lines = std::io::BufReader::new(std::fs::File::open(file)?);
    let mut done = Imported { imported: 0, unchanged: 0 };
    let progress = output.progress(length);
    loop {
        let mut group = Vec::new();
        while group.len() < IMPORT_GROUP_BYTES && lines.read_until(b'\n', &mut group)? > 0 {}
        if group.is_empty() {
            break;
        }
        progress.inc(group.len() as u64);
        if done == (Imported { imported: 0, unchanged: 0 }) && group.starts_with(BYTE_ORDER_MARK) {
            group.drain(..BYTE_ORDER_MARK.len());
        }
        let answer: Imported = client.post_lines(&format!("{what}/import"), group).await?;
        done = Imported {
            imported: done.imported + answer.imported,
            unchanged: done.unchanged + answer.unchanged,
        };
    }
    progress.finish_and_clear();
    Ok(done)
}
