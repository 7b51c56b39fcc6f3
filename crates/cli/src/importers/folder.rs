//! The notes of a folder and its subfolders. Everything else in it is named as skipped.

use std::fs::{DirEntry, FileType};
use std::path::{Path, PathBuf};

use super::parsed_export::ParsedExport;
use super::report::Location;

/// The maximum depth of folders that are searched.
const DEPTH_MAX: usize = 32;
/// The maximum number of notes.
const NOTES_MAX: usize = 100_000;
/// The endings of notes.
const ENDINGS: [&str; 2] = ["md", "markdown"];
/// Hidden folders and files that programs keep for themselves. They have no notes.
const OF_PROGRAMS: [&str; 7] =
    [".obsidian", ".git", ".gitignore", ".gitattributes", ".DS_Store", ".stfolder", ".basic-memory"];

/// A note in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NotePath {
    /// The path relative to the folder, with `/` between the names.
    pub(super) relative: String,
    pub(super) path: PathBuf,
}

/// Returns the notes of a folder and its subfolders, sorted. Links are not followed, because they can lead
/// anywhere, and in circles.
///
/// # Errors
/// If the folder itself cannot be read. Subfolders that cannot be read fail in `read`.
pub(super) fn notes(folder: &Path, read: &mut ParsedExport) -> std::io::Result<Vec<NotePath>> {
    let mut found = Vec::new();
    let mut waiting = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((path, relative, depth)) = waiting.pop() {
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(error),
            Err(error) => {
                read.fail(Location::file(relative), error.to_string());
                continue;
            }
        };
        for entry in entries {
            let (entry, kind) = match entry.and_then(|entry| Ok((entry.file_type()?, entry))) {
                Ok((kind, entry)) => (entry, kind),
                Err(error) => {
                    read.fail(Location::file(relative.clone()), error.to_string());
                    continue;
                }
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            let inner = if relative.is_empty() { name.clone() } else { format!("{relative}/{name}") };
            match classify(&name, kind, depth, found.len()) {
                Class::Folder => waiting.push((entry.path(), inner, depth + 1)),
                Class::Note => found.push(NotePath { relative: inner, path: entry.path() }),
                Class::OfProgram => {}
                Class::Skipped(reason) => read.skip(Location::file(described(inner, &entry, kind)), reason),
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A class of entries of a folder.
enum Class {
    Folder,
    Note,
    /// Settings of a program.
    OfProgram,
    /// Skipped for this reason.
    Skipped(&'static str),
}

fn classify(name: &str, kind: FileType, depth: usize, notes: usize) -> Class {
    let ending = Path::new(name).extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let is_note = ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()));
    if OF_PROGRAMS.contains(&name) {
        Class::OfProgram
    } else if kind.is_symlink() {
        Class::Skipped("links")
    } else if name.starts_with('.') {
        Class::Skipped("hidden files and folders")
    } else if kind.is_dir() {
        if depth < DEPTH_MAX { Class::Folder } else { Class::Skipped("folders that are nested too deeply") }
    } else if !is_note {
        Class::Skipped("attachments and other files (their names stay in the notes)")
    } else if name.to_lowercase().ends_with(".excalidraw.md") {
        Class::Skipped("drawings")
    } else if notes >= NOTES_MAX {
        Class::Skipped("notes over the limit of 100,000")
    } else {
        Class::Note
    }
}

/// Returns the name of a skipped entry; that of a folder ends with a slash.
fn described(inner: String, _: &DirEntry, kind: FileType) -> String {
    if kind.is_dir() { format!("{inner}/") } else { inner }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_subfolders_are_found_and_other_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            ".obsidian/app.json",
            ".trash/old.md",
            "a/b/deep.md",
            "a/photo.png",
            "top.MD",
            "plan.excalidraw.md",
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "text").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/circle")).unwrap();
        let mut read = ParsedExport::default();
        let found = notes(folder.path(), &mut read).unwrap();
        let names: Vec<&str> = found.iter().map(|note| note.relative.as_str()).collect();
        assert_eq!(names, ["a/b/deep.md", "top.MD"]);
        let mut skipped: Vec<String> =
            read.skipped.iter().map(|one| format!("{} {}", one.location, &one.reason[..5])).collect();
        skipped.sort();
        assert_eq!(
            skipped,
            [".trash/ hidde", "a/circle links", "a/photo.png attac", "plan.excalidraw.md drawi"]
        );
        assert!(notes(&folder.path().join("missing"), &mut read).is_err());
    }
}
