//! The house stands as ARCHITECTURE.md says: floors, allowed edges, headers, `unsafe`, error pages, lints,
//! the one reader of time and of the environment, SQL in one place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that may hold `unsafe`, each with its safety comments: a memory map, a matrix product's kernel,
/// llama.cpp's interface, a namespace, the environment and descriptors, the allocator's threshold, system calls that tests
/// try.
const UNSAFE_MODULES: &[&str] = &[
    "crates/engines/src/encoder/kernels.rs",
    "crates/engines/src/encoder/weights.rs",
    "crates/engines/src/worker/llama_cpp.rs",
    "crates/engines/src/worker/llama_cpp/context.rs",
    "crates/engines/src/worker/llama_cpp/model.rs",
    "crates/engines/src/worker/llama_cpp/sampler.rs",
    "crates/engines/src/worker/llama_cpp/spread.rs",
    "crates/engines/src/worker/llama_cpp/vocab.rs",
    "crates/sandbox/src/child.rs",
    "crates/sandbox/src/command.rs",
    "crates/sandbox/src/confine.rs",
    "crates/sandbox/src/memory.rs",
    "tests/src/escapes/inject.rs",
    "tests/src/bin/confined.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn manifest(path: &Path) -> toml::Table {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

/// Every crate below `crates/`: folder name and manifest.
fn crates() -> BTreeMap<String, toml::Table> {
    let folders = fs::read_dir(root().join("crates")).unwrap();
    folders
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), manifest(&path.join("Cargo.toml")))
        })
        .collect()
}

fn layer(manifest: &toml::Table) -> (i64, Vec<String>) {
    let layer = &manifest["package"]["metadata"]["layer"];
    let uses = layer["uses"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    (layer["floor"].as_integer().unwrap(), uses.collect())
}

fn rust_files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<(String, String)> {
    let root = root();
    let files =
        ["crates", "tests", "benches", "xtask"].iter().flat_map(|folder| rust_files(&root.join(folder)));
    files
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn crates_import_only_lower_floors_and_only_what_they_list() {
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
                    "{name} imports {used} and does not list it"
                );
                let (below, _) = layer(&crates[used]);
                assert!(below < floor, "{name} (floor {floor}) imports {used} (floor {below})");
            }
        }
    }
    for name in ["common", "utils", "core", "types"] {
        assert!(!crates.contains_key(name), "there is no room called {name}");
    }
}

#[test]
fn every_member_takes_the_workspace_lints() {
    let root = root();
    let mut manifests: Vec<PathBuf> =
        crates().keys().map(|name| root.join("crates").join(name).join("Cargo.toml")).collect();
    manifests.extend(["tests", "benches", "xtask"].map(|name| root.join(name).join("Cargo.toml")));
    for path in manifests {
        assert_eq!(manifest(&path)["lints"]["workspace"].as_bool(), Some(true), "{}", path.display());
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (name, text) in sources() {
        assert!(text.starts_with("//! "), "{name} begins without a `//!` header");
    }
}

#[test]
fn there_is_no_mod_rs() {
    for (name, _) in sources() {
        assert!(!name.ends_with("/mod.rs"), "{name}");
    }
}

#[test]
fn unsafe_lives_in_listed_modules() {
    for (name, text) in sources() {
        let used = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        let ours = name == "xtask/tests/house.rs";
        assert!(
            !used || ours || UNSAFE_MODULES.contains(&name.as_str()),
            "{name} uses unsafe and is not listed"
        );
    }
}

#[test]
fn every_error_code_has_its_page_and_every_page_its_code() {
    let folder = root().join("docs/errors");
    for code in lar_base::Code::ALL {
        let text = fs::read_to_string(folder.join(format!("{code}.md"))).unwrap_or_default();
        assert!(text.starts_with(&format!("# {code}\n")), "docs/errors/{code}.md is missing");
        assert!(
            text.contains(&format!("Status {}", code.status())),
            "docs/errors/{code}.md tells another status"
        );
    }
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let code = name.trim_end_matches(".md");
        if code == "README" {
            continue;
        }
        assert!(lar_base::Code::parse(code).is_some(), "docs/errors/{name} explains no code");
    }
}

/// Where a word may stand, as the invariants say.
fn only_in(word: &str, allowed: &[&str]) {
    for (name, text) in sources() {
        if name.starts_with("xtask/") || allowed.iter().any(|place| name.starts_with(place)) {
            continue;
        }
        assert!(!text.contains(word), "{name} holds `{word}`, which belongs in {}", allowed.join(", "));
    }
}

#[test]
fn each_dependency_is_used_in_one_place() {
    only_in("rusqlite", &["crates/store/"]);
    only_in("reqwest", &["crates/egress/"]);
    only_in("axum", &["crates/server/"]);
    only_in("llama_cpp_sys_2", &["crates/engines/src/worker/llama_cpp"]);
    // Whoever makes a caller says what they may do.
    only_in(
        "Caller::authenticated(",
        &["crates/base/src/caller.rs", "crates/server/src/auth.rs", "benches/"],
    );
    only_in("Caller::internal(", &["crates/base/src/caller.rs", "crates/memory/src/"]);
    // What a key without `memory:read` is shown of memories.
    only_in("WrittenMemory {", &["crates/api/src/memories/", "crates/server/src/memories/view.rs"]);
    only_in("Command::new(", &["crates/sandbox/src/command.rs", "tests/", "benches/"]);
    only_in("TcpStream::connect", &["crates/egress/", "tests/", "benches/"]);
    only_in(
        "application/problem+json",
        &["crates/server/src/errors.rs", "crates/api/src/problem.rs", "tests/"],
    );
}

#[test]
fn the_description_of_the_api_is_up_to_date() {
    let checked_in = fs::read_to_string(root().join("openapi/v1.json")).unwrap_or_default();
    let made = lar_server::openapi_document() + "\n";
    assert!(checked_in == made, "openapi/v1.json is stale: run `cargo xtask openapi`");
}

#[test]
fn the_table_of_fields_in_the_reference_is_up_to_date() {
    for (api, tables) in lar_server::field_tables() {
        let reference = fs::read_to_string(root().join(format!("docs/reference/{api}.md"))).unwrap();
        for (path, table) in tables {
            let section = format!("## `POST {path}`\n\n{table}");
            assert!(
                reference.contains(&section),
                "docs/reference/{api}.md is stale: run `cargo xtask reference`"
            );
        }
    }
}
