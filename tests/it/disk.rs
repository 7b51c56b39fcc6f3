//! Disks that fill up, cannot be written, or damage the database. Errors are clear and acknowledged data is
//! never lost. On a full disk keys can still be revoked and data erased. Damage is never reported as healthy,
//! and readable rows are salvaged.

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

/// Fills the disk of this server, which is mounted in its namespace only. Returns the file that fills it.
fn fill(lar: &Lar) -> PathBuf {
    let disk = format!("/proc/{}/root{}", lar.pid(), lar.data().display());
    let filler = Path::new(&disk).join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    filler
}

/// Appends to a file until its disk is completely full.
fn fill_up(filler: &Path) {
    let mut file = std::fs::File::options().append(true).open(filler).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
}

fn conversation(lar: &Lar, title: &str) -> (u16, Value) {
    let made = lar.post("/lar/v1/conversations", &json!({ "title": title }));
    (made.status, made.json())
}

#[test]
fn a_full_disk_is_reported_and_writes_work_again_with_free_space() {
    let mut lar = Lar::start_on_disk("size=16m");
    let (status, kept) = conversation(&lar, "before");
    assert_eq!(status, 201, "{kept}");
    let filler = fill(&lar);
    // Pages that are already allocated may still take a few writes.
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

/// For a few seconds after a successful write, `/readyz` reports ready without trying a write itself.
#[test]
fn a_server_on_a_full_disk_is_not_ready_until_there_is_space() {
    let lar = Lar::start_on_disk("size=16m");
    assert_eq!(lar.get("/readyz").status, 200);
    let filler = fill(&lar);
    let refused = (0..400).map(|_| conversation(&lar, &"x".repeat(200))).find(|(status, _)| *status != 201);
    assert!(refused.is_some(), "the disk is full");
    // The trial write of `/readyz` may still fit into pages that are already allocated or that a checkpoint frees.
    let problem = lar.until("the end of readiness", |lar| {
        fill_up(&filler);
        conversation(lar, "takes another page");
        let answer = lar.get("/readyz");
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(
        (problem.status, problem.json()["code"].as_str()),
        (503, Some("STORAGE_FULL")),
        "{}",
        problem.body
    );
    assert_eq!(lar.get("/healthz").status, 200, "the server is alive all the same");
    std::fs::remove_file(filler).unwrap();
    let ready = lar.get("/readyz");
    assert_eq!(ready.status, 200, "{}", ready.body);
}

/// The kernel sends SIGXFSZ to a process that exceeds `ulimit -f`, and that signal ends a process that does
/// not handle it.
#[test]
fn a_file_size_limit_is_reported_like_a_full_disk() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let data = tempfile::tempdir().unwrap();
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -f 80; exec \"$@\"", "sh"]).arg(lar_tests::program()).arg("serve");
    limited.env("LAR_DATA_DIR", data.path()).env("LAR_LISTEN", "127.0.0.1:0").env("LAR_LOG", "error");
    let refused = limited.output().unwrap();
    let output = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "no signal ended it: {:?} {output}", refused.status);
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

/// A server can start on a full disk, revoke keys there and erase data.
#[test]
fn keys_can_be_revoked_and_data_erased_on_a_full_disk() {
    let disk = Disk::new("size=24m");
    let mut lar = disk.start();
    let reserve = disk.outside().join("lar.reserve");
    assert!(reserve.metadata().unwrap().len() >= 1 << 20, "space is reserved");
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
        assert!(
            problem["detail"].as_str().unwrap().contains("lar.db"),
            "the error names the path: {problem}"
        );
    };
    let filler = disk.fill();
    full(&lar);
    assert_eq!(lar.get("/lar/v1/keys").status, 200, "listing needs no write");
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

    // The server starts on the full disk, too, with what is left of the reserve.
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

    // Without a reserve it names the full disk and the next step.
    let _ = std::fs::remove_file(&reserve);
    fill_up(&filler);
    let mut refused = disk.command(&["serve"]);
    let done = refused.output().unwrap();
    let output = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success(), "it started without space");
    assert!(output.contains("→ free some space on that disk"), "{output}");
    assert!(output.contains(lar.data().to_str().unwrap()), "the error names the path: {output}");

    std::fs::remove_file(&filler).unwrap();
    let lar = disk.start();
    assert_eq!(conversation(&lar, "after").0, 201);
    assert_eq!(revoked(&lar), [true, true, true, false]);
    assert!(reserve.exists(), "space is reserved again");
}

/// A backup is acknowledged only when all of it is on the disk. One that does not fit leaves nothing behind.
#[test]
fn a_backup_on_a_full_disk_is_refused_and_leaves_nothing() {
    let disk = Disk::new("size=24m");
    let lar = disk.start();
    let filler = std::fs::File::options().append(true).open(disk.fill()).unwrap();
    let backups = disk.outside().join("backups");
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&backups).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    // With each try there are 64 KiB more: at first space for nothing, then for a part of a backup, then for
    // a whole one of about 500 KiB.
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
    let made = made.expect("a backup fits in the end");
    assert!(refused > 3, "only {refused} backups were refused");
    assert_eq!(names(), [Path::new(&made).file_name().unwrap().to_str().unwrap()]);
    // Verifying a backup takes space beside it.
    filler.set_len(0).unwrap();
    let checked = disk.command(&["backup", "verify", &made]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn callers_without_admin_do_not_see_the_path_of_a_full_disk() {
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
    assert!(owner.starts_with(path.to_str().unwrap()), "the owner sees the path: {owner}");
}

#[test]
fn a_model_that_does_not_fit_the_disk_is_refused_with_numbers() {
    let model = chat_model().display().to_string();
    let output = Lar::refused_on_disk("size=32m", &["models", "pull", &model, "--name", "tiny"]);
    assert!(output.contains(" free, but 158 MiB are needed"), "{output}");
}
