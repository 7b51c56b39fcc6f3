//! Exports and imports of conversations and memories as JSON lines, one per line.

mod preview;

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use lar_api::conversations::ImportResult;
use lar_base::lines::read_line_blocking;
use serde_json::json;

use crate::importers::report::{ImportReport, Location, Notice};
use crate::importers::upload;
use crate::output::{JsonPieces, counted};
use crate::{Client, Output};

/// The minimum size of the lines in one import request, except the last. It is far below the server's limit
/// of a body.
const IMPORT_GROUP_BYTES: usize = 4 << 20;

/// The maximum size of a line, which is one memory, or one conversation with its messages. It is sixteen times the
/// server's default `limits.body`, so that the server decides; only a file without line ends exceeds it.
const LINE_BYTES_MAX: usize = 256 << 20;

/// The number of lines that show whether Lar exported a file.
const FORMAT_LINES: usize = 3;

/// The start of the last line of an export that skipped unreadable records.
const UNREADABLE: &[u8] = b"{\"unreadable\":";

/// A line with its number, starting at 1.
type NumberedLine = (usize, Vec<u8>);

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

/// Imports an exported file of conversations. Importing twice changes nothing. A line that the server refuses does
/// not end the import.
///
/// # Errors
/// If the file cannot be read, or the server cannot be reached; if a line was refused, with each of them.
pub(crate) async fn import_conversations(
    client: &Client,
    output: &Output,
    file: &Path,
) -> anyhow::Result<()> {
    let mut report = ImportReport::default();
    read(client, output, "conversations", file, &mut report)
        .await
        .with_context(|| format!("{} could not be imported", file.display()))?;
    let done = ImportResult { imported: report.created, unchanged: report.unchanged };
    output.show(&done, || {
        format!("Imported {}; {} already existed.", items(done.imported, "conversations"), done.unchanged)
    })?;
    report.check(&file.display().to_string())
}

/// Imports an exported file of memories, or makes a dry run. Importing twice changes nothing. A line that the
/// server refuses does not end the import.
///
/// # Errors
/// As [`import_conversations`].
pub(crate) async fn import_memories(
    client: &Client,
    output: &Output,
    file: &Path,
    dry_run: bool,
) -> anyhow::Result<()> {
    let mut report = ImportReport { dry_run, ..ImportReport::default() };
    let shown = file.display().to_string();
    let read = read(client, output, "memories", file, &mut report).await;
    if read.is_ok() && report.created + report.unchanged == 0 && !report.failed.is_empty() {
        output.note("If another program wrote the file, name it with --from.");
    }
    match read {
        Ok(()) => report.finish(output, &shown, &[]),
        Err(error) if report.read == 0 => Err(error.context(format!("{shown} could not be imported"))),
        Err(error) => Err(report.stop(output, &shown, error)),
    }
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

/// Sends the lines of a file, and counts the results in `report`.
async fn read(
    client: &Client,
    output: &Output,
    what: &str,
    file: &Path,
    report: &mut ImportReport,
) -> anyhow::Result<()> {
    let length = std::fs::metadata(file)?.len();
    let mut lines = open(file)?;
    let progress = output.progress(length);
    let location = Location::file(file.file_name().unwrap_or_default().to_string_lossy());
    let (mut next, mut preview) = (1, preview::Preview::default());
    loop {
        let group = next_group(&mut lines, IMPORT_GROUP_BYTES, &mut next)?;
        if group.is_empty() {
            break;
        }
        if report.read == 0 {
            check_format(&group)?;
        }
        let (unreadable, group): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|(_, line)| line.starts_with(UNREADABLE));
        for (number, _) in unreadable {
            let reason = "records that the exporting Lar could not read";
            report.skipped.push(Notice { location: location.line(number), reason: reason.into() });
        }
        let bytes: usize = group.iter().map(|(_, line)| line.len()).sum();
        report.read += group.len();
        if report.dry_run {
            preview.lines(client, &location, &group, report).await?;
        } else {
            send(client, what, &location, &group, report).await?;
        }
        progress.inc(bytes as u64);
    }
    progress.finish_and_clear();
    Ok(())
}

/// Sends lines with their numbers. The server imports all lines of a request or none. If it refuses them, sends
/// both halves, until a refused request has only one line.
async fn send(
    client: &Client,
    what: &str,
    location: &Location,
    lines: &[NumberedLine],
    report: &mut ImportReport,
) -> anyhow::Result<()> {
    let mut waiting = vec![lines];
    while let Some(part) = waiting.pop() {
        if part.is_empty() {
            continue;
        }
        match client.post_lines::<ImportResult>(&format!("{what}/import"), body_of(part)).await {
            Ok(done) => {
                report.created += done.imported;
                report.unchanged += done.unchanged;
            }
            Err(error) => not_saved(error, part, location, &mut waiting, report)?,
        }
    }
    Ok(())
}

/// Returns the body of a request with these lines.
fn body_of(lines: &[NumberedLine]) -> Vec<u8> {
    lines.iter().flat_map(|(_, line)| line.iter().copied()).collect()
}

/// Adds both halves of a refused request to `waiting`, or names its only line as failed.
///
/// # Errors
/// The error, if it does not refuse a line.
fn not_saved<'a>(
    error: anyhow::Error,
    part: &'a [NumberedLine],
    location: &Location,
    waiting: &mut Vec<&'a [NumberedLine]>,
    report: &mut ImportReport,
) -> anyhow::Result<()> {
    let refused = upload::refusal(error)?;
    if let [(number, _)] = part {
        let reason = line_reason(&refused.detail);
        report.failed.push(Notice { location: location.line(*number), reason });
    } else {
        let (first, second) = part.split_at(part.len() / 2);
        waiting.extend([second, first]);
    }
    Ok(())
}

/// Returns the reason for a line without its number in the request, where it is the only line.
fn line_reason(detail: &str) -> String {
    let detail = detail.strip_prefix("line 1: ").unwrap_or(detail).replace("lines[0].", "");
    detail.strip_prefix("line 1 ").map_or(detail.clone(), |rest| format!("the line {rest}"))
}

/// Refuses a file whose first lines are no JSON objects, because Lar did not export it.
fn check_format(lines: &[NumberedLine]) -> anyhow::Result<()> {
    let is_object =
        |line: &[u8]| serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(line).is_ok();
    let first = lines.iter().take(FORMAT_LINES).any(|(_, line)| is_object(line));
    anyhow::ensure!(
        first,
        "the first lines are no JSON objects, so Lar did not export the file; name the program with --from"
    );
    Ok(())
}

/// Opens a file after its byte order mark, if it has one.
fn open(file: &Path) -> std::io::Result<BufReader<File>> {
    let mut lines = BufReader::new(File::open(file)?);
    if lines.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        lines.consume(BYTE_ORDER_MARK.len());
    }
    Ok(lines)
}

/// Reads whole lines that are not empty, until they have at least `bytes_min` bytes together. Returns nothing at
/// the end of the file. `next` is the number of the next line.
///
/// # Errors
/// If the file cannot be read, or a line is longer than [`LINE_BYTES_MAX`].
fn next_group(
    lines: &mut impl BufRead,
    bytes_min: usize,
    next: &mut usize,
) -> std::io::Result<Vec<NumberedLine>> {
    let (mut group, mut bytes) = (Vec::new(), 0);
    while bytes < bytes_min
        && let Some(line) = read_line_blocking(lines, LINE_BYTES_MAX)?
    {
        let mut line = line.complete(LINE_BYTES_MAX)?;
        let number = *next;
        *next += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        // The last line may have no end, and another line may follow it in a request.
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        bytes += line.len();
        group.push((number, line));
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
            let (mut lines, mut next) = (open(&path).unwrap(), 1);
            let groups = std::iter::from_fn(|| {
                let group = next_group(&mut lines, 9, &mut next).unwrap();
                let text = |(number, line)| format!("{number} {}", String::from_utf8(line).unwrap());
                Some(group.into_iter().map(text).collect::<Vec<_>>()).filter(|group| !group.is_empty())
            });
            groups.collect::<Vec<_>>()
        };
        let (one, two, three) = ("{\"a\":1}\r\n", "{}\r\n", "{\"b\":2}");
        let expected = [vec![format!("1 {one}")], vec![format!("2 {two}"), format!("3 {three}\n")]];
        assert_eq!(groups(&format!("\u{feff}{one}{two}{three}")), expected);
        assert_eq!(groups(&format!("{one}{two}{three}")), expected);
        assert_eq!(groups(&format!("\r\n\n{one}")), [[format!("3 {one}")]]);
        // Elsewhere than at the start of the file, it is a part of the text.
        assert_eq!(
            groups(&format!("{two}\u{feff}{three}")),
            [vec![format!("1 {two}"), format!("2 \u{feff}{three}\n")]]
        );
        assert!(groups("\u{feff}").is_empty() && groups("").is_empty() && groups("\n\r\n").is_empty());
    }

    #[test]
    fn a_file_of_another_program_is_refused_as_a_whole() {
        let lines = |text: &str| -> Vec<NumberedLine> {
            (1..).zip(text.lines().map(|line| line.as_bytes().to_vec())).collect()
        };
        assert!(check_format(&lines("nope\n{\"id\": 1}\n")).is_ok(), "one bad line is no reason");
        assert!(check_format(&lines("{\n  \"results\": [\n    {\n")).is_err());
        assert!(check_format(&lines("# Notes\n\n- one\n- two\n")).is_err());
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
