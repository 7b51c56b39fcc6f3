//! Upgrades in place: a dry run on a copy, an automatic rollback if the new release does not start, and a
//! rollback on request.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lar_tests::Lar;
use serde_json::{Value, json};

/// An installed release and a data directory with one memory.
struct Site {
    _at: tempfile::TempDir,
    folder: PathBuf,
    data: PathBuf,
}

const FACT: &str = "The ferry leaves from the north harbour.";

impl Site {
    fn new() -> Self {
        let at = tempfile::tempdir().unwrap();
        let (folder, data) = (at.path().join("lar"), at.path().join("data"));
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::copy(lar_tests::program(), folder.join("lar")).unwrap();
        fs::write(folder.join("lib/old"), "").unwrap();
        let mut server = Lar::start_on(&data);
        assert_eq!(server.post("/lar/v1/memories", &json!({ "content": FACT })).status, 201);
        assert_eq!(server.stop(), Some(0));
        Self { _at: at, folder, data }
    }

    fn run(&self, arguments: &[&str]) -> (bool, String) {
        self.run_of(&self.folder, arguments)
    }

    fn run_of(&self, folder: &Path, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(folder.join("lar"));
        command.env("LAR_DATA_DIR", &self.data).env("LAR_MODELS_DIR", lar_tests::models_dir());
        let done = command.env("LAR_LOG", "error").args(arguments).output().unwrap();
        (done.status.success(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
    }

    /// Packs a copy of this release with another version, which runs the shell script `serve` before it
    /// serves.
    fn release(&self, serve: &str) -> PathBuf {
        let program = lar_tests::program();
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in --version) echo lar 9.9.9; exit;;\n*serve*) data=$2\n{serve}\nesac\nexec {} \"$@\"\n",
            program.display()
        );
        let top = self.folder.with_file_name("lar-9.9.9");
        fs::create_dir_all(top.join("lib")).unwrap();
        fs::write(top.join("lar"), script).unwrap();
        fs::set_permissions(top.join("lar"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(top.join("lib/new"), "").unwrap();
        fs::write(top.join("NEWS"), "").unwrap();
        self.pack("lar-9.9.9.tar.gz", &["lar-9.9.9"])
    }

    /// Packs these paths, which are beside the release, and writes the digest of the archive.
    fn pack(&self, name: &str, what: &[&str]) -> PathBuf {
        let at = self.folder.parent().unwrap();
        let command = format!("tar -cPzf {name} {} && sha256sum {name} > {name}.sha256", what.join(" "));
        assert!(Command::new("sh").args(["-c", &command]).current_dir(at).status().unwrap().success());
        at.join(name)
    }

    /// The names of the installed files and of the files in the data directory, without archives and SQLite's
    /// own files.
    fn state(&self) -> (Vec<String>, Vec<String>) {
        let names = |folder: &Path| {
            let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
            let passing = [".gz", ".sha256", "-wal", "-shm"];
            names.retain(|name| !passing.iter().any(|end| name.ends_with(end)) && name != "lar-9.9.9");
            names.sort();
            names
        };
        let mut releases = names(self.folder.parent().unwrap());
        releases.extend(names(&self.folder.join("lib")));
        (releases, names(&self.data))
    }

    fn knows_the_fact(&self) {
        let server = Lar::start_on(&self.data);
        let found = server.post("/lar/v1/memories/search", &json!({ "query": "Which harbour?" })).json();
        assert_eq!(found["results"][0]["content"], FACT, "{found}");
    }

    /// Gives the database a schema version that only a newer release knows.
    fn make_newer(&self) {
        let code = format!(
            "import sqlite3; sqlite3.connect('{}/lar.db').execute('PRAGMA user_version = 999')",
            self.data.display()
        );
        assert!(Command::new("python3").args(["-c", &code]).status().unwrap().success());
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_upgrade_replaces_the_release_and_can_be_undone() {
    let site = Site::new();
    let before = site.state();
    // The folder that an upgrade of an earlier release leaves when it is killed.
    fs::create_dir(site.data.join("rehearsal")).unwrap();
    let archive = site.release("");
    let (ok, output) = site.run(&["upgrade", text(&archive), "--json"]);
    assert!(ok, "{output}");
    let record: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((&record["from"], &record["to"]), (&json!(env!("CARGO_PKG_VERSION")), &json!("9.9.9")));
    assert!(Path::new(record["backup"].as_str().unwrap()).is_file());
    assert_eq!(site.run(&["--version"]).1, "lar 9.9.9\n");
    assert_eq!(
        site.state().0,
        ["data", "lar", "lar.previous", "new"],
        "the whole old release is moved aside"
    );
    for folder in ["dry-run", "rehearsal"] {
        assert!(!site.data.join(folder).exists(), "{folder}");
    }
    site.knows_the_fact();

    let previous = site.folder.with_file_name("lar.previous");
    let (ok, output) = site.run_of(&previous, &["upgrade", "--undo"]);
    assert!(ok && output.contains("All data was kept."), "{output}");
    assert_eq!(site.state().0, before.0);
    site.knows_the_fact();
    let (ok, output) = site.run(&["upgrade", "--undo"]);
    assert!(!ok && output.contains("there is no upgrade to undo"), "{output}");

    // Data written since the upgrade can have a schema that the previous release does not know.
    assert!(site.run(&["upgrade", text(&archive)]).0);
    site.make_newer();
    let (ok, output) = site.run_of(&previous, &["upgrade", "--undo"]);
    assert!(ok && output.contains("cannot read the data of 9.9.9"), "{output}");
    assert_eq!(site.state().0, before.0);
    assert!(site.state().1.iter().any(|name| name.starts_with("before-restore-")));
    site.knows_the_fact();
}

#[test]
fn a_release_that_does_not_start_is_rolled_back() {
    let site = Site::new();
    let mut before = site.state();
    let (ok, output) = site.run(&["upgrade", text(&site.release("echo it is broken >&2; exit 1"))]);
    assert!(
        !ok && output.contains("the dry run failed, so nothing was changed: the program ended"),
        "{output}"
    );
    assert!(output.contains("it is broken"), "{output}");
    before.1.push("backups".into());
    before.1.sort();
    assert_eq!(site.state(), before);

    // A release that starts with the copy, but not with the original, which it changes first.
    let worse = "case $data in *dry-run);; *) python3 -c \"import sqlite3; sqlite3.connect('$data/lar.db').execute('PRAGMA user_version = 999')\"; exit 1;; esac";
    let (ok, output) = site.run(&["upgrade", text(&site.release(worse))]);
    assert!(!ok && output.contains("9.9.9 did not become ready;"), "{output}");
    assert_eq!(site.state().0, before.0);
    assert!(!site.data.join("upgrade.json").exists());
    site.knows_the_fact();
}

#[test]
fn an_invalid_release_changes_nothing() {
    let site = Site::new();
    let good = site.release("");
    let at = site.folder.parent().unwrap();
    fs::create_dir_all(at.join("odd/lib")).unwrap();
    fs::write(at.join("odd/lar"), "not a program").unwrap();
    fs::set_permissions(at.join("odd/lar"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(at.join("poor")).unwrap();
    fs::create_dir_all(at.join("link/lib")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at.join("link/lar")).unwrap();
    fs::write(at.join("noise.gz"), [7; 4096]).unwrap();
    let out = "import tarfile; t = tarfile.open('out.tar', 'w'); t.addfile(tarfile.TarInfo('top/../../out'))";
    let made = Command::new("python3").args(["-c", out]).current_dir(at).status().unwrap();
    assert!(
        made.success() && Command::new("gzip").arg("-k").arg(at.join("out.tar")).status().unwrap().success()
    );
    for name in ["noise.gz", "out.tar.gz"] {
        let digest = format!("sha256sum {name} > {name}.sha256");
        assert!(Command::new("sh").args(["-c", &digest]).current_dir(at).status().unwrap().success());
    }
    let whole = fs::read(&good).unwrap();
    fs::write(at.join("cut.gz"), &whole[..whole.len() / 2]).unwrap();
    fs::copy(at.join("lar-9.9.9.tar.gz.sha256"), at.join("cut.gz.sha256")).unwrap();
    let odd = site.pack("odd.gz", &["odd"]);
    let (poor, link) = (site.pack("poor.gz", &["poor"]), site.pack("link.gz", &["link"]));
    for leftover in ["odd", "poor", "link", "out.tar"] {
        let _ = fs::remove_file(at.join(leftover));
        let _ = fs::remove_dir_all(at.join(leftover));
    }
    let before = site.state();
    let cases = [
        (at.join("nowhere.gz"), "--sha256"),
        (at.join("cut.gz"), "does not match its checksum"),
        (at.join("noise.gz"), "cannot be used"),
        (at.join("out.tar.gz"), "leads out of its folder"),
        (odd, "does not run on this machine"),
        (poor, "is not a release of Lar"),
        (link, "is neither a file nor a folder"),
    ];
    for (archive, reason) in cases {
        let (ok, output) = site.run(&["upgrade", text(&archive)]);
        assert!(!ok && output.contains(reason), "{}: {output}", archive.display());
        assert_eq!(site.state().0, before.0, "{}", archive.display());
    }
    let (ok, output) = site.run(&["upgrade", text(&good), "--sha256", "abc"]);
    assert!(!ok && output.contains("is not a SHA-256 digest"), "{output}");
    let (ok, output) = site.run(&["upgrade"]);
    assert!(!ok && output.contains("<ARCHIVE>"), "{output}");

    // A folder with other files than Lar's is not moved aside.
    fs::write(site.folder.join("letters"), "").unwrap();
    let (ok, output) = site.run(&["upgrade", text(&good)]);
    assert!(!ok && output.contains("also contains letters"), "{output}");
    fs::remove_file(site.folder.join("letters")).unwrap();

    // A server that was started by hand is not stopped.
    let mut server = Lar::start_on(&site.data);
    let (ok, output) = site.run(&["upgrade", text(&good)]);
    assert!(
        !ok && output.contains("stop Lar first") && output.contains(&server.pid().to_string()),
        "{output}"
    );
    assert_eq!(server.stop(), Some(0));
    let built = Command::new(lar_tests::program()).args(["upgrade", text(&good)]).output().unwrap();
    assert!(String::from_utf8_lossy(&built.stderr).contains("was built from source"), "{built:?}");
    assert_eq!(site.state(), before);
}
