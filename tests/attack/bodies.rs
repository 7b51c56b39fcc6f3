//! Bodies that are never finished, of strangers and of callers with a key: what they may take of the server's memory.

use std::time::Duration;

use lar_base::Instant;
use lar_tests::{Lar, half_sent};
use serde_json::json;

const SENDERS: usize = 80;
const LENGTH: usize = 15_000_000;
/// More of the server's memory than this is never taken by strangers.
const STRANGERS_MAX: u64 = 48 << 20;
/// All bodies together may take 128 MiB, those of one key half of it; what is around them takes some, too.
const KEYED_MAX: u64 = 144 << 20;

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
        // Another key is answered meanwhile, with a body that needs room, too.
        let large =
            json!({ "model": "default-embedding", "input": "word ".repeat(10_000), "truncate": true });
        let begun = Instant::now();
        let answer = lar.send_with(&other, "POST", "/v1/embeddings", &large);
        assert_eq!(answer.status, 200, "{line}: {}", answer.body);
        assert!(begun.elapsed() < Duration::from_secs(5), "{line}: {:?}", begun.elapsed());
        let (_, peak) = lar.memory();
        assert!(peak < before + KEYED_MAX, "{line}: {} MB more", (peak - before) >> 20);
        drop(sockets);
        tried += 1;
    }
    assert_eq!(tried, 10, "heads, {SENDERS} connections each");
    // The C library keeps what was freed for the next requests: a second round takes that and hardly more.
    let kept = lar.memory().0;
    drop(half_sent(&lar.address, SENDERS, &keyed[0].0, &plain));
    assert_eq!(lar.get("/healthz").status, 200);
    let again = lar.memory().0;
    assert!(again < kept + STRANGERS_MAX, "{} MB more in a second round", again.saturating_sub(kept) >> 20);

    // What waits too long for room is told when to come back.
    let blocked = half_sent(&lar.address, SENDERS, &keyed[0].0, &plain);
    let refused = lar.raw(&lar.head("POST", "/v1/embeddings", LENGTH), b"");
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].clone()),
        (429, json!("rate_limit_exceeded"))
    );
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    drop(blocked);
}
