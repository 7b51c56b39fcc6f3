//! Finds the repository's source files: Rust, Markdown and Cargo manifests.
//!
//! Build outputs, installed packages and hidden folders are left out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Folders that contain the workspace's Rust code.
const RUST_FOLDERS: [&str; 5] = ["crates", "tests", "benches", "fuzz", "xtask"];
/// Folders that contain no sources of this repository.
const FOREIGN_FOLDERS: [&str; 6] = ["target", "node_modules", "dist", "book", "test-results", "__pycache__"];

/// A text file of the repository.
#[derive(Debug)]
pub struct Source {
    /// The path, relative to the repository.
    pub path: String,
    /// The content.
    pub text: String,
}

/// Returns the root of the repository.
///
/// # Panics
///
/// If the folder of this crate is gone.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("the folder of this crate exists")
}

/// Returns the Rust files of the workspace, sorted by path.
///
/// # Errors
///
/// If a folder or a file cannot be read.
pub fn rust_files() -> anyhow::Result<Vec<Source>> {
    let mut found = Vec::new();
    for folder in RUST_FOLDERS {
        collect(&root().join(folder), "rs", &mut found)?;
    }
    Ok(found)
}

/// Returns the Markdown files of the repository, sorted by path.
///
/// # Errors
///
/// If a folder or a file cannot be read.
pub fn markdown_files() -> anyhow::Result<Vec<Source>> {
    let mut found = Vec::new();
    collect(&root(), "md", &mut found)?;
    Ok(found)
}

/// Returns the folders of the workspace's members, relative to the repository.
///
/// # Errors
///
/// If `crates` cannot be read.
pub fn members() -> anyhow::Result<Vec<String>> {
    let mut members = Vec::new();
    for entry in fs::read_dir(root().join("crates"))? {
        members.push(format!("crates/{}", entry?.file_name().to_string_lossy()));
    }
    members.extend(["tests", "benches", "fuzz", "xtask"].map(str::to_owned));
    members.sort();
    Ok(members)
}

/// Reads one file. `path` is relative to the repository.
///
/// # Errors
///
/// If the file cannot be read.
pub fn read(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("could not read {path}"))
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<Source>) -> anyhow::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && !FOREIGN_FOLDERS.contains(&&*name) {
                collect(&path, extension, found)?;
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            let relative = path.strip_prefix(root())?.to_string_lossy().into_owned();
            found.push(Source { text: read(&relative)?, path: relative });
        }
    }
    Ok(())
}
