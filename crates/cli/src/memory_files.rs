//! Memories as a folder of Markdown files that a person can edit. Each file has front matter with the fields
//! of one memory, and then its text.
//!
//! An import updates the memory with the `id` of a file if the file differs. A file without an `id` becomes a
//! new memory. The import adds the id to the file only if at least half of the files in its folder are Lar's;
//! notes that Lar did not export stay as they are. A deleted file does not forget its memory.

mod note_file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use indicatif::ProgressBar;
use lar_api::Page;
use lar_api::memories::{IngestResult, Memory, MemoryPatch, NewMemory, WrittenMemory};
use serde_json::json;

use self::note_file::{NoteFile, file_name, with_id};
use crate::importers::report::{ImportReport, Location, Notice};
use crate::importers::upload::{self, Outcome};
use crate::output::{Output, counted};
use crate::{ApiError, Client, url_path};

/// The start of an id in a file that Lar exported.
const ID_START: &str = "mem_";
/// The maximum depth of folders that are searched.
const DEPTH_MAX: usize = 32;
/// The folder that makes a folder an Obsidian vault, whose notes are not Lar's.
const VAULT: &str = ".obsidian";
/// The reason for front matter that is no field of a memory.
const UNKNOWN: &str = "front matter that is no field of a memory (it stays in the file)";
/// The number of memories per request of a dry run.
const BATCH: usize = 100;

/// Returns whether Lar exported Markdown to this folder: whether one of its files has the id of a memory.
///
/// # Errors
/// If the folder cannot be read.
pub(crate) fn is_exported_folder(folder: &Path) -> anyhow::Result<bool> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if is_markdown(&path) && NoteFile::read(&path).is_ok_and(|note| is_of_lar(&note)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes every current memory to the folder. Overwrites existing files of the same memories.
pub(crate) async fn export(client: &Client, output: &Output, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let there: BTreeMap<String, PathBuf> = files(folder, &mut Vec::new())?
        .into_iter()
        .filter_map(|path| Some((NoteFile::read(&path).ok()?.fields.remove("id")?, path)))
        .collect();
    let total: lar_api::memories::MemoryStats = client.get("memories/stats").await?;
    let progress = output.progress(total.memories);
    let (mut written, mut after) = (0_usize, None);
    loop {
        let cursor = after.map(|after: String| format!("&after={after}")).unwrap_or_default();
        let page: Page<Memory> = client.get(&format!("memories?limit=200{cursor}")).await?;
        for memory in page.data.iter().filter(|memory| memory.superseded_by.is_none()) {
            let path = there.get(&memory.id).cloned().unwrap_or_else(|| folder.join(file_name(memory)));
            let text = NoteFile::of_memory(memory).to_text();
            std::fs::write(&path, text).with_context(|| path.display().to_string())?;
            written += 1;
        }
        progress.inc(page.data.len() as u64);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    progress.finish_and_clear();
    output.show(&json!({ "files": written }), || {
        format!("Exported {} to {}.", counted(written, "file", "files"), folder.display())
    })
}

/// Imports the folder: updates changed memories and creates new ones. A file that cannot be imported does not
/// end the import. A dry run changes nothing.
///
/// # Errors
/// If the folder cannot be read, or the server cannot be reached; as [`ImportReport::finish`].
pub(crate) async fn import(
    client: &Client,
    output: &Output,
    folder: &Path,
    dry_run: bool,
) -> anyhow::Result<()> {
    let mut report = ImportReport { dry_run, changed: Some(0), ..ImportReport::default() };
    let files = files(folder, &mut report.skipped)?;
    let notes = read_all(folder, &files, &mut report);
    let adds_ids = notes.iter().filter(|one| is_of_lar(&one.note)).count() * 2 >= notes.len();
    report.read = notes.len();
    let progress = output.progress(notes.len() as u64);
    let imported = import_notes(client, notes, adds_ids, &progress, &mut report).await;
    progress.finish_and_clear();
    if report.created > 0 && !adds_ids && !dry_run {
        output.note("Most files of the folder are not Lar's, so the new ones got no `id`.");
    }
    let shown = folder.display().to_string();
    match imported {
        Ok(()) => report.finish(output, &shown, &[]),
        Err(error) => Err(report.stop(output, &shown, error)),
    }
}

async fn import_notes(
    client: &Client,
    notes: Vec<FoundNote<'_>>,
    adds_ids: bool,
    progress: &ProgressBar,
    report: &mut ImportReport,
) -> anyhow::Result<()> {
    let mut planned = Vec::new();
    for note in notes {
        match plan(client, &note).await {
            Ok(plan) if report.dry_run => planned.push((note, plan)),
            Ok(plan) => apply(client, note, plan, adds_ids, report).await?,
            Err(error) => {
                let reason = upload::refusal(error)?.detail;
                report.failed.push(Notice { location: note.location, reason });
            }
        }
        progress.inc(1);
    }
    preview(client, planned, report).await
}

/// A file with a memory.
struct FoundNote<'a> {
    path: &'a Path,
    location: Location,
    note: NoteFile,
    pinned: bool,
}

/// Reads and parses files. Names those that cannot be read or have no text.
fn read_all<'a>(folder: &Path, files: &'a [PathBuf], report: &mut ImportReport) -> Vec<FoundNote<'a>> {
    let mut notes = Vec::with_capacity(files.len());
    for path in files {
        let location = Location::file(path.strip_prefix(folder).unwrap_or(path).display().to_string());
        match NoteFile::read(path).and_then(|note| Ok((note.is_pinned()?, note))) {
            Ok((_, note)) if note.content.is_empty() => {
                report.skipped.push(Notice { location, reason: "files without text".into() });
            }
            Ok((pinned, note)) => {
                if note.has_unknown() {
                    report.skipped.push(Notice { location: location.clone(), reason: UNKNOWN.into() });
                }
                notes.push(FoundNote { path, location, note, pinned });
            }
            Err(error) => report.failed.push(Notice { location, reason: format!("{error:#}") }),
        }
    }
    notes
}

/// The change that a file asks for.
enum Plan {
    Create(Box<NewMemory>),
    Update {
        id: String,
        patch: Box<MemoryPatch>,
    },
    Nothing,
    /// There is no memory with the id of the file.
    Missing {
        id: String,
    },
}

/// Decides about a file. Only differences from what an export would write are changes.
async fn plan(client: &Client, found: &FoundNote<'_>) -> anyhow::Result<Plan> {
    let note = &found.note;
    let Some(id) = note.field("id") else { return Ok(Plan::Create(Box::new(new_memory(note)))) };
    let known = client.get::<Memory>(&format!("memories/{}", url_path::encode_segment(&id))).await;
    let known = match known {
        Err(error)
            if error.downcast_ref::<ApiError>().is_some_and(|ApiError(problem)| problem.status == 404) =>
        {
            return Ok(Plan::Missing { id });
        }
        known => known?,
    };
    let as_known = NoteFile::of_memory(&known);
    let changed = |name: &str| (note.fields.get(name) != as_known.fields.get(name)).then(|| note.field(name));
    let patch = MemoryPatch {
        content: (note.content != as_known.content).then(|| note.content.clone()),
        kind: changed("kind").flatten(),
        tags: Some(note.tags()).filter(|tags| *tags != known.tags),
        project: changed("project"),
        occurred_at: changed("occurred_at"),
        valid_from: changed("valid_from"),
        valid_to: changed("valid_to"),
        pinned: Some(found.pinned).filter(|pinned| *pinned != known.pinned),
        deleted: None,
    };
    let is_same = patch == MemoryPatch::default();
    Ok(if is_same { Plan::Nothing } else { Plan::Update { id, patch: Box::new(patch) } })
}

fn new_memory(note: &NoteFile) -> NewMemory {
    NewMemory {
        content: note.content.clone(),
        kind: note.field("kind"),
        tags: note.tags(),
        project: note.field("project"),
        source: note.field("source"),
        occurred_at: note.field("occurred_at"),
        valid_from: note.field("valid_from"),
        valid_to: note.field("valid_to"),
        ..NewMemory::default()
    }
}

/// Makes the change of a file.
///
/// # Errors
/// If the server cannot be reached.
async fn apply(
    client: &Client,
    found: FoundNote<'_>,
    plan: Plan,
    adds_ids: bool,
    report: &mut ImportReport,
) -> anyhow::Result<()> {
    let FoundNote { path, location, pinned, .. } = found;
    let refused = match plan {
        Plan::Nothing => {
            report.unchanged += 1;
            None
        }
        Plan::Missing { id } => {
            report.failed.push(Notice { location: location.clone(), reason: missing(&id) });
            None
        }
        Plan::Update { id, patch } => {
            let memory = format!("memories/{}", url_path::encode_segment(&id));
            match client.patch::<WrittenMemory>(&memory, &patch).await {
                Ok(_) => {
                    report.changed = report.changed.map(|changed| changed + 1);
                    None
                }
                Err(error) => Some(error),
            }
        }
        Plan::Create(new) => match create(client, &new, pinned).await {
            Ok(made) => {
                report.created += usize::from(made.created);
                report.unchanged += usize::from(!made.created);
                if adds_ids {
                    let text = crate::importers::read_text(path).map(|text| with_id(&text, &made.memory.id));
                    if let Err(error) = text.and_then(|text| std::fs::write(path, text)) {
                        let reason = format!("saved, but the id cannot be written to the file: {error}");
                        report.failed.push(Notice { location: location.clone(), reason });
                    }
                }
                None
            }
            Err(error) => Some(error),
        },
    };
    if let Some(error) = refused {
        report.refused.push(Notice { location, reason: upload::refusal(error)?.detail });
    }
    Ok(())
}

fn missing(id: &str) -> String {
    format!("there is no memory {id}; remove the line `id` to save the file as a new memory")
}

async fn create(client: &Client, new: &NewMemory, pinned: bool) -> anyhow::Result<IngestResult> {
    let made: IngestResult = client.post("memories", new).await?;
    if pinned {
        let patch = MemoryPatch { pinned: Some(true), ..MemoryPatch::default() };
        let _: WrittenMemory = client.patch(&format!("memories/{}", made.memory.id), &patch).await?;
    }
    Ok(made)
}

/// Counts the changes of files, after asking the server which texts it would refuse and which it has.
async fn preview(
    client: &Client,
    planned: Vec<(FoundNote<'_>, Plan)>,
    report: &mut ImportReport,
) -> anyhow::Result<()> {
    let mut asked = Vec::new();
    for (found, plan) in planned {
        match plan {
            Plan::Nothing => report.unchanged += 1,
            Plan::Missing { id } => {
                report.failed.push(Notice { location: found.location, reason: missing(&id) });
            }
            Plan::Create(new) => asked.push((found.location, *new, true)),
            // The tags, the kind and the times are checked as those of a new memory.
            Plan::Update { .. } => asked.push((found.location, new_memory(&found.note), false)),
        }
    }
    for group in asked.chunks(BATCH) {
        let memories = group.iter().enumerate().map(|(at, (_, memory, _))| (at, memory.clone()));
        let outcomes = upload::preview(client, memories.collect()).await?;
        for ((location, _, is_new), (_, outcome)) in group.iter().zip(outcomes) {
            match outcome {
                Outcome::Refused(reason) => {
                    report.refused.push(Notice { location: location.clone(), reason });
                }
                Outcome::Created(_) if *is_new => report.created += 1,
                Outcome::Unchanged(_) if *is_new => report.unchanged += 1,
                Outcome::Created(_) | Outcome::Unchanged(_) => {
                    report.changed = report.changed.map(|changed| changed + 1);
                }
            }
        }
    }
    Ok(())
}

fn is_of_lar(note: &NoteFile) -> bool {
    note.fields.get("id").is_some_and(|id| id.starts_with(ID_START))
}

fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "md")
}

/// Returns the Markdown files of a folder and its subfolders, sorted by name. Names the links, the hidden files
/// and the vaults in it, which are skipped.
fn files(folder: &Path, skipped: &mut Vec<Notice>) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut waiting) = (Vec::new(), vec![(folder.to_owned(), 0)]);
    while let Some((path, depth)) = waiting.pop() {
        let entries = std::fs::read_dir(&path).with_context(|| path.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
            let reason = if kind.is_dir() {
                match () {
                    () if is_hidden => continue,
                    () if path.join(VAULT).is_dir() => "Obsidian vaults (import them on their own)",
                    () if depth < DEPTH_MAX => {
                        waiting.push((path, depth + 1));
                        continue;
                    }
                    () => "folders that are nested too deeply",
                }
            } else if !is_markdown(&path) || is_hidden {
                continue;
            } else if kind.is_file() {
                files.push(path);
                continue;
            } else {
                "links"
            };
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            skipped.push(Notice { location: Location::file(name), reason: reason.into() });
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_lars_if_a_file_in_it_has_the_id_of_a_memory() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("own.md", "---\nid: 42\n---\nA note of another program\n");
        write("sub/lar.md", "---\nid: mem_1\n---\nText\n");
        assert!(!is_exported_folder(folder.path()).unwrap(), "a file in a subfolder does not count");
        assert!(is_exported_folder(&folder.path().join("sub")).unwrap());
    }

    #[test]
    fn files_of_subfolders_are_found_and_vaults_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.md", "sub/b.md", "vault/.obsidian/app.json", "vault/c.md", ".git/d.md", "e.txt"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "text").unwrap();
        }
        let mut skipped = Vec::new();
        let files = files(folder.path(), &mut skipped).unwrap();
        assert_eq!(files, [folder.path().join("a.md"), folder.path().join("sub/b.md")]);
        let skipped: Vec<String> = skipped.iter().map(|one| one.location.to_string()).collect();
        assert_eq!(skipped, ["vault"]);
    }
}
