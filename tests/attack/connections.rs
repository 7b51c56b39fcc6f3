//! Thousands of connections that send nothing or half of a head: the server still answers other clients. One
//! address cannot use up the connections of others.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use lar_tests::Lar;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

/// The number of connections, if the limit on open files of this process allows it.
const CONNECTIONS: usize = 6_000;
/// The least number of connections. Fewer prove nothing: Lar accepts 2,048 (`limits.connections`).
const CONNECTIONS_MIN: usize = 3_000;
/// One connection in this many sends half of a head; the others send nothing.
const HALF_HEADS_SHARE: usize = 5;
/// Files that this test needs besides its connections.
const SPARE: usize = 500;
/// Starts the server with the usual soft limit on open files, which the server raises.
const SOFT_LIMIT: &str = "ulimit -Sn 1024 && exec \"$@\"";
/// The connections that local programs may have: seven eighths of all.
const KEPT: usize = 2048 - 2048 / 8;

/// Raises the limit on open files of this process to its maximum, and returns how many connections that
/// allows.
fn raise_own_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let hard = limit.maximum.map_or(usize::MAX, |hard| usize::try_from(hard).unwrap_or(usize::MAX));
    let connections = hard.saturating_sub(SPARE).min(CONNECTIONS);
    assert!(
        connections >= CONNECTIONS_MIN,
        "this test needs at least {CONNECTIONS_MIN} connections; raise the hard limit on open files (ulimit -Hn)"
    );
    connections
}

fn answers(lar: &Lar, when: &str) {
    assert_eq!(lar.get("/healthz").status, 200, "{when}");
}

#[test]
fn silent_connections_are_closed_for_active_ones() {
    let connections = raise_own_limit();
    let half_heads = connections / HALF_HEADS_SHARE;
    let lar = Lar::start_through(&["sh", "-c", SOFT_LIMIT, "sh"], "");
    let (before, _) = lar.memory();
    let chat = json!({
        "model": "default", "stream": true, "max_tokens": 1500, "temperature": 0, "ignore_eos": true,
        "messages": [{ "role": "user", "content": "Tell a very long story." }],
    });
    let chat = chat.to_string();
    let mut stream = lar.open(&lar.head("POST", "/v1/chat/completions", chat.len()), chat.as_bytes());
    let mut first = [0; 64];
    stream.read_exact(&mut first).unwrap();
    // This client reads all the time, because Lar stops an unread answer.
    let reading = std::thread::spawn(move || {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).map(|_| rest)
    });

    let half = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\nx: ", lar.address);
    let mut sockets: Vec<TcpStream> = Vec::with_capacity(connections);
    for number in 0..half_heads {
        let mut socket = TcpStream::connect(&lar.address).unwrap();
        let _ = socket.write_all(half.as_bytes());
        sockets.push(socket);
        if number % 1000 == 0 {
            answers(&lar, "during half heads");
        }
    }
    answers(&lar, "after half heads");
    for number in half_heads..connections {
        sockets.push(TcpStream::connect(&lar.address).unwrap());
        if number % 2500 == 0 {
            answers(&lar, "during idle connections");
        }
    }
    answers(&lar, "after idle connections");
    let (after, _) = lar.memory();
    assert!(after < before + (160 << 20), "{} MB more", (after - before) >> 20);
    let open = std::fs::read_dir(format!("/proc/{}/fd", lar.pid())).unwrap().count();
    assert!(open >= KEPT, "{open} files: the server did not raise its own limit");
    assert!(open < 2048 + 64 + 128, "{open} files");
    // The connection that was active all the time was not closed for others.
    let rest = reading.join().unwrap().unwrap();
    assert!(rest.contains("data: [DONE]"), "{}", &rest[rest.len().saturating_sub(300)..]);
    drop(sockets);
    answers(&lar, "at last");
}

/// Uses a network namespace with an address outside of loopback, because Lar counts local connections
/// separately.
#[test]
fn connections_of_one_address_are_limited_without_closing_those_of_others() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(
        data.path().join("lar.toml"),
        "listen = \"0.0.0.0:5270\"\ninsecure_lan = true\n[engines]\npreload = false\n\
         [limits]\nconnections_per_address = 4\n",
    )
    .unwrap();
    let script = r#"
set -eu
PATH=$PATH:/usr/sbin:/sbin
ip addr add 10.9.8.1/32 dev lo; ip link set lo up
"$LAR" serve >"$LAR_DATA_DIR/out" & server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 200); do grep -q 'Lar is at' "$LAR_DATA_DIR/out" && break; sleep 0.05; done
python3 -c '
import socket
def connect(address, count):
    return [socket.create_connection((address, 5270), timeout=10) for _ in range(count)]
def closed(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except (BlockingIOError, socket.timeout):
        return False
here, there = connect("127.0.0.1", 6), connect("10.9.8.1", 8)
# The server accepts connections in order: when it answers the last one, it has accepted all.
there[-1].sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:5270\r\n\r\n")
print("answer", there[-1].recv(12).decode())
print("oldest", [closed(connection) for connection in there[:4]])
for connection in here + there[4:]:
    connection.setblocking(False)
print("newest", [closed(connection) for connection in there[4:]])
print("here", [closed(connection) for connection in here])'
"#;
    let done = std::process::Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", script])
        .env("LAR", lar_tests::program())
        .env("LAR_DATA_DIR", data.path())
        .env("LAR_MODELS_DIR", lar_tests::models_dir())
        .env("LAR_LOG", "error")
        .env("LAR_OWNER_KEY", Lar::KEY)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{output}{}", String::from_utf8_lossy(&done.stderr));
    let expected = "answer HTTP/1.1 200\noldest [True, True, True, True]\nnewest [False, False, False, False]\n\
                    here [False, False, False, False, False, False]\n";
    assert_eq!(output, expected);
}

#[test]
fn a_low_limit_of_open_files_is_reported() {
    let data = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 12 && exec \"$0\" serve"]).arg(lar_tests::program());
    command.env("LAR_DATA_DIR", data.path()).env("LAR_LISTEN", "127.0.0.1:0");
    let done = command.output().unwrap();
    let output = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success());
    assert!(output.contains("this process can open 12 files, and Lar needs at least 128"), "{output}");
}
