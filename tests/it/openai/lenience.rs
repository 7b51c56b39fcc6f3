//! Unusual requests of OpenAI's clients that other servers accept.

use std::io::Read as _;

use lar_tests::Lar;
use serde_json::{Value, json};

use super::chat;

fn weather() -> Value {
    json!({ "type": "function", "function": { "name": "weather", "parameters": {
        "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"],
    } } })
}

#[test]
fn requests_are_parsed_as_by_other_servers() {
    let lar = Lar::start();
    let usage = |body: &Value| {
        let answer = lar.post("/v1/chat/completions", body);
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        answer.json()["usage"]["prompt_tokens"].clone()
    };
    let plain = usage(&chat(json!({})));
    for same in [
        json!({ "max_tokens": 24.0, "seed": null, "tools": null, "stop": [""], "top_k": -1 }),
        json!({ "model": null }),
        json!({ "model": "" }),
        json!({ "max_tokens": null, "max_completion_tokens": 4 }),
    ] {
        assert_eq!(usage(&chat(same)), plain);
    }
    let unlimited = chat(json!({ "max_tokens": -1, "stop": [".", "!", "\n", "?"], "temperature": 0 }));
    assert_eq!(usage(&unlimited), plain);
    let mut newer = unlimited;
    newer.as_object_mut().unwrap().remove("max_tokens");
    newer["max_completion_tokens"] = json!(-1);
    assert_eq!(usage(&newer), plain);
    // Text parts become separate lines.
    let parts =
        |content: Value| usage(&chat(json!({ "messages": [{ "role": "user", "content": content }] })));
    let two = json!([{ "type": "text", "text": "alpha" }, { "type": "text", "text": "bet" }]);
    assert_eq!(parts(two), parts(json!("alpha\nbet")));
    // Half a surrogate pair, as JavaScript and Python write a cut emoji.
    let body = br#"{"messages": [{"role": "user", "content": "cut \ud83d"}], "max_tokens": 2}"#;
    let read = lar.raw(&lar.head("POST", "/v1/chat/completions", body.len()), body);
    assert_eq!(read.status, 200, "{}", read.body);
    let wrong = lar.post("/v1/chat/completions", &chat(json!({ "max_tokens": "8" }))).json();
    assert_eq!(
        wrong["error"],
        json!({
            "message": "`max_tokens` must be an integer number of tokens, or -1 for no limit",
            "type": "invalid_request_error", "param": "max_tokens", "code": "invalid_params",
        })
    );
    let key = lar.head("POST", "/v1/chat/completions", 2).replace(Lar::KEY, &"sk-abcdefgh".repeat(4));
    let refused = lar.raw(&key, b"{}");
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.json()["error"],
        json!({
            "message": "Incorrect API key provided: sk-a********efgh; the key is unknown or was revoked",
            "type": "invalid_request_error", "param": null, "code": "invalid_api_key",
        })
    );
}

#[test]
fn histories_of_every_client_are_accepted() {
    let lar = Lar::start();
    let send = |messages: Value, more: Value| {
        let mut body = chat(json!({ "messages": messages, "max_tokens": 2 }));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lar.post("/v1/chat/completions", &body)
    };
    let user = json!({ "role": "user", "content": "Weather?" });
    let call = |arguments: Value| {
        let call = json!({ "id": "a", "type": "function", "function": { "name": "weather", "arguments": arguments } });
        json!({ "role": "assistant", "content": null, "tool_calls": [call] })
    };
    let result = json!({ "role": "tool", "tool_call_id": "a", "content": "bad JSON, again" });
    for arguments in [json!("{bad"), json!("{\n    \"city\": \""), json!(""), json!({ "city": "Bonn" })] {
        let answer = send(json!([user, call(arguments), result]), json!({ "tools": [weather()] }));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let item = json!({ "type": "function_call", "call_id": "a", "name": "weather", "arguments": "{bad" });
        let output = json!({ "type": "function_call_output", "call_id": "a", "output": "again" });
        let body = json!({ "input": [user, item, output], "max_output_tokens": 2 });
        assert_eq!(lar.post("/v1/responses", &body).status, 200);
    }
    let refusal = json!({ "role": "assistant", "content": [{ "type": "refusal", "refusal": "No." }] });
    assert_eq!(send(json!([user, refusal, user]), json!({})).status, 200);
    for choice in [
        json!({ "type": "auto" }),
        json!({ "type": "allowed_tools", "allowed_tools": { "mode": "auto", "tools": [weather()] } }),
    ] {
        let answer = send(json!([user]), json!({ "tools": [weather()], "tool_choice": choice }));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let unknown = json!({ "type": "allowed_tools", "allowed_tools": { "tools": [
        { "type": "function", "function": { "name": "other" } },
    ] } });
    let refused = send(json!([user]), json!({ "tools": [weather()], "tool_choice": unknown }));
    assert_eq!(refused.status, 400, "{}", refused.body);
}

#[test]
fn custom_tools_and_legacy_functions_are_called_in_their_own_format() {
    let lar = Lar::start();
    let user = json!([{ "role": "user", "content": "Run it." }]);
    let custom = json!({ "tools": [{ "type": "custom", "custom": { "name": "run", "description": "Runs code." } }],
        "tool_choice": { "type": "custom", "custom": { "name": "run" } }, "messages": user, "max_tokens": 200 });
    let answer = lar.post("/v1/chat/completions", &chat(custom.clone())).json();
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(
        (call["type"].clone(), call["custom"]["name"].clone()),
        (json!("custom"), json!("run")),
        "{answer}"
    );
    let input = call["custom"]["input"].as_str().unwrap();
    assert!(call.get("function").is_none());
    let mut streamed = custom;
    streamed["stream"] = json!(true);
    let events = lar.post("/v1/chat/completions", &chat(streamed)).events();
    let reported: Vec<&Value> = events
        .iter()
        .map(|(_, data)| &data["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| !call.is_null())
        .collect();
    assert_eq!(reported.len(), 1, "the input comes in one piece: {reported:?}");
    assert_eq!(
        (&reported[0]["custom"]["input"], &reported[0]["custom"]["name"]),
        (&json!(input), &json!("run"))
    );

    let functions = json!({ "functions": [weather()["function"]], "function_call": { "name": "weather" },
        "messages": user, "max_tokens": 200 });
    let answer = lar.post("/v1/chat/completions", &chat(functions.clone())).json();
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["function_call"]["name"], "weather", "{answer}");
    assert_eq!(choice["finish_reason"], "function_call");
    let arguments = choice["message"]["function_call"]["arguments"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(arguments).unwrap()["city"].is_string(), "{arguments}");
    let mut streamed = functions;
    streamed["stream"] = json!(true);
    let events = lar.post("/v1/chat/completions", &chat(streamed)).events();
    let delta = |field: &str| -> String {
        let all = events.iter().map(|(_, data)| &data["choices"][0]["delta"]["function_call"][field]);
        all.filter_map(Value::as_str).collect()
    };
    assert_eq!((delta("name").as_str(), delta("arguments").as_str()), ("weather", arguments));
    let history = json!([user[0], { "role": "assistant", "content": null, "function_call": {
        "name": "weather", "arguments": arguments } }, { "role": "function", "name": "weather", "content": "12" }]);
    let next = json!({ "messages": history, "functions": [weather()["function"]], "max_tokens": 2 });
    assert_eq!(lar.post("/v1/chat/completions", &chat(next)).status, 200);
}

#[test]
fn several_prompts_are_completed_and_echoed() {
    let lar = Lar::start();
    let body = |more: Value| {
        let mut body = json!({ "max_tokens": 3, "temperature": 0 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lar.post("/v1/completions", &body)
    };
    let alone = |prompt: &str| body(json!({ "prompt": prompt })).json();
    let (one, two) = (alone("one two three"), alone("red green"));
    let text = |answer: &Value, index: usize| answer["choices"][index]["text"].as_str().unwrap().to_owned();
    let both = body(json!({ "prompt": ["one two three", "red green"], "n": 2, "best_of": 2 })).json();
    let reported: Vec<(u64, String)> =
        (0..4).map(|at| (both["choices"][at]["index"].as_u64().unwrap(), text(&both, at))).collect();
    let expected = [(0, text(&one, 0)), (1, text(&one, 0)), (2, text(&two, 0)), (3, text(&two, 0))];
    assert_eq!(reported, expected);
    let tokens = |answer: &Value, name: &str| answer["usage"][name].as_u64().unwrap();
    let read = tokens(&one, "prompt_tokens") + tokens(&two, "prompt_tokens");
    assert_eq!((tokens(&both, "prompt_tokens"), tokens(&both, "completion_tokens")), (read, 12));

    let ids = |text: &str| lar.post("/tokenize", &json!({ "content": text })).json()["tokens"].clone();
    let lists = json!({ "prompt": [ids("one two three"), ids("red green")], "echo": true });
    let echoed = body(lists.clone()).json();
    let whole = [format!("one two three{}", text(&one, 0)), format!("red green{}", text(&two, 0))];
    assert_eq!([text(&echoed, 0), text(&echoed, 1)], whole);
    let mut streamed = lists;
    streamed["stream"] = json!(true);
    let streamed = body(streamed);
    assert!(streamed.body.ends_with("data: [DONE]\n\n"));
    let mut pieces = [String::new(), String::new()];
    for (_, data) in streamed.events() {
        if let Some(text) = data["choices"][0]["text"].as_str() {
            pieces[data["choices"][0]["index"].as_u64().unwrap() as usize].push_str(text);
        }
    }
    assert_eq!(pieces, whole);
    let refused = body(json!({ "prompt": "a", "best_of": 3 }));
    assert_eq!((refused.status, refused.json()["error"]["param"].clone()), (400, json!("best_of")));
    let unknown = body(json!({ "prompt": [[999_999_999]] }));
    assert_eq!((unknown.status, unknown.json()["error"]["param"].clone()), (400, json!("prompt")));
}

/// Evaluation harnesses score answers with these.
#[test]
fn logprobs_of_a_prompt_are_returned() {
    let lar = Lar::start();
    let body = |more: Value| {
        let mut body = json!({ "temperature": 0, "logprobs": 2 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lar.post("/v1/completions", &body)
    };
    let prompt = "The quick brown fox jumps over the lazy dog. ".repeat(12);
    let scored = body(json!({ "prompt": prompt, "max_tokens": 0, "echo": true }));
    assert_eq!(scored.status, 200, "{}", scored.body);
    let scored = scored.json();
    let choice = &scored["choices"][0];
    assert_eq!(choice["text"], json!(prompt));
    assert_eq!(
        (&choice["finish_reason"], &scored["usage"]["completion_tokens"]),
        (&json!("length"), &json!(0))
    );
    let list = |name: &str| choice["logprobs"][name].as_array().unwrap();
    let tokens = scored["usage"]["prompt_tokens"].as_u64().unwrap() as usize;
    assert!(tokens > 100, "the prompt takes more than one step");
    for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(list(name).len(), tokens, "{name}");
    }
    let pieces: String = list("tokens").iter().map(|token| token.as_str().unwrap()).collect();
    assert_eq!(pieces, prompt);
    assert_eq!((&list("token_logprobs")[0], &list("top_logprobs")[0]), (&Value::Null, &Value::Null));
    let logprob = |at: usize| list("token_logprobs")[at].as_f64().unwrap();
    assert!((1..tokens).all(|at| logprob(at) <= 0.0));
    assert!(
        logprob(tokens - 3) > -1.0,
        "a text that was repeated eleven times is likely: {}",
        logprob(tokens - 3)
    );
    // Scoring an answer as a prompt gives the logprobs that generating it gave.
    let echoed = body(json!({ "prompt": prompt, "max_tokens": 3, "echo": true })).json();
    let reported = echoed["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap().clone();
    assert_eq!(reported.len(), tokens + 3);
    let text = echoed["choices"][0]["text"].as_str().unwrap();
    let again = body(json!({ "prompt": text, "max_tokens": 0, "echo": true })).json();
    let again = again["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap().clone();
    assert_eq!(again.len(), reported.len());
    for (at, (reported, again)) in reported.iter().zip(&again).enumerate().skip(1) {
        let apart = (reported.as_f64().unwrap() - again.as_f64().unwrap()).abs();
        assert!(apart < 0.05, "token {at}: {reported} and {again}");
    }
    let streamed = body(json!({ "prompt": prompt, "max_tokens": 0, "echo": true, "stream": true }));
    let streamed: Vec<Value> = streamed
        .events()
        .iter()
        .filter_map(|(_, data)| data["choices"][0]["logprobs"]["token_logprobs"].as_array().cloned())
        .flatten()
        .collect();
    assert_eq!(streamed, *list("token_logprobs"));
}

#[test]
fn a_cancelled_stream_ends_with_an_error_and_done() {
    let lar = Lar::start();
    let messages = json!([{ "role": "user", "content": "Count." }]);
    for (path, more) in [
        ("/v1/completions", json!({ "prompt": "one" })),
        ("/v1/chat/completions", json!({ "messages": messages })),
    ] {
        let mut body = json!({ "max_tokens": -1, "stream": true, "ignore_eos": true });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = body.to_string();
        let mut socket = lar.open(&lar.head("POST", path, body.len()), body.as_bytes());
        let (mut text, mut bytes) = (String::new(), [0; 4096]);
        let id = loop {
            let read = socket.read(&mut bytes).unwrap();
            assert_ne!(read, 0, "the stream ended by itself: {text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..read]));
            if let Some(at) = text.find("task_").filter(|at| text.len() > at + 37) {
                break text[at..at + 37].to_owned();
            }
        };
        assert_eq!(lar.post(&format!("/lar/v1/tasks/{id}/cancel"), &Value::Null).status, 204);
        socket.read_to_string(&mut text).unwrap();
        let events: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let [.., error, done] = events.as_slice() else { panic!("{text}") };
        let error: Value = serde_json::from_str(error).unwrap();
        let reported = json!({ "message": "the task was cancelled", "type": "cancelled", "param": null, "code": "cancelled" });
        assert_eq!((&error["error"], *done), (&reported, "[DONE]"), "{path}");
    }
}
