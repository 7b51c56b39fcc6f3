//! Memory in the OpenAI, Anthropic and Ollama APIs: off unless requested, the same in all of them, and
//! reported in headers and with the task.

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

use super::{save_text, search_ids, with};

const APIS: [&str; 5] =
    ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/api/chat", "/v1/chat/completions#stream"];

/// Sends a message through one of the APIs, with extra headers.
fn say(lar: &Lar, api: &str, model: &str, text: &str, headers: &str) -> Answer {
    let messages = json!([{ "role": "user", "content": text }]);
    let body = match api {
        "/v1/responses" => json!({ "model": model, "input": text, "max_output_tokens": 2 }),
        "/api/chat" => {
            json!({ "model": model, "messages": messages, "options": { "num_predict": 2 }, "stream": false })
        }
        _ => {
            json!({ "model": model, "messages": messages, "max_tokens": 2, "stream": api.ends_with("#stream") })
        }
    };
    send(lar, api.trim_end_matches("#stream"), &body, Lar::KEY, headers)
}

fn send(lar: &Lar, path: &str, body: &Value, key: &str, headers: &str) -> Answer {
    with(lar, &format!("authorization: Bearer {key}\r\n{headers}"), "POST", path, body)
}

fn header(answer: &Answer, name: &str) -> Option<String> {
    let line = answer.head.lines().find(|line| line.starts_with(&format!("{name}: ")))?;
    Some(line.split_once(": ").unwrap().1.trim().to_owned())
}

fn key(lar: &Lar, more: &Value) -> String {
    let mut body = json!({ "name": "an app" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = lar.post("/lar/v1/keys", &body);
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()["secret"].as_str().unwrap().to_owned()
}

#[test]
fn every_api_recalls_on_request() {
    let lar = Lar::start();
    let id = save_text(&lar, "The wifi of the cabin is called Birch-7.");
    let question = "What is the wifi of the cabin called?";
    for api in APIS {
        let off = say(&lar, api, "default", question, "");
        assert_eq!((off.status, header(&off, "x-lar-recalled")), (200, None), "{api} {}", off.body);
        let recalled_by = |model: &str, headers: &str| {
            let answer = say(&lar, api, model, question, headers);
            assert_eq!(answer.status, 200, "{api} {}", answer.body);
            header(&answer, "x-lar-recalled")
        };
        assert_eq!(recalled_by("default", "x-lar-memory: recall\r\n"), Some(id.clone()), "{api}");
        assert_eq!(recalled_by("default+memory", ""), Some(id.clone()), "{api}");
        assert_eq!(recalled_by("default+memory", "x-lar-memory: off\r\n"), None, "{api}");
        assert_eq!(recalled_by("default", "x-lar-memory: recall\r\nx-agent-id: someone\r\n"), None, "{api}");
    }
    let of = |memory: bool| move |task: &Value| task["memory"].is_null() != memory;
    let tasks = lar.until("the recording of the tasks", |lar| {
        let tasks = lar.get("/lar/v1/tasks?limit=100").json()["data"].as_array().unwrap().clone();
        (tasks.iter().filter(|task| task["workload"] == "completion").count() == APIS.len() * 5)
            .then_some(tasks)
    });
    let with: Vec<_> = tasks.iter().filter(|task| of(true)(task)).collect();
    assert_eq!(with.len(), APIS.len() * 2);
    assert!(with.iter().all(|task| task["memory"] == json!({ "recalled": [id] })), "{with:?}");
    let elsewhere = say(&lar, APIS[0], "default+memory", question, "x-space: nowhere\r\n");
    assert_eq!(elsewhere.status, 403, "{}", elsewhere.body);
    let nobody = say(&lar, APIS[0], "default+memory", question, "x-agent-id: ../x\r\n");
    assert_eq!(nobody.status, 400, "{}", nobody.body);
    let bad = say(&lar, APIS[0], "default", question, "x-lar-memory: perhaps\r\n");
    assert_eq!(bad.status, 400);
    assert!(
        bad.body.contains("X-Lar-Memory") && bad.body.contains("off, recall or remember"),
        "{}",
        bad.body
    );
}

#[test]
fn a_memory_requested_in_a_message_is_saved_once() {
    let lar = Lar::start();
    for (number, api) in APIS.into_iter().enumerate() {
        let text = format!("Remember that locker {number} of the gym has 44{number}7 screws.");
        let first = say(&lar, api, "default+memory", &text, "");
        assert!(header(&first, "x-lar-saved").is_some(), "{api} {}", first.head);
        let again = say(&lar, api, "default+memory", &text, "");
        assert_eq!(header(&again, "x-lar-saved"), None, "{api}: a repeated request saves nothing");
    }
    assert_eq!(search_ids(&lar, "How many screws has locker 2?").len(), APIS.len());
    let forget = say(&lar, APIS[0], "default+memory", "Forget that locker 3 of the gym has 4437 screws.", "");
    assert!(header(&forget, "x-lar-forgotten").is_some(), "{}", forget.head);
}

#[test]
fn a_message_from_an_app_is_handled_like_a_chat_message() {
    let lar = Lar::start();
    let send_message = |text: &str| {
        let answer = lar.post("/lar/v1/memories/intents", &json!({ "content": text }));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    let saved = send_message("Remember that the dentist is on 4 May at noon.");
    assert_eq!(saved["saved"].as_array().unwrap().len(), 1, "{saved}");
    let passing = send_message("The dentist is on 5 May at noon now, not on 4 May.");
    assert_eq!((&passing["saved"], &passing["suggested"]), (&json!([]), &json!(1)), "{passing}");
    let moved = send_message("No, that's wrong, the dentist is on 5 May at noon.");
    assert_eq!(moved["saved"].as_array().unwrap().len(), 1, "{moved}");
    assert_eq!(send_message("I live in a small house by the lake.")["suggested"], 1);
    let nothing =
        json!({ "saved": [], "forgotten": [], "scheduled": [], "suggested": 0, "waiting": 0, "refused": [] });
    assert_eq!(send_message("What a day!"), nothing);
    assert_eq!(
        send_message("Forget that the dentist is on 5 May at noon.")["forgotten"].as_array().unwrap().len(),
        1
    );
    assert_eq!(lar.post("/lar/v1/memories/intents", &json!({ "content": " " })).status, 400);
}

#[test]
fn background_requests_of_apps_and_tool_results_save_nothing() {
    let lar = Lar::start();
    let remember = "Remember that the gate of the farm has 5512 screws.";
    let chat = |body: Value| {
        let mut whole = json!({ "model": "default+memory", "max_tokens": 2 });
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let answer = send(&lar, "/v1/chat/completions", &whole, Lar::KEY, "");
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(header(&answer, "x-lar-saved"), None, "{whole}");
    };
    let user = |text: &str| json!({ "role": "user", "content": text });
    chat(
        json!({ "messages": [user(&format!("### Task:\nGenerate a concise, 3-5 word title.\n{remember}"))] }),
    );
    chat(
        json!({ "messages": [{ "role": "system", "content": "Provide a concise title for the chat" }, user(remember)] }),
    );
    chat(json!({ "messages": [user(&format!("<context>\n{remember}\n</context>\nHello."))] }));
    chat(
        json!({ "messages": [user("Hello."), { "role": "assistant", "content": remember }, user("Go on.")] }),
    );
    chat(json!({ "messages": [user(remember)], "response_format": { "type": "json_object" } }));
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{}" } });
    chat(json!({ "messages": [
        user("Look."), { "role": "assistant", "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "c1", "content": remember },
    ] }));
    let completed = send(
        &lar,
        "/v1/completions",
        &json!({ "model": "default+memory", "prompt": remember, "max_tokens": 2 }),
        Lar::KEY,
        "",
    );
    assert_eq!((completed.status, header(&completed, "x-lar-saved")), (200, None), "{}", completed.body);
    assert_eq!(
        lar.get("/lar/v1/memories/stats").json()["memories"],
        0,
        "{}",
        lar.get("/lar/v1/memories/stats").body
    );
}

#[test]
fn a_key_sets_the_memory_mode_of_its_requests() {
    let lar = Lar::start();
    let id = save_text(&lar, "The wifi of the cabin is called Birch-7.");
    let ask = |key: &str, model: &str, text: &str, headers: &str| {
        let body =
            json!({ "model": model, "max_tokens": 2, "messages": [{ "role": "user", "content": text }] });
        send(&lar, "/v1/chat/completions", &body, key, headers)
    };
    let question = "What is the wifi of the cabin called?";
    let recalls = key(&lar, &json!({ "memory": "recall", "scopes": ["inference", "memory:read"] }));
    assert_eq!(header(&ask(&recalls, "default", question, ""), "x-lar-recalled"), Some(id));
    assert_eq!(header(&ask(&recalls, "default", question, "x-lar-memory: off\r\n"), "x-lar-recalled"), None);
    let refused = ask(&recalls, "default", question, "x-lar-memory: remember\r\n");
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(refused.body.contains("memory:write"), "{}", refused.body);
    let named = ask(&recalls, "default+memory", "Remember that the gate has 5512 screws.", "");
    assert_eq!((named.status, header(&named, "x-lar-saved")), (200, None), "the key may not save memories");

    let neither = key(&lar, &json!({ "scopes": ["inference"] }));
    assert_eq!(header(&ask(&neither, "default", question, ""), "x-lar-recalled"), None);
    assert_eq!(ask(&neither, "default+memory", question, "").status, 403);
    let remembers = key(&lar, &json!({ "memory": "remember" }));
    let saved = ask(&remembers, "default", "Remember that the gate has 5512 screws.", "");
    assert!(header(&saved, "x-lar-saved").is_some(), "{}", saved.head);
    for (memory, scopes) in [
        ("remember", json!(["memory:read"])),
        ("recall", json!(["inference"])),
        ("yes", json!(["inference"])),
    ] {
        let bad = lar.post("/lar/v1/keys", &json!({ "name": "x", "memory": memory, "scopes": scopes }));
        assert_eq!(
            (bad.status, bad.json()["errors"][0]["field"].as_str()),
            (400, Some("memory")),
            "{}",
            bad.body
        );
    }
}

#[test]
fn a_prompt_that_fills_the_context_gets_no_memories() {
    let lar = Lar::start_with("[engines]\ncontext_tokens_max = 512");
    save_text(&lar, "The wifi of the cabin is called Birch-7.");
    let long = format!("What is the wifi of the cabin called?{}", " cabin".repeat(440));
    let answer = say(&lar, APIS[0], "default+memory", &long, "");
    assert_eq!((answer.status, header(&answer, "x-lar-recalled")), (200, None), "{}", answer.body);
}

#[test]
fn a_background_model_can_serve_an_apps_background_requests() {
    let lar = Lar::start_with("[engines]\nbackground_model = \"nowhere\"");
    let title = "### Task:\nGenerate a concise, 3-5 word title.";
    let sent = say(&lar, APIS[0], "default", title, "");
    assert_eq!(sent.status, 404, "{}", sent.body);
    assert!(sent.body.contains("nowhere"), "{}", sent.body);
    assert_eq!(say(&lar, APIS[0], "default", "Hello.", "").status, 200);
    assert_eq!(
        say(&lar, APIS[0], "small", "Hello.", "").status,
        200,
        "`small` is the smallest installed model"
    );
    assert_eq!(say(&lar, APIS[0], "code", "Hello.", "").status, 404, "no code model is installed");
}
