//! The module trees of the crates: no orphans, no large import cycles and no large files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use xtask::figures::is_product;
use xtask::imports::{cycles, imports};
use xtask::modules::crates;
use xtask::sources::rust_files;

/// The most files that may import each other in a cycle.
const CYCLE_MAX: usize = 2;
/// The most lines of a file of the product.
const FILE_LINES_MAX: usize = 500;

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
fn at_most_two_files_import_each_other() {
    let mut found = Vec::new();
    for krate in crates().unwrap() {
        for cycle in cycles(&imports(&krate)).iter().filter(|cycle| cycle.len() > CYCLE_MAX) {
            found.push(format!("{} ({}): {}", krate.name(), cycle.len(), cycle.join(" ")));
        }
    }
    assert!(found.is_empty(), "break these cycles (`cargo xtask cycles CRATE`):\n{}", found.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let files = rust_files().unwrap();
    let products = files.iter().filter(|file| is_product(&file.path));
    let lengths = products.map(|file| (file.text.lines().count(), file.path.as_str()));
    let long: Vec<(usize, &str)> = lengths.filter(|(lines, _)| *lines > FILE_LINES_MAX).collect();
    assert_eq!(long, [], "split these files where a part has a name of its own");
}
