//! Pipes, devices, links and huge files in place of Lar's files: each command reports them and ends. A
//! command that opened a pipe without a writer would wait forever, and one that read an endless device would
//! use up all memory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use lar_tests::Lar;
use lar_tests::damage::fold_log;
use lar_tests::offline::output_text;
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Seconds after which a command counts as hung.
const SECONDS_MAX: &str = "60";

/// Runs `lar` on a data directory without a server. Returns its exit code, or `None` if it had to be killed,
/// and its output.
fn lar(data: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Lar::command_through(&["timeout", "--signal=KILL", SECONDS_MAX], data);
    let done = command.args(arguments).output().unwrap();
    (done.status.code(), output_text(&done))
}

fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// Creates a data directory whose server was stopped cleanly.
fn stopped(data: &Path) {
    let mut server = Lar::start_on(data);
    assert_eq!(server.stop(), Some(0));
    fold_log(data);
}

#[test]
fn a_pipe_or_device_in_place_of_a_file_is_refused_without_waiting() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    stopped(&data);
    type Put = fn(&Path);
    let pipe: (&str, Put) = ("a pipe", make_pipe);
    let device: (&str, Put) = ("a device", |path| symlink("/dev/zero", path).unwrap());
    let settings =
        [vec!["serve"], vec!["backup", "create"], vec!["config", "set", "log", "warn"], vec!["ps"]];
    let keys = [vec!["serve"], vec!["keys", "list"]];
    let cases = [
        ("lar.toml", &settings[..], "BROKEN  configuration"),
        ("owner.key", &keys[..], "BROKEN  owner.key"),
        ("secret.key", &keys[..], "BROKEN  secret.key"),
    ];
    for (name, commands, found) in cases {
        let (path, kept) = (data.join(name), at.path().join("kept"));
        let _ = fs::rename(&path, &kept);
        for (kind, put) in [pipe, device] {
            put(&path);
            let expected = format!("{} cannot be read: it is {kind}, not a regular file", path.display());
            for command in commands {
                let (code, output) = lar(&data, command);
                assert!(
                    code == Some(1) && output.contains(&expected),
                    "{name} {command:?}: {code:?} {output}"
                );
            }
            let (code, output) = lar(&data, &["doctor"]);
            assert!(
                code == Some(4) && output.contains(found) && output.contains(&expected),
                "{name}: {output}"
            );
            fs::remove_file(&path).unwrap();
        }
        let _ = fs::rename(&kept, &path);
    }

    // A huge file is not read to its end.
    fs::File::create(data.join("lar.toml")).unwrap().set_len(40 << 30).unwrap();
    let (code, output) = lar(&data, &["serve"]);
    assert!(
        code == Some(1) && output.contains("lar.toml cannot be read: it is larger than the limit of 1.0 MiB"),
        "{output}"
    );
    fs::remove_file(data.join("lar.toml")).unwrap();

    let _ = fs::remove_file(data.join("lock"));
    make_pipe(&data.join("lock"));
    let (code, output) = lar(&data, &["serve"]);
    assert!(code == Some(1) && output.contains("lock cannot be locked: it is a pipe"), "{code:?} {output}");
    fs::remove_file(data.join("lock")).unwrap();

    make_pipe(&data.join("server.json"));
    let (code, output) = lar(&data, &["doctor"]);
    assert!(matches!(code, Some(0 | 4)) && output.contains("ok      database"), "{code:?} {output}");
    // A server creates these files again or works without them.
    fs::remove_file(data.join("lar.reserve")).unwrap();
    make_pipe(&data.join("lar.reserve"));
    let mut server = Lar::start_on(&data);
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.stop(), Some(0));
}

/// Objects that SQLite does not open in place of its own files beside a database. It opens such a database
/// read-only, so a check by SQLite alone finds no problem.
#[test]
fn doctor_finds_files_beside_the_database_that_serve_refuses() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    stopped(&data);
    type Put = fn(&Path);
    let puts: [(&str, Put); 4] = [
        ("a symbolic link to /nowhere", |path| symlink("/nowhere", path).unwrap()),
        ("a symbolic link to /dev/zero", |path| symlink("/dev/zero", path).unwrap()),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a pipe", make_pipe),
    ];
    for name in ["lar.db-wal", "lar.db-shm"] {
        for (kind, put) in puts {
            let path = data.join(name);
            put(&path);
            let expected = format!("{} is {kind}", path.display());
            let (code, output) = lar(&data, &["serve"]);
            assert!(code == Some(1) && output.contains(&expected), "{name}: {code:?} {output}");
            assert!(output.contains("\n→ ") && !output.contains("read-only"), "{name}: {output}");
            let (code, output) = lar(&data, &["doctor"]);
            assert!(code == Some(4) && output.contains("BROKEN  database"), "{name}: {code:?} {output}");
            assert!(output.contains(&expected), "{name}: {output}");
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir(&path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
        }
    }
    let (_, output) = lar(&data, &["doctor"]);
    assert!(output.contains("ok      database"), "{output}");
}

/// Objects in place of the lock file beside the database. After they are moved away, the lock file is created
/// again.
#[test]
fn doctor_finds_a_lock_file_that_serve_refuses() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    stopped(&data);
    let path = data.join("lar.db.lock");
    type Put = fn(&Path);
    let puts: [(&str, Put); 3] = [
        ("a symbolic link", |path| symlink("/dev/null", path).unwrap()),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a pipe", make_pipe),
    ];
    for (kind, put) in puts {
        fs::remove_file(&path).unwrap();
        put(&path);
        let expected = format!("{} cannot be locked: it is {kind}", path.display());
        let (code, output) = lar(&data, &["serve"]);
        assert!(code == Some(1) && output.contains(&expected), "{kind}: {code:?} {output}");
        let (code, output) = lar(&data, &["doctor"]);
        assert!(code == Some(4) && output.contains("BROKEN  lock") && output.contains(&expected), "{output}");
        fs::rename(&path, at.path().join(kind)).unwrap();
        let (code, output) = lar(&data, &["migrate"]);
        assert!(code == Some(0), "{kind}: {output}");
    }
}
