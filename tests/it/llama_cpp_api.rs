//! llama.cpp's own endpoints, as its clients use them. Its server's own tests run in
//! `tests/conformance/llama_cpp`.

mod completion;
mod embedding;

use lar_tests::Lar;
use serde_json::{Value, json};

#[test]
fn texts_are_tokenized_and_detokenized() {
    let lar = Lar::start();
    let content = "What is the capital of France? 媽 🤗";
    let tokens = lar.post("/tokenize", &json!({ "content": content })).json()["tokens"].clone();
    assert!(tokens.as_array().unwrap().len() > 5, "{tokens}");
    let back = lar.post("/detokenize", &json!({ "tokens": tokens })).json();
    assert_eq!(back, json!({ "content": content }));

    let pieces = lar.post("/tokenize", &json!({ "content": content, "with_pieces": true })).json();
    let pieces = pieces["tokens"].as_array().unwrap();
    let ids: Vec<&Value> = pieces.iter().map(|token| &token["id"]).collect();
    assert_eq!(json!(ids), tokens);
    let bytes = pieces.iter().flat_map(|token| match &token["piece"] {
        Value::String(text) => text.bytes().collect::<Vec<u8>>(),
        bytes => bytes.as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8).collect(),
    });
    assert_eq!(String::from_utf8(bytes.collect()).unwrap(), content);

    // With `parse_special` the text of a special token is one token; without it, plain text.
    let count = |special: bool| {
        let body = json!({ "content": "<|im_end|>", "parse_special": special });
        lar.post("/tokenize", &body).json()["tokens"].as_array().unwrap().len()
    };
    assert_eq!(count(true), 1);
    assert!(count(false) > 1);
    assert_eq!(lar.post("/tokenize", &json!({})).json(), json!({ "tokens": [] }));

    let refused = lar.post("/detokenize", &json!({ "tokens": [999_999_999] }));
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert_eq!(refused.json()["error"]["param"], "tokens");
    let unknown = lar.post("/tokenize", &json!({ "content": "a", "model": "gpt-4o" }));
    assert_eq!((unknown.status, unknown.json()["error"]["type"].clone()), (404, json!("not_found_error")));

    let chat = json!({ "messages": [{ "role": "user", "content": "Say hello." }] });
    let prompt = lar.post("/apply-template", &chat).json()["prompt"].as_str().unwrap().to_owned();
    assert!(prompt.contains("Say hello.") && prompt.ends_with("<|im_start|>assistant\n"), "{prompt}");
    let counted = lar.post("/v1/chat/completions/input_tokens", &chat).json();
    let rendered = lar.post("/tokenize", &json!({ "content": prompt })).json();
    assert_eq!(counted["input_tokens"], json!(rendered["tokens"].as_array().unwrap().len()));
}

#[test]
fn a_prompt_ends_with_the_generation_prompt_unless_the_request_forbids_it() {
    let lar = Lar::start();
    let chat = |more: Value| {
        let mut body = json!({ "messages": [{ "role": "user", "content": "Say hello." }], "max_tokens": 2 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let prompt = |more: Value| {
        let answer = lar.post("/apply-template", &chat(more));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["prompt"].as_str().unwrap().to_owned()
    };
    let head = "<|im_start|>assistant\n";
    let without = prompt(json!({ "add_generation_prompt": false }));
    assert!(without.ends_with("Say hello.<|im_end|>\n"), "{without}");
    assert_eq!(prompt(json!({})), format!("{without}{head}"));
    assert_eq!(prompt(json!({ "add_generation_prompt": true })), format!("{without}{head}"));
    // A continued message always has its header.
    let prefilled =
        json!([{ "role": "user", "content": "Say hello." }, { "role": "assistant", "content": "Hel" }]);
    let continued = prompt(json!({ "messages": prefilled, "add_generation_prompt": false }));
    assert_eq!(continued, format!("{without}{head}Hel"));
    let whole =
        json!({ "messages": prefilled, "add_generation_prompt": false, "continue_final_message": false });
    assert_eq!(prompt(whole), format!("{without}{head}Hel<|im_end|>\n"));

    let both =
        json!({ "messages": prefilled, "add_generation_prompt": true, "continue_final_message": true });
    let refused = lar.post("/v1/chat/completions", &chat(both));
    let param = refused.json()["error"]["param"].clone();
    assert_eq!((refused.status, param), (400, json!("add_generation_prompt")), "{}", refused.body);
    let answered = lar.post("/v1/chat/completions", &chat(json!({ "add_generation_prompt": false }))).json();
    let tokens = lar.post("/tokenize", &json!({ "content": without })).json()["tokens"].clone();
    assert_eq!(answered["usage"]["prompt_tokens"], json!(tokens.as_array().unwrap().len()));
}

#[test]
fn several_prompts_are_refused_before_any_of_them_starts() {
    let lar = Lar::start();
    let enqueued = || {
        let metrics = lar.get("/metrics").body;
        let lines = metrics.lines().filter(|line| line.starts_with("lar_tasks_enqueued_total{"));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
    };
    // More answers than a key may ever have at the same time: a retry would not help.
    let many = vec!["one"; 128];
    for (path, body, param) in [
        ("/completion", json!({ "prompt": many, "n_cmpl": 2, "n_predict": 1 }), "n_cmpl"),
        ("/completion", json!({ "prompt": many, "n": 2, "n_predict": 1 }), "n"),
        ("/v1/completions", json!({ "model": "default", "prompt": many, "n": 2, "max_tokens": 1 }), "n"),
    ] {
        let refused = lar.post(path, &body);
        let reported = refused.json()["error"]["param"].clone();
        assert_eq!((refused.status, reported), (400, json!(param)), "{path}");
        assert!(refused.body.contains("asks for 256 answers in total"), "{}", refused.body);
    }
    // The last prompt is too long.
    let long = lar.post("/completion", &json!({ "prompt": ["one", "two ".repeat(5000)], "n_predict": 1 }));
    assert_eq!(long.status, 400, "{}", long.body);
    // A prompt that no context has room for is refused before its tokens are looked up: these are not in the
    // vocabulary.
    let mut mixed = vec![json!(999_999_999); 5000];
    mixed[2500] = json!("two");
    for prompt in [vec![json!(999_999_999); 5000], mixed] {
        let long = lar.post("/completion", &json!({ "prompt": prompt, "n_predict": 1 }));
        assert_eq!(long.status, 400, "{}", long.body);
        assert!(long.body.contains("prompt is too long: 5000 tokens > 4095 maximum"), "{}", long.body);
    }
    assert_eq!(enqueued(), 0, "no task was enqueued");
    assert_eq!(lar.post("/completion", &json!({ "prompt": "one", "n_predict": 1 })).status, 200);
    assert_eq!(enqueued(), 1);
}

#[test]
fn server_properties_are_reported_and_paths_without_v1_work() {
    let lar = Lar::start();
    let props = lar.get("/props").json();
    assert_eq!(props["model_alias"], "smollm2-135m-instruct");
    assert!(props["chat_template"].as_str().unwrap().contains("<|im_start|>"), "{props}");
    assert_eq!(props["modalities"], json!({ "vision": false, "audio": false }));
    // The path of the file is not shown.
    assert_eq!(props["model_path"], "smollm2-135m-instruct.gguf");
    let slots = lar.get("/slots").json();
    assert_eq!(props["total_slots"], json!(slots.as_array().unwrap().len()));
    assert_eq!(props["default_generation_settings"]["n_ctx"], slots[0]["n_ctx"]);
    assert_eq!(lar.get("/lora-adapters").json(), json!([]));
    assert_eq!(lar.get("/v1/health").json(), json!({ "status": "ok" }));

    // Without a key only the health check answers.
    for path in ["/props", "/slots", "/models", "/lora-adapters"] {
        let request = lar.head("GET", path, 0).replace(Lar::KEY, "wrong");
        assert_eq!(lar.raw(&request, b"").status, 401, "{path}");
    }
    assert_eq!(lar.get("/models").json(), lar.get("/v1/models").json());
    let chat = json!({ "messages": [{ "role": "user", "content": "Hi" }], "max_tokens": 2 });
    let answer = lar.post("/chat/completions", &chat).json();
    assert_eq!(answer["object"], "chat.completion");
    let timings = &answer["timings"];
    assert_eq!(timings["predicted_n"], 2);
    let read = timings["prompt_n"].as_u64().unwrap() + timings["cache_n"].as_u64().unwrap();
    assert_eq!(json!(read), answer["usage"]["prompt_tokens"]);
    let plain = json!({ "prompt": "one two", "model": "default", "max_tokens": 2 });
    assert_eq!(lar.post("/completions", &plain).json()["object"], "text_completion");
    let native = lar.post("/completions", &json!({ "prompt": "one two", "n_predict": 2 })).json();
    assert_eq!(native["tokens_predicted"], 2, "{native}");
    let vectors = lar.post("/embeddings", &json!({ "input": "a" })).json();
    assert_eq!(vectors["data"][0]["embedding"].as_array().unwrap().len(), 384);
    let native = lar.post("/embedding", &json!({ "content": "a" })).json();
    assert_eq!(native, json!([{ "index": 0, "embedding": [vectors["data"][0]["embedding"]] }]));
}
