//! Health checks, metrics, the description of the API, and starting and stopping a server.

use std::io::{PipeReader, PipeWriter, Write as _};
use std::path::Path;
use std::process::{Child, Command};

use lar_tests::{Lar, llama_server, until};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::json;

/// A process that is killed when dropped.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The error of a second server on a data directory that is in use.
fn refused(data: &Path) -> String {
    let second = Command::new(lar_tests::program())
        .env("LAR_DATA_DIR", data)
        .env("LAR_LISTEN", "127.0.0.1:0")
        .arg("serve")
        .output()
        .unwrap();
    assert!(!second.status.success(), "{second:?}");
    String::from_utf8_lossy(&second.stderr).into_owned()
}

/// The step that this error names.
const STEP: &str = "stop that process, or use another data directory with --data-dir or LAR_DATA_DIR";

#[test]
fn a_server_reports_health_and_metrics_and_stops_cleanly() {
    let mut lar = Lar::start();
    assert_eq!(lar.get("/healthz").json()["status"], "ok");
    for path in ["/readyz", "/health", "/ready"] {
        assert_eq!(lar.get(path).status, 200, "{path}");
    }
    let description = lar.get("/openapi.json").json();
    assert!(description["paths"]["/lar/v1/tasks"].is_object(), "{description}");
    let numbers = lar.get("/metrics").body;
    assert!(numbers.contains("# TYPE lar_queue_depth gauge") && numbers.ends_with("# EOF\n"), "{numbers}");
    assert!(!numbers.contains("lar_egress_connections_total{"), "the server made no connection: {numbers}");
    let workers = lar.workers();
    assert_eq!(lar.stop(), Some(0));
    for pid in workers {
        lar.until("the end of the worker", |_| {
            (!std::path::Path::new(&format!("/proc/{pid}/exe")).exists()).then_some(())
        });
    }
}

/// The process group of a process: the third field after the name of its program (proc_pid_stat(5)).
fn process_group(pid: u32) -> u32 {
    let about = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    about.rsplit(')').next().unwrap().split_whitespace().nth(2).unwrap().parse().unwrap()
}

/// Ctrl+C in a terminal reaches all processes of a group. Engines must keep running until their server stops
/// them.
#[test]
fn engines_are_not_in_the_process_group_of_their_server() {
    let embedding = json!({ "model": "default-embedding", "input": "a barrel" });
    let completion = json!({ "model": "default", "prompt": "One, two,", "max_tokens": 2 });
    let managed = format!("[engines]\nllama_server = {:?}\n", llama_server());
    let cases = [
        ("", "/v1/embeddings", &embedding),
        ("", "/v1/completions", &completion),
        (managed.as_str(), "/v1/completions", &completion),
    ];
    for (config, path, body) in cases {
        let lar = Lar::start_with(config);
        assert_eq!(lar.post(path, body).status, 200);
        let workers = lar.workers();
        let is_managed = |pid: &u32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            command.starts_with(llama_server().as_os_str().as_encoded_bytes())
        };
        assert_eq!(workers.iter().any(is_managed), !config.is_empty(), "{path}: {workers:?}");
        assert!(!workers.is_empty(), "{path}");
        for worker in workers {
            assert_eq!(process_group(worker), worker, "a group of its own: {path}, `{config}`");
        }
    }
}

#[test]
fn one_data_directory_has_one_server() {
    let lar = Lar::start();
    let output = refused(lar.data());
    let (pid, address) = (lar.pid(), lar.address.clone());
    let expected = format!(
        "is already served by process {pid} (lar) at http://{address} (`lar open` opens it in a browser); {STEP}"
    );
    assert!(output.contains(&expected), "{output}");
}

/// A full pipe: a process that writes to it blocks.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    // A byte may fit where a page does not.
    let page = [b'x'; 4096];
    for size in [page.len(), 1] {
        while writer.write_all(&page[..size]).is_ok() {}
    }
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// The server blocks while it prints its address, and is found all the same.
#[test]
fn a_server_is_announced_before_it_prints_its_address() {
    let at = tempfile::tempdir().unwrap();
    let (reader, writer) = full_pipe();
    // `env` becomes `lar`, whose process id is then the child's.
    let mut command = Lar::command_through(&["env"], at.path());
    let mut server = KilledOnDrop(command.arg("serve").stdout(writer).spawn().unwrap());
    let announced = at.path().join("server.json");
    until("the announcement", || announced.exists().then_some(()));
    let output = refused(at.path());
    let expected = format!("is already served by process {} (lar) at http://127.0.0.1:", server.0.id());
    assert!(output.contains(&expected), "{output}");
    // It ends when nobody can read its output any more, and removes the announcement.
    drop(reader);
    server.0.wait().unwrap();
    assert!(!announced.exists());
}

/// The lock of a data directory can be held by any program.
#[test]
fn the_process_that_locks_a_data_directory_is_named_even_if_it_is_not_lar() {
    let at = tempfile::tempdir().unwrap();
    let lock = at.path().join("lock");
    // Left by a server that was killed, which no longer has the lock.
    std::fs::write(at.path().join("server.json"), r#"{"url":"http://127.0.0.1:1","pid":1}"#).unwrap();
    // `flock` becomes `sleep` when it has the lock.
    let mut command = Command::new("flock");
    let holder = KilledOnDrop(command.arg("--no-fork").arg(&lock).args(["sleep", "1000"]).spawn().unwrap());
    let pid = holder.0.id();
    let program = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    until("the lock", || (program().trim_end() == "sleep").then_some(()));
    let output = refused(at.path());
    let data = at.path().display();
    let expected =
        format!("the data directory {data} is in use: its lock is held by process {pid} (sleep); {STEP}");
    assert!(output.contains(&expected), "{output}");
    let checked = Lar::command_through(&["env"], at.path()).arg("doctor").output().unwrap();
    let screen = String::from_utf8_lossy(&checked.stdout);
    let found = format!("{} is locked by process {pid} (sleep)", lock.display());
    assert!(screen.lines().any(|line| line.starts_with("note") && line.ends_with(&found)), "{screen}");
}
