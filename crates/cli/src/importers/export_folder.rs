//! The JSON files of a data export: those of a folder, or one file.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::export_file::read_text;
use super::json_items::{NOT_JSON, for_each_item};
use super::parsed_export::ParsedExport;
use super::report::Location;

/// The subfolders that can have files of their own kind.
const SUBFOLDERS: [&str; 3] = ["conversations", "memories", "projects"];
/// The reason for files of other kinds.
pub(super) const WITHOUT_MEMORIES: &str = "files without memories";
/// The reason for other items of a file with memories.
const ITEM_WITHOUT_MEMORIES: &str = "items without memories";

/// Returns the JSON files of an export. Projects come first, because memories name them.
///
/// # Errors
/// If the folder cannot be read or has no JSON file, or the file is still an archive.
pub(super) fn json_files(path: &Path, read: &mut ParsedExport) -> std::io::Result<Vec<(Location, PathBuf)>> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zip")) {
        return Err(Error::new(ErrorKind::InvalidInput, "unzip the export first"));
    }
    if path.is_file() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        return Ok(vec![(Location::file(name), path.to_owned())]);
    }
    let mut files = Vec::new();
    add(path, "", &mut files, read)?;
    if files.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "the folder has no JSON file"));
    }
    files.sort_by_key(|(name, _)| (!name.contains("project"), name.clone()));
    Ok(files.into_iter().map(|(name, path)| (Location::file(name), path)).collect())
}

fn add(
    folder: &Path,
    before: &str,
    files: &mut Vec<(String, PathBuf)>,
    read: &mut ParsedExport,
) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let (kind, inner) = (entry.file_type()?, format!("{before}{name}"));
        if kind.is_dir() && before.is_empty() && SUBFOLDERS.contains(&name.as_str()) {
            add(&entry.path(), &format!("{name}/"), files, read)?;
        } else if kind.is_file() && name.to_lowercase().ends_with(".json") {
            files.push((inner, entry.path()));
        } else {
            read.skip(Location::file(inner), WITHOUT_MEMORIES);
        }
    }
    Ok(())
}

/// Calls `take` with each item of a file: the items of a list, or the one object. Names a file of which `take`
/// takes no item. A file that cannot be read fails, and the others are read.
pub(super) fn for_each_object(
    location: &Location,
    path: &Path,
    read: &mut ParsedExport,
    mut take: impl FnMut(Location, &Value, &mut ParsedExport) -> bool,
) {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) => return read.fail(location.clone(), error.to_string()),
    };
    let (mut others, mut taken) = (Vec::new(), 0);
    let mut take_item = |location: Location, item: Value, read: &mut ParsedExport| {
        if take(location.clone(), &item, read) {
            taken += 1;
        } else {
            others.push(location);
        }
    };
    match text.trim_start().chars().next() {
        None => {}
        Some('[') => {
            if let Err(error) = for_each_item(&text, location, read, &mut take_item) {
                read.fail(location.clone(), error.to_string());
            }
        }
        Some(_) => match serde_json::from_str(&text) {
            Ok(item) => take_item(location.clone(), item, read),
            Err(error) => read.fail(location.line(error.line()), format!("{NOT_JSON} ({error})")),
        },
    }
    match (others.is_empty(), taken) {
        (true, _) => {}
        (false, 0) => read.skip(location.clone(), WITHOUT_MEMORIES),
        (false, _) => others.into_iter().for_each(|one| read.skip(one, ITEM_WITHOUT_MEMORIES)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_folder_are_read_and_bad_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("memories")).unwrap();
        for (name, text) in [
            ("conversations.json", "[{\"a\":1},{\"b\":2}]"),
            ("projects.json", "[]"),
            ("memories/1.json", "{\"a\":3}"),
            ("users.json", "{\"b\":1}"),
            ("bad.json", "{"),
            ("empty.json", ""),
            ("chat.html", "<html>"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (mut read, mut found) = (ParsedExport::default(), Vec::new());
        let files = json_files(folder.path(), &mut read).unwrap();
        assert_eq!(files[0].0.to_string(), "projects.json");
        for (location, path) in files {
            for_each_object(&location, &path, &mut read, |location, item, _| {
                found.push(location.to_string());
                item.get("a").is_some()
            });
        }
        assert_eq!(
            found,
            ["conversations.json, item 1", "conversations.json, item 2", "memories/1.json", "users.json"]
        );
        let skipped: Vec<String> = read.skipped.iter().map(|one| one.location.to_string()).collect();
        assert_eq!(skipped, ["chat.html", "conversations.json, item 2", "users.json"]);
        assert_eq!((read.failed.len(), read.failed[0].location.to_string()), (1, "bad.json, line 1".into()));
    }
}
