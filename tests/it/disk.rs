//! Disks that fill up and disks that cannot be written: clear errors, nothing acknowledged is lost, and all is
//! well again when there is room.

use std::path::{Path, PathBuf};

use lar_tests::{Lar, chat_model};
use serde_json::{Value, json};

/// A file that leaves no room on the disk of this Lar, whose mounts are its own.
fn fill(lar: &Lar) -> PathBuf {
    let disk = format!("/proc/{}/root{}", lar.pid(), lar.data().display());
    let filler = Path::new(&disk).join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    filler
}

fn conversation(lar: &Lar, title: &str) -> (u16, Value) {
    let made = lar.post("/lar/v1/conversations", &json!({ "title": title }));
    (made.status, made.json())
}

#[test]
fn a_full_disk_is_told_and_overcome() {
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

#[test]
fn a_disk_that_cannot_be_written_is_told_at_the_start() {
    let told = Lar::refused_on_disk("size=16m,ro", &["serve"]);
    assert!(told.to_lowercase().contains("read-only"), "{told}");
}

#[test]
fn a_model_that_does_not_fit_the_disk_is_refused_with_numbers() {
    let model = chat_model().display().to_string();
    let told = Lar::refused_on_disk("size=32m", &["models", "pull", &model, "--name", "tiny"]);
    assert!(told.contains("32 MiB free, 158 MiB are needed"), "{told}");
}
