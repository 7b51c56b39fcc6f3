//! `/v1`, as OpenAI's clients use it. The SDK itself runs in `tests/conformance`.

mod lenience;
mod responses;

use lar_tests::Lar;
use serde_json::{Value, json};

fn chat(more: Value) -> Value {
    let mut body = json!({
        "model": "default", "max_tokens": 24, "temperature": 0,
        "messages": [{ "role": "user", "content": "Say hello." }],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn chat_is_answered_streamed_and_repeatable() {
    let lar = Lar::start();
    let whole = lar.post("/v1/chat/completions", &chat(json!({})));
    assert_eq!(whole.status, 200, "{}", whole.body);
    let whole = whole.json();
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(!text.is_empty() && whole["object"] == "chat.completion");
    let usage = &whole["usage"];
    assert_eq!(
        usage["total_tokens"].as_u64().unwrap(),
        usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap()
    );

    let options = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let streamed = lar.post("/v1/chat/completions", &chat(options));
    assert!(streamed.head.contains("content-type: text/event-stream"), "{}", streamed.head);
    assert!(streamed.body.trim_end().ends_with("data: [DONE]"), "{}", streamed.body);
    let events = streamed.events();
    let pieces: String =
        events.iter().filter_map(|(_, data)| data["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(pieces, text, "greedy decoding gives the same text");
    let reported = &events[events.len() - 2].1["usage"];
    assert_eq!(reported["total_tokens"], usage["total_tokens"]);
    let cached = &reported["prompt_tokens_details"]["cached_tokens"];
    assert_eq!(cached.as_u64().unwrap() + 1, usage["prompt_tokens"].as_u64().unwrap());

    let seeded = || lar.post("/v1/chat/completions", &chat(json!({ "temperature": 1.5, "seed": 7 }))).json();
    assert_eq!(seeded()["choices"], seeded()["choices"], "a seed repeats on an idle engine");
}

#[test]
fn stop_texts_and_limits_apply_and_ignored_fields_are_named() {
    let lar = Lar::start();
    let count = json!({
        "messages": [{ "role": "user", "content": "Count from 1 to 9 with spaces." }],
        "max_tokens": 3, "user": "someone", "made_up": true, "ignore_eos": true,
    });
    let answer = lar.post("/v1/chat/completions", &chat(count));
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "length");
    assert_eq!(answer.json()["usage"]["completion_tokens"], 3);
    assert!(answer.head.contains("x-lar-ignored: made_up, user"), "{}", answer.head);
    let full = lar
        .post(
            "/v1/completions",
            &json!({ "model": "default", "prompt": "one two three four", "temperature": 0 }),
        )
        .json();
    let text = full["choices"][0]["text"].as_str().unwrap();
    let stop = text.char_indices().nth(5).map(|(at, _)| &text[at..at + 1]).unwrap();
    let stopped =
        json!({ "model": "default", "prompt": "one two three four", "temperature": 0, "stop": [stop] });
    let stopped = lar.post("/v1/completions", &stopped).json();
    assert_eq!(stopped["choices"][0]["text"].as_str(), text.split(stop).next());
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
}

#[test]
fn embeddings_have_unit_length_and_reflect_meaning() {
    let lar = Lar::start();
    let texts = json!(["A cat sits on the mat.", "A kitten rests on a rug.", "Interest rates rose again."]);
    let answer = lar.post("/v1/embeddings", &json!({ "model": "default-embedding", "input": texts })).json();
    let vectors: Vec<Vec<f64>> = answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            row["embedding"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
        })
        .collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    assert_eq!(vectors[0].len(), 384);
    assert!((dot(&vectors[0], &vectors[0]) - 1.0).abs() < 1e-4);
    // sentence-transformers gives 0.56 and 0.02 for these pairs.
    assert!(dot(&vectors[0], &vectors[1]) > 0.5 && dot(&vectors[0], &vectors[2]) < 0.1);
    let long = "word ".repeat(1000);
    let body = |truncate: bool| json!({ "input": ["short", long], "truncate": truncate });
    let refused = lar.post("/v1/embeddings", &body(false));
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].clone(), refused.json()["error"]["param"].clone()),
        (400, json!("context_length_exceeded"), json!("input[1]"))
    );
    let cut = lar.post("/v1/embeddings", &body(true));
    assert!(cut.head.contains("x-lar-truncated: 1"), "{}", cut.head);
    let ids = lar.post("/v1/embeddings", &json!({ "input": [[1, 2, 3]] }));
    let message = ids.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(ids.status == 400 && message.contains("check_embedding_ctx_length=False"), "{message}");
}

#[test]
fn models_and_aliases_are_listed_and_unknown_ones_explained() {
    let lar = Lar::start();
    let listed = lar.get("/v1/models").json();
    let names: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "default",
            "smollm2-135m-instruct",
            "small",
            "default+memory",
            "all-minilm-l6-v2",
            "default-embedding"
        ],
        "chat models come first, as some clients take the first model"
    );
    assert_eq!(lar.get("/v1/models/default").json()["id"], "default");
    let anthropics =
        lar.head("GET", "/v1/models", 0).replace("\r\n\r\n", "\r\nanthropic-version: 2023-06-01\r\n\r\n");
    let theirs = lar.raw(&anthropics, b"").json();
    assert_eq!(
        (theirs["data"][0]["type"].clone(), theirs["has_more"].clone()),
        (json!("model"), json!(false))
    );
    assert_eq!(theirs["first_id"], listed["data"][0]["id"]);
    let unknown = lar.post("/v1/chat/completions", &chat(json!({ "model": "gpt-4o" })));
    assert_eq!((unknown.status, unknown.json()["error"]["code"].clone()), (404, json!("model_not_found")));
    let message = unknown.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("Map it: `lar alias set gpt-4o"), "{message}");
    assert!(unknown.head.contains("x-should-retry: false"));
    let _ = lar.post("/lar/v1/aliases", &json!({ "name": "gpt-4o", "target": "smollm2-135m-instruct" }));
    assert_eq!(lar.post("/v1/chat/completions", &chat(json!({ "model": "gpt-4o" }))).status, 200);
}

#[test]
fn a_prompt_beyond_the_context_is_refused_before_any_weights_are_loaded() {
    let lar = Lar::start_with("[engines]\npreload = false\n");
    let long = "word ".repeat(5000);
    let refused =
        lar.post("/v1/chat/completions", &chat(json!({ "messages": [{ "role": "user", "content": long }] })));
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].clone()),
        (400, json!("context_length_exceeded"))
    );
    let pools = lar.get("/lar/v1/pools").json();
    assert_eq!(pools["data"][0]["state"], "unloaded", "{pools}");
}

#[test]
fn a_cached_prompt_is_reused_by_its_own_key_only() {
    let lar = Lar::start();
    let made = lar.post("/lar/v1/keys", &json!({ "name": "other" })).json();
    let other = made["secret"].as_str().unwrap().to_owned();
    let text = "The owl flew over the quiet river and saw a small boat. ".repeat(10);
    let body = json!({ "model": "default", "max_tokens": 2, "seed": 1,
        "messages": [{ "role": "user", "content": text }] })
    .to_string();
    let cached = |key: &str| {
        let head = lar.head("POST", "/v1/chat/completions", body.len()).replace(Lar::KEY, key);
        let usage = lar.raw(&head, body.as_bytes()).json()["usage"].clone();
        let (all, cached) = (&usage["prompt_tokens"], &usage["prompt_tokens_details"]["cached_tokens"]);
        (all.as_u64().unwrap(), cached.as_u64().unwrap())
    };
    assert_eq!(cached(Lar::KEY).1, 0);
    let (all, again) = cached(Lar::KEY);
    assert_eq!(again, all - 1);
    assert_eq!(cached(&other).1, 0);
    let reported = lar.get("/metrics").body;
    assert!(
        reported.contains(&format!("lar_tokens_in_cached_total{{model=\"smollm2-135m-instruct\"}} {again}"))
    );
}
