//! Thousands of connections that say nothing, or half of something: the server goes on answering.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use lar_tests::Lar;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

/// Connections that are opened, where this process may have so many.
const CONNECTIONS: usize = 6_000;
/// Fewer than this show nothing: Lar takes 2,048 (`limits.connections`).
const CONNECTIONS_MIN: usize = 3_000;
/// One connection of so many sends half of a head; the others send nothing.
const HALF_HEADS_SHARE: usize = 5;
/// Files that this test needs beside its connections.
const SPARE: usize = 500;

/// This process may have as many files open as it wants to; returns how many connections that allows.
fn raise_own_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let hard = limit.maximum.map_or(usize::MAX, |hard| usize::try_from(hard).unwrap_or(usize::MAX));
    let connections = hard.saturating_sub(SPARE).min(CONNECTIONS);
    assert!(
        connections >= CONNECTIONS_MIN,
        "this test opens {CONNECTIONS_MIN} connections at least: ulimit -Hn"
    );
    connections
}

fn answers(lar: &Lar, when: &str) {
    assert_eq!(lar.get("/healthz").status, 200, "{when}");
}

#[test]
fn silent_connections_give_way_to_those_that_ask() {
    let connections = raise_own_limit();
    let half_heads = connections / HALF_HEADS_SHARE;
    let lar = Lar::start();
    let (before, _) = lar.memory();
    let chat = json!({
        "model": "default", "stream": true, "max_tokens": 1500, "temperature": 0, "ignore_eos": true,
        "messages": [{ "role": "user", "content": "Tell a very long story." }],
    });
    let chat = chat.to_string();
    let mut stream = lar.open(&lar.head("POST", "/v1/chat/completions", chat.len()), chat.as_bytes());
    let mut first = [0; 64];
    stream.read_exact(&mut first).unwrap();
    // It is read all the time: an answer that nobody reads is cut.
    let reading = std::thread::spawn(move || {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).map(|_| rest)
    });

    let half = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\nx: ", lar.address);
    let mut held: Vec<TcpStream> = Vec::with_capacity(connections);
    for number in 0..half_heads {
        let mut socket = TcpStream::connect(&lar.address).unwrap();
        let _ = socket.write_all(half.as_bytes());
        held.push(socket);
        if number % 1000 == 0 {
            answers(&lar, "during half heads");
        }
    }
    answers(&lar, "after half heads");
    for number in half_heads..connections {
        held.push(TcpStream::connect(&lar.address).unwrap());
        if number % 2500 == 0 {
            answers(&lar, "during idle connections");
        }
    }
    answers(&lar, "after idle connections");
    let (after, _) = lar.memory();
    assert!(after < before + (160 << 20), "{} MB more", (after - before) >> 20);
    let open = std::fs::read_dir(format!("/proc/{}/fd", lar.pid())).unwrap().count();
    assert!(open < 2048 + 64 + 128, "{open} files");
    // The one connection that was in use all the time was not closed for others.
    let rest = reading.join().unwrap().unwrap();
    assert!(rest.contains("data: [DONE]"), "{}", &rest[rest.len().saturating_sub(300)..]);
    drop(held);
    answers(&lar, "at last");
}

#[test]
fn too_few_open_files_are_told_as_what_they_are() {
    let data = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 12 && exec \"$0\" serve"]).arg(lar_tests::program());
    command.env("LAR_DATA_DIR", data.path()).env("LAR_LISTEN", "127.0.0.1:0");
    let done = command.output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success());
    assert!(told.contains("this process may have 12 files open, and Lar needs 128 at least"), "{told}");
}
