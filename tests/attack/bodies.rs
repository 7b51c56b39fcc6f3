//! The server's memory for request bodies: unfinished bodies of clients with and without a key, and large
//! complete bodies.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use lar_base::Instant;
use lar_tests::{Lar, half_sent};
use serde_json::json;

const SENDERS: usize = 80;
const LENGTH: usize = 15_000_000;
/// The most memory that clients without a key may use.
const STRANGERS_MAX: u64 = 48 << 20;
/// The most memory that clients with a key may use. All bodies together may use 128 MiB, those of one key
/// half of it; connections need some more.
const KEYED_MAX: u64 = 144 << 20;
/// Complete bodies that are sent concurrently.
const WHOLE: usize = 60;
/// The most memory for complete bodies of one key. Four fit at a time, and a body that is being decoded
/// exists up to five times.
const WHOLE_MAX: u64 = 384 << 20;

#[test]
fn half_sent_bodies_take_a_bounded_part_of_memory() {
    let lar = Lar::start();
    let other = lar.key(&["inference"]);
    let ours = format!("origin: http://{}\r\n", lar.address);
    let length = format!("content-length: {LENGTH}\r\n");
    let (chunked, unknown) = ("transfer-encoding: chunked\r\n", "authorization: Bearer lar_unknown\r\n");
    let head = |path: &str, headers: &[&str]| {
        let host = &lar.address;
        format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{}\r\n",
            headers.concat()
        )
    };
    let plain = [b"{\"secret\":\"".as_slice(), &vec![b'a'; LENGTH - 100]].concat();
    let chunk = [format!("{LENGTH:x}\r\n").as_bytes(), &plain].concat();
    let strangers = [
        (head("/lar/v1/sign-in", &[ours.as_str(), length.as_str()]), &plain),
        (head("/lar/v1/sign-in", &[ours.as_str(), chunked]), &chunk),
        (head("/lar/v1/sign-in", &[length.as_str()]), &plain),
        (head("/v1/chat/completions", &[length.as_str()]), &plain),
        (head("/v1/chat/completions", &[unknown, chunked]), &chunk),
        (head("/mcp", &[length.as_str()]), &plain),
        (head("/nowhere", &[length.as_str()]), &plain),
    ];
    lar.forget_peak();
    let (before, _) = lar.memory();
    for (head, body) in &strangers {
        let sockets = half_sent(&lar.address, SENDERS, head, body);
        let line = head.lines().next().unwrap();
        assert_eq!(lar.get("/healthz").status, 200, "{line}");
        let (_, peak) = lar.memory();
        assert!(peak < before + STRANGERS_MAX, "{line}: {} MB more", (peak - before) >> 20);
        drop(sockets);
    }

    let owner = format!("authorization: Bearer {}\r\n", Lar::KEY);
    let keyed = [
        (head("/v1/embeddings", &[owner.as_str(), length.as_str()]), &plain),
        (head("/v1/chat/completions", &[owner.as_str(), chunked]), &chunk),
        (head("/mcp", &[owner.as_str(), length.as_str()]), &plain),
    ];
    let mut tried = strangers.len();
    for (head, body) in &keyed {
        let line = head.lines().next().unwrap();
        let sockets = half_sent(&lar.address, SENDERS, head, body);
        // Meanwhile a request of another key is answered. Its body also needs memory.
        let large =
            json!({ "model": "default-embedding", "input": "word ".repeat(10_000), "truncate": true });
        let started_at = Instant::now();
        let answer = lar.send_with(&other, "POST", "/v1/embeddings", &large);
        assert_eq!(answer.status, 200, "{line}: {}", answer.body);
        assert!(started_at.elapsed() < Duration::from_secs(5), "{line}: {:?}", started_at.elapsed());
        let (_, peak) = lar.memory();
        assert!(peak < before + KEYED_MAX, "{line}: {} MB more", (peak - before) >> 20);
        drop(sockets);
        tried += 1;
    }
    assert_eq!(tried, 10, "the number of heads changed");
    // The C library keeps freed memory for the next requests, so a second round needs hardly more.
    let kept = lar.memory().0;
    drop(half_sent(&lar.address, SENDERS, &keyed[0].0, &plain));
    assert_eq!(lar.get("/healthz").status, 200);
    let again = lar.memory().0;
    assert!(again < kept + STRANGERS_MAX, "{} MB more in a second round", again.saturating_sub(kept) >> 20);

    // A request that waits too long for memory gets a `Retry-After` header.
    let blocked = half_sent(&lar.address, SENDERS, &keyed[0].0, &plain);
    let refused = lar.raw(&lar.head("POST", "/v1/embeddings", LENGTH), b"");
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].clone()),
        (429, json!("rate_limit_exceeded"))
    );
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    drop(blocked);
}

/// A body needs more memory than its bytes: it is decoded, its texts are tokenized, and prompts wait for
/// that. The limit of a key applies until all of this is freed.
#[test]
fn whole_bodies_take_a_bounded_part_of_memory_until_their_work_is_done() {
    let lar = Lar::start();
    let other = lar.key(&["inference"]);
    let words = "word ".repeat(LENGTH / 5 - 100);
    let bodies = [
        (
            "/v1/messages/count_tokens",
            json!({ "model": "default", "messages": [{ "role": "user", "content": words }] }),
        ),
        ("/completion", json!({ "prompt": words, "n_cmpl": 16 })),
        ("/v1/embeddings", json!({ "model": "default-embedding", "input": words, "truncate": true })),
    ];
    // Another key sends a prompt of more than a megabyte, and texts, while the first key uses its whole
    // share.
    let large =
        json!({ "model": "default", "messages": [{ "role": "user", "content": "a ".repeat(600_000) }] });
    let texts = json!({ "model": "default-embedding", "input": "word ".repeat(10_000), "truncate": true });
    // The workers are started before memory is measured.
    assert_eq!(lar.send_with(&other, "POST", "/v1/embeddings", &texts).status, 200);
    assert_eq!(lar.send_with(&other, "POST", "/v1/messages/count_tokens", &large).status, 200);
    let mut tried = 0;
    for (path, body) in &bodies {
        let body = body.to_string();
        let head = lar.head("POST", path, body.len());
        lar.forget_peak();
        let (before, _) = lar.memory();
        let statuses = send_whole(&lar.address, &head, body.as_bytes(), || {
            let counted = lar.send_with(&other, "POST", "/v1/messages/count_tokens", &large);
            assert_eq!(counted.status, 200, "{path}: {}", counted.body);
            let embedded = lar.send_with(&other, "POST", "/v1/embeddings", &texts);
            assert_eq!(embedded.status, 200, "{path}: {}", embedded.body);
        });
        let (_, peak) = lar.memory();
        assert!(peak < before + WHOLE_MAX, "{path}: {} MB more", (peak - before) >> 20);
        // The accepted ones are counted, truncated or too long. The others get 429, or a closed connection.
        assert!(statuses.iter().all(|status| [0, 200, 400, 429].contains(status)), "{path}: {statuses:?}");
        let done = statuses.iter().filter(|status| [200, 400].contains(*status)).count();
        assert!(done > 0, "{path}: {statuses:?}");
        tried += 1;
    }
    assert_eq!(tried, 3, "the number of paths changed");

    // Millions of values of two bytes each would need many times their length.
    let ones = format!("{{\"prompt\":[{}1]}}", "1,".repeat(LENGTH / 2 - 100));
    lar.forget_peak();
    let (before, _) = lar.memory();
    let refused = lar.raw(&lar.head("POST", "/completion", ones.len()), ones.as_bytes());
    assert_eq!(refused.status, 413, "{}", refused.body);
    let (_, peak) = lar.memory();
    assert!(peak < before + STRANGERS_MAX, "{} MB more", (peak - before) >> 20);
}

/// Sends complete bodies concurrently, runs `meanwhile`, and returns their statuses. A status is 0 if the
/// connection was closed before the client read one.
fn send_whole(address: &str, head: &str, body: &[u8], meanwhile: impl FnOnce()) -> Vec<u16> {
    let open = |_| TcpStream::connect(address).expect("lar listens");
    let sockets: Vec<TcpStream> = (0..WHOLE).map(open).collect();
    let (answered, statuses) = mpsc::sync_channel(WHOLE);
    std::thread::scope(|scope| {
        for mut socket in &sockets {
            let answered = answered.clone();
            scope.spawn(move || {
                // The server may answer and close the connection before it has read anything.
                let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(body));
                let mut line = [0; 12];
                let read = socket.read_exact(&mut line).is_ok();
                let status = std::str::from_utf8(&line[9..]).ok().and_then(|status| status.parse().ok());
                let _ = answered.send(status.filter(|_| read).unwrap_or(0));
            });
        }
        meanwhile();
        statuses.iter().take(WHOLE).collect()
    })
}
