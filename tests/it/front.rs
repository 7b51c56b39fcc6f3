//! The HTTP front end: paths that need a key, unknown paths, pages of other origins, content types and limits
//! of bodies.

use std::io::{Read as _, Write as _};

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

/// Sends a request with these headers besides its host, and no key unless one is among them.
fn request(lar: &Lar, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        lar.address,
        body.len(),
    );
    lar.raw(&head, body.as_bytes())
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn bearer() -> String {
    format!("authorization: Bearer {}\r\n", Lar::KEY)
}

/// Paths that need no key, besides the page's files, the error pages and the sign-in exchange.
const WITHOUT_A_KEY: [&str; 10] = [
    "/healthz",
    "/readyz",
    "/health",
    "/ready",
    "/v1/health",
    "/bridge/health",
    "/bridge/readyz",
    "/openapi.json",
    "/api/version",
    "/.well-known/oauth-protected-resource",
];

#[test]
fn only_paths_on_the_security_page_need_no_key() {
    let lar = Lar::start_with("[engines]\npreload = false\n");
    let page = include_str!("../../SECURITY.md");
    for path in WITHOUT_A_KEY {
        assert_eq!(request(&lar, "GET", path, "", "").status, 200, "{path}");
        assert!(page.contains(&format!("`{path}`")), "SECURITY.md does not list {path}");
    }
    let mut asked = 0;
    let mut refused = |method: &str, path: &str| {
        assert_eq!(
            request(&lar, method, path, "content-type: application/json\r\n", "").status,
            401,
            "{method} {path}"
        );
        asked += 1;
    };
    let described = lar.get("/openapi.json").json();
    for (path, methods) in described["paths"].as_object().unwrap() {
        if WITHOUT_A_KEY.contains(&path.as_str()) || path == "/lar/v1/sign-in" {
            continue;
        }
        let path: String = path
            .split('/')
            .map(|part| if part.starts_with('{') { "x" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        methods.as_object().unwrap().keys().for_each(|method| refused(&method.to_ascii_uppercase(), &path));
    }
    for path in [
        "chat/completions",
        "completions",
        "embeddings",
        "responses",
        "rerank",
        "messages",
        "messages/count_tokens",
    ] {
        refused("POST", &format!("/v1/{path}"));
    }
    for path in [
        "/completion",
        "/infill",
        "/tokenize",
        "/detokenize",
        "/apply-template",
        "/embedding",
        "/mcp",
        "/bridge/search",
    ] {
        refused("POST", path);
    }
    for path in ["chat", "generate", "embed", "embeddings", "show", "pull"] {
        refused("POST", &format!("/api/{path}"));
    }
    for path in [
        "/v1/models",
        "/v1/capabilities",
        "/models",
        "/props",
        "/slots",
        "/lora-adapters",
        "/api/tags",
        "/api/ps",
        "/metrics",
    ] {
        refused("GET", path);
    }
    assert!(asked >= 80, "only {asked} routes were tried");
}

#[test]
fn unknown_paths_are_not_found_and_only_a_browser_gets_the_page() {
    let lar = Lar::start_with("[engines]\npreload = false\n");
    let browser = "accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    for (method, path) in [
        ("GET", "/nothing"),
        ("POST", "/nothing"),
        ("PUT", "/nothing"),
        ("OPTIONS", "/nothing"),
        ("GET", "/slots/0"),
        ("GET", "//v1/models"),
        ("GET", "/.well-known/oauth-authorization-server"),
        ("GET", "/.well-known/openid-configuration"),
        ("GET", "/v2/models"),
        ("GET", "/assets/none.js"),
        ("GET", "/robots.txt"),
        ("POST", "/"),
    ] {
        let answer = request(&lar, method, path, "accept: */*\r\n", "");
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.body);
        let kind = header(&answer, "content-type").unwrap_or_default();
        assert!(kind.starts_with("application/") && kind.ends_with("json"), "{method} {path}: {kind}");
    }
    let slash = request(&lar, "GET", "//v1/models", "", "").json();
    assert_eq!(
        slash["error"]["message"],
        "there is no path //v1/models; remove the slash at the end of the base URL"
    );
    for path in [
        "/v1/nothing",
        "/.well-known/openid-configuration",
        "/nothing.json",
        "/lar/v1/nothing",
        "/mcp/x",
        "/settings",
        "/memory/x",
        "/c/conv_1/x",
    ] {
        assert_eq!(request(&lar, "GET", path, browser, "").status, 404, "{path}");
    }
    for path in ["/", "/c/conv_1", "/memory"] {
        let page = request(&lar, "GET", path, browser, "");
        assert_eq!(
            (page.status, header(&page, "content-type")),
            (200, Some("text/html; charset=utf-8")),
            "{path}"
        );
        assert!(page.body.contains("<title>Lar</title>"), "{path}");
    }
    assert_eq!(
        request(&lar, "GET", "/", "accept: */*\r\n", "").status,
        200,
        "other clients than browsers get the page at `/`, too"
    );

    // MCP clients request this before they authenticate.
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let resource = request(&lar, "GET", path, "", "").json();
        assert_eq!(resource["resource"], format!("http://{}/mcp", lar.address), "{path}");
    }
}

#[test]
fn the_pages_files_are_compressed_and_cached_by_the_browser() {
    let lar = Lar::start_with("[engines]\npreload = false\n");
    let index = request(&lar, "GET", "/", "", "");
    let script = index.body.split('"').find(|part| part.starts_with("/assets/") && part.ends_with(".js"));
    let script = script.expect("the page was built: make").to_owned();
    let length = |encodings: &str| {
        let answer = request(&lar, "GET", &script, &format!("accept-encoding: {encodings}\r\n"), "");
        let length: usize = header(&answer, "content-length").unwrap().parse().unwrap();
        (header(&answer, "content-encoding").map(ToOwned::to_owned), length)
    };
    let (plain, gzip, brotli) = (length("identity"), length("gzip, deflate"), length("gzip, deflate, br"));
    assert_eq!((plain.0, gzip.0.as_deref(), brotli.0.as_deref()), (None, Some("gzip"), Some("br")));
    assert!(gzip.1 * 2 < plain.1 && brotli.1 < gzip.1, "{} {} {}", plain.1, gzip.1, brotli.1);

    let first = request(&lar, "GET", &script, "", "");
    assert_eq!(header(&first, "cache-control"), Some("public, max-age=31536000, immutable"));
    let tag = header(&index, "etag").unwrap();
    let again = request(&lar, "GET", "/", &format!("if-none-match: {tag}\r\n"), "");
    assert_eq!(
        (again.status, again.body.as_str(), header(&again, "cache-control")),
        (304, "", Some("no-cache"))
    );

    for (path, kind) in [
        ("/favicon.ico", "image/x-icon"),
        ("/manifest.json", "application/json"),
        ("/icon-192.png", "image/png"),
    ] {
        let answer = request(&lar, "GET", path, "", "");
        assert_eq!((answer.status, header(&answer, "content-type")), (200, Some(kind)), "{path}");
    }
    let manifest = request(&lar, "GET", "/manifest.json", "", "").json();
    for icon in manifest["icons"].as_array().unwrap() {
        assert_eq!(request(&lar, "GET", icon["src"].as_str().unwrap(), "", "").status, 200, "{icon}");
    }
}

#[test]
fn pages_of_allowed_origins_reach_the_model_apis_only() {
    let lar = Lar::start_with(
        "allowed_origins = [\"app://obsidian.md\", \"http://localhost:*\"]\n[engines]\npreload = false\n",
    );
    let page = "origin: app://obsidian.md\r\nsec-fetch-site: cross-site\r\n";
    let json_type = "content-type: application/json\r\n";
    let embed = json!({ "model": "default-embedding", "input": "a" }).to_string();

    let asked = "access-control-request-method: POST\r\naccess-control-request-headers: authorization, content-type, x-stainless-os\r\n";
    let preflight = request(&lar, "OPTIONS", "/v1/embeddings", &format!("{page}{asked}"), "");
    assert_eq!(preflight.status, 204);
    assert_eq!(header(&preflight, "access-control-allow-origin"), Some("app://obsidian.md"));
    assert_eq!(
        header(&preflight, "access-control-allow-headers"),
        Some("authorization, content-type, x-stainless-os")
    );
    assert!(header(&preflight, "access-control-allow-methods").unwrap().contains("post"));
    assert_eq!(header(&preflight, "access-control-allow-credentials"), None);

    let done = request(&lar, "POST", "/v1/embeddings", &format!("{page}{json_type}{}", bearer()), &embed);
    assert_eq!((done.status, header(&done, "access-control-allow-origin")), (200, Some("app://obsidian.md")));
    assert!(header(&done, "access-control-expose-headers").unwrap().contains("x-request-id"));
    let read = request(&lar, "GET", "/api/tags", &format!("{page}{}", bearer()), "");
    assert_eq!((read.status, header(&read, "access-control-allow-origin")), (200, Some("app://obsidian.md")));
    // The page may read errors too, so that an SDK can show them.
    let keyless = request(&lar, "POST", "/v1/embeddings", &format!("{page}{json_type}"), &embed);
    assert_eq!(
        (keyless.status, header(&keyless, "access-control-allow-origin")),
        (401, Some("app://obsidian.md"))
    );

    // A session cookie does not count for pages of other origins: it signs in Lar's own page only.
    let link = lar.post("/lar/v1/sign-in/links", &json!({})).json();
    let (_, secret) = link["url"].as_str().unwrap().rsplit_once("#sign-in=").unwrap();
    let own = format!("origin: http://{}\r\n{json_type}", lar.address);
    let signed_in = request(&lar, "POST", "/lar/v1/sign-in", &own, &json!({ "secret": secret }).to_string());
    assert_eq!(signed_in.status, 204, "{}", signed_in.body);
    let cookie = header(&signed_in, "set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let cookie = format!("cookie: {cookie}\r\n");
    assert_eq!(request(&lar, "POST", "/v1/embeddings", &format!("{own}{cookie}"), &embed).status, 200);
    for origin in ["app://obsidian.md", "http://localhost:3000"] {
        let foreign = format!("origin: {origin}\r\n{json_type}{cookie}");
        assert_eq!(request(&lar, "POST", "/v1/embeddings", &foreign, &embed).status, 401, "{origin}");
        assert_eq!(request(&lar, "GET", "/v1/models", &foreign, "").status, 401, "{origin}");
    }

    // Lar's own API refuses that origin, with or without a key.
    let ours = request(&lar, "POST", "/lar/v1/aliases", &format!("{page}{json_type}{}", bearer()), "{}");
    assert_eq!((ours.status, header(&ours, "access-control-allow-origin")), (403, None));
    let evil = format!("origin: http://evil.example\r\n{json_type}{}", bearer());
    let refused = request(&lar, "POST", "/v1/embeddings", &evil, &embed);
    assert_eq!((refused.status, header(&refused, "access-control-allow-origin")), (403, None));
    assert_eq!(
        refused.json()["error"]["message"],
        "a page of another origin may not send this request; add `http://evil.example` to `allowed_origins` if you trust it"
    );
    let preflight =
        request(&lar, "OPTIONS", "/v1/embeddings", &format!("origin: http://evil.example\r\n{asked}"), "");
    assert_eq!((preflight.status, header(&preflight, "access-control-allow-origin")), (405, None));
}

#[test]
fn bodies_with_a_key_are_read_whatever_their_content_type() {
    let lar = Lar::start_with("[limits]\nbody = \"1 MiB\"\n[engines]\npreload = false\n");
    let embed = json!({ "model": "default-embedding", "input": "a" }).to_string();
    let show = json!({ "model": "default" }).to_string();
    let types = ["", "content-type: application/x-www-form-urlencoded\r\n", "content-type: text/plain\r\n"];
    for kind in types {
        for (path, body) in [("/v1/embeddings", &embed), ("/api/show", &show)] {
            let answer = request(&lar, "POST", path, &format!("{kind}{}", bearer()), body);
            assert_eq!(answer.status, 200, "{path} {kind}: {}", answer.body);
            let page = format!("{kind}{}origin: http://evil.example\r\n", bearer());
            assert_eq!(request(&lar, "POST", path, &page, body).status, 403, "{path} {kind}");
        }
        let ours = request(
            &lar,
            "POST",
            "/lar/v1/memories/search",
            &format!("{kind}{}", bearer()),
            r#"{"query":"a"}"#,
        );
        assert_eq!(ours.status, 415, "{kind}: {}", ours.body);
    }
    assert_eq!(request(&lar, "POST", "/v1/embeddings", types[1], &embed).status, 401);

    // A client that sends everything before it reads gets its answer all the same.
    let long = 3 << 20;
    let mut socket = lar.open(&lar.head("POST", "/v1/embeddings", long), b"");
    for _ in 0..long >> 16 {
        socket.write_all(&[b' '; 1 << 16]).expect("the server keeps reading");
    }
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("the answer is not lost");
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("the body is larger than"), "{answer}");

    // Answers with secrets must not be cached on the way.
    let made = lar.post("/lar/v1/keys", &json!({ "name": "x" }));
    assert_eq!((made.status, header(&made, "cache-control")), (201, Some("no-store")));
    assert_eq!(header(&lar.get("/v1/models"), "cache-control"), Some("no-store"));
}

#[test]
fn lars_own_api_refuses_arrays_in_place_of_objects() {
    let lar = Lar::start_with("[engines]\npreload = false\n");
    let refused = |method: &str, path: &str, body: Value| {
        let answer = lar.send(method, path, &body);
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (400, json!("INVALID_PARAMS")),
            "{path}: {}",
            answer.body
        );
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    refused("POST", "/lar/v1/aliases", json!(["a", "smollm2-135m-instruct"]));
    assert!(
        lar.get("/lar/v1/aliases").json()["data"]
            .as_array()
            .unwrap()
            .iter()
            .all(|alias| alias["name"] != "a")
    );
    let nested = refused("POST", "/lar/v1/memories/search", json!({ "query": "x", "filters": [] }));
    assert_eq!(nested, "`filters` must be an object");
    let memory = lar.post("/lar/v1/memories", &json!({ "content": "The house has a red door." })).json();
    refused("POST", &format!("/lar/v1/memories/{}/demote", memory["id"].as_str().unwrap()), json!([]));
    let import = lar.send("POST", "/lar/v1/memories/import", &Value::Null);
    assert_eq!(import.json()["detail"], "the body is empty; send one JSON object per line");

    // The aliases that Lar itself uses must refer to models of their kind.
    for (name, target, expected) in [
        (
            "default-embedding",
            "smollm2-135m-instruct",
            "`default-embedding` needs an embedder, but `smollm2-135m-instruct` is a chat model",
        ),
        (
            "default",
            "all-minilm-l6-v2",
            "`default` needs a chat model, but `all-minilm-l6-v2` is an embedder",
        ),
        (
            "default-rerank",
            "all-minilm-l6-v2",
            "`default-rerank` needs a reranker, but `all-minilm-l6-v2` is an embedder",
        ),
    ] {
        assert_eq!(refused("POST", "/lar/v1/aliases", json!({ "name": name, "target": target })), expected);
    }
    let set = lar.post("/lar/v1/aliases", &json!({ "name": "default", "target": "smollm2-135m-instruct" }));
    assert_eq!(set.status, 200, "{}", set.body);
}

#[test]
fn a_body_that_is_not_a_json_rpc_message_gets_a_json_rpc_error() {
    let lar = Lar::start_with("[engines]\npreload = false\n");
    let send = |kind: &str, body: &str| {
        let headers = format!(
            "{}content-type: {kind}\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n",
            bearer()
        );
        request(&lar, "POST", "/mcp", &headers, body)
    };
    let (not_json, no_message) =
        ((-32700, "the body is not valid JSON: "), (-32600, "the body must be one message of JSON-RPC 2.0"));
    for (body, (code, expected)) in [
        ("", not_json),
        ("{\"jsonrpc\": \"2.0\", \"id\": 1,", not_json),
        ("nothing", not_json),
        ("[]", no_message),
        ("{\"question\": 1}", no_message),
    ] {
        let answer = send("application/json", body);
        let error = answer.json();
        assert_eq!(
            (answer.status, header(&answer, "content-type")),
            (400, Some("application/json")),
            "{body}"
        );
        assert_eq!((&error["jsonrpc"], &error["error"]["code"]), (&json!("2.0"), &json!(code)), "{error}");
        assert!(error["error"]["message"].as_str().unwrap().starts_with(expected), "{error}");
    }
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
    assert_eq!(send("text/plain", &list).status, 415, "the content type is refused");
    assert_eq!(
        send("application/x-www-form-urlencoded", "a=b").status,
        415,
        "the content type is checked before the body"
    );
    assert_eq!(send("application/json; charset=utf-8", &list).status, 200);
}

#[test]
fn a_tool_call_is_logged_in_one_line_without_its_content() {
    let lar = Lar::start_logging("[engines]\npreload = false\n", "debug");
    let call = |name: &str, arguments: Value| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name, "arguments": arguments } });
        let headers = format!(
            "{}content-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n",
            bearer()
        );
        let answer = request(&lar, "POST", "/mcp", &headers, &body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.json()["result"]["isError"], false, "{}", answer.body);
        answer.json()["result"].clone()
    };
    // Arguments as models write them.
    let _ = call(
        "memory_save",
        json!({ "content": "The cellar key hangs behind the clock.", "tags": null, "project": null }),
    );
    let found = call(
        "memory_search",
        json!({ "query": "where is the cellar key", "limit": 5.0, "tags": null, "kinds": null }),
    );
    assert!(found["content"][0]["text"].as_str().unwrap().contains("behind the clock"), "{found}");
    let _ = call(
        "search",
        json!({ "query": "cellar key", "limit": 5.0, "token_budget": 500.0, "min_retention": 0 }),
    );
    // An unknown method is not quoted either.
    let unknown = json!({ "jsonrpc": "2.0", "id": 1, "method": "where is the cellar key" });
    let headers = format!(
        "{}content-type: application/json\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n",
        bearer()
    );
    let _ = request(&lar, "POST", "/mcp", &headers, &unknown.to_string());

    let log = lar.until("the writing of the log", |lar| {
        let log = std::fs::read_to_string(lar.data().join("log")).ok()?;
        (log.lines().filter(|line| line.contains("/mcp")).count() >= 4).then_some(log)
    });
    assert!(!log.contains("cellar"), "{log}");
    let of_calls: Vec<&str> =
        log.lines().filter(|line| line.contains("/mcp") || line.contains("rmcp")).collect();
    assert_eq!(of_calls.len(), 4, "{of_calls:#?}");
}

#[test]
fn prompts_answers_and_memories_are_not_logged() {
    let lar = Lar::start_logging("", "debug");
    let conversation = lar.post("/lar/v1/conversations", &json!({ "title": "zanzibar" })).json();
    let conversation = conversation["id"].as_str().unwrap().to_owned();
    let turn = lar.post(
        &format!("/lar/v1/conversations/{conversation}/messages"),
        &json!({ "content": "Remember that the zanzibar ferry leaves at noon.", "max_tokens": 8 }),
    );
    assert_eq!(turn.status, 200, "{}", turn.body);
    let chat = json!({
        "model": "default", "max_tokens": 8, "temperature": 0,
        "messages": [{ "role": "user", "content": "Say zanzibar." }],
    });
    let answer = lar.post("/v1/chat/completions", &chat);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    for (path, body) in [
        ("/lar/v1/memories", json!({ "content": "The zanzibar map hangs in the hall." })),
        ("/lar/v1/memories/search", json!({ "query": "zanzibar" })),
        ("/v1/embeddings", json!({ "model": "default-embedding", "input": "zanzibar" })),
        ("/v1/completions", json!({ "model": "default", "prompt": "zanzibar", "max_tokens": 1 })),
        // Errors quote no text either.
        ("/v1/chat/completions", json!({ "model": "default", "messages": "zanzibar" })),
        ("/lar/v1/memories", json!({ "content": ["zanzibar"] })),
    ] {
        let status = lar.post(path, &body).status;
        assert!(matches!(status, 200 | 201 | 400), "{path}: {status}");
    }
    let log = lar.until("the writing of the log", |lar| {
        let log = std::fs::read_to_string(lar.data().join("log")).ok()?;
        (log.lines().filter(|line| line.contains("/lar/v1/memories")).count() >= 3).then_some(log)
    });
    assert!(!log.contains("zanzibar"), "{log}");
    // A request is one line, with its path, key, status and duration.
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let requests: Vec<&Value> = lines.iter().filter(|line| line["path"] == "/v1/completions").collect();
    let key = lar.get("/lar/v1/me").json()["key_id"].clone();
    assert_eq!(requests.len(), 1, "{log}");
    assert_eq!((&requests[0]["key"], &requests[0]["status"]), (&key, &json!(200)), "{}", requests[0]);
    assert!(requests[0]["latency_ms"].is_u64(), "{}", requests[0]);
    assert!(answer.trim().len() < 8 || !log.contains(answer.trim()), "{answer:?} in {log}");
}
