//! Malicious request heads: ambiguous framing, foreign hosts and origins, and secrets in the wrong header.

use lar_tests::Lar;
use serde_json::{Value, json};

/// The bytes after the request line of requests that no server may accept. `HOST` stands for Lar's address.
const FRAMING: [&str; 22] = [
    "host: HOST\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
    "host: HOST\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n{}",
    "host: HOST\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "host: HOST\r\ncontent-length: 2, 3\r\n\r\n{}",
    "host: HOST\r\ncontent-length: -1\r\n\r\n",
    "host: HOST\r\ncontent-length: +2\r\n\r\n{}",
    "host: HOST\r\ncontent-length: 0x2\r\n\r\n{}",
    "host: HOST\r\ncontent-length: 99999999999999999999\r\n\r\n{}",
    "host: HOST\r\ntransfer-encoding: identity\r\n\r\n{}",
    "host: HOST\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "host: HOST\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "host: HOST\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "host: HOST\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "host: HOST\r\ntransfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "host: HOST\r\nx : y\r\ncontent-length: 2\r\n\r\n{}",
    "host: HOST\r\nx\r\ncontent-length: 2\r\n\r\n{}",
    "host: HOST\r\n: y\r\ncontent-length: 2\r\n\r\n{}",
    "host: HOST\r\nx: a\0b\r\ncontent-length: 2\r\n\r\n{}",
    "host: HOST\r\nx: a\rb\r\ncontent-length: 2\r\n\r\n{}",
    "host: HOST\r\nx: a\r\n folded\r\ncontent-length: 2\r\n\r\n{}",
    "host: HOST\r\nhost: evil.example\r\ncontent-length: 2\r\n\r\n{}",
    "content-length: 2\r\n\r\n{}",
];

/// Hosts that Lar must reject.
const HOSTS: [&str; 14] = [
    "evil.example",
    "evil.example:5270",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.example@127.0.0.1",
    "127.0.0.1@evil.example",
    "127.0.0.1,evil.example",
    "127.0.0.1 evil.example",
    "127.0.0.2",
    "0.0.0.0",
    "[::]",
    "2130706433",
    "0x7f000001",
    "127.1",
];

/// Origins that Lar's page does not have.
const ORIGINS: [&str; 10] = [
    "http://evil.example",
    "https://HOST.evil.example",
    "http://evil.example/http://HOST",
    "http://HOST@evil.example",
    "http://127.0.0.1:1",
    "http://localhost.evil.example",
    "null",
    "file://",
    "",
    "http://",
];

#[test]
fn ambiguous_request_heads_are_refused() {
    let lar = Lar::start();
    let (host, key) = (lar.address.clone(), Lar::KEY);
    let start = format!(
        "POST /lar/v1/conversations HTTP/1.1\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\nconnection: close\r\n"
    );
    let mut tried = 0;
    let mut refused = |what: &str, request: String| {
        let answer = lar.raw(&request, b"");
        assert!(
            answer.status == 0 || (400..500).contains(&answer.status),
            "{what}: {} {}",
            answer.status,
            answer.body
        );
        tried += 1;
    };
    for rest in FRAMING {
        refused(rest, format!("{start}{}", rest.replace("HOST", &host)));
    }
    for other in HOSTS {
        refused(other, format!("{start}host: {other}\r\ncontent-length: 2\r\n\r\n{{}}"));
        let line = start.replace("POST /", &format!("POST http://{other}/"));
        refused(other, format!("{line}host: {host}\r\ncontent-length: 2\r\n\r\n{{}}"));
    }
    for origin in ORIGINS {
        let origin = origin.replace("HOST", &host);
        refused(&origin, format!("{start}host: {host}\r\norigin: {origin}\r\ncontent-length: 2\r\n\r\n{{}}"));
    }
    for site in ["cross-site", "same-site", "", "none, cross-site"] {
        refused(
            site,
            format!("{start}host: {host}\r\nsec-fetch-site: {site}\r\ncontent-length: 2\r\n\r\n{{}}"),
        );
    }
    assert_eq!(tried, 22 + 28 + 10 + 4, "the size of the corpus changed");
    assert_eq!(
        lar.get("/lar/v1/conversations").json()["data"],
        json!([]),
        "a rejected request created a conversation"
    );
}

/// An absolute request target decides the host. Lar ignores a `Host` header beside it and never repeats its
/// value.
#[test]
fn a_host_header_beside_an_absolute_target_is_not_echoed() {
    let lar = Lar::start_with("[engines]\npreload = false\n");
    let own = lar.address.clone();
    let authorization = format!("authorization: Bearer {}\r\n", Lar::KEY);
    let mut tried = 0;
    for path in ["/.well-known/oauth-protected-resource", "/lar/v1/clients", "/lar/v1/me", "/mcp"] {
        for host in ["evil.example", "evil.example\"x", "evil.example, x=\"y"] {
            for key in ["", authorization.as_str()] {
                let head = format!(
                    "GET http://{own}{path} HTTP/1.1\r\nhost: {host}\r\n{key}connection: close\r\n\r\n"
                );
                let answer = lar.raw(&head, b"");
                assert_ne!(answer.status, 0, "{path} {host}");
                assert!(!answer.head.contains("evil"), "{path} {host}: {}", answer.head);
                assert!(!answer.body.contains("evil"), "{path} {host}: {}", answer.body);
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 24, "the number of paths, hosts and keys changed");
}

#[test]
fn keys_do_not_work_as_sessions_nor_sessions_as_keys() {
    let lar = Lar::start();
    let port = lar.address.rsplit(':').next().unwrap();
    let link = lar.post("/lar/v1/sign-in/links", &Value::Null).json();
    let secret = link["url"].as_str().unwrap().split("#sign-in=").nth(1).unwrap().to_owned();
    let ours = format!("origin: http://{}\r\n", lar.address);
    let signed = lar.send_with(&ours, "POST", "/lar/v1/sign-in", &json!({ "secret": secret }));
    let session =
        signed.head.split(&format!("lar_session_{port}=")).nth(1).unwrap().split(';').next().unwrap();
    let me = |headers: String| lar.send_with(&headers, "GET", "/lar/v1/me", &Value::Null).status;
    let cookie = |secret: &str| format!("cookie: lar_session_{port}={secret}\r\n");
    let bearer = |secret: &str| format!("authorization: Bearer {secret}\r\n");
    let header = |secret: &str| format!("x-api-key: {secret}\r\n");
    // Each secret works in its own header.
    assert_eq!((me(cookie(session)), me(bearer(Lar::KEY))), (200, 200));
    let crossed = [cookie(Lar::KEY), bearer(session), header(session), cookie(&secret), bearer(&secret)];
    assert_eq!(crossed.map(me), [401; 5]);
}

#[test]
fn requests_without_a_key_learn_no_file_of_the_server() {
    let lar = Lar::start_with("[engines]\npreload = false\n");
    let data = lar.data().to_str().unwrap().to_owned();
    let mut tried = 0;
    for path in [
        "/lar/v1/me",
        "/v1/models",
        "/v1/messages",
        "/api/tags",
        "/props",
        "/bridge/search",
        "/mcp",
        "/metrics",
    ] {
        for key in [
            "",
            "authorization: Bearer lar_nobody\r\n",
            "x-api-key: sk-nobody\r\n",
            "cookie: lar_session=x\r\n",
        ] {
            for method in ["GET", "POST"] {
                let answer = lar.send_with(key, method, path, &Value::Null);
                let response = format!("{} {}", answer.head, answer.body);
                assert!((400..500).contains(&answer.status), "{method} {path}: {response}");
                for secret in ["owner.key", "secret.key", "lar.db", data.as_str()] {
                    assert!(!response.contains(secret), "{method} {path}: {response}");
                }
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 64, "the number of paths, keys and methods changed");
    let refused = lar.send_with("", "GET", "/lar/v1/me", &Value::Null).json();
    assert!(
        refused["detail"].as_str().unwrap().contains("lar keys create"),
        "the error names no next step: {refused}"
    );
}
