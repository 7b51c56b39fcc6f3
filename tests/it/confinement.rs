//! The abilities that a confined worker still has. The attempts are injected into real workers, and made by
//! a process that confines itself as workers do.

use std::path::Path;
use std::process::Command;

use lar_base::Bytes;
use lar_engines::driver::{Ability, Driver};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_inference::Error;
use lar_inference::protocol::Compute;
use lar_tests::escapes::inject::Injected;
use lar_tests::escapes::{Victims, escapes, escapes_without_gpu, line};
use lar_tests::{Lar, chat_model, program};
use serde_json::json;

/// The report of a process that confines itself as a worker of this kind and then tries to escape.
fn twin(kind: &str, folder: &Path) -> String {
    let (readable, file) = (folder.join("readable"), folder.join("another"));
    std::fs::write(&readable, "x").unwrap();
    std::fs::write(&file, "secret").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_confined"))
        .args([kind, &std::process::id().to_string()])
        .args([&readable, &file])
        .output()
        .unwrap();
    assert_eq!(
        (std::fs::read(&readable).unwrap(), std::fs::read(&file).unwrap()),
        (b"x".into(), b"secret".into())
    );
    assert!(!folder.join("escaped").exists());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_confined_process_keeps_what_it_needs_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!("confined_on_a_processor", twin("processor", folder.path()));
}

#[test]
fn a_worker_of_a_gpu_build_keeps_its_drivers_files_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!("confined_on_a_gpu", twin("graphics", folder.path()));
}

#[test]
fn a_confined_server_keeps_its_port_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!("confined_as_a_server", twin("server", folder.path()));
}

#[test]
fn threads_started_before_confinement_are_reported_as_not_confined() {
    let folder = tempfile::tempdir().unwrap();
    let report = twin("threaded", folder.path());
    let lines: Vec<&str> = report.lines().collect();
    let reason = "it applies only to the calling thread, not to the 1 started earlier";
    assert_eq!(lines.len(), 4, "{report}");
    // Users other than root cannot make a namespace there at all.
    assert!(lines[0].starts_with("missing no network: "), "{report}");
    assert_eq!(
        lines[1..],
        [
            format!("missing no root rights (capabilities): {reason}"),
            format!("missing read-only files (Landlock): {reason}"),
            format!("missing system call filter (seccomp): {reason}"),
        ]
    );
}

/// The command line of a process, with a zero byte after each argument.
fn arguments(pid: u32) -> String {
    String::from_utf8(std::fs::read(format!("/proc/{pid}/cmdline")).unwrap()).unwrap()
}

#[test]
fn no_escape_works_from_within_a_real_worker() {
    let lar = Lar::start();
    let answer = lar.post("/v1/chat/completions", &chat());
    assert_eq!(answer.status, 200, "{}", answer.body);
    let embedded = lar.post("/v1/embeddings", &embeddings());
    assert_eq!(embedded.status, 200, "{}", embedded.body);
    let workers = lar.workers();
    assert_eq!(workers.len(), 3, "one each for the model, its vocabulary and the embedder");
    let victims = Victims { server: lar.pid().into(), file: lar.data().join("owner.key") };
    let (for_all, without_gpu) = (escapes(&victims), escapes_without_gpu(&victims));
    assert_eq!((for_all.len(), without_gpu.len()), (141, 19));
    let calls = [for_all, without_gpu].concat();
    let mode = |path: &Path| std::fs::metadata(path).unwrap();
    let before = mode(&victims.file);
    let mut report = Vec::new();
    for worker in workers {
        assert!(arguments(worker).ends_with("worker\0"));
        let mut injected = Injected::attach(worker).unwrap();
        let lines: Vec<String> =
            calls.iter().map(|call| line(call.name, injected.call(call).unwrap())).collect();
        report.push(lines.join("\n"));
    }
    insta::assert_snapshot!("escapes_from_a_worker", report[0]);
    assert_eq!(report[1], report[0]);
    assert_eq!(report[2], report[0]);
    use std::os::unix::fs::MetadataExt as _;
    let after = mode(&victims.file);
    assert_eq!((before.mode(), before.mtime(), before.uid()), (after.mode(), after.mtime(), after.uid()));
    // The server and its workers still answer.
    assert_eq!(lar.post("/v1/chat/completions", &chat()).status, 200);
    assert_eq!(lar.post("/v1/embeddings", &embeddings()).status, 200);
}

fn chat() -> serde_json::Value {
    json!({ "model": "default", "max_tokens": 4, "messages": [{ "role": "user", "content": "Hello" }] })
}

/// A request for the vector of a new text, which is not cached.
fn embeddings() -> serde_json::Value {
    json!({ "model": "default-embedding", "input": format!("an owl {:?}", lar_base::Instant::now()) })
}

#[test]
fn children_get_neither_the_environment_nor_the_descriptors_of_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let left_open = std::fs::File::open("/etc/hostname").unwrap();
    rustix::io::fcntl_setfd(&left_open, rustix::io::FdFlags::empty()).unwrap();
    let lar = Lar::start_on(directory.path());
    rustix::io::fcntl_setfd(&left_open, rustix::io::FdFlags::CLOEXEC).unwrap();
    assert_eq!(lar.post("/v1/chat/completions", &chat()).status, 200);
    assert_eq!(lar.post("/v1/embeddings", &embeddings()).status, 200);
    let environment = |pid: u32| {
        let text = String::from_utf8(std::fs::read(format!("/proc/{pid}/environ")).unwrap()).unwrap();
        text.split('\0').filter(|variable| !variable.is_empty()).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let servers = environment(lar.pid()).join("\n");
    assert!(servers.contains("LAR_DATA_DIR=") && !servers.contains(Lar::KEY), "{servers}");
    for worker in lar.workers() {
        let environment = environment(worker);
        let own: Vec<&String> =
            environment.iter().filter(|variable| !variable.starts_with("LD_LIBRARY_PATH=")).collect();
        let [own] = own.as_slice() else { panic!("{own:?}") };
        let spins = own.strip_prefix("GOMP_SPINCOUNT=").and_then(|spins| spins.parse().ok());
        assert!(spins.is_some_and(|spins: u32| (100..=20_000).contains(&spins)), "{own}");
        assert_eq!(std::fs::read_link(format!("/proc/{worker}/cwd")).unwrap(), Path::new("/"));
        let descriptors = std::fs::read_dir(format!("/proc/{worker}/fd")).unwrap();
        let mut kinds: Vec<String> = descriptors
            .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap().display().to_string())
            .map(|target| target.split(':').next().unwrap_or_default().to_owned())
            .collect();
        kinds.sort();
        kinds.dedup();
        // Standard output, standard error and the socket to the server.
        assert_eq!(kinds, ["/dev/null", "pipe", "socket"]);
    }
}

#[test]
fn confinement_is_reported_and_can_be_required() {
    let lar = Lar::start_with("[engines]\nconfinement = \"require\"\n");
    let report = lar.get("/lar/v1/capabilities").json();
    assert_eq!(report["confinement"], json!({ "policy": "require", "complete": true, "missing": [] }));
    assert_eq!(lar.post("/v1/chat/completions", &chat()).status, 200);
}

/// A Python script that runs a program as on a kernel without Landlock: a system call filter answers ENOSYS
/// for it (seccomp(2); 444 is `landlock_create_ruleset` on every architecture).
const WITHOUT_LANDLOCK: &str = "
import ctypes, os, struct, sys
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
class Filter(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('steps', ctypes.c_void_p)]
filter = Filter(len(steps), ctypes.addressof(code))
prctl = ctypes.CDLL(None, use_errno=True).prctl
prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.addressof(filter), 0, 0):
    sys.exit('no filter: ' + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
";
/// The mechanism that Lar reports as missing on a kernel without Landlock.
const LACKING: &str = "read-only files (Landlock): this kernel has no Landlock";

#[test]
fn no_model_runs_with_incomplete_confinement_if_it_is_required() {
    let wrapper = ["python3", "-c", WITHOUT_LANDLOCK];
    for (policy, may) in [("require", false), ("best-effort", true)] {
        let config = format!("[engines]\nconfinement = \"{policy}\"\npreload = false\n");
        let lar = Lar::start_through(&wrapper, &config);
        let report = lar.get("/lar/v1/capabilities").json();
        let expected = json!({ "policy": policy, "complete": false, "missing": [LACKING] });
        assert_eq!(report["confinement"], expected);
        for (path, body) in [("/v1/chat/completions", chat()), ("/v1/embeddings", embeddings())] {
            let answer = lar.post(path, &body);
            if may {
                assert_eq!(answer.status, 200, "{path}: {}", answer.body);
                continue;
            }
            assert_eq!(answer.status, 503, "{path}: {}", answer.body);
            let named = answer.body.contains("`engines.confinement` requires; missing")
                && answer.body.contains(LACKING);
            assert!(named, "{path}: {}", answer.body);
        }
        let doctor = Lar::command_through(&wrapper, lar.data()).arg("doctor").output().unwrap();
        let screen = String::from_utf8_lossy(&doctor.stdout);
        let line = screen.lines().find(|line| line.contains("not fully confined")).unwrap_or(&screen);
        assert!(line.contains(if may { "note" } else { "BROKEN" }) && line.contains(LACKING), "{screen}");
        assert_eq!(
            line.contains("Lar loads no model, because `engines.confinement` is `require`"),
            !may,
            "{screen}"
        );
    }
}

#[test]
fn no_llama_server_runs_with_incomplete_confinement_if_it_is_required() {
    let data = tempfile::tempdir().unwrap();
    for (more, may) in [(&["--require-confinement"][..], false), (&[][..], true)] {
        let mut launch = Lar::command_through(&["python3", "-c", WITHOUT_LANDLOCK], data.path());
        launch.args(["launch", "--server", &std::process::id().to_string(), "--port", "1"]).args(more);
        // Any program can stand in for llama-server here: it runs or does not.
        let done = launch.args(["--", "/bin/echo", "it runs"]).output().unwrap();
        let (output, report) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!((done.status.success(), output.contains("it runs")), (may, may), "{output}{report}");
        let expected = match may {
            true => format!("llama-server is not fully confined: {LACKING}"),
            false => format!("which `engines.confinement` requires; missing: {LACKING}"),
        };
        assert!(report.contains(&expected), "{report}");
    }
}

fn options(memory_max: Option<Bytes>) -> EmbeddedOptions {
    EmbeddedOptions {
        program: program(),
        path: chat_model(),
        template: None,
        ability: Ability::Generate,
        concurrency: 2,
        context_tokens: 2048,
        compute: Compute::with_threads(2),
        tuning: None,
        draft: None,
        cache: Bytes(0),
        memory_max,
        confinement: ConfinementPolicy::Require,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_confined_before_it_loads_its_model() {
    let driver = Embedded::new(options(Some(Bytes::mib(2000))));
    driver.load().await.unwrap();
    let process = format!("/proc/{}", driver.worker_pid().unwrap());
    let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().to_owned()
    };
    assert_eq!((field("NoNewPrivs:").as_str(), field("Seccomp:").as_str()), ("1", "2"));
    // One filter refuses `clone3`, one is for loading and one for computing.
    assert_eq!(field("Seccomp_filters:"), "3");
    assert_eq!(field("CapEff:").trim_start_matches('0'), "");
    let namespace = |process: &str| std::fs::read_link(format!("{process}/ns/net")).unwrap();
    assert_ne!(namespace(&process), namespace("/proc/self"));
    let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
    let limit = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
    assert!(limit.contains(&Bytes::mib(2000).get().to_string()), "{limit}");
    // Page tables do not count as data: only a limit on the address space bounds them.
    let addresses = limits.lines().find(|line| line.starts_with("Max address space")).unwrap();
    assert!(!addresses.contains("unlimited"), "{addresses}");
    driver.unload().await;
    assert_eq!(lar_engines::embedded::confinement(&program()).await.unwrap(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_over_its_memory_limit_is_refused_with_numbers() {
    for (mib, reason) in [(60, "not enough memory for 2 contexts of 2048 tokens"), (10, "larger than memory")]
    {
        let driver = Embedded::new(options(Some(Bytes::mib(mib))));
        match driver.load().await {
            Err(Error::Load(report)) => {
                assert!(report.contains(reason) && report.contains("limit"), "{mib}: {report}");
            }
            other => panic!("{mib}: {other:?}"),
        }
    }
}
