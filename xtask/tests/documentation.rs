//! The wording and the width of documentation in Rust files and in Markdown.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use xtask::docs::{documented, fault};
use xtask::modules::crates;
use xtask::prose::{COLUMNS_MAX, wide_doc_lines, wide_markdown_lines};
use xtask::sources::{markdown_files, rust_files};

/// Files with the wire types of other makers' APIs. The makers document the fields.
const FOREIGN_APIS: [&str; 6] = [
    "crates/api/src/anthropic.rs",
    "crates/api/src/llama_cpp.rs",
    "crates/api/src/ollama.rs",
    "crates/api/src/openai.rs",
    "crates/api/src/openai/",
    "crates/api/src/rerank.rs",
];
/// The number of public items without documentation in each crate. A number may only shrink.
const UNDOCUMENTED: [(&str, usize); 6] =
    [("api", 204), ("catalog", 7), ("egress", 4), ("inference", 4), ("memory", 11), ("store", 121)];

#[test]
fn documentation_is_missing_only_where_it_is_counted() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for krate in crates().unwrap() {
        for item in documented(&krate).iter().filter(|item| item.is_public && item.docs.is_empty()) {
            assert!(item.is_excused, "{}:{} `{}` has no documentation", item.file, item.line, item.name);
            if !FOREIGN_APIS.iter().any(|path| item.file.starts_with(path)) {
                *counts.entry(krate.name()).or_default() += 1;
            }
        }
    }
    let listed: BTreeMap<String, usize> = UNDOCUMENTED.map(|(name, count)| (name.to_owned(), count)).into();
    assert_eq!(
        counts, listed,
        "document new items; if a number shrank, write the new one into `UNDOCUMENTED`"
    );
}

#[test]
fn documentation_starts_with_a_verb_or_a_noun() {
    let mut faults = Vec::new();
    for krate in crates().unwrap() {
        for item in documented(&krate) {
            if let Some(fault) = fault(&item) {
                faults.push(format!("{}:{} `{}` {fault}", item.file, item.line, item.name));
            }
        }
    }
    assert!(faults.is_empty(), "{} comments to rewrite:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn no_line_of_documentation_is_too_wide() {
    let mut faults = Vec::new();
    for file in rust_files().unwrap() {
        faults.extend(wide_doc_lines(&file.text).iter().map(|line| format!("{}:{line}", file.path)));
    }
    for file in markdown_files().unwrap() {
        faults.extend(wide_markdown_lines(&file.text).iter().map(|line| format!("{}:{line}", file.path)));
    }
    assert!(faults.is_empty(), "wrap these lines at {COLUMNS_MAX} columns:\n{}", faults.join("\n"));
}
