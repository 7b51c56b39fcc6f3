//! What a worker may still do: of a process that confines itself as workers do, and of a real worker.

use std::net::TcpListener;
use std::process::Command;

use lar_base::Bytes;
use lar_engines::Error;
use lar_engines::driver::{Ability, Driver};
use lar_engines::embedded::{Embedded, EmbeddedOptions};
use lar_engines::protocol::Compute;
use lar_tests::{chat_model, program};

#[test]
fn a_confined_process_keeps_what_it_needs_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let readable = folder.path().join("readable");
    std::fs::write(&readable, "x").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_confined"))
        .arg(listener.local_addr().unwrap().port().to_string())
        .arg(std::process::id().to_string())
        .arg(&readable)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let expected = "\
        read what was named ok\n\
        compute in threads ok\n\
        take a little memory ok\n\
        take much memory refused\n\
        read another file refused\n\
        list a folder refused\n\
        write beside what was named refused\n\
        write what was named refused\n\
        remove what was named refused\n\
        connect to the machine refused\n\
        listen refused\n\
        make a datagram socket refused\n\
        make a socket to other processes refused\n\
        run a program refused\n\
        signal another process refused\n";
    let (missing, tries): (Vec<&str>, Vec<&str>) =
        told.lines().partition(|line| line.starts_with("missing "));
    assert!(missing.is_empty(), "this machine's kernel holds a process in every way: {missing:?}");
    assert_eq!(tries.join("\n") + "\n", expected);
    assert_eq!(std::fs::read(&readable).unwrap(), b"x");
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
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_confined_before_it_touches_its_model() {
    let driver = Embedded::new(options(Some(Bytes::mib(2000))));
    driver.load().await.unwrap();
    let process = format!("/proc/{}", driver.worker_pid().unwrap());
    let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().to_owned()
    };
    assert_eq!((field("NoNewPrivs:").as_str(), field("Seccomp:").as_str()), ("1", "2"));
    assert_eq!(field("CapEff:").trim_start_matches('0'), "");
    let namespace = |process: &str| std::fs::read_link(format!("{process}/ns/net")).unwrap();
    assert_ne!(namespace(&process), namespace("/proc/self"));
    let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
    let limit = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
    assert!(limit.contains(&Bytes::mib(2000).get().to_string()), "{limit}");
    driver.unload().await;
    assert_eq!(lar_engines::embedded::confinement(&program()).await.unwrap(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_wants_more_memory_than_it_may_have_is_an_error_with_numbers() {
    for (mib, reason) in [(60, "no memory for 2 contexts of 2048 tokens"), (10, "larger than memory")] {
        let driver = Embedded::new(options(Some(Bytes::mib(mib))));
        match driver.load().await {
            Err(Error::Load(told)) => {
                assert!(told.contains(reason) && told.contains("limit"), "{mib}: {told}");
            }
            other => panic!("{mib}: {other:?}"),
        }
    }
}
