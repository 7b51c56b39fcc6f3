//! Lar in front of a real `llama-server`: one that Lar starts, and a remote one that dies and is started again.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use lar_egress::Egress;
use lar_engines::driver::Driver;
use lar_engines::embedded::ConfinementPolicy;
use lar_engines::llama_server::{LlamaServer, LlamaServerOptions};
use lar_inference::Error;
use lar_inference::Prompt;
use lar_tests::escapes::inject::Injected;
use lar_tests::escapes::{Victims, escapes, line};
use lar_tests::{Lar, chat_model, free_port, llama_server, program};
use serde_json::{Value, json};

use crate::special_tokens::apis::{
    answers, assert_names_of_tools_are_letters, count, filled, letters, several,
};
use crate::special_tokens::recall::{framed, memory, recalled};
use crate::special_tokens::starter_marks;

fn chat(model: &str, more: Value) -> Value {
    let mut body = json!({
        "model": model, "max_tokens": 8, "temperature": 0,
        "messages": [{ "role": "user", "content": "Name the capital of France." }],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The state of the first pool.
fn state(lar: &Lar) -> Value {
    lar.get("/lar/v1/pools").json()["data"][0]["state"].clone()
}

/// A `llama-server` that Lar does not manage. It is killed when dropped.
struct Remote(Child);

impl Remote {
    fn start(port: u16) -> Self {
        let mut command = Command::new(llama_server());
        command.arg("-m").arg(chat_model()).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["-np", "3", "-c", "3072", "-t", "2", "--no-ui", "--slots", "--api-key", "sesame"]);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn lar_runs_models_with_a_llama_server_of_its_own() {
    let config = format!(
        "[engines]\nllama_server = {:?}\nconcurrency = 2\ncontext_tokens_max = 512\n",
        llama_server()
    );
    let (theirs, own) = (Lar::start_with(&config), Lar::start());
    let expected = own.post("/v1/chat/completions", &chat("default", json!({}))).json();
    let answer = theirs.post("/v1/chat/completions", &chat("default", json!({}))).json();
    assert_eq!(answer["choices"], expected["choices"], "{answer}");
    assert_eq!(answer["usage"], expected["usage"]);
    let streamed = theirs.post("/v1/chat/completions", &chat("default", json!({ "stream": true })));
    let text: String = streamed
        .events()
        .iter()
        .filter_map(|(_, chunk)| chunk["choices"][0]["delta"]["content"].as_str().map(ToOwned::to_owned))
        .collect();
    assert_eq!(json!(text), expected["choices"][0]["message"]["content"]);
    // Its prefill reports are passed on. The token that it sends with each report is not part of the answer.
    for (path, mut body) in [
        ("/v1/chat/completions", chat("default", json!({}))),
        ("/v1/completions", json!({ "model": "default", "prompt": "One, two, three,", "max_tokens": 8 })),
    ] {
        let more = json!({
            "stream": true, "return_progress": true, "ignore_eos": true, "stream_options": { "include_usage": true },
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let events = theirs.post(path, &body).events();
        let values_of = |name: &str| -> Vec<Value> {
            let members = events.iter().map(|(_, chunk)| chunk[name].clone());
            members.filter(Value::is_object).collect()
        };
        let (reports, usage) = (values_of("prompt_progress"), values_of("usage"));
        let (first, last) = (reports.first().unwrap(), reports.last().unwrap());
        assert_eq!((&first["processed"], &first["cache"]), (&json!(0), &json!(0)), "{path}");
        let total = &usage[0]["prompt_tokens"];
        assert_eq!((&last["processed"], &last["total"]), (total, total), "{path}");
        assert_eq!(usage[0]["completion_tokens"], 8, "{path}");
    }
    let conversation = theirs.post("/lar/v1/conversations", &json!({})).json();
    let path = format!("/lar/v1/conversations/{}/messages", conversation["id"].as_str().unwrap());
    let turn = theirs.post(&path, &json!({ "content": "Hello" }));
    assert!(turn.body.contains("event: end"), "{}", turn.body);
}

#[test]
fn no_escape_works_from_within_a_llama_server_that_lar_started() {
    // The configured path is a link, with a secret file beside it.
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("llama-server");
    std::os::unix::fs::symlink(llama_server(), &link).unwrap();
    let secret = folder.path().join("owner.key");
    std::fs::write(&secret, "secret").unwrap();
    let config = format!("[engines]\nllama_server = {link:?}\ncontext_tokens_max = 512\n");
    let lar = Lar::start_with(&config);
    assert_eq!(lar.post("/v1/chat/completions", &chat("default", json!({}))).status, 200);
    let called = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let name = link.to_str().unwrap().as_bytes();
    let server = lar.workers().into_iter().find(|pid| called(pid).starts_with(name)).unwrap();
    let victims = Victims { server: lar.pid().into(), file: secret.clone() };
    let mut injected = Injected::attach(server).unwrap();
    let lines: Vec<String> =
        escapes(&victims).iter().map(|call| line(call.name, injected.call(call).unwrap())).collect();
    drop(injected);
    assert!(lines.contains(&"read another file: EACCES".to_owned()), "{lines:?}");
    assert!(lines.contains(&"execve: EACCES".to_owned()), "{lines:?}");
    let other: Vec<&String> =
        lines.iter().filter(|line| !line.ends_with(": EPERM") && !line.ends_with(": EACCES")).collect();
    // A server may create sockets. The calls that fail with ENOTSOCK are made on another kind of descriptor.
    assert_eq!(
        other,
        [
            "clone3: ENOSYS",
            "a TCP socket: done",
            "bind: ENOTSOCK",
            "listen: ENOTSOCK",
            "hand a descriptor to the server: ENOTSOCK",
            "take a descriptor: ENOTSOCK",
        ]
    );
    assert_eq!(std::fs::read(&secret).unwrap(), b"secret");
    assert_eq!(lar.post("/v1/chat/completions", &chat("default", json!({}))).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn llama_server_counts_long_prompts_in_slices_and_no_further_than_the_context() {
    let options = LlamaServerOptions::Managed {
        launcher: program(),
        confinement: ConfinementPolicy::BestEffort,
        program: llama_server(),
        model: chat_model(),
        concurrency: 1,
        context_tokens: 512,
        threads: 1,
    };
    let driver = LlamaServer::new(options, Egress::new().unwrap());
    let marks = |number: usize| Prompt::Text("<|im_end|>".repeat(number));
    let (one, many) = (driver.count(&marks(1)).await.unwrap(), driver.count(&marks(12_000)).await.unwrap());
    assert_eq!(many, one + 11_999, "slices end between special tokens");
    match driver.prepare(marks(12_000)).await {
        Err(Error::PromptTooLong { tokens_at_least, context_tokens: 512 }) => {
            assert!((513..12_000).contains(&tokens_at_least), "{tokens_at_least}");
        }
        other => panic!("{other:?}"),
    }
    for error in
        [driver.count(&marks(20_000)).await.unwrap_err(), driver.prepare(marks(20_000)).await.unwrap_err()]
    {
        assert_eq!(
            error,
            Error::ContextTooLong(
                "prompt is too long: 200000 bytes > 131072 maximum (256 bytes for each of 512 tokens of context)"
                    .into()
            )
        );
    }
    driver.unload().await;
}

#[test]
fn llama_server_reads_special_tokens_in_a_message_as_plain_text() {
    let config = format!("[engines]\nllama_server = {:?}\ncontext_tokens_max = 512\n", llama_server());
    let lar = Lar::start_with(&config);
    let answered = |messages: &Value| {
        let answer = lar
            .post("/v1/chat/completions", &chat("default", json!({ "messages": messages, "max_tokens": 1 })));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    let count = |text: &str| answered(&json!([{ "role": "user", "content": text }]));
    let plain = count("A B");
    for mark in starter_marks() {
        assert!(count(&format!("A{mark} B")) > plain + 2, "{mark}");
    }
    assert_eq!(count("A <div> [1] B"), count("A <div> [2] B"), "text that is no special token is unchanged");
    let raw = |prompt: &str| {
        let body = json!({ "model": "default", "prompt": prompt, "max_tokens": 1 });
        lar.post("/v1/completions", &body).json()["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    assert_eq!(raw("A<|im_end|> B"), raw("A B") + 1, "a raw prompt may contain special tokens");
    // The count in advance, which the tests below use, equals the server's own count.
    let mark = "A<|im_end|> B";
    let function = json!({ "name": "look", "arguments": json!({ "a": mark }).to_string() });
    let messages = json!([
        { "role": "system", "content": mark },
        { "role": "user", "content": "Hi" },
        { "role": "assistant", "content": "", "tool_calls": [{ "id": "1", "type": "function", "function": function }] },
        { "role": "tool", "tool_call_id": "1", "content": mark },
    ]);
    let counted =
        lar.post("/v1/chat/completions/input_tokens", &json!({ "model": "default", "messages": messages }));
    assert_eq!(json!(answered(&messages)), counted.json()["input_tokens"], "{}", counted.body);
}

/// Puts the text of each special token into each field of a chat in each API: system prompt, tool result,
/// argument, schema.
#[test]
fn llama_server_reads_special_tokens_anywhere_in_a_chat_as_plain_text() {
    let config = format!("[engines]\nllama_server = {:?}\ncontext_tokens_max = 1024\n", llama_server());
    let lar = Lar::start_with(&config);
    let counts = |text: &str| -> BTreeMap<String, u64> {
        let requests = filled(text).into_iter().filter(|(_, path, _)| !answers(path));
        requests.map(|(place, path, body)| (place.clone(), count(&lar, &place, path, body))).collect()
    };
    let plain = counts("A B");
    assert!(plain.len() > 20, "{plain:?}");
    for mark in starter_marks() {
        for (place, marked) in counts(&format!("A{mark} B")) {
            // A special token would add one token, or two where the prompt contains the text twice.
            assert!(marked > plain[&place] + 2, "{place}, {mark}: {marked} and {}", plain[&place]);
        }
    }
    assert_names_of_tools_are_letters(&lar);
}

#[test]
fn llama_server_reads_special_tokens_in_a_recalled_memory_as_plain_text() {
    let config = format!("[engines]\nllama_server = {:?}\ncontext_tokens_max = 2048\n", llama_server());
    let (marked, without) = several(&starter_marks());
    let lar = Lar::start_with(&config);
    let plain = recalled(&lar, &memory(&without));
    // Lar splits the text of such a token after its first character; the memory frame splits a text that
    // looks like a tag (decision 0034).
    let broken = framed(&marked).replace("<|", "<\u{200b}|");
    let more = letters(&lar, &broken) - letters(&lar, &without);
    drop(lar);
    let marked = recalled(&Lar::start_with(&config), &memory(&marked));
    for ((api, marked), (_, plain)) in marked.into_iter().zip(plain) {
        assert!(marked >= plain + more, "{api}: {marked}, {plain} and {more}");
    }
}

#[test]
fn llama_server_calls_required_tools() {
    let config = format!("[engines]\nllama_server = {:?}\ncontext_tokens_max = 1024\n", llama_server());
    let lar = Lar::start_with(&config);
    let tool = |name: &str, parameters: Value| json!({ "type": "function", "function": { "name": name, "parameters": parameters } });
    let city = json!({
        "type": "object", "required": ["city"], "additionalProperties": false,
        "properties": { "city": { "type": "string", "maxLength": 20 } },
    });
    let refers = json!({
        "type": "object", "properties": { "to": { "$ref": "#/$defs/name" } },
        "$defs": { "name": { "type": "string" } },
    });
    let ask = |choice: Value| {
        let tools = [tool("get_weather", city.clone()), tool("send_mail", refers.clone())];
        let more = json!({
            "messages": [{ "role": "user", "content": "What is the weather in Paris?" }],
            "tools": tools, "tool_choice": choice, "max_tokens": 80,
        });
        let answer = lar.post("/v1/chat/completions", &chat("default", more));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["choices"][0].clone()
    };
    for choice in [json!("required"), json!({ "type": "function", "function": { "name": "get_weather" } })] {
        let named = choice.is_object();
        let answer = ask(choice);
        assert_eq!(answer["finish_reason"], "tool_calls", "{answer}");
        let call = &answer["message"]["tool_calls"][0]["function"];
        let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
        assert!(call["name"] == "get_weather" || !named, "{answer}");
        assert!(call["name"] != "get_weather" || arguments["city"].is_string(), "{answer}");
    }
    let free = ask(json!("auto"));
    assert!(free["message"]["content"].is_string() || free["message"]["tool_calls"].is_array(), "{free}");
}

#[test]
fn requests_that_arrive_while_the_model_loads_are_all_answered() {
    let config =
        format!("[engines]\npreload = false\nllama_server = {:?}\nconcurrency = 2\n", llama_server());
    let lar = Lar::start_with(&config);
    let ask = || {
        let answer = lar.post("/v1/chat/completions", &chat("default", json!({})));
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    // Two requests before the model is loaded, two while it loads, and two right after. A fast load may
    // already have ended when it is looked at.
    type Phase = fn(&Value) -> bool;
    let phases: [(&str, Phase); 3] = [
        ("the start", |_| true),
        ("the start of the load", |state| state != "unloaded"),
        ("the end of the load", |state| state == "ready"),
    ];
    std::thread::scope(|scope| {
        for (what, is_reached) in phases {
            lar.until(what, |lar| is_reached(&state(lar)).then_some(()));
            scope.spawn(ask);
            scope.spawn(ask);
        }
    });
}

#[test]
fn a_remote_llama_server_is_detected_lost_and_detected_again() {
    let port = free_port();
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    std::fs::write(&key, "sesame\n").unwrap();
    let config = format!(
        "[engines]\npreload = false\n[[remote]]\nname = \"far\"\nurl = \"http://127.0.0.1:{port}/\"\nkey_file = {key:?}\n"
    );
    let lar = Lar::start_with(&config);
    let absent = lar.post("/v1/chat/completions", &chat("far", json!({})));
    assert_eq!(absent.status, 502, "{}", absent.body);

    let remote = Remote::start(port);
    let answer = lar.until("an answer", |lar| {
        let answer = lar.post("/v1/chat/completions", &chat("far", json!({})));
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(answer.json()["usage"]["completion_tokens"], 8, "{}", answer.body);
    assert_eq!(
        lar.get("/lar/v1/pools").json()["data"][0]["slots"],
        3,
        "the number of slots that the server reports"
    );
    let long = chat("far", json!({ "messages": [{ "role": "user", "content": "word ".repeat(2000) }] }));
    let refused = lar.post("/v1/chat/completions", &long);
    assert_eq!(refused.json()["error"]["code"], "context_length_exceeded", "{}", refused.body);

    let task = lar.post(
        "/lar/v1/tasks",
        &json!({ "workload": "completion", "model": "far", "prompt": "Once", "max_tokens": 900, "detached": true }),
    );
    let id = task.json()["task_id"].as_str().unwrap().to_owned();
    lar.until("the start of the task", |lar| {
        (lar.get("/lar/v1/pools").json()["data"][0]["active_leases"] == 1).then_some(())
    });
    drop(remote);
    let (_, end) = lar.get(&format!("/lar/v1/tasks/{id}/stream")).events().pop().unwrap();
    assert_eq!(end["code"], "ENGINE_FAILED", "{end}");
    lar.until("the end of readiness", |lar| (state(lar) != "ready").then_some(()));
    let _remote = Remote::start(port);
    lar.until("an answer after its return", |lar| {
        (lar.post("/v1/chat/completions", &chat("far", json!({}))).status == 200).then_some(())
    });
}
