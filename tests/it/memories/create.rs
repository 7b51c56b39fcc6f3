//! `POST /lar/v1/memories` and `memories/batch`: texts are stored once and without secrets; invalid ones are
//! refused.

use lar_tests::Lar;
use serde_json::json;

use super::{remember, save_text, search, search_ids, with};

#[test]
fn a_saved_memory_is_returned_as_it_was_sent() {
    let lar = Lar::start();
    let body = json!({
        "content": "  We moved the billing database to Postgres.  ", "kind": "decision",
        "tags": ["infra", "Größe: XL", "infra"], "source": "standup", "project": "billing",
        "occurred_at": "2026-03-02", "valid_from": "2026-03-01T12:00:00+02:00",
        "conversation": "conv_1", "message": "msg_1",
    });
    let id = remember(&lar, &body);
    let shown = lar.get(&format!("/lar/v1/memories/{id}"));
    assert!(shown.head.contains("etag: \"1\""), "{}", shown.head);
    let memory = shown.json();
    let expected = json!({
        "content": "We moved the billing database to Postgres.", "kind": "decision",
        "tags": ["infra", "Größe: XL"], "source": "standup", "project": "billing",
        "occurred_at": "2026-03-02T00:00:00.000Z", "valid_from": "2026-03-01T10:00:00.000Z",
        "conversation": "conv_1", "message": "msg_1", "pinned": false, "version": 1,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(memory[field], *value, "{field}");
    }
    assert!(memory["retrievability"].as_f64().unwrap() > 0.999);
    assert_eq!(search_ids(&lar, "what do we use for billing data?"), [id]);
}

#[test]
fn a_repeated_memory_or_request_is_not_stored_twice() {
    let lar = Lar::start();
    let id = save_text(&lar, "I take my coffee without sugar.");
    let again = lar.post("/lar/v1/memories", &json!({ "content": "I take my coffee without sugar." }));
    assert_eq!((again.status, again.json()["id"].as_str()), (200, Some(id.as_str())));
    assert_eq!(again.json()["created"], false);
    let tagged = remember(&lar, &json!({ "content": "I take my coffee without sugar.", "tags": ["food"] }));
    assert_ne!(tagged, id, "with other tags it is another memory");

    let key = format!("authorization: Bearer {}\r\nidempotency-key: \"once\"\r\n", Lar::KEY);
    let items = json!({ "items": [{ "content": "first of two" }, { "content": "second of two" }] });
    let one = with(&lar, &key, "POST", "/lar/v1/memories/batch", &items);
    let two = with(&lar, &key, "POST", "/lar/v1/memories/batch", &items);
    assert_eq!((one.status, two.status), (201, 201), "{} {}", one.body, two.body);
    let listed = |answer: &lar_tests::Answer| -> Vec<serde_json::Value> {
        answer.json()["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect()
    };
    assert_eq!(listed(&one), listed(&two));
    assert!(two.head.contains("idempotent-replayed: true"));
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 4);
    let key = key.replace("once", "partly");
    let items = json!({ "items": [{ "content": "kept" }, { "content": "" }, { "content": "kept too" }] });
    let one = with(&lar, &key, "POST", "/lar/v1/memories/batch", &items);
    let two = with(&lar, &key, "POST", "/lar/v1/memories/batch", &items);
    assert_eq!((one.status, two.status), (207, 207), "{} {}", one.body, two.body);
    assert_eq!((listed(&one), &one.json()["refused"]), (listed(&two), &two.json()["refused"]));
}

#[test]
fn secrets_are_refused_or_redacted_and_nowhere_in_the_data() {
    let token = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    let content = format!("Deploy with GITHUB_TOKEN={token} on Fridays.");
    let lar = Lar::start();
    let refused = lar.post("/lar/v1/memories", &json!({ "content": content }));
    assert_eq!((refused.status, refused.json()["errors"][0]["field"].as_str()), (400, Some("content")));
    let batch =
        json!({ "items": [{ "content": "fine" }, { "content": "x", "tags": ["my password is hunter22"] }] });
    let partly = lar.post("/lar/v1/memories/batch", &batch);
    assert_eq!((partly.status, partly.json()["items"][1].is_null()), (207, true), "{}", partly.body);
    assert_eq!(partly.json()["items"][0]["content"], "fine");
    assert_eq!(partly.json()["refused"][0]["index"], 1);
    assert_eq!(partly.json()["refused"][0]["errors"][0]["field"], "items[1].tags", "{}", partly.body);
    assert!(!partly.body.contains("hunter22"));
    let refused = lar.post("/lar/v1/memories/batch", &json!({ "items": [batch["items"][1]] }));
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert_eq!(refused.json()["errors"][0]["field"], "items[0].tags", "{}", refused.body);
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 1);
    let path = format!("/lar/v1/memories/{}", save_text(&lar, "The router stands in the hall."));
    for (body, field) in [
        (json!({ "content": "my password is hunter22" }), "content"),
        (json!({ "tags": ["my password is hunter22"] }), "tags"),
        (json!({ "project": "my password is hunter22" }), "project"),
    ] {
        let refused = lar.send("PATCH", &path, &body);
        assert_eq!((refused.status, refused.json()["errors"][0]["field"].as_str()), (400, Some(field)));
    }
    let reason = json!({ "reason": "my password is hunter22" });
    assert_eq!(lar.post(&format!("{path}/promote"), &reason).status, 400);

    let lar = Lar::start_with("[memory]\nsecrets = \"redact\"\n");
    let kept = lar.post("/lar/v1/memories", &json!({ "content": content }));
    assert_eq!(kept.json()["content"], "Deploy with GITHUB_TOKEN=[redacted] on Fridays.");
    assert_eq!(kept.json()["redacted"].as_array().unwrap().len(), 1, "{}", kept.body);
    for entry in std::fs::read_dir(lar.data()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(token.len()).any(|some| some == token.as_bytes()));
    }
}

#[test]
fn a_redacted_text_can_wait_in_the_inbox() {
    let lar = Lar::start_with("[memory]\nsecrets = \"quarantine\"\n");
    for path in ["/lar/v1/memories", "/lar/v1/memories/smart"] {
        let refused =
            lar.post(path, &json!({ "content": "The router's password is hunter22, by the door." }));
        assert_eq!(refused.status, 400, "{}", refused.body);
        assert!(refused.json()["detail"].as_str().unwrap().contains("inbox"), "{}", refused.body);
    }
    let plain = lar.post("/lar/v1/memories", &json!({ "content": "" }));
    assert!(!plain.json()["detail"].as_str().unwrap().contains("inbox"), "{}", plain.body);
    let inbox = lar.get("/lar/v1/memories/inbox");
    assert!(!inbox.body.contains("hunter22"));
    let waiting = inbox.json()["data"].as_array().unwrap().clone();
    assert_eq!(waiting.len(), 1, "a text that was sent twice waits once: {}", inbox.body);
    assert_eq!(waiting[0]["content"], "The router's password is [redacted], by the door.");
    let id = waiting[0]["id"].as_str().unwrap();
    let accepted = lar.post(&format!("/lar/v1/memories/inbox/{id}/accept"), &json!({}));
    assert_eq!(accepted.status, 200, "{}", accepted.body);
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 1);
}

#[test]
fn long_texts_are_found_by_any_of_their_chunks() {
    let lar = Lar::start();
    let filler = "The committee met and spoke about the weather of the season at some length. ".repeat(200);
    let content = format!("{filler}\n\nThe spare key lies under the blue flowerpot.\n\n{filler}");
    let id = save_text(&lar, &content);
    let hit = &search(&lar, &json!({ "query": "where is the spare key?" }))["results"][0];
    assert_eq!((hit["id"].as_str(), hit["truncated"].as_bool()), (Some(id.as_str()), Some(true)));
    assert!(hit["content"].as_str().unwrap().contains("blue flowerpot"), "{}", hit["content"]);
    let all = search(&lar, &json!({ "query": "spare key", "detail": "full" }));
    assert_eq!(all["results"][0]["content"], content.trim());
}

#[test]
fn invalid_memories_are_refused_with_the_field() {
    let lar = Lar::start();
    let many: Vec<String> = (0..10_000).map(|at| format!("t{at}")).collect();
    let cases = [
        (json!({}), "content"),
        (json!({ "content": " \n " }), "content"),
        (json!({ "content": "x".repeat(10 << 20) }), "content"),
        (json!({ "content": "a\u{0}b" }), "content"),
        (json!({ "content": "x", "kind": "thought" }), "kind"),
        (json!({ "content": "x", "tags": many }), "tags"),
        (json!({ "content": "x", "tags": ["a\nb"] }), "tags"),
        (json!({ "content": "x", "occurred_at": "yesterday" }), "occurred_at"),
        (json!({ "content": "x", "valid_from": "2026-02-01", "valid_to": "2026-01-01" }), "valid_to"),
        (json!({ "content": "x", "source": "" }), "source"),
        (json!({ "content": "x", "contents": "y" }), "contents"),
        (json!({ "content": "x", "after": "mem_1" }), "after"),
    ];
    for (body, field) in cases {
        let refused = lar.post("/lar/v1/memories", &body);
        assert_eq!(refused.status, 400, "{field}: {}", refused.body);
        let named = refused.json()["errors"][0]["field"].as_str().unwrap_or_default().to_owned();
        assert!(
            named == field || refused.json()["detail"].as_str().unwrap().contains(field),
            "{}",
            refused.body
        );
    }
    let gone = json!({ "content": "x", "after": "mem_0192aaaaaaaa7aaaaaaaaaaaaaaaaaaa" });
    assert_eq!(lar.post("/lar/v1/memories", &gone).status, 404);
    let far = remember(&lar, &json!({ "content": "the far future", "occurred_at": "9999-12-30T00:00:00Z" }));
    assert_eq!(search_ids(&lar, "far future"), [far]);
    let mixed = save_text(&lar, "Привет мир, 東京の天気 👩‍👩‍👧 \u{202e}reversed \u{7}bell");
    assert_eq!(search_ids(&lar, "東京")[0], mixed);
}

#[test]
fn without_an_embedder_keyword_search_works_and_says_so() {
    let lar = Lar::start_without_models();
    let made = lar.post("/lar/v1/memories", &json!({ "content": "The spare key is under the flowerpot." }));
    assert_eq!(made.status, 201, "{}", made.body);
    assert!(made.json()["unembedded"].as_str().unwrap().contains("lar models pull"), "{}", made.body);
    let answer = search(&lar, &json!({ "query": "spare keys" }));
    assert_eq!((answer["mode"].as_str(), answer["results"].as_array().unwrap().len()), (Some("keyword"), 1));
    assert!(answer["reason"].as_str().unwrap().contains("no embedder is installed"), "{answer}");
    assert!(answer["results"][0]["parts"].get("similarity").is_none());
}
