//! Memories that other programs keep, taken in: what they export is read here, each thing they know becomes a memory, and what is
//! left out is counted with its reason. Twice changes nothing, as the same content from the same source is one memory.

mod json;
mod markdown;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use lar_api::memories::{IngestResults, NewMemories, NewMemory};
use lar_base::Timestamp;
use serde::Serialize;

use crate::{Client, Output};

/// A larger file is none of these.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Memories of a request.
const BATCH: usize = 100;
/// Characters of a memory in the list of a dry run.
const SHOWN_CHARS: usize = 90;
/// Numbers of left out lines that are shown.
const SKIPPED_SHOWN: usize = 5;
/// Memories that a dry run shows.
const SHOWN: usize = 5;

/// The programs whose memories can be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportSource {
    /// mem0: what `get_all` returns, as JSON
    Mem0,
    /// Vestige: its JSON export
    Vestige,
    /// The reference MCP memory server: its memory.jsonl
    McpMemory,
    /// basic-memory: its folder of Markdown notes
    BasicMemory,
    /// CLAUDE.md, AGENTS.md and their like
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

/// What was read of an export.
#[derive(Debug, Default)]
struct ParsedExport {
    memories: Vec<NewMemory>,
    /// How much was left out, by why.
    left_out: BTreeMap<&'static str, usize>,
    /// The first lines that were left out.
    skipped: Vec<usize>,
}

impl ParsedExport {
    fn leave_out(&mut self, why: &'static str) {
        *self.left_out.entry(why).or_default() += 1;
    }

    /// Leaves out a line of the file, counted from 1.
    fn skip_line(&mut self, number: usize, why: &'static str) {
        self.leave_out(why);
        if self.skipped.len() < SKIPPED_SHOWN {
            self.skipped.push(number);
        }
    }

    /// Keeps a memory, unless there is nothing in it. A time without a zone is taken as UTC; one that cannot be
    /// read is left out, and the memory is kept.
    fn push(&mut self, mut memory: NewMemory) {
        if memory.content.trim().is_empty() {
            self.leave_out("empty");
            return;
        }
        if let Some(text) = memory.occurred_at.take() {
            memory.occurred_at = Timestamp::parse_lenient(&text).map(|time| time.to_string());
            if memory.occurred_at.is_none() {
                self.leave_out("times that cannot be read");
            }
        }
        self.memories.push(memory);
    }
}

/// What was done, for programs.
#[derive(Debug, Serialize)]
struct ImportReport {
    read: usize,
    made: usize,
    unchanged: usize,
    left_out: BTreeMap<&'static str, usize>,
}

/// Takes in what `from` keeps in `path`; only counts it where it is a dry run.
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
        output.remark(&format!("Left out of {shown}: line {}", lines.join(", ")));
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
            // One that is refused, for a secret in it perhaps, does not keep the others out.
            Err(_) => {
                for memory in group {
                    match client
                        .post::<IngestResults>("memories/batch", &NewMemories { items: vec![memory.clone()] })
                        .await
                    {
                        Ok(one) if one.items.iter().any(|one| one.created) => done.made += 1,
                        Ok(_) => done.unchanged += 1,
                        Err(error) if error.downcast_ref::<crate::ApiError>().is_some() => {
                            *done.left_out.entry("refused by Lar").or_default() += 1;
                            output.remark(&format!("Left out: {error:#}"));
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
        format!("{} imported from {shown}; {} were there already.{left_out}", done.made, done.unchanged)
    })
}

fn read(from: ImportSource, path: &Path) -> anyhow::Result<ParsedExport> {
    if matches!(from, ImportSource::BasicMemory) != path.is_dir() && from != ImportSource::ClaudeMd {
        bail!("{} is needed", if from == ImportSource::BasicMemory { "its folder" } else { "a file" });
    }
    if path.is_file() && path.metadata()?.len() > FILE_BYTES_MAX {
        bail!("it is larger than {} MiB", FILE_BYTES_MAX >> 20);
    }
    match from {
        ImportSource::Mem0 => json::mem0(&text_of(path)?),
        ImportSource::Vestige => json::vestige(&text_of(path)?),
        ImportSource::McpMemory => json::mcp_memory(&text_of(path)?),
        ImportSource::BasicMemory => markdown::basic_memory(path),
        ImportSource::ClaudeMd => markdown::instructions(&text_of(path)?, path),
    }
}

/// The text of a file, without a byte order mark and with `\n` at the end of its lines.
pub(crate) fn text_of(path: &Path) -> std::io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n"))
}

fn render_dry_run(read: &ParsedExport) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for memory in &read.memories {
        *kinds.entry(memory.kind.as_deref().unwrap_or("fact")).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let mut lines = vec![format!(
        "{} would be imported ({}).{} Nothing was changed.",
        read.memories.len(),
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
    if parts.is_empty() { String::new() } else { format!(" Left out: {}.", parts.join(", ")) }
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
