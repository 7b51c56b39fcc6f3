//! The module trees of the crates: no orphans, and no large circles of files that import each other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use xtask::imports::{circles, imports};
use xtask::modules::crates;
use xtask::sources::rust_files;

/// The most files that may import each other in a circle.
const CIRCLE_MAX: usize = 4;
#[test]
fn every_rust_file_belongs_to_a_crate() {
    let crates = crates().unwrap();
    let modules = crates.iter().flat_map(|krate| &krate.modules);
    let reached: BTreeSet<&str> = modules.map(|module| module.file.as_str()).collect();
    let files = rust_files().unwrap();
    let orphans: Vec<&str> =
        files.iter().map(|file| file.path.as_str()).filter(|path| !reached.contains(path)).collect();
    assert_eq!(orphans, Vec::<&str>::new(), "no `mod` item leads to these files");
}

#[test]
fn at_most_four_files_import_each_other() {
    let mut found = Vec::new();
    for krate in crates().unwrap() {
        for circle in circles(&imports(&krate)).iter().filter(|circle| circle.len() > CIRCLE_MAX) {
            found.push(format!("{} ({}): {}", krate.name(), circle.len(), circle.join(" ")));
        }
    }
    assert!(found.is_empty(), "break these circles (`cargo xtask circles CRATE`):\n{}", found.join("\n"));
}
