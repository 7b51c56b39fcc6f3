//! `lar memory import`: imports memories that Lar or another program exported.
//!
//! Each fact of an export becomes one memory. Every item that is skipped, refused or unreadable is named with its
//! file, its line or its number, and the reason; the rest is imported. Importing twice changes nothing, because the
//! same content from the same source is one memory. Files of other programs are never changed.

mod basic_memory;
mod chatgpt;
mod claude;
mod details;
mod dialogue;
mod export_file;
mod export_folder;
mod folder;
mod front_matter;
mod instructions;
mod json_items;
mod mcp_memory;
mod mem0;
mod memory_list;
mod notes;
mod parsed_export;
mod passages;
pub(crate) mod report;
mod sections;
mod times;
pub(crate) mod upload;
mod vestige;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};

pub(crate) use self::export_file::read_text;
use self::parsed_export::ParsedExport;
use self::report::{ImportReport, Location};
use crate::memory_files;
use crate::transfer;
use crate::{Client, Output};

/// The folder that makes a folder an Obsidian vault.
const VAULT: &str = ".obsidian";
/// The number of characters that a dry run prints of a memory.
const SHOWN_CHARS: usize = 90;
/// The number of memories that a dry run prints.
const SHOWN: usize = 5;

/// The programs whose memories can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportSource {
    /// Obsidian: the folder of the vault
    Obsidian,
    /// A folder of notes in Markdown
    Markdown,
    /// basic-memory: the folder of Markdown notes
    BasicMemory,
    /// ChatGPT: the list of memories as text, or the unzipped data export
    Chatgpt,
    /// Claude: the memory as text, or the unzipped data export
    Claude,
    /// CLAUDE.md, AGENTS.md and similar files
    ClaudeMd,
    /// mem0: the result of `get_all`, as JSON
    Mem0,
    /// The reference MCP memory server: the file memory.jsonl
    McpMemory,
    /// Vestige: the JSON export
    Vestige,
}

/// The arguments of `lar memory import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The exported file or folder
    file: PathBuf,
    /// The program that exported the memories [default: Lar; Obsidian or Markdown for a folder of notes]
    #[arg(long, value_name = "PROGRAM")]
    from: Option<ImportSource>,
    /// Print what the import would do, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Also import the turns of conversations from the data export of ChatGPT or Claude
    #[arg(long, requires = "from")]
    conversations: bool,
    /// Import into this team space instead of your own space
    #[arg(long)]
    space: Option<String>,
}

/// The format of an import.
#[derive(Debug, PartialEq, Eq)]
enum Format {
    /// Lar's JSON lines.
    LarFile,
    /// A folder of Markdown that Lar exported.
    LarFolder,
    /// The export of another program.
    Program(ImportSource),
}

/// Imports an export, or makes a dry run.
///
/// # Errors
/// If the export cannot be read, or the server cannot be reached; as [`ImportReport::finish`].
pub(crate) async fn run(client: &Client, output: &Output, args: ImportArgs) -> anyhow::Result<()> {
    let client = &client.in_space(args.space);
    let path = args.file.as_path();
    let format = detect(args.from, path)?;
    if args.conversations && !matches!(format, Format::Program(ImportSource::Chatgpt | ImportSource::Claude))
    {
        bail!("only exports of ChatGPT and Claude have conversations");
    }
    match format {
        Format::LarFile => transfer::import_memories(client, output, path, args.dry_run).await,
        Format::LarFolder => memory_files::import(client, output, path, args.dry_run).await,
        Format::Program(from) => {
            if args.from.is_none() {
                output.note(&note_about_detection(from, path));
            }
            let shown = path.display().to_string();
            let read = read(from, path, args.conversations).context(shown.clone())?;
            import(client, output, read, &shown, args.dry_run).await
        }
    }
}

/// Returns the format of a file or folder, if the program is not named.
fn detect(from: Option<ImportSource>, path: &Path) -> anyhow::Result<Format> {
    Ok(match from {
        Some(from) => Format::Program(from),
        None if !path.is_dir() => Format::LarFile,
        None if path.join(VAULT).is_dir() => Format::Program(ImportSource::Obsidian),
        None if memory_files::is_exported_folder(path)? => Format::LarFolder,
        None => Format::Program(ImportSource::Markdown),
    })
}

fn note_about_detection(from: ImportSource, path: &Path) -> String {
    let path = path.display();
    match from {
        ImportSource::Obsidian => format!("{path} is an Obsidian vault."),
        _ => format!("{path} is a folder of notes that Lar did not export. The notes stay as they are."),
    }
}

async fn import(
    client: &Client,
    output: &Output,
    read: ParsedExport,
    shown: &str,
    dry_run: bool,
) -> anyhow::Result<()> {
    let ParsedExport { entries, skipped, failed, .. } = read;
    let mut report =
        ImportReport { dry_run, read: entries.len(), skipped, failed, ..ImportReport::default() };
    let progress = output.progress(entries.len() as u64);
    let saved = upload::save(client, &entries, &progress, &mut report).await;
    progress.finish_and_clear();
    match saved {
        Ok(created) => {
            let texts = created.iter().map(|at| first_characters(&entries[*at].memory.content));
            let mut preview: Vec<String> = texts.take(if dry_run { SHOWN } else { 0 }).collect();
            if dry_run && created.len() > SHOWN {
                preview.push("…".into());
            }
            report.finish(output, shown, &preview)
        }
        Err(error) => Err(report.stop(output, shown, error)),
    }
}

fn first_characters(content: &str) -> String {
    let words: Vec<&str> = content.split_whitespace().collect();
    words.join(" ").chars().take(SHOWN_CHARS).collect()
}

/// Parses an export.
fn read(from: ImportSource, path: &Path, with_turns: bool) -> anyhow::Result<ParsedExport> {
    use ImportSource as Source;
    match from {
        Source::Obsidian | Source::Markdown | Source::BasicMemory if !path.is_dir() => {
            path.metadata()?;
            bail!("a folder is required");
        }
        Source::Mem0 | Source::Vestige | Source::McpMemory | Source::ClaudeMd if !path.is_file() => {
            path.metadata()?;
            bail!("a file is required");
        }
        _ => {}
    }
    let mut read = ParsedExport::default();
    let file = Location::file(path.file_name().unwrap_or_default().to_string_lossy());
    match from {
        Source::Obsidian => notes::parse(path, "obsidian", &mut read)?,
        Source::Markdown => notes::parse(path, "markdown", &mut read)?,
        Source::BasicMemory => basic_memory::parse(path, &mut read)?,
        Source::Chatgpt => chatgpt::parse(path, with_turns, &mut read)?,
        Source::Claude => claude::parse(path, with_turns, &mut read)?,
        Source::ClaudeMd => instructions::parse(&read_text(path)?, path, &file, &mut read),
        Source::Mem0 => mem0::parse(&read_text(path)?, &file, &mut read)?,
        Source::McpMemory => mcp_memory::parse(&read_text(path)?, &file, &mut read)?,
        Source::Vestige => vestige::parse(&read_text(path)?, &file, &mut read)?,
    }
    if matches!(from, Source::Obsidian | Source::Markdown | Source::BasicMemory) {
        let has_notes = !read.entries.is_empty() || !read.skipped.is_empty() || !read.failed.is_empty();
        ensure!(has_notes, "the folder has no notes");
    }
    Ok(read)
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
        let cases: [(ImportSource, &str, &[&str]); 7] = [
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
            (ImportSource::Claude, "**Work**\r\n\r\nBuilds mills.\r\n", &["Work: Builds mills."]),
            (ImportSource::Chatgpt, "Likes tea\r\nLikes rain\r\n", &["Likes tea", "Likes rain"]),
        ];
        for (from, text, contents) in cases {
            std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
            let read = read(from, &path, false).unwrap();
            let found: Vec<&str> = read.entries.iter().map(|entry| entry.memory.content.as_str()).collect();
            assert_eq!(
                (found.as_slice(), read.skipped.len(), read.failed.len()),
                (contents, 0, 0),
                "{from:?}"
            );
        }
    }

    #[test]
    fn an_empty_file_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export");
        for text in ["", "\u{feff}", " \r\n\r\n"] {
            std::fs::write(&path, text).unwrap();
            for from in ImportSource::value_variants() {
                use ImportSource::{BasicMemory, Markdown, Obsidian};
                if matches!(from, BasicMemory | Markdown | Obsidian) {
                    continue;
                }
                let read = read(*from, &path, false).unwrap();
                assert_eq!((read.entries.len(), read.failed.len()), (0, 0), "{from:?} {text:?}");
            }
        }
    }

    #[test]
    fn the_format_of_a_folder_is_detected() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("vault/.obsidian")).unwrap();
        std::fs::create_dir_all(at("notes/sub")).unwrap();
        std::fs::create_dir_all(at("lar")).unwrap();
        std::fs::write(at("vault/a.md"), "---\nid: mem_1\n---\nText\n").unwrap();
        std::fs::write(at("notes/sub/a.md"), "Text\n").unwrap();
        std::fs::write(at("lar/a.md"), "---\nid: mem_1\n---\nText\n").unwrap();
        let of = |name: &str| detect(None, &at(name)).unwrap();
        assert_eq!(of("vault"), Format::Program(ImportSource::Obsidian));
        assert_eq!(of("notes"), Format::Program(ImportSource::Markdown));
        assert_eq!(of("lar"), Format::LarFolder);
        assert_eq!(of("lar/a.md"), Format::LarFile);
        assert_eq!(
            detect(Some(ImportSource::BasicMemory), &at("vault")).unwrap(),
            Format::Program(ImportSource::BasicMemory)
        );
    }

    #[test]
    fn a_missing_file_and_the_wrong_kind_of_path_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.json"), "[]").unwrap();
        let error = |from, name: &str| read(from, &folder.path().join(name), false).unwrap_err().to_string();
        assert_eq!(error(ImportSource::Obsidian, "a.json"), "a folder is required");
        assert_eq!(error(ImportSource::Mem0, "."), "a file is required");
        assert!(error(ImportSource::Mem0, "missing").contains("No such file"));
        assert!(error(ImportSource::Obsidian, "missing").contains("No such file"));
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        assert_eq!(error(ImportSource::Markdown, "empty"), "the folder has no notes");
        assert_eq!(error(ImportSource::Claude, "empty"), "the folder has no JSON file");
        assert_eq!(error(ImportSource::Chatgpt, "export.zip"), "unzip the export first");
    }
}
