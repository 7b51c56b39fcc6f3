//! The threads of a model that is first loaded beside busy programs: at least one for each core, then and
//! later.

use std::process::{Child, Command};

use lar_engines::device;
use lar_tests::Lar;
use serde_json::{Value, json};

/// Programs that keep every core busy. They are killed when dropped.
struct Busy(Vec<Child>);

impl Busy {
    fn start() -> Self {
        let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        Self((0..device::threads()).map(|_| spin()).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn pool(lar: &Lar) -> Value {
    lar.get("/lar/v1/pools").json()["data"][0].clone()
}

#[test]
fn a_start_beside_busy_programs_still_uses_all_cores() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("lar.toml"), "[engines]\ncontext_tokens_max = 1024\n").unwrap();
    let ask = json!({ "model": "default", "prompt": "One, two,", "max_tokens": 96, "temperature": 0, "ignore_eos": true });
    let busy = Busy::start();
    let lar = Lar::start_measuring_on(directory.path());
    assert_eq!(lar.post("/v1/completions", &ask).status, 200);
    let cores = u64::from(device::cores());
    let found = pool(&lar);
    assert!(found["threads"].as_u64().unwrap() >= cores, "{found}");
    assert_eq!((&found["cores"], &found["threads_note"]), (&json!(cores), &Value::Null), "{found}");
    drop(busy);
    assert_eq!(lar.post("/v1/completions", &ask).status, 200);
    let found = pool(&lar);
    assert!(found["threads"].as_u64().unwrap() >= cores, "{found}");
    let doctor = String::from_utf8(lar.cli(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains(&format!("this machine has {cores} cores")), "{doctor}");
}

#[test]
fn fewer_threads_than_cores_are_reported_with_the_reason() {
    let cores = device::cores();
    if cores < 2 {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("lar.toml"), "[engines]\nthreads = 1\ncontext_tokens_max = 512\n")
        .unwrap();
    let lar = Lar::start_measuring_on(directory.path());
    let ask = json!({ "model": "default", "prompt": "One, two,", "max_tokens": 2 });
    assert_eq!(lar.post("/v1/completions", &ask).status, 200);
    let found = pool(&lar);
    let note = format!("`engines.threads` is 1 and this machine has {cores} cores");
    assert_eq!((&found["threads"], &found["threads_note"]), (&json!(1), &json!(note)));
}
