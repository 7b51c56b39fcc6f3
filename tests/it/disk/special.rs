//! What stands in the place of Lar's files and is no regular file, or endless: each command says so and ends. A pipe that
//! nobody writes to would keep it waiting without a word, a device would take all memory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use lar_tests::Lar;
use lar_tests::damage::fold_log;
use lar_tests::offline::output_text;
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Seconds after which a command counts as one that waits for ever.
const SECONDS_MAX: &str = "60";

/// What `lar` says on a data directory that no server serves, and its exit code; none where it did not end.
fn lar(data: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Lar::command_through(&["timeout", "--signal=KILL", SECONDS_MAX], data);
    let done = command.args(arguments).output().unwrap();
    (done.status.code(), output_text(&done))
}

fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// A data directory whose server was stopped in order.
fn stopped(data: &Path) {
    let mut server = Lar::start_on(data);
    assert_eq!(server.stop(), Some(0));
    fold_log(data);
}

#[test]
fn a_pipe_or_a_device_in_the_place_of_a_file_is_refused_and_never_waited_for() {
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
                let (code, said) = lar(&data, command);
                assert!(code == Some(1) && said.contains(&expected), "{name} {command:?}: {code:?} {said}");
            }
            let (code, said) = lar(&data, &["doctor"]);
            assert!(code == Some(4) && said.contains(found) && said.contains(&expected), "{name}: {said}");
            fs::remove_file(&path).unwrap();
        }
        let _ = fs::rename(&kept, &path);
    }

    // A huge file is not read to its end.
    fs::File::create(data.join("lar.toml")).unwrap().set_len(40 << 30).unwrap();
    let (code, said) = lar(&data, &["serve"]);
    assert!(code == Some(1) && said.contains("lar.toml cannot be read: it has more than 1.0 MiB"), "{said}");
    fs::remove_file(data.join("lar.toml")).unwrap();

    let _ = fs::remove_file(data.join("lock"));
    make_pipe(&data.join("lock"));
    let (code, said) = lar(&data, &["serve"]);
    assert!(code == Some(1) && said.contains("lock cannot be locked: it is a pipe"), "{code:?} {said}");
    fs::remove_file(data.join("lock")).unwrap();

    make_pipe(&data.join("server.json"));
    let (code, said) = lar(&data, &["doctor"]);
    assert!(matches!(code, Some(0 | 4)) && said.contains("ok      database"), "{code:?} {said}");
    // These are made anew, or done without.
    fs::remove_file(data.join("lar.reserve")).unwrap();
    make_pipe(&data.join("lar.reserve"));
    let mut server = Lar::start_on(&data);
    assert_eq!(server.get("/readyz").status, 200);
    assert_eq!(server.stop(), Some(0));
}

/// What SQLite does not open in the place of the files that it keeps beside a database. It opens a database with such a file
/// for reading, so that a check by SQLite alone finds nothing.
#[test]
fn doctor_finds_beside_the_database_what_serve_refuses() {
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
            let (code, said) = lar(&data, &["serve"]);
            assert!(code == Some(1) && said.contains(&expected), "{name}: {code:?} {said}");
            assert!(said.contains("\n→ ") && !said.contains("read-only"), "{name}: {said}");
            let (code, said) = lar(&data, &["doctor"]);
            assert!(code == Some(4) && said.contains("BROKEN  database"), "{name}: {code:?} {said}");
            assert!(said.contains(&expected), "{name}: {said}");
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir(&path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
        }
    }
    let (_, said) = lar(&data, &["doctor"]);
    assert!(said.contains("ok      database"), "{said}");
}

/// What is in the place of the file beside the database that a server locks. It is made anew when it is moved away.
#[test]
fn doctor_finds_in_the_place_of_the_databases_lock_what_serve_refuses() {
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
        let (code, said) = lar(&data, &["serve"]);
        assert!(code == Some(1) && said.contains(&expected), "{kind}: {code:?} {said}");
        let (code, said) = lar(&data, &["doctor"]);
        assert!(code == Some(4) && said.contains("BROKEN  lock") && said.contains(&expected), "{said}");
        fs::rename(&path, at.path().join(kind)).unwrap();
        let (code, said) = lar(&data, &["migrate"]);
        assert!(code == Some(0), "{kind}: {said}");
    }
}
