//! The module trees of the crates: no orphans, and no large circles of files that import each other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use xtask::imports::{circles, imports};
use xtask::modules::crates;
use xtask::sources::rust_files;

/// The most files that may import each other in a circle.
const CIRCLE_MAX: usize = 4;
/// The sizes of the larger circles of each crate, largest first. A size may only shrink.
const LARGER_CIRCLES: [(&str, &[usize]); 7] = [
    ("benches", &[25]),
    ("catalog", &[5]),
    ("lar", &[6]),
    ("memory", &[7]),
    ("server", &[80]),
    ("store", &[16, 6, 5]),
    ("worker", &[9]),
];

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
fn circles_of_files_only_shrink() {
    let mut sizes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut shown = String::new();
    for krate in crates().unwrap() {
        for circle in circles(&imports(&krate)).iter().filter(|circle| circle.len() > CIRCLE_MAX) {
            sizes.entry(krate.name()).or_default().push(circle.len());
            shown.push_str(&format!("\n{}: {}", krate.name(), circle.join(" ")));
        }
    }
    let listed: BTreeMap<String, Vec<usize>> =
        LARGER_CIRCLES.map(|(name, sizes)| (name.to_owned(), sizes.to_vec())).into();
    assert_eq!(
        sizes, listed,
        "break a new or larger circle; if one shrank, write the new size into `LARGER_CIRCLES`. The circles:{shown}"
    );
}
