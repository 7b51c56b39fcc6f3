//! `lar memory import --from`: imports memories from the exports of other programs.
//!
//! Each fact of an export becomes one memory. Skipped items are counted by reason. Importing twice changes
//! nothing, because the same content from the same source is one memory.

mod export_file;
mod json;
mod markdown;
mod parsed_export;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use lar_api::memories::{IngestResults, NewMemories};
use serde::Serialize;

use crate::output::counted;
use crate::{Client, Output};
use export_file::FILE_BYTES_MAX;
pub(crate) use export_file::read_text;
use parsed_export::ParsedExport;

/// The number of memories per request.
const BATCH: usize = 100;
/// The number of characters that a dry run prints of a memory.
const SHOWN_CHARS: usize = 90;
/// The number of memories that a dry run prints.
const SHOWN: usize = 5;

/// The programs whose memories can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportSource {
    /// mem0: the result of `get_all`, as JSON
    Mem0,
    /// Vestige: the JSON export
    Vestige,
    /// The reference MCP memory server: the file memory.jsonl
    McpMemory,
    /// basic-memory: the folder of Markdown notes
    BasicMemory,
    /// CLAUDE.md, AGENTS.md and similar files
    ClaudeMd,
}

impl ImportSource {
    const fn source(self) -> &'static str {
        match self {
            ImportSource::Mem0 => "mem0",
            ImportSource::Vestige => "vestige",
            ImportSource::McpMemory => "mcp-memory",
            ImportSource::BasicMemory => "basic-memory",
            ImportSource::ClaudeMd => "claude-md",
        }
    }
}

/// The JSON output of the command.
#[derive(Debug, Serialize)]
struct ImportReport {
    read: usize,
    made: usize,
    unchanged: usize,
    left_out: BTreeMap<&'static str, usize>,
}

/// Imports the export of `from` in `path`. A dry run only counts the memories.
pub(crate) async fn run(
    client: &Client,
    output: &Output,
    from: ImportSource,
    path: &Path,
    dry_run: bool,
) -> anyhow::Result<()> {
    let shown = path.display().to_string();
    let mut read = read(from, path).with_context(|| shown.clone())?;
    for memory in &mut read.memories {
        memory.source.get_or_insert_with(|| from.source().into());
    }
    if !read.skipped.is_empty() {
        let lines: Vec<String> = read.skipped.iter().map(ToString::to_string).collect();
        output.remark(&format!("Skipped lines of {shown}: {}", lines.join(", ")));
    }
    if dry_run {
        let done = ImportReport {
            read: read.memories.len(),
            made: 0,
            unchanged: 0,
            left_out: read.left_out.clone(),
        };
        return output.show(&done, || render_dry_run(&read));
    }
    let progress = output.progress(read.memories.len() as u64);
    let mut done = ImportReport { read: read.memories.len(), made: 0, unchanged: 0, left_out: read.left_out };
    for group in read.memories.chunks(BATCH) {
        let body = NewMemories { items: group.to_vec() };
        match client.post::<IngestResults>("memories/batch", &body).await {
            Ok(all) => {
                let made = all.items.iter().filter(|one| one.created).count();
                done.made += made;
                done.unchanged += all.items.len() - made;
            }
            // The server rejected the batch, perhaps because of a secret in one memory. Import the memories
            // one by one.
            Err(_) => {
                for memory in group {
                    match client
                        .post::<IngestResults>("memories/batch", &NewMemories { items: vec![memory.clone()] })
                        .await
                    {
                        Ok(one) if one.items.iter().any(|one| one.created) => done.made += 1,
                        Ok(_) => done.unchanged += 1,
                        Err(error) if error.downcast_ref::<crate::ApiError>().is_some() => {
                            *done.left_out.entry("rejected by Lar").or_default() += 1;
                            output.remark(&format!("Skipped a memory: {error:#}"));
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        progress.inc(group.len() as u64);
    }
    progress.finish_and_clear();
    output.show(&done, || {
        let left_out = reasons(&done.left_out);
        let made = counted(done.made, "memory", "memories");
        format!("Imported {made} from {shown}; {} already existed.{left_out}", done.unchanged)
    })
}

fn read(from: ImportSource, path: &Path) -> anyhow::Result<ParsedExport> {
    if matches!(from, ImportSource::BasicMemory) != path.is_dir() && from != ImportSource::ClaudeMd {
        bail!("{} is required", if from == ImportSource::BasicMemory { "a folder" } else { "a file" });
    }
    if path.is_file() && path.metadata()?.len() > FILE_BYTES_MAX.get() {
        bail!("the file is larger than the limit of {FILE_BYTES_MAX}");
    }
    match from {
        ImportSource::Mem0 => json::mem0(&read_text(path)?),
        ImportSource::Vestige => json::vestige(&read_text(path)?),
        ImportSource::McpMemory => json::mcp_memory(&read_text(path)?),
        ImportSource::BasicMemory => markdown::basic_memory(path),
        ImportSource::ClaudeMd => markdown::instructions(&read_text(path)?, path),
    }
}

fn render_dry_run(read: &ParsedExport) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for memory in &read.memories {
        *kinds.entry(memory.kind.as_deref().unwrap_or("fact")).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let mut lines = vec![format!(
        "Would import {} ({}).{} Nothing was changed.",
        counted(read.memories.len(), "memory", "memories"),
        kinds.join(", "),
        reasons(&read.left_out)
    )];
    for memory in read.memories.iter().take(SHOWN) {
        let line: Vec<&str> = memory.content.split_whitespace().collect();
        lines.push(format!("  {}", line.join(" ").chars().take(SHOWN_CHARS).collect::<String>()));
    }
    if read.memories.len() > SHOWN {
        lines.push("  …".into());
    }
    lines.join("\n")
}

fn reasons(left_out: &BTreeMap<&'static str, usize>) -> String {
    let parts: Vec<String> = left_out.iter().map(|(why, count)| format!("{count} {why}")).collect();
    if parts.is_empty() { String::new() } else { format!(" Skipped: {}.", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_with_a_byte_order_mark_and_crlf_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export");
        let mcp = "{\"type\":\"entity\",\"name\":\"Anna\",\"observations\":[\"sings\"]}\r\n\
                   {\"type\":\"entity\",\"name\":\"Bo\",\"observations\":[\"paints\"]}\r\n";
        let cases: [(ImportSource, &str, &[&str]); 5] = [
            (
                ImportSource::Mem0,
                "{ \"results\": [\r\n{ \"memory\": \"Likes tea\" }\r\n] }\r\n",
                &["Likes tea"],
            ),
            (ImportSource::Mem0, "{\"memory\":\"a\"}\r\n\r\n{\"memory\":\"b\"}\r\n", &["a", "b"]),
            (
                ImportSource::Vestige,
                "[\r\n{ \"content\": \"We use Postgres\" }\r\n]\r\n",
                &["We use Postgres"],
            ),
            (ImportSource::McpMemory, mcp, &["Anna: sings", "Bo: paints"]),
            (
                ImportSource::ClaudeMd,
                "# Rules\r\n- Use tabs\r\n- Never push\r\n  to main\r\n",
                &["Rules: Use tabs", "Rules: Never push to main"],
            ),
        ];
        for (from, text, contents) in cases {
            std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
            let read = read(from, &path).unwrap();
            let found: Vec<&str> = read.memories.iter().map(|memory| memory.content.as_str()).collect();
            assert_eq!((found.as_slice(), read.left_out.len()), (contents, 0), "{from:?}");
        }
    }
}
