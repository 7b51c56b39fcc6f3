//! Disks that fill up, cannot be written, or damage the database: clear errors, nothing acknowledged is lost, what takes
//! something back works on a full disk, nothing damaged is told as healthy, and what can be read is saved.

mod damage;
mod erasing;
mod links;
mod lost;
mod pages;
mod pulls;
mod special;
mod wal;

use std::path::{Path, PathBuf};

use lar_tests::{Disk, Lar, chat_model};
use serde_json::{Value, json};

/// A file that leaves no room on the disk of this Lar, whose mounts are its own.
fn fill(lar: &Lar) -> PathBuf {
    let disk = format!("/proc/{}/root{}", lar.pid(), lar.data().display());
    let filler = Path::new(&disk).join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    filler
}

/// Takes the last room of a disk.
fn fill_up(filler: &Path) {
    let mut file = std::fs::File::options().append(true).open(filler).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
}

fn conversation(lar: &Lar, title: &str) -> (u16, Value) {
    let made = lar.post("/lar/v1/conversations", &json!({ "title": title }));
    (made.status, made.json())
}

#[test]
fn a_full_disk_is_reported_and_overcome() {
    let mut lar = Lar::start_on_disk("size=16m");
    let (status, kept) = conversation(&lar, "before");
    assert_eq!(status, 201, "{kept}");
    let filler = fill(&lar);
    // What is already allocated may still take a few.
    let refused = (0..400).map(|_| conversation(&lar, &"x".repeat(200))).find(|(status, _)| *status != 201);
    let (status, problem) = refused.expect("the disk is full");
    assert_eq!((status, problem["code"].as_str()), (503, Some("STORAGE_FULL")), "{problem}");
    let read = lar.get(&format!("/lar/v1/conversations/{}", kept["id"].as_str().unwrap()));
    assert_eq!((read.status, read.json()["title"].clone()), (200, json!("before")));
    assert_eq!(lar.get("/healthz").status, 200);
    std::fs::remove_file(filler).unwrap();
    let (status, again) = conversation(&lar, "after");
    assert_eq!(status, 201, "{again}");
    let titles = lar.get("/lar/v1/conversations?limit=200").body;
    assert!(titles.contains("\"after\"") && titles.contains("\"before\""), "{titles}");
    assert_eq!(lar.stop(), Some(0));
}

/// A write vouches for the next ones for a few seconds; then `/readyz` tries one.
#[test]
fn a_server_on_a_full_disk_is_not_ready_until_there_is_room_again() {
    let lar = Lar::start_on_disk("size=16m");
    assert_eq!(lar.get("/readyz").status, 200);
    let filler = fill(&lar);
    let refused = (0..400).map(|_| conversation(&lar, &"x".repeat(200))).find(|(status, _)| *status != 201);
    assert!(refused.is_some(), "the disk is full");
    // What is already allocated may still take a few.
    let problem = lar.until("readiness to end", |lar| {
        let answer = lar.get("/readyz");
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(
        (problem.status, problem.json()["code"].as_str()),
        (503, Some("STORAGE_FULL")),
        "{}",
        problem.body
    );
    assert_eq!(lar.get("/healthz").status, 200, "it is alive all the same");
    std::fs::remove_file(filler).unwrap();
    let ready = lar.get("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.body);
}

/// The kernel sends a signal to who makes a file larger than `ulimit -f` allows, which ends a process that does not take it.
#[test]
fn a_limit_on_the_size_of_files_is_reported_like_a_full_disk() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let data = tempfile::tempdir().unwrap();
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -f 80; exec \"$@\"", "sh"]).arg(lar_tests::program()).arg("serve");
    limited.env("LAR_DATA_DIR", data.path()).env("LAR_LISTEN", "127.0.0.1:0").env("LAR_LOG", "error");
    let refused = limited.output().unwrap();
    let output = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "it ended by itself: {:?} {output}", refused.status);
    assert!(output.contains("lar.db") && output.contains("(`ulimit -f`)"), "{output}");

    let mut lar = Lar::start();
    let (_, kept) = conversation(&lar, "before");
    let log = lar.data().join("lar.db-wal").metadata().unwrap().len();
    let pid = Pid::from_raw(lar.pid().try_into().unwrap());
    let limit = |current| {
        let limit = Rlimit { current, maximum: None };
        prlimit(pid, Resource::Fsize, limit).unwrap();
    };
    limit(Some(log + (64 << 10)));
    let refused = (0..400).map(|_| conversation(&lar, &"x".repeat(200))).find(|(status, _)| *status != 201);
    let (status, problem) = refused.expect("the log cannot grow");
    assert_eq!((status, problem["code"].as_str()), (503, Some("STORAGE_FULL")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("(`ulimit -f`)"), "{problem}");
    let read = lar.get(&format!("/lar/v1/conversations/{}", kept["id"].as_str().unwrap()));
    assert_eq!((read.status, read.json()["title"].clone()), (200, json!("before")));
    limit(None);
    assert_eq!(conversation(&lar, "after").0, 201);
    assert_eq!(lar.stop(), Some(0));
}

#[test]
fn a_disk_that_cannot_be_written_is_reported_at_startup() {
    let output = Lar::refused_on_disk("size=16m,ro", &["serve"]);
    assert!(output.contains("the data directory /") && output.contains("Read-only file system"), "{output}");
    assert!(output.contains("→ that disk is mounted read-only"), "{output}");
    let disk = Disk::new("size=16m,ro");
    let doctor = disk.command(&["doctor"]).output().unwrap();
    let screen = String::from_utf8_lossy(&doctor.stdout);
    assert!(screen.contains("mount it for writing") && !screen.contains("chown"), "{screen}");
}

/// What takes something back works on a full disk, and so does starting there.
#[test]
fn on_a_full_disk_keys_are_revoked_and_things_erased() {
    let disk = Disk::new("size=24m");
    let mut lar = disk.start();
    let reserve = disk.outside().join("lar.reserve");
    assert!(reserve.metadata().unwrap().len() >= 1 << 20, "room is kept");
    let ids: Vec<String> = (0..4)
        .map(|number| {
            let made = lar.post("/lar/v1/keys", &json!({ "name": format!("app {number}") })).json();
            made["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let made = |title: &str| conversation(&lar, title).1["id"].as_str().unwrap().to_owned();
    let (deleted, erased) = (made("deleted"), made("erased"));
    let memory = lar.post("/lar/v1/memories", &json!({ "content": "The spare key is under the blue pot." }));
    assert_eq!(memory.status, 201, "{}", memory.body);
    let memory = memory.json()["memory"]["id"].as_str().or(memory.json()["id"].as_str()).unwrap().to_owned();

    let full = |lar: &Lar| {
        let refused =
            (0..400).map(|_| conversation(lar, &"x".repeat(200))).find(|(status, _)| *status != 201);
        let (status, problem) = refused.expect("the disk is full");
        assert_eq!((status, problem["code"].as_str()), (503, Some("STORAGE_FULL")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("lar.db"), "it names the path: {problem}");
    };
    let filler = disk.fill();
    full(&lar);
    assert_eq!(lar.get("/lar/v1/keys").status, 200, "listing writes nothing that it needs");
    let remove = |lar: &Lar, path: String| {
        let answer = lar.send("DELETE", &path, &Value::Null);
        assert!(matches!(answer.status, 200 | 204), "{path}: {} {}", answer.status, answer.body);
    };
    remove(&lar, format!("/lar/v1/keys/{}", ids[0]));
    full(&lar);
    remove(&lar, format!("/lar/v1/conversations/{erased}?erase=true"));
    remove(&lar, format!("/lar/v1/conversations/{deleted}"));
    remove(&lar, format!("/lar/v1/memories/{memory}?erase=true"));
    full(&lar);
    remove(&lar, format!("/lar/v1/keys/{}", ids[1]));

    // It starts there, too, with what was kept.
    lar.kill();
    fill_up(&filler);
    let mut lar = disk.start();
    let revoked = |lar: &Lar| -> Vec<bool> {
        let keys = lar.get("/lar/v1/keys").json()["data"].clone();
        let of = |id: &String| {
            keys.as_array().unwrap().iter().find(|key| key["id"] == id.as_str()).unwrap().clone()
        };
        ids.iter().map(|id| !of(id)["revoked_at"].is_null()).collect()
    };
    assert_eq!(revoked(&lar), [true, true, false, false]);
    remove(&lar, format!("/lar/v1/keys/{}", ids[2]));
    assert_eq!(lar.get(&format!("/lar/v1/conversations/{erased}")).status, 404);
    assert_eq!(lar.stop(), Some(0));

    // Without anything kept, it says where there is no room and what to do.
    let _ = std::fs::remove_file(&reserve);
    fill_up(&filler);
    let mut refused = disk.command(&["serve"]);
    // What it has of the log on the disk takes room, too.
    let done = refused.output().unwrap();
    let output = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success(), "it started without room");
    assert!(output.contains("→ make room on that disk"), "{output}");
    assert!(output.contains(lar.data().to_str().unwrap()), "it names the path: {output}");

    std::fs::remove_file(&filler).unwrap();
    let lar = disk.start();
    assert_eq!(conversation(&lar, "after").0, 201);
    assert_eq!(revoked(&lar), [true, true, true, false]);
    assert!(reserve.exists(), "room is kept again");
}

/// A backup is acknowledged once it is whole on the disk; of one that does not fit nothing is left.
#[test]
fn on_a_full_disk_a_backup_is_refused_and_leaves_nothing() {
    let disk = Disk::new("size=24m");
    let lar = disk.start();
    let filler = std::fs::File::options().append(true).open(disk.fill()).unwrap();
    let backups = disk.outside().join("backups");
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&backups).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    // With each try there is more room: for nothing, for a part of a backup, for a whole one. A backup takes about 500 KiB.
    let mut refused = 0;
    let made = (0..64).find_map(|_| {
        let answer = lar.post("/lar/v1/backups", &Value::Null);
        if answer.status == 201 {
            return Some(answer.json()["path"].as_str().unwrap().to_owned());
        }
        let problem = answer.json();
        assert_eq!((answer.status, problem["code"].as_str()), (503, Some("STORAGE_FULL")), "{problem}");
        assert_eq!(names(), Vec::<String>::new(), "after {problem}");
        assert_eq!(lar.get("/lar/v1/backups").json()["data"], json!([]));
        refused += 1;
        filler.set_len(filler.metadata().unwrap().len() - (64 << 10)).unwrap();
        None
    });
    let made = made.expect("there is room at last");
    assert!(refused > 3, "there was room at once");
    assert_eq!(names(), [Path::new(&made).file_name().unwrap().to_str().unwrap()]);
    // To check one takes room beside it.
    filler.set_len(0).unwrap();
    let checked = disk.command(&["backup", "verify", &made]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn callers_without_admin_learn_of_a_full_disk_and_of_no_folder() {
    let disk = Disk::new("size=16m");
    let lar = disk.start();
    let narrow = lar.key(&["conversations"]);
    let _filler = disk.fill();
    let detail_for = |headers: &str| {
        let title = json!({ "title": "x".repeat(200) });
        let tries = (0..400).map(|_| lar.send_with(headers, "POST", "/lar/v1/conversations", &title));
        let refused = tries.into_iter().find(|answer| answer.status != 201).expect("the disk is full");
        assert_eq!(refused.status, 503, "{}", refused.body);
        refused.json()["detail"].as_str().unwrap().to_owned()
    };
    let narrow = detail_for(&narrow);
    assert!(narrow.starts_with("lar.db") && !narrow.contains('/'), "{narrow}");
    let owner = detail_for(&format!("authorization: Bearer {}\r\n", Lar::KEY));
    let path = lar.data().join("lar.db");
    assert!(owner.starts_with(path.to_str().unwrap()), "its owner is told where: {owner}");
}

#[test]
fn a_model_that_does_not_fit_the_disk_is_refused_with_numbers() {
    let model = chat_model().display().to_string();
    let output = Lar::refused_on_disk("size=32m", &["models", "pull", &model, "--name", "tiny"]);
    assert!(output.contains(" free, 158 MiB are needed"), "{output}");
}
