//! The formats of errors, which the router of each API decides.

use lar_tests::{Answer, Lar};
use serde_json::json;

fn bearer() -> String {
    format!("authorization: Bearer {}\r\n", Lar::KEY)
}

fn request(lar: &Lar, method: &str, path: &str, headers: &str) -> Answer {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n",
        lar.address,
    );
    lar.raw(&head, b"")
}

#[test]
fn each_api_has_the_format_of_its_errors() {
    let lar = Lar::start_with("[engines]\npreload = false\n");
    type Requests = &'static [(&'static str, &'static str)];
    let formats: [(&str, Requests, &[&str]); 6] = [
        (
            "/error/message",
            &[
                ("GET", "/v1"),
                ("GET", "/v1/"),
                ("GET", "/v1/nothing"),
                ("GET", "//v1/models"),
                ("GET", "//chat/completions"),
                ("GET", "/v1/messagesx"),
            ],
            &["type", "code", "param"],
        ),
        ("/error/message", &[("PUT", "/chat/completions"), ("PUT", "/v1/chat/completions")], &["code"]),
        (
            "/error/message",
            &[
                ("GET", "/v1/messages/batches/x"),
                ("GET", "//v1/messages"),
                ("GET", "//v1/messages/count_tokens"),
            ],
            &["type"],
        ),
        (
            "/error/message",
            &[("GET", "/completion"), ("PUT", "/props"), ("GET", "/tokenize"), ("GET", "//infill")],
            &["type"],
        ),
        (
            "/error",
            &[("GET", "/api/nothing"), ("GET", "/api/chat"), ("GET", "//api/tags"), ("GET", "/api/")],
            &[],
        ),
        (
            "/detail",
            &[("GET", "/v10/models"), ("GET", "/apis"), ("GET", "/lar/v1/nothing"), ("PUT", "/healthz")],
            &[],
        ),
    ];
    for (message, requests, members) in formats {
        for (method, path) in requests {
            let answer = request(&lar, method, path, "");
            assert!(matches!(answer.status, 404 | 405), "{method} {path}: {}", answer.status);
            let body = answer.json();
            assert!(body.pointer(message).is_some_and(|text| text.is_string()), "{method} {path}: {body}");
            for member in members {
                assert!(body["error"].get(member).is_some(), "{method} {path}: {body}");
            }
        }
    }
    // A refused host is an error of the API, too, although no handler sees the request.
    for (path, message) in [
        ("/v1/models", "/error/message"),
        ("/api/tags", "/error"),
        ("/bridge/health", "/error"),
        ("/lar/v1/me", "/detail"),
    ] {
        let answer =
            lar.raw(&format!("GET {path} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n"), b"");
        assert_eq!(answer.status, 403, "{path}");
        assert!(
            answer.json().pointer(message).is_some_and(|text| text.is_string()),
            "{path}: {}",
            answer.body
        );
    }
}

#[test]
fn errors_below_v1_messages_have_anthropics_format() {
    let lar = Lar::start_with("[engines]\npreload = false\n");
    for (method, path, version) in [
        ("POST", "/v1/messages/batches", ""),
        ("GET", "/v1/messages/batches/msgbatch_1", ""),
        ("GET", "/v1/models/nope", "anthropic-version: 2023-06-01\r\n"),
    ] {
        let answer = request(&lar, method, path, &format!("{}{version}", bearer()));
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["type"], &body["error"]["type"]),
            (404, &json!("error"), &json!("not_found_error")),
            "{path}"
        );
        let id = answer.head.lines().find_map(|line| line.strip_prefix("request-id: "));
        assert_eq!(id, body["request_id"].as_str(), "{path}");
    }
    let openai = request(&lar, "GET", "/v1/models/nope", &bearer()).json();
    assert_eq!(openai["error"]["code"], "model_not_found");
}
