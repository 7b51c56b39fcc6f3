//! The wire format of `/api`, Ollama's API. Ollama's own client runs in `tests/conformance`.

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn chat(more: Value) -> Value {
    let body = json!({
        "model": "smollm2-135m-instruct", "stream": false, "options": { "temperature": 0, "num_predict": 8 },
        "messages": [{ "role": "user", "content": "Say hello." }],
    });
    with(body, more)
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert!(answer.head.contains("content-type: application/x-ndjson"), "{}", answer.head);
    answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of a stream without texts, times and durations. Equal lines in a row are listed once.
fn redacted(answer: &Answer) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for mut line in lines(answer) {
        for (name, value) in line.as_object_mut().unwrap() {
            if name.ends_with("_duration") {
                assert!(value.is_u64(), "{name}");
                *value = 0.into();
            } else if name == "created_at" {
                assert!(value.as_str().unwrap().ends_with('Z'), "{value}");
                *value = "…".into();
            }
        }
        if line["message"]["content"] != "" {
            line["message"]["content"] = "…".into();
        }
        if all.last() != Some(&line) {
            all.push(line);
        }
    }
    all
}

#[test]
fn chats_and_completions_have_ollamas_wire_format() {
    let lar = Lar::start();
    let whole = lar.post("/api/chat", &chat(json!({})));
    assert_eq!(whole.status, 200, "{}", whole.body);
    let whole = whole.json();
    let streamed = lar.post("/api/chat", &chat(json!({ "stream": true })));
    let pieces: String =
        lines(&streamed).iter().filter_map(|line| line["message"]["content"].as_str()).collect();
    assert_eq!(pieces, whole["message"]["content"].as_str().unwrap());
    let line = |text: &str, done: bool| json!({ "model": "smollm2-135m-instruct", "created_at": "…", "message": { "role": "assistant", "content": text }, "done": done });
    let end = json!({
        "done_reason": "length", "total_duration": 0, "load_duration": 0, "prompt_eval_count": whole["prompt_eval_count"],
        "prompt_eval_duration": 0, "eval_count": 8, "eval_duration": 0,
    });
    assert_eq!(redacted(&streamed), [line("…", false), with(line("", true), end)]);

    let ask = |more: Value| {
        let body = json!({ "model": "default", "stream": false, "prompt": "Say hello.", "options": { "temperature": 0, "num_predict": 8 } });
        let answer = lar.post("/api/generate", &with(body, more));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    // A request that passes on the `context` of an answer continues that chat.
    let first = ask(json!({ "system": "You are brief." }));
    let context = &first["context"];
    assert!(context.as_array().is_some_and(|context| context.iter().all(Value::is_u64)), "{first}");
    let next = ask(json!({ "context": context, "prompt": "And again." }));
    let alone = ask(json!({ "prompt": "And again." }));
    let messages = json!([
        { "role": "system", "content": "You are brief." }, { "role": "user", "content": "Say hello." },
        { "role": "assistant", "content": first["response"] }, { "role": "user", "content": "And again." },
    ]);
    let as_chat = lar.post("/api/chat", &chat(json!({ "messages": messages }))).json();
    assert_eq!(next["response"], as_chat["message"]["content"]);
    assert_eq!(next["prompt_eval_count"], as_chat["prompt_eval_count"]);
    assert!(next["prompt_eval_count"].as_u64() > alone["prompt_eval_count"].as_u64());
    let foreign = json!({ "model": "default", "prompt": "x", "context": [128_006, 882, 128_007] });
    let refused = lar.post("/api/generate", &foreign);
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (400, &json!("`context` must be the `context` of an earlier response of this server"))
    );

    // Probabilities, in Ollama's format.
    let reply = lar.post("/api/chat", &chat(json!({ "logprobs": true, "top_logprobs": 2 }))).json();
    let tokens = reply["logprobs"].as_array().unwrap();
    assert_eq!(tokens.len() as u64, reply["eval_count"].as_u64().unwrap());
    let text: String = tokens.iter().map(|token| token["token"].as_str().unwrap()).collect();
    assert_eq!(text, reply["message"]["content"].as_str().unwrap());
    assert_eq!(tokens[0]["top_logprobs"].as_array().unwrap().len(), 2);
    assert_eq!(
        tokens[0]["top_logprobs"][0]["token"], tokens[0]["token"],
        "greedy decoding takes the most likely token"
    );
    assert!(tokens[0]["logprob"].as_f64().unwrap() <= 0.0 && tokens[0]["bytes"].is_array());
    let lone = lar.post("/api/chat", &chat(json!({ "top_logprobs": 2 })));
    assert_eq!(
        (lone.status, &lone.json()["error"]),
        (400, &json!("`top_logprobs` requires `logprobs` to be true"))
    );
    assert_eq!(lar.get("/api/version").json(), json!({ "version": "0.12.11" }));
    let apis = json!(["openai", "anthropic", "ollama", "llama.cpp", "mcp", "lar"]);
    assert_eq!(lar.get("/lar/v1/capabilities").json()["apis"], apis);
}

#[test]
fn loosely_typed_requests_of_ollamas_clients_are_read() {
    let lar = Lar::start();
    let loose = chat(json!({
        "messages": [
            { "role": "user", "content": "Weather?", "images": null, "tool_calls": null, "thinking": null, "tool_name": null },
            { "role": "assistant", "content": null, "images": [], "thinking": "hm", "tool_calls": [
                { "function": { "name": "w", "arguments": "{\"city\": \"Oslo\"}" } },
                { "type": "function", "function": { "index": 1, "name": "w", "arguments": { "city": null } } },
            ] },
            { "role": "tool", "content": "Sunny", "tool_name": "w" },
        ],
        "tools": [{ "type": "function", "function": { "name": "w", "description": "The weather", "parameters": {
            "type": "object", "required": null, "properties": { "city": { "type": "string", "description": "x", "enum": null } } } } }],
        "options": { "num_predict": 8.0, "top_k": -1, "seed": -1, "temperature": 0, "num_ctx": 4096.0, "repeat_last_n": -1, "stop": null },
        "keep_alive": null, "format": null, "think": null,
    }));
    let answer = lar.post("/api/chat", &loose);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!answer.head.contains("x-lar-ignored"), "{}", answer.head);
    let picture = json!({ "messages": [{ "role": "user", "content": "x", "images": ["iVBORw0KGgo="] }] });
    let refused = lar.post("/api/chat", &chat(picture));
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (400, &json!("`messages[0].images` is not supported: this model reads text only"))
    );
    let embed = |path: &str, more: Value| {
        let answer = lar.post(path, &with(json!({ "model": "all-minilm-l6-v2" }), more));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    for nothing in [json!({ "input": "" }), json!({ "input": [] }), json!({})] {
        assert_eq!(embed("/api/embed", nothing)["embeddings"], json!([]));
    }
    assert_eq!(embed("/api/embeddings", json!({ "prompt": "" }))["embedding"], json!([]));
    assert_eq!(embed("/api/embed", json!({ "input": ["", "a"] }))["embeddings"].as_array().unwrap().len(), 2);
    assert_eq!(lar.post("/api/embed", &json!({ "model": "nothing", "input": "" })).status, 404);
}

#[test]
fn options_out_of_range_become_the_nearest_valid_value() {
    let lar = Lar::start();
    let ask = |more: Value| {
        let answer = lar.post("/api/chat", &chat(more));
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(!answer.head.contains("x-lar-ignored"), "{}", answer.head);
        answer.json()
    };
    // The schema allows a single text, of more than 8 tokens.
    let text = "one two three four five six seven eight nine ten eleven twelve";
    let limited = |number: Value| {
        let options = json!({ "temperature": 0, "num_predict": number });
        ask(json!({ "format": { "const": text }, "options": options }))
    };
    for (number, tokens) in [(json!(8), 8), (json!(2.5), 2)] {
        let answer = limited(number);
        assert_eq!((&answer["eval_count"], &answer["done_reason"]), (&json!(tokens), &json!("length")));
    }
    for number in [json!(1e30), json!(u64::MAX), json!(-1e30)] {
        let answer = limited(number);
        assert_eq!(answer["done_reason"], "stop", "{answer}");
        let content = answer["message"]["content"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(content).unwrap(), text);
    }
    // The sampled text is that of the nearest valid number.
    let drawn = |name: &str, number: Value| {
        let mut options = json!({ "temperature": 2, "seed": 7, "repeat_penalty": 1.5, "num_predict": 8 });
        options[name] = number;
        ask(json!({ "options": options }))["message"]["content"].clone()
    };
    for (name, number, nearest) in [
        ("top_k", json!(1e30), json!(i32::MAX)),
        ("top_k", json!(-1e30), json!(0)),
        ("top_k", json!(1.9), json!(1)),
        ("seed", json!(u64::MAX), json!(i64::MAX)),
        ("seed", json!(-1e30), json!(i64::MIN)),
        ("repeat_last_n", json!(1e30), json!(i32::MAX)),
        ("repeat_last_n", json!(-1e30), json!(-1)),
        ("mirostat", json!(3), json!(2)),
        ("mirostat", json!(-1e30), json!(0)),
    ] {
        assert_eq!(drawn(name, number.clone()), drawn(name, nearest), "{name}: {number}");
    }
    assert_eq!(
        drawn("top_k", json!(1.9)),
        drawn("temperature", json!(0)),
        "only the most likely token is left"
    );
    let refused = lar.post("/api/chat", &chat(json!({ "options": { "num_predict": "8" } })));
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (400, &json!("`options.num_predict` must be a number"))
    );
}

#[test]
fn an_input_that_is_too_long_to_embed_is_named_by_its_field() {
    let lar = Lar::start();
    let long = "word ".repeat(1000);
    for (input, name) in [(json!(long), "`input` is"), (json!(["short", long]), "`input[1]` is")] {
        let body = json!({ "model": "all-minilm-l6-v2", "input": input, "truncate": false });
        let refused = lar.post("/api/embed", &body);
        let reply = refused.json()["error"].as_str().unwrap().to_owned();
        assert!(refused.status == 400 && reply.starts_with(name), "{reply}");
    }
}

#[test]
fn a_prompt_beyond_the_context_is_truncated_unless_that_is_forbidden() {
    let lar = Lar::start_with("[engines]\ncontext_tokens_max = 256\n");
    let mut messages = vec![json!({ "role": "system", "content": "You are brief." })];
    for turn in 0..40 {
        messages.push(
            json!({ "role": "user", "content": format!("This is what I say in turn {turn} of our talk.") }),
        );
        messages.push(json!({ "role": "assistant", "content": "I see." }));
    }
    messages.push(json!({ "role": "user", "content": "Say hello." }));
    let cut = lar.post("/api/chat", &chat(json!({ "messages": messages })));
    assert_eq!(cut.status, 200, "{}", cut.body);
    let left_out = cut.head.lines().find_map(|line| line.strip_prefix("x-lar-truncated: ")).unwrap();
    let left_out: usize = left_out.parse().unwrap();
    assert!((40..81).contains(&left_out), "{left_out}");
    // As if the client had left these messages out and kept the system message.
    let shorter: Vec<&Value> = messages.iter().take(1).chain(messages.iter().skip(1 + left_out)).collect();
    let as_sent = lar.post("/api/chat", &chat(json!({ "messages": shorter }))).json();
    assert_eq!(cut.json()["message"], as_sent["message"]);
    assert_eq!(cut.json()["prompt_eval_count"], as_sent["prompt_eval_count"]);
    let refused = lar.post("/api/chat", &chat(json!({ "messages": messages, "truncate": false })));
    assert_eq!(refused.status, 400);
    assert!(
        refused.json()["error"].as_str().unwrap().starts_with("prompt is too long: "),
        "{}",
        refused.body
    );
    let fits = lar.post("/api/chat", &chat(json!({})));
    assert!(!fits.head.contains("x-lar-truncated"), "{}", fits.head);

    // A text that is too long on its own keeps its end.
    let long = format!("{} Say hello.", "word ".repeat(2000));
    for (path, body) in [
        ("/api/generate", json!({ "prompt": long })),
        ("/api/generate", json!({ "prompt": long, "raw": true })),
        ("/api/chat", json!({ "messages": [{ "role": "user", "content": long }] })),
    ] {
        let body =
            with(json!({ "model": "default", "stream": false, "options": { "num_predict": 4 } }), body);
        let answer = lar.post(path, &body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let read = answer.json()["prompt_eval_count"].as_u64().unwrap();
        assert!((60..256).contains(&read), "{path}: {read}");
        assert_eq!(lar.post(path, &with(body, json!({ "truncate": false }))).status, 400, "{path}");
    }
    // With `shift` an answer may outgrow its context.
    let endless = json!({ "shift": true, "options": { "temperature": 0, "num_predict": 300, "num_keep": 8 }, "messages": [{ "role": "user", "content": "Count on and on." }] });
    let grown = lar.post("/api/chat", &chat(endless));
    assert_eq!(grown.status, 200, "{}", grown.body);
}

#[test]
fn num_ctx_truncates_a_prompt_that_fits_the_models_context() {
    let lar = Lar::start();
    let mut messages: Vec<Value> = (0..20)
        .flat_map(|turn| {
            let text = format!("This is what I say in turn {turn} of our talk.");
            [json!({ "role": "user", "content": text }), json!({ "role": "assistant", "content": "I see." })]
        })
        .collect();
    messages.push(json!({ "role": "user", "content": "Say hello." }));
    let answer = |num_ctx: Value| {
        let options = json!({ "temperature": 0, "num_predict": 4, "num_ctx": num_ctx });
        lar.post("/api/chat", &chat(json!({ "messages": messages, "options": options })))
    };
    for whole in [Value::Null, json!(0), json!(-1), json!(-1e30), json!(1_000_000), json!(1e30)] {
        let whole = answer(whole);
        assert_eq!(whole.status, 200, "{}", whole.body);
        assert!(!whole.head.contains("x-lar-truncated"), "{}", whole.head);
        assert!(whole.json()["prompt_eval_count"].as_u64().unwrap() > 256, "{}", whole.body);
    }
    for num_ctx in [json!(256), json!(256.0)] {
        let cut = answer(num_ctx);
        assert_eq!(cut.status, 200, "{}", cut.body);
        assert!(cut.head.contains("x-lar-truncated: "), "{}", cut.head);
        assert!((60..256).contains(&cut.json()["prompt_eval_count"].as_u64().unwrap()), "{}", cut.body);
    }
    let refused = answer(json!("many"));
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (400, &json!("`options.num_ctx` must be a number of tokens"))
    );
}
