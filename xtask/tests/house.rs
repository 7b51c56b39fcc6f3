//! The structure of the repository is as ARCHITECTURE.md describes it: layers and imports of crates, module
//! headers, `unsafe`, lints, error pages, generated files, and dependencies that only one crate may use.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use xtask::sources::{members, root, rust_files};

/// Modules that may contain `unsafe`, each block with a safety comment.
///
/// They map files, compute matrix products, call llama.cpp, create namespaces, change the environment,
/// descriptors and the allocator, and make system calls for tests.
const UNSAFE_MODULES: &[&str] = &[
    "crates/worker/src/encoder/kernels.rs",
    "crates/worker/src/encoder/weights.rs",
    "crates/worker/src/llama_cpp.rs",
    "crates/worker/src/llama_cpp/context.rs",
    "crates/worker/src/llama_cpp/model.rs",
    "crates/worker/src/llama_cpp/sampler.rs",
    "crates/worker/src/llama_cpp/spread.rs",
    "crates/worker/src/llama_cpp/vocab.rs",
    "crates/sandbox/src/child.rs",
    "crates/sandbox/src/command.rs",
    "crates/sandbox/src/confine.rs",
    "crates/sandbox/src/malloc_threshold.rs",
    "tests/src/escapes/inject.rs",
    "tests/src/bin/confined.rs",
];

fn manifest(path: &Path) -> toml::Table {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

/// Returns the manifest of every crate in `crates/`, by folder name.
fn crates() -> BTreeMap<String, toml::Table> {
    let folders = fs::read_dir(root().join("crates")).unwrap();
    folders
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), manifest(&path.join("Cargo.toml")))
        })
        .collect()
}

/// Returns the layer of a crate, and the crates that it may import.
fn layer(manifest: &toml::Table) -> (i64, Vec<String>) {
    let layer = &manifest["package"]["metadata"]["layer"];
    let uses = layer["uses"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    (layer["floor"].as_integer().unwrap(), uses.collect())
}

/// Returns the path and the text of every Rust file of the repository.
fn sources() -> Vec<(String, String)> {
    rust_files().unwrap().into_iter().map(|file| (file.path, file.text)).collect()
}

#[test]
fn crates_import_only_listed_crates_of_lower_layers() {
    let crates = crates();
    for (name, manifest) in &crates {
        let (floor, uses) = layer(manifest);
        let expected = if name == "lar" { "lar".to_owned() } else { format!("lar-{name}") };
        assert_eq!(manifest["package"]["name"].as_str(), Some(expected.as_str()));
        for table in ["dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(table).and_then(|table| table.as_table()) else { continue };
            for used in dependencies.keys().filter_map(|name| name.strip_prefix("lar-")) {
                assert!(
                    uses.iter().any(|listed| listed == used),
                    "{name} imports {used}, which `package.metadata.layer.uses` of its manifest does not list"
                );
                let (below, _) = layer(&crates[used]);
                assert!(below < floor, "{name} (layer {floor}) imports {used} (layer {below})");
            }
        }
    }
    for name in ["common", "utils", "core", "types"] {
        assert!(!crates.contains_key(name), "a crate must not have the general name `{name}`");
    }
}

#[test]
fn every_member_inherits_the_workspace_lints() {
    for member in members().unwrap() {
        let manifest = manifest(&root().join(&member).join("Cargo.toml"));
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{member}");
    }
}

#[test]
fn every_file_starts_with_a_module_header() {
    for (name, text) in sources() {
        assert!(text.starts_with("//! "), "{name} does not start with a `//!` header");
    }
}

#[test]
fn no_file_is_named_mod_rs() {
    for (name, _) in sources() {
        assert!(!name.ends_with("/mod.rs"), "{name}");
    }
}

#[test]
fn only_listed_modules_contain_unsafe() {
    for (name, text) in sources() {
        let used = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        let ours = name == "xtask/tests/house.rs";
        assert!(
            !used || ours || UNSAFE_MODULES.contains(&name.as_str()),
            "{name} contains `unsafe`, and `UNSAFE_MODULES` does not list it"
        );
    }
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    for (name, text) in sources().into_iter().filter(|(name, _)| UNSAFE_MODULES.contains(&name.as_str())) {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|item| code.contains(item)) {
                continue;
            }
            // The comment is above the statement or the function, which may start some lines earlier.
            let near = &lines[at.saturating_sub(7)..=at];
            let says_why = near.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
            assert!(says_why, "{name}:{} has no `// SAFETY:` comment", at + 1);
        }
    }
}

#[test]
fn error_codes_and_error_pages_match() {
    let folder = root().join("docs/errors");
    for code in lar_base::Code::ALL {
        let text = fs::read_to_string(folder.join(format!("{code}.md"))).unwrap_or_default();
        assert!(
            text.starts_with(&format!("# {code}\n")),
            "docs/errors/{code}.md is missing, or does not start with `# {code}`"
        );
        assert!(
            text.contains(&format!("Status {}", code.status())),
            "docs/errors/{code}.md does not contain `Status {}`",
            code.status()
        );
    }
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let code = name.trim_end_matches(".md");
        if code == "README" {
            continue;
        }
        assert!(lar_base::Code::parse(code).is_some(), "docs/errors/{name} describes no error code");
    }
}

/// Asserts that a string occurs only in files whose paths start with one of `allowed`.
fn only_in(string: &str, allowed: &[&str]) {
    for (name, text) in sources() {
        if name.starts_with("xtask/") || allowed.iter().any(|path| name.starts_with(path)) {
            continue;
        }
        assert!(
            !text.contains(string),
            "{name} contains `{string}`, which is allowed only in {}",
            allowed.join(", ")
        );
    }
}

#[test]
fn restricted_apis_are_used_only_where_they_are_allowed() {
    only_in("rusqlite", &["crates/store/"]);
    only_in("reqwest", &["crates/egress/"]);
    only_in("axum", &["crates/server/"]);
    only_in("llama_cpp_sys_2", &["crates/worker/src/llama_cpp"]);
    // Code that creates a caller decides what the caller may do.
    only_in(
        "Caller::authenticated",
        &["crates/base/src/caller.rs", "crates/server/src/auth.rs", "benches/src/memory"],
    );
    only_in(
        "Caller::internal",
        &[
            "crates/base/src/caller.rs",
            "crates/memory/src/embed.rs",
            "crates/memory/src/embedding_backfill.rs",
            "crates/memory/src/judge.rs",
            "crates/memory/src/judge/status.rs",
            "crates/memory/src/rerank.rs",
        ],
    );
    // The proof that a task may run, and the tasks that belong to a conversation.
    only_in("Ok(Admitted {", &["crates/gateway/src/pipeline/admit.rs"]);
    only_in("conversation: Some(request.", &["crates/agents/src/turn.rs"]);
    // The view of a memory for a key without `memory:read`.
    only_in("WrittenMemory {", &["crates/api/src/memories/", "crates/server/src/memories/view.rs"]);
    only_in("Command::new(", &["crates/sandbox/src/command.rs", "tests/", "benches/"]);
    only_in("TcpStream::connect", &["crates/egress/", "tests/", "benches/"]);
    only_in(
        "application/problem+json",
        &["crates/server/src/errors.rs", "crates/api/src/problem.rs", "tests/"],
    );
}

/// A `Caller` is proof of authentication: its fields are private, nothing parses one, and none of its methods
/// adds a scope. A new way to create one changes this test, and `restricted_apis_…` above for who may call it.
#[test]
fn a_caller_is_created_by_two_functions_and_cannot_be_widened() {
    let text = fs::read_to_string(root().join("crates/base/src/caller.rs")).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    let (before, rest) = text.split_once("pub struct Caller {").unwrap();
    assert!(before.ends_with("#[derive(Debug, Clone, PartialEq, Eq)]\n"), "derives of `Caller`");
    let (fields, rest) = rest.split_once('}').unwrap();
    assert!(!fields.contains("pub"), "a field of `Caller` is public");
    assert_eq!(text.matches("impl Caller {").count(), 1);
    assert!(!text.contains(" for Caller"), "a trait is implemented for `Caller`");
    let methods = rest.split_once("impl Caller {").unwrap().1.split("\n}\n").next().unwrap();
    assert!(!methods.contains("&mut"), "a method changes a `Caller`");
    let creating: Vec<&str> = methods
        .split("pub ")
        .filter(|method| method.split('{').next().unwrap().contains("-> Self"))
        .map(|method| method.split('(').next().unwrap())
        .collect();
    assert_eq!(creating, ["fn authenticated", "fn internal", "fn with_request_id"]);
    assert_eq!(methods.matches("Scopes::").count(), 1, "only `internal` chooses scopes");
}

#[test]
fn the_openapi_document_is_up_to_date() {
    let checked_in = fs::read_to_string(root().join("openapi/v1.json")).unwrap_or_default();
    let generated = lar_server::openapi_document() + "\n";
    assert!(checked_in == generated, "openapi/v1.json is out of date: run `cargo xtask openapi`");
}

#[test]
fn the_field_tables_of_the_reference_are_up_to_date() {
    for (api, tables) in lar_compat::field_tables() {
        let reference = fs::read_to_string(root().join(format!("docs/reference/{api}.md"))).unwrap();
        for (path, table) in tables {
            let section = format!("## `POST {path}`\n\n{table}");
            assert!(
                reference.contains(&section),
                "docs/reference/{api}.md is out of date: run `cargo xtask reference`"
            );
        }
    }
}
