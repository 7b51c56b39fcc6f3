//! Hostile and malformed requests: each gets a clear error in the format of its API, and the server keeps
//! running.

use std::io::Read as _;

use lar_tests::Lar;
use serde_json::{Value, json};

/// The status and the error message of an answer, in the format of either API.
fn status_and_message(answer: &lar_tests::Answer) -> (u16, String) {
    let body = answer.json();
    let message = body["error"]["message"].as_str().or(body["detail"].as_str()).unwrap_or_default();
    (answer.status, message.to_owned())
}

#[test]
fn hostile_chat_requests_get_clear_errors() {
    let lar = Lar::start();
    let message = json!([{ "role": "user", "content": "hi" }]);
    let with = |more: Value| {
        let mut body = json!({ "model": "default", "messages": message, "max_tokens": 2 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        status_and_message(&lar.post("/v1/chat/completions", &body))
    };
    let cases = [
        (json!({ "messages": [] }), "`messages` must have at least one message"),
        (json!({ "messages": "hi" }), "`messages` must be an array"),
        (
            json!({ "messages": [{ "role": "wizard", "content": "x" }] }),
            "`messages[0].role` must be system, developer, user, assistant or tool",
        ),
        (json!({ "messages": [{ "role": "user" }] }), "`messages[0].content` is missing"),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
            "`messages[0].content[0].type` is `image_url`, which is not supported: this model reads text only",
        ),
        (json!({ "temperature": -1 }), "`temperature` must be between 0 and 2, got -1"),
        (
            json!({ "temperature": 1e30 }),
            "`temperature` must be between 0 and 2, got 1000000000000000000000000000000",
        ),
        (json!({ "top_p": 2 }), "`top_p` must be between 0 and 1, got 2"),
        (json!({ "max_tokens": 0 }), "`max_tokens` must be at least 1"),
        (json!({ "stop": vec!["x"; 1000] }), "`stop` has 1000 stop sequences; the limit is 32"),
        (
            json!({ "stop": ["x".repeat(2000)] }),
            "`stop` has a stop sequence that is empty or longer than 1024 bytes",
        ),
        (json!({ "logit_bias": { "x": 1 } }), "`logit_bias` has `x`, which is not a token id"),
        (json!({ "n": 0 }), "`n` must be between 1 and 16, got 0"),
        (json!({ "tools": [{ "type": "function" }] }), "`tools[0].function` is missing"),
        (json!({ "functions": [{}] }), "`functions[0].name` is missing"),
        (json!({ "audio": { "voice": "a" } }), "`audio` is not supported"),
        (json!({ "max_tokens": -5 }), "`max_tokens` must be an integer number of tokens, or -1 for no limit"),
        (
            json!({ "response_format": { "type": "json_schema" } }),
            "`response_format.json_schema.schema` is missing",
        ),
        (
            json!({ "model": "all-minilm-l6-v2" }),
            "`model` `all-minilm-l6-v2` computes embeddings and cannot generate text",
        ),
    ];
    for (more, expected) in cases {
        assert_eq!(with(more.clone()), (400, expected.to_owned()), "{more}");
    }
    assert_eq!(
        with(json!({ "messages": [{ "role": "user", "content": "a\u{0}b \u{202e} \u{fffd}" }] })).0,
        200
    );
    assert_eq!(with(json!({ "max_tokens": 99_999_999_999u64, "stop": ["e"] })).0, 200);
}

#[test]
fn hostile_bodies_and_headers_get_clear_errors() {
    let lar = Lar::start_with("[limits]\nbody = \"1 MiB\"\n");
    let post = |body: &[u8]| lar.raw(&lar.head("POST", "/v1/chat/completions", body.len()), body);
    for body in [b"{".as_slice(), b"[]", b"null", b"\xff\xfe{}", b"{\"model\":1}", b"{} trailing"] {
        let answer = post(body);
        assert_eq!(answer.status, 400, "{body:?}: {}", answer.body);
        assert!(!status_and_message(&answer).1.is_empty());
    }
    let deep = "[".repeat(100_000);
    assert_eq!(post(deep.as_bytes()).status, 400);
    let announced = lar.head("POST", "/v1/chat/completions", 100 << 20);
    assert_eq!(
        lar.raw(&announced, b"").status,
        413,
        "a body announced as too large is rejected before it is sent"
    );
    let chunked = lar
        .head("POST", "/v1/chat/completions", 0)
        .replace("content-length: 0", "transfer-encoding: chunked");
    let chunk = format!("200000\r\n{}\r\n0\r\n\r\n", "x".repeat(0x20_0000));
    assert_eq!(lar.raw(&chunked, chunk.as_bytes()).status, 413);
    let form = lar.head("POST", "/lar/v1/conversations", 3).replace("application/json", "text/plain");
    assert_eq!(lar.raw(&form, b"a=b").status, 415);
    // curl's default content type, as in Ollama's examples, is accepted on Ollama's paths, but not from
    // another site's page.
    let curls = |path: &str, body: &str| {
        lar.head("POST", path, body.len()).replace("application/json", "application/x-www-form-urlencoded")
    };
    let show = r#"{"model": "default"}"#;
    assert_eq!(lar.raw(&curls("/api/show", show), show.as_bytes()).status, 200);
    // Below `/v1` the key shows that no web page sent the request. The body is parsed and lacks `messages`.
    assert_eq!(lar.raw(&curls("/v1/chat/completions", show), show.as_bytes()).status, 400);
    let page = curls("/api/show", show).replacen("\r\n", "\r\norigin: http://evil.example\r\n", 1);
    assert_eq!(lar.raw(&page, show.as_bytes()).status, 403);
    let huge = format!("GET / HTTP/1.1\r\nhost: {}\r\nx: {}\r\n\r\n", lar.address, "y".repeat(200_000));
    assert!(matches!(lar.raw(&huge, b"").status, 0 | 400 | 431));
    assert_eq!(lar.raw("nonsense\r\n\r\n", b"").status, 400);
    assert_eq!(lar.send("PUT", "/lar/v1/conversations", &Value::Null).status, 405);
    assert_eq!(lar.get("/lar/v1/nowhere").json()["code"], "NOT_FOUND");
    assert_eq!(lar.get("/lar/v1/tasks/task_x").status, 404);
    assert_eq!(lar.get("/lar/v1/tasks/..%2f..%2fetc").status, 404);
    assert_eq!(lar.get("/healthz").status, 200);
}

#[test]
fn request_ids_are_echoed_or_generated() {
    let lar = Lar::start();
    let send = |id: &str| {
        let head =
            lar.head("GET", "/healthz", 0).replace("\r\n\r\n", &format!("\r\nx-request-id: {id}\r\n\r\n"));
        lar.raw(&head, b"").head
    };
    assert!(send("abc-1.2:3").contains("x-request-id: abc-1.2:3"));
    assert!(send("bad id").contains("x-request-id: req_"));
    assert!(send(&"x".repeat(500)).contains("x-request-id: req_"));
}

#[test]
fn a_client_that_stops_reading_blocks_no_other_request() {
    let lar = Lar::start_with("[engines]\nconcurrency = 1\n");
    let body = json!({
        "model": "default", "stream": true, "max_tokens": 200, "temperature": 0,
        "messages": [{ "role": "user", "content": "Count to one hundred." }],
    })
    .to_string();
    let mut stuck = lar.open(&lar.head("POST", "/v1/chat/completions", body.len()), body.as_bytes());
    let mut first = [0; 16];
    stuck.read_exact(&mut first).unwrap();
    // This client reads no more; the next request is answered all the same.
    let next = lar.post(
        "/v1/chat/completions",
        &json!({ "model": "default", "max_tokens": 2, "messages": [{ "role": "user", "content": "hi" }] }),
    );
    assert_eq!(next.status, 200);
    drop(stuck);
}

#[test]
fn ambiguous_hosts_and_invalid_names_are_refused() {
    let lar = Lar::start();
    let twice = lar.head("GET", "/lar/v1/me", 0).replace("\r\n\r\n", "\r\nhost: evil.example\r\n\r\n");
    assert_eq!(
        status_and_message(&lar.raw(&twice, b"")),
        (403, "the request has 2 Host headers; send exactly one".into())
    );
    let elsewhere = lar.head("GET", "http://evil.example/lar/v1/me", 0);
    assert_eq!(lar.raw(&elsewhere, b"").status, 403);
    let (status, message) = status_and_message(&lar.get("/lar/v1/catalog/models/%ff%fe"));
    assert!(status == 400 && message.contains("Invalid UTF-8 in `name`"), "{status} {message}");
    let tokens = lar.post("/v1/embeddings", &json!({ "model": "default-embedding", "input": [1, 2] }));
    assert_eq!(
        status_and_message(&tokens).1,
        "`input` has token ids of another model's vocabulary; send strings instead; in LangChain, set \
         `check_embedding_ctx_length=False`"
    );
    let unknown = json!({ "model": "x".repeat(100_000), "messages": [{ "role": "user", "content": "hi" }] });
    let (status, message) = status_and_message(&lar.post("/v1/chat/completions", &unknown));
    assert!(status == 404 && message.len() < 400, "{status}: {} bytes", message.len());
    let endless = lar.post("/lar/v1/keys", &json!({ "name": "x", "expires_in_s": u64::MAX }));
    assert_eq!((endless.status, endless.json()["errors"][0]["field"].clone()), (400, json!("expires_in_s")));
}
