//! Names of Rust items: no jargon, and no two types of one name in a crate.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use syn::Item;
use xtask::identifiers::{identifiers, words};
use xtask::modules::{Crate, Module, crates, is_test_cfg};
use xtask::sources::rust_files;

/// Words that no identifier may contain. `GLOSSARY.md` of the project lists the field's words for them.
const FORBIDDEN_WORDS: [&str; 10] =
    ["asker", "begun", "hear", "heard", "held", "noted", "seat", "told", "wanted", "worn"];

#[test]
fn no_identifier_contains_a_forbidden_word() {
    let mut faults = Vec::new();
    for file in rust_files().unwrap() {
        for found in identifiers(&file.text).unwrap() {
            if words(&found.name).iter().any(|word| FORBIDDEN_WORDS.contains(&word.as_str())) {
                faults.push(format!("{}:{} {}", file.path, found.line, found.name));
            }
        }
    }
    assert!(faults.is_empty(), "these names need the field's words:\n{}", faults.join("\n"));
}

/// Returns the types that a module defines, with their lines.
fn types(module: &Module) -> Vec<(String, String)> {
    let types = module.items.iter().filter_map(|item| {
        let (ident, attributes) = match item {
            Item::Enum(item) => (&item.ident, &item.attrs),
            Item::Struct(item) => (&item.ident, &item.attrs),
            Item::Trait(item) => (&item.ident, &item.attrs),
            Item::Type(item) => (&item.ident, &item.attrs),
            Item::Union(item) => (&item.ident, &item.attrs),
            _ => return None,
        };
        let line = ident.span().start().line;
        let is_test = attributes.iter().any(is_test_cfg);
        (!is_test).then(|| (ident.to_string(), format!("{}:{line}", module.file)))
    });
    types.collect()
}

/// Returns the names that several types of a crate have, with the lines of the types.
fn duplicates(krate: &Crate) -> Vec<String> {
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, line) in krate.modules.iter().filter(|module| !module.is_test).flat_map(types) {
        by_name.entry(name).or_default().push(line);
    }
    by_name.retain(|_, lines| lines.len() > 1);
    by_name.iter().map(|(name, lines)| format!("{} {name}: {}", krate.name(), lines.join(" "))).collect()
}

#[test]
fn no_two_types_of_a_crate_have_the_same_name() {
    let faults: Vec<String> = crates().unwrap().iter().flat_map(duplicates).collect();
    assert!(faults.is_empty(), "rename all but one, so that each name says which:\n{}", faults.join("\n"));
}
