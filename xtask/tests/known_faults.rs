//! Each test that `docs/reference/known-faults.md` names exists.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Faults that the page lists at least; a row that is lost is found by it.
const FAULTS_MIN: usize = 87;

fn files(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "node_modules" {
            files(&path, found);
        } else if name.ends_with(".rs") || name.ends_with(".py") {
            found.push(path);
        }
    }
}

#[test]
fn tests_of_known_faults_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let mut paths = Vec::new();
    ["crates", "tests", "xtask"].iter().for_each(|folder| files(&root.join(folder), &mut paths));
    let sources: String = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let page = fs::read_to_string(root.join("docs/reference/known-faults.md")).unwrap();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.contains("| fault |"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() >= FAULTS_MIN, "{} faults are listed", rows.len());
    let mut missing = Vec::new();
    for row in &rows {
        let held_by = row[2];
        assert!(held_by != "–" || !row[3].is_empty(), "{}: no test, and no reason", row[0]);
        for name in held_by.split(", ").map(|name| name.trim_matches('`')).filter(|name| *name != "–") {
            let is_file = name.ends_with(".rs") || name.ends_with(".py");
            let exists = match is_file {
                true => paths.iter().any(|path| path.to_string_lossy().ends_with(name)),
                false => ["fn", "def"].iter().any(|word| sources.contains(&format!("{word} {name}("))),
            };
            if !exists {
                missing.push(format!("{}: {name}", row[0]));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}
