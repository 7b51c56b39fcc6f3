//! Hostile Python packages, pulled as `pip:NAME` from a folder. Lar refuses them with a reason, uses little
//! memory, and leaves no file behind. `crates/catalog/src/pull/wheel.rs` tests other faults of wheels.

use std::fs;
use std::path::Path;
use std::process::Command;

use lar_tests::{Lar, program};

/// The most memory that the pull and pip may use, in kB. 127 MB were measured.
const MEMORY_KB: u64 = 256 << 10;

/// Creates the wheels in the folder of `sys.argv`.
const MAKE: &str = r#"
import struct, sys, zipfile

def wheel(name, files, packed=zipfile.ZIP_STORED):
    about = name + '-1.0.dist-info/'
    files = files | {
        about + 'METADATA': 'Metadata-Version: 2.1\nName: ' + name.replace('_', '-') + '\nVersion: 1.0\n',
        about + 'WHEEL': 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
        about + 'RECORD': '',
    }
    with zipfile.ZipFile(f'{sys.argv[1]}/{name}-1.0-py3-none-any.whl', 'w', packed) as made:
        for path, content in files.items():
            made.writestr(path, content)

def header(text):
    beside = {'m/tokenizer.json': '{}', 'm/config.json': '{}'}
    return {'m/model.safetensors': struct.pack('<Q', len(text)) + text} | beside

zeros = b'0,' * (7 << 20)
wheel('evil_header', header(b'{"a":[' + zeros + b'0]}'))
wheel('evil_length', header(b'{}' * (9 << 20)))
wheel('evil_bomb', {f'm/{number}.gguf': bytes(64 << 20) for number in range(12)}, zipfile.ZIP_DEFLATED)
wheel('evil_name', {'../../../../evil.gguf': 'GGUF'})
wheel('evil_nothing', {'m/__init__.py': 'raise SystemExit'})
"#;

/// Runs a program and prints the peak memory of it and its children.
const MEASURE: &str = "\
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
";

/// Returns the files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path.display().to_string()) }
    }
    found
}

#[test]
fn hostile_packages_are_refused_in_little_memory_and_leave_nothing() {
    let home = tempfile::tempdir().unwrap();
    let packages = tempfile::tempdir().unwrap();
    let made = Command::new("python3").args(["-c", MAKE]).arg(packages.path()).status();
    assert!(made.unwrap().success());
    let cases = [
        ("evil-header", "its header is corrupt"),
        ("evil-length", "its header claims to have"),
        ("evil-bomb", "the limit is"),
        ("evil-name", "outside the target folder"),
        ("evil-nothing", "neither a .gguf nor a .safetensors"),
    ];
    assert_eq!((cases.len(), files(packages.path()).len()), (5, 5));
    for (package, reason) in cases {
        let pulled = Command::new("python3")
            .args(["-c", MEASURE])
            .arg(program())
            .args(["models", "pull", &format!("pip:{package}")])
            .env("HOME", home.path())
            .env("LAR_DATA_DIR", home.path().join("data"))
            .env("LAR_LISTEN", "127.0.0.1:0")
            .env("LAR_OWNER_KEY", Lar::KEY)
            // pip takes packages from this folder and contacts no registry.
            .env("PIP_NO_INDEX", "1")
            .env("PIP_FIND_LINKS", packages.path())
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&pulled.stderr).into_owned();
        assert!(!pulled.status.success() && output.contains(reason), "{package}: {output}");
        let printed = String::from_utf8_lossy(&pulled.stdout).into_owned();
        let memory: u64 = printed.lines().last().unwrap().parse().unwrap();
        assert!(memory < MEMORY_KB, "{package}: {memory} kB");
        assert_eq!(files(&home.path().join("data/models")), [""; 0], "{package}");
        assert!(!files(home.path()).iter().any(|path| path.contains("evil.gguf")), "{package}");
    }
}
