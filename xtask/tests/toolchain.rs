//! Tests `scripts/toolchain.sh` with fake `cargo` and `rustc` programs: `make` must call the toolchain that
//! it chooses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Creates a folder with a fake toolchain. Its programs print a version, or fail as a rustup proxy without a
/// toolchain.
fn toolchain(folder: &Path, version: Option<&str>) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    for tool in ["cargo", "rustc", "cargo-clippy"] {
        let body = match version {
            Some(version) => format!("echo '{tool} {version} (0123456789 2026-01-01)'"),
            None => "echo 'error: rustup could not choose a version of cargo to run' >&2; exit 1".to_owned(),
        };
        let path = folder.join(tool);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder.to_owned()
}

/// Runs the script with these folders first on PATH. Returns whether it succeeds, its output, and the
/// versions of `cargo` and `cargo-clippy` that `make` would then call.
fn choose(home: &Path, folders: &[&Path]) -> (bool, String, String) {
    let links = home.join("links");
    let tools = home.join("tools");
    std::fs::create_dir_all(&tools).unwrap();
    // The path of the script contains no other cargo of this machine.
    for tool in ["bash", "awk", "sort", "head", "dirname", "mkdir", "ln", "rm", "sh"] {
        let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
        let found = found.iter().find(|path| path.exists()).expect("the tool exists");
        let _ = std::os::unix::fs::symlink(found, tools.join(tool));
    }
    let path = |first: &[&Path]| {
        let all = first.iter().chain(folders).copied().chain([tools.as_path()]);
        std::env::join_paths(all).unwrap()
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/toolchain.sh");
    let run = Command::new("/bin/bash")
        .arg(script)
        .args([links.as_os_str(), "1.95.0".as_ref()])
        .env("PATH", path(&[]))
        .output()
        .unwrap();
    let called = Command::new("/bin/sh")
        .args(["-c", "cargo --version; cargo-clippy --version"])
        .env("PATH", path(&[&links]))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (run.status.success(), text(&run.stdout), text(&called.stdout))
}

#[test]
fn make_calls_the_first_working_toolchain() {
    let home = tempfile::tempdir().unwrap();
    let proxy = toolchain(&home.path().join("proxy"), None);
    let old = toolchain(&home.path().join("old"), Some("1.63.0"));
    let new = toolchain(&home.path().join("new"), Some("1.96.0"));
    let nightly = toolchain(&home.path().join("nightly"), Some("1.97.0-nightly"));
    let calls = |version: &str| {
        ["cargo", "cargo-clippy"].map(|tool| format!("{tool} {version} (0123456789 2026-01-01)")).join("\n")
    };
    let shown = |path: &Path| path.display().to_string();
    let links = home.path().join("links");

    assert_eq!(choose(home.path(), &[&proxy, &old, &new]), (true, shown(&new), calls("1.96.0")));
    assert!(links.join("cargo").is_symlink(), "a proxy without a toolchain precedes it, so it needs a link");
    assert_eq!(choose(home.path(), &[&nightly, &new]), (true, shown(&nightly), calls("1.97.0-nightly")));
    assert!(!links.join("cargo").is_symlink(), "the first cargo works, so no link may stay");
    assert_eq!(choose(home.path(), &[&proxy, &old]), (false, String::new(), String::new()));
    assert_eq!(choose(home.path(), &[]), (false, String::new(), String::new()));
}
