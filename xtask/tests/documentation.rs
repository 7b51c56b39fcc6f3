//! The wording and the width of documentation in Rust files and in Markdown.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use xtask::docs::{documented, fault};
use xtask::modules::crates;
use xtask::prose::{COLUMNS_MAX, wide_doc_lines, wide_markdown_lines};
use xtask::sources::{markdown_files, rust_files};

#[test]
fn every_public_item_is_documented() {
    let mut missing = Vec::new();
    for krate in crates().unwrap() {
        for item in documented(&krate).iter().filter(|item| item.is_public && item.docs.is_empty()) {
            missing.push(format!("{}:{} `{}`", item.file, item.line, item.name));
        }
    }
    assert!(missing.is_empty(), "{} items to document:\n{}", missing.len(), missing.join("\n"));
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
