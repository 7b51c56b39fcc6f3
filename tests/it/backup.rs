//! Backups: created while the server runs, verified, and restored into another data directory with the same
//! content.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use lar_tests::damage::fold_log;
use lar_tests::offline::{lar, outcome};
use lar_tests::{Lar, until};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

/// The bytes of a backup that contain its manifest and the start of its database. A pipe buffers as much
/// without a reader.
const BEGINNING_BYTES: usize = 4096;

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}

/// A command that runs a program in a mount namespace in which the folder named first is a mount point, as in
/// a container.
const WITH_MOUNT: [&str; 7] = [
    "unshare",
    "--mount",
    "--map-root-user",
    "sh",
    "-c",
    "mount --bind \"$1\" \"$1\" && shift && exec \"$@\"",
    "sh",
];

/// The names of the entries of a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// The server's answers to a few requests, without the fields that differ each time.
fn answers(lar: &Lar) -> Value {
    let mut found =
        lar.post("/lar/v1/memories/search", &json!({ "query": "Which harbour is the ferry in?" })).json();
    for hit in found["results"].as_array_mut().unwrap() {
        for measure in ["score", "parts"] {
            hit.as_object_mut().unwrap().remove(measure);
        }
    }
    let list = |path: &str| lar.get(path).json()["data"].clone();
    let mut keys = list("/lar/v1/keys");
    for key in keys.as_array_mut().unwrap() {
        key.as_object_mut().unwrap().remove("last_seen_at");
    }
    json!({ "found": found["results"], "keys": keys, "conversations": list("/lar/v1/conversations"), "aliases": list("/lar/v1/aliases") })
}

#[test]
fn a_restored_backup_gives_the_same_answers() {
    let at = tempfile::tempdir().unwrap();
    let server = Lar::start_on(&at.path().join("old"));
    for fact in [
        "The ferry leaves from the north harbour.",
        "The harbour office opens at eight.",
        "Cats sleep a lot.",
    ] {
        assert_eq!(server.post("/lar/v1/memories", &json!({ "content": fact })).status, 201);
    }
    let talk = server.post("/lar/v1/conversations", &json!({ "title": "Ferries" })).json();
    let message = json!({ "content": "Hello.", "max_tokens": 2 });
    let path_of = |id: &str| format!("/lar/v1/conversations/{id}/messages");
    assert_eq!(server.post(&path_of(talk["id"].as_str().unwrap()), &message).status, 200);
    let key =
        server.post("/lar/v1/keys", &json!({ "name": "app" })).json()["secret"].as_str().unwrap().to_owned();
    assert!(server.cli(&["alias", "set", "gpt-4o", "default"]).status.success());
    let before = answers(&server);

    // Another client saves memories while the backup is made.
    let (file, over) = (at.path().join("lar.tar"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let other = json!({ "content": format!("Parcel {number} weighs {} grams.", number * 7), "project": "load" });
                assert_eq!(server.post("/lar/v1/memories", &other).status, 201);
            }
        });
        let made = server.cli(&["backup", "create", path(&file)]);
        over.store(true, Ordering::Relaxed);
        assert!(made.status.success(), "{made:?}");
    });
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        fs::read_dir(server.data().join("backups")).unwrap().count(),
        0,
        "the backup is at the requested path only"
    );
    let listed = server.post("/lar/v1/backups", &Value::Null).json();
    assert_eq!(server.get("/lar/v1/backups").json()["data"][0]["path"], listed["path"]);
    let (ok, output) = lar(server.data(), &["backup", "restore", path(&file)]);
    assert!(!ok && output.contains("is already served by process"), "{output}");
    drop(server);

    let new = at.path().join("new");
    fs::create_dir(&new).unwrap();
    let (ok, output) = lar(&new, &["backup", "verify", path(&file)]);
    assert!(ok && output.contains("The backup is intact"), "{output}");
    let (ok, output) = lar(&new, &["backup", "restore", path(&file)]);
    assert!(ok && output.contains("Restored"), "{output}");
    let server = Lar::start_on(&new);
    assert_eq!(answers(&server), before);
    let head = server.head("GET", "/v1/models", 0).replace(Lar::KEY, &key);
    assert_eq!(server.raw(&head, b"").status, 200, "a key from before the backup is valid");
    drop(server);

    // A restore over existing data moves that data aside.
    let (ok, output) = lar(&new, &["backup", "restore", path(&file)]);
    assert!(ok && output.contains("The previous files are in"), "{output}");
    let kept = fs::read_dir(&new).unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert_eq!(kept.filter(|name| name.starts_with("before-restore-")).count(), 1);
    assert_eq!(answers(&Lar::start_on(&new)), before);
}

/// The path may come from somebody else, so an error must not quote the content of the file.
#[test]
fn files_that_are_not_backups_are_refused_without_quoting_their_content() {
    let at = tempfile::tempdir().unwrap();
    let (data, file) = (at.path().join("data"), at.path().join("shadow"));
    fs::create_dir(&data).unwrap();
    let line = "root:$y$j9T$hunter22hunter22:20000:0:99999:7:::\n";
    // A tar header has 512 bytes, with its checksum at 148.
    let almost = [line.repeat(20).as_bytes()[..512].to_vec(), vec![0; 1024]].concat();
    for content in [line.as_bytes().to_vec(), line.repeat(100).into_bytes(), almost, Vec::new()] {
        fs::write(&file, &content).unwrap();
        for command in ["verify", "restore"] {
            let (ok, output) = lar(&data, &["backup", command, path(&file)]);
            assert!(!ok, "{command}: {output}");
            assert!(
                output.contains("it is not a backup, or is incomplete") || output.contains("it is empty"),
                "{output}"
            );
            for part in ["root", "hunter22", "j9T", "99999"] {
                assert!(!output.contains(part), "{command}: {output}");
            }
        }
    }
}

#[test]
fn damaged_backups_are_refused_and_change_nothing() {
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    drop(Lar::start_on(&data));
    let file = at.path().join("lar.tar");
    let (ok, output) = lar(&data, &["backup", "create", path(&file)]);
    assert!(ok, "a backup needs no running server: {output}");
    let (ok, output) = lar(&data, &["backup", "create", path(&file)]);
    assert!(!ok && output.contains("lar.tar already exists: choose another name"), "{output}");
    let good = fs::read(&file).unwrap();
    let database = fs::read(data.join("lar.db")).unwrap();

    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let evil = {
        let mut bytes = good.clone();
        while let Some(at) = bytes.windows(9).position(|window| window == b"owner.key") {
            bytes[at..at + 9].copy_from_slice(b"../../key");
        }
        bytes
    };
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("a flipped bit", changed(good.len() / 2), "digest differs"),
        ("a short file", good[..good.len() / 2].to_vec(), "lar.tar"),
        ("an empty file", Vec::new(), "empty"),
        ("a text", b"hello".repeat(300), "it is not a backup"),
        ("zeros", vec![0; 4096], "empty"),
        (
            "a tar file of another program",
            {
                let mut bytes = good.clone();
                bytes[..13].copy_from_slice(b"manifest.jsox");
                bytes[512] = b'x';
                bytes
            },
            "lar.tar",
        ),
        ("a path out of the folder", evil, "lar.tar"),
    ];
    for (what, bytes, reason) in cases {
        fs::write(&file, bytes).unwrap();
        for command in ["verify", "restore"] {
            let (ok, output) = lar(&data, &["backup", command, path(&file)]);
            assert!(!ok && output.contains(reason), "{what} {command}: {output}");
        }
        assert_eq!(fs::read(data.join("lar.db")).unwrap(), database, "{what}");
        let strays =
            fs::read_dir(&data).unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let strays: Vec<String> = strays.filter(|name| name.contains("restore")).collect();
        assert_eq!(strays, Vec::<String>::new(), "{what}");
    }
    let (ok, output) = lar(&data, &["backup", "verify", "/nowhere"]);
    assert!(!ok && output.contains("/nowhere"), "{output}");
}

#[test]
fn leftovers_of_a_killed_restore_are_removed_at_the_next_start_and_not_while_it_runs() {
    let at = tempfile::tempdir().unwrap();
    let (data, pipe) = (at.path().join("data"), at.path().join("pipe.tar"));
    let mut server = Lar::start_on(&data);
    let made = server.post("/lar/v1/backups", &Value::Null).json()["path"].as_str().unwrap().to_owned();
    assert_eq!(server.stop(), Some(0));
    // The restore reads the start of a backup from the pipe and waits for the rest. Opening the pipe for both
    // reading and writing does not block.
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut sender = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    sender.write_all(&fs::read(&made).unwrap()[..BEGINNING_BYTES]).unwrap();
    let mut command = Lar::command_through(&["env"], &data);
    command.args(["backup", "restore", path(&pipe)]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut restore = command.spawn().unwrap();
    let left = data.join("restore.partial");
    until("the start of unpacking", || left.join("lar.db").exists().then_some(()));
    for (name, bytes) in [("lar-1.partial", "a part"), ("lar-1.db-copy", "a part"), ("lar-1.db-copy-wal", "")]
    {
        fs::write(data.join("backups").join(name), bytes).unwrap();
    }
    let (ok, output) = lar(&data, &["serve"]);
    assert!(!ok && output.contains("is in use by process"), "{output}");
    let (_, output) = lar(&data, &["doctor"]);
    assert!(!output.contains("killed"), "{output}");
    assert!(left.join("lar.db").exists(), "the files of a running restore are kept");
    restore.kill().unwrap();
    restore.wait().unwrap();

    assert!(left.join("lar.db").exists(), "a killed restore leaves its files");
    let (_, output) = lar(&data, &["doctor"]);
    assert!(output.contains("note    killed restore") && output.contains(path(&left)), "{output}");
    assert!(output.contains("note    killed backup") && output.contains("lar-1.db-copy-wal"), "{output}");
    let mut server = Lar::start_on(&data);
    assert!(!left.exists());
    assert_eq!(names(&data.join("backups")), [made.rsplit('/').next().unwrap()]);
    assert_eq!(server.stop(), Some(0));
    let (_, output) = lar(&data, &["doctor"]);
    assert!(!output.contains("killed"), "{output}");
}

#[test]
fn a_restore_over_a_mounted_folder_puts_everything_back_and_names_the_next_step() {
    let at = tempfile::tempdir().unwrap();
    let (data, file) = (at.path().join("data"), at.path().join("lar.tar"));
    let mut server = Lar::start_on(&data);
    assert!(server.cli(&["backup", "create", path(&file)]).status.success());
    let key = server.post("/lar/v1/keys", &json!({ "name": "later" })).json();
    let key = key["secret"].as_str().unwrap().to_owned();
    assert_eq!(server.stop(), Some(0));
    // A restore moves `clients` last.
    let clients = data.join("clients");
    fs::create_dir_all(&clients).unwrap();
    let before = names(&data);
    let wrapper = [WITH_MOUNT.as_slice(), &[path(&clients)]].concat();
    let mut restore = Lar::command_through(&wrapper, &data);
    let (ok, output) = outcome(restore.args(["backup", "restore", path(&file)]));
    assert!(!ok && output.contains(&format!("{} cannot be moved to", clients.display())), "{output}");
    for part in ["all files were moved back, and nothing changed", "→ if something is mounted"] {
        assert!(output.contains(part), "{part}: {output}");
    }
    assert_eq!(names(&data), before);
    let server = Lar::start_on(&data);
    let head = server.head("GET", "/v1/models", 0).replace(Lar::KEY, &key);
    assert_eq!(server.raw(&head, b"").status, 200, "the old database and its keys are back");
}

#[test]
fn a_server_refuses_to_start_after_a_killed_restore_until_it_is_repeated() {
    let at = tempfile::tempdir().unwrap();
    let (data, disk, file) = (at.path().join("data"), at.path().join("disk"), at.path().join("lar.tar"));
    let mut server = Lar::start_on(&data);
    assert!(server.cli(&["backup", "create", path(&file)]).status.success());
    assert_eq!(server.stop(), Some(0));
    // The state of a linked database after a restore that was killed once it had moved everything aside.
    let aside = data.join("before-restore-1");
    let unpacked = [data.join("restore.partial"), disk.join("main.db.restore.partial")];
    for folder in [&aside, &disk, &unpacked[0], &unpacked[1]] {
        fs::create_dir(folder).unwrap();
    }
    for name in ["lar.db", "secret.key", "owner.key"] {
        fs::rename(data.join(name), aside.join(name)).unwrap();
    }
    symlink("../disk/main.db", data.join("lar.db")).unwrap();

    let none = at.path().join("none.tar");
    fs::write(&none, "no backup").unwrap();
    for _ in 0..2 {
        let (ok, output) = lar(&data, &["serve"]);
        let expected = "a restore was killed, or failed, before it put the database in place";
        assert!(!ok && output.contains(expected), "{output}");
        let (ok, output) = lar(&data, &["backup", "restore", path(&none)]);
        assert!(!ok && output.contains("none.tar was not restored"), "{output}");
    }
    let (ok, output) = lar(&data, &["backup", "restore", path(&file)]);
    let database = disk.canonicalize().unwrap().join("main.db");
    assert!(ok && output.contains(&format!("The database is {}.", database.display())), "{output}");
    assert_eq!(fs::read_link(data.join("lar.db")).unwrap(), Path::new("../disk/main.db"));
    assert_eq!(names(&disk), ["main.db"]);
    let server = Lar::start_on(&data);
    assert_eq!(server.get("/lar/v1/keys").status, 200);
}

#[test]
fn salvage_changes_nothing_in_a_folder_it_refuses_and_follows_no_links() {
    let at = tempfile::tempdir().unwrap();
    let (data, other, saved) = (at.path().join("data"), at.path().join("other"), at.path().join("saved"));
    let mut server = Lar::start_on(&data);
    assert_eq!(server.stop(), Some(0));
    fold_log(&data);
    for folder in [&other, &saved] {
        fs::create_dir(folder).unwrap();
    }
    let database = other.join("lar.db");
    fs::copy(data.join("lar.db"), &database).unwrap();
    symlink(data.join("secret.key"), other.join("secret.key")).unwrap();
    fs::File::create(other.join("owner.key")).unwrap().set_len(1 << 40).unwrap();
    fs::write(other.join("lar.toml"), "log = \"warn\"\n").unwrap();
    for name in ["lar.damaged-copy", "lar.unfinished", "notes"] {
        fs::write(saved.join(name), "there before").unwrap();
    }

    let command = ["backup", "salvage", path(&saved), "--database", path(&database)];
    let (ok, output) = lar(&data, &command);
    assert!(!ok && output.contains("is not empty: choose a new folder"), "{output}");
    assert_eq!(names(&saved), ["lar.damaged-copy", "lar.unfinished", "notes"]);
    fs::remove_file(saved.join("notes")).unwrap();
    let (ok, output) = lar(&data, &command);
    assert!(ok && output.contains("secret.key was not copied: it is a symbolic link"), "{output}");
    assert!(output.contains("owner.key was not copied: it is larger than the limit of 4.0 KiB"), "{output}");
    let there = names(&saved);
    for (name, is_there) in
        [("lar.db", true), ("lar.toml", true), ("secret.key", false), ("owner.key", false)]
    {
        assert_eq!(there.iter().any(|found| found == name), is_there, "{name}: {there:?}");
    }
    assert!(!there.iter().any(|name| name.contains("damaged") || name.contains("unfinished")), "{there:?}");
}

/// Only root can create files of other users. For anyone else this test checks nothing.
#[test]
fn files_created_by_root_belong_to_the_owner_of_the_data_directory() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let at = tempfile::tempdir().unwrap();
    let data = at.path().join("data");
    drop(Lar::start_on(&data));
    let (owner, group) = (65534, 65534);
    if fs::metadata(&data).unwrap().uid() != 0 {
        return;
    }
    for path in fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).chain([data.clone()]) {
        chown(path, Some(owner), Some(group)).unwrap();
    }
    let (ok, output) = lar(&data, &["backup", "create"]);
    assert!(ok, "{output}");
    let made = fs::read_dir(data.join("backups")).unwrap().next().unwrap().unwrap().path();
    let (ok, output) = lar(&data, &["backup", "restore", path(&made)]);
    assert!(ok, "{output}");
    for folder in [&data, &data.join("backups")] {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            assert_eq!(entry.metadata().unwrap().uid(), owner, "{}", entry.path().display());
        }
    }
}
