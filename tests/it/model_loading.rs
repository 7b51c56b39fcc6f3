//! Loading and unloading models: limits of memory, eviction, keep-alive, and the measured settings of a
//! model.

use lar_tests::{Lar, chat_model};
use serde_json::{Value, json};

fn chat() -> Value {
    json!({
        "model": "default", "max_tokens": 8, "temperature": 0,
        "messages": [{ "role": "user", "content": "Say hello." }],
    })
}

fn state(lar: &Lar, pool: &str) -> String {
    let health = lar.get(&format!("/lar/v1/pools/{pool}/health")).json();
    health["state"].as_str().unwrap_or("unloaded").to_owned()
}

fn wait_for_state(lar: &Lar, pool: &str, expected: &str) {
    lar.until(&format!("the state `{expected}` of {pool}"), |lar| {
        (state(lar, pool) == expected).then_some(())
    });
}

#[test]
fn two_models_that_do_not_fit_together_take_turns() {
    let lar = Lar::start_with("[engines]\npreload = false\ncontext_tokens_max = 512\nmemory = \"300 MiB\"\n");
    let embed = json!({ "model": "default-embedding", "input": "a cat" });
    for _ in 0..2 {
        let answer = lar.post("/v1/chat/completions", &chat());
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(state(&lar, "smollm2-135m-instruct"), "ready");
        assert_ne!(state(&lar, "all-minilm-l6-v2"), "ready");
        let answer = lar.post("/v1/embeddings", &embed);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(state(&lar, "all-minilm-l6-v2"), "ready");
        assert_ne!(state(&lar, "smollm2-135m-instruct"), "ready");
    }
    // A task whose model has to be loaded first is streamed to its end.
    let task = json!({ "model": "default", "workload": "completion", "prompt": "Once", "max_tokens": 4 });
    let task = lar.post("/lar/v1/tasks", &task).json()["task_id"].as_str().unwrap().to_owned();
    let events = lar.get(&format!("/lar/v1/tasks/{task}/stream")).events();
    assert_eq!(events.last().unwrap().0, "end", "{events:?}");
}

#[test]
fn a_model_larger_than_the_memory_is_refused_with_numbers() {
    let lar = Lar::start_with("[engines]\npreload = false\nmemory = \"100 MiB\"\n");
    let answer = lar.post("/v1/chat/completions", &chat());
    assert_eq!(answer.status, 503, "{}", answer.body);
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("MiB of memory") && message.contains("100 MiB"), "{message}");
    let health = lar.get("/lar/v1/pools/smollm2-135m-instruct/health").json();
    assert_eq!(health["state"], "failed");
    assert!(health["last_error"].as_str().unwrap().contains("engines.memory"), "{health}");
}

#[test]
fn unused_models_are_unloaded_and_loaded_again() {
    let lar = Lar::start_with("[engines]\ncontext_tokens_max = 512\nkeep_alive_s = 0\n");
    for _ in 0..2 {
        let answer = lar.post("/v1/chat/completions", &chat());
        assert_eq!(answer.status, 200, "{}", answer.body);
        wait_for_state(&lar, "smollm2-135m-instruct", "unloaded");
    }
    let lar = Lar::start_with("[engines]\ncontext_tokens_max = 512\n");
    assert_eq!(lar.post("/v1/chat/completions", &chat()).status, 200);
    wait_for_state(&lar, "smollm2-135m-instruct", "ready");
    assert_eq!(lar.post("/lar/v1/pools/smollm2-135m-instruct/unload", &json!({})).status, 202);
    wait_for_state(&lar, "smollm2-135m-instruct", "unloaded");
    assert_eq!(lar.post("/lar/v1/pools/smollm2-135m-instruct/load", &json!({})).status, 202);
    wait_for_state(&lar, "smollm2-135m-instruct", "ready");
}

#[test]
fn the_fastest_settings_of_a_model_are_measured_once_and_stored() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("lar.toml"), "[engines]\ncontext_tokens_max = 1024\n").unwrap();
    let ask = json!({ "model": "default", "prompt": "One, two,", "max_tokens": 4, "temperature": 0 });
    let mut measured = Vec::new();
    for _ in 0..2 {
        let mut lar = Lar::start_measuring_on(directory.path());
        let answer = lar.post("/v1/completions", &ask);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(lar.stop(), Some(0));
        let database = lar_store::Store::open(&directory.path().join("lar.db")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let digest =
            chat_model().file_name().unwrap().to_str().unwrap().trim_start_matches("sha256-").to_owned();
        let machine = format!("{}, lar {}", lar_engines::device::processor(), env!("CARGO_PKG_VERSION"));
        measured.push(runtime.block_on(database.tuning_get(digest, machine)).unwrap());
        drop(database);
    }
    let tuned: Vec<Value> =
        measured.into_iter().map(|tuned| serde_json::from_str(&tuned.unwrap()).unwrap()).collect();
    let (cores, all) = (lar_engines::device::cores(), lar_engines::device::threads());
    for threads in ["threads", "threads_batch"] {
        let count = tuned[0][threads].as_u64().unwrap();
        assert!((u64::from(cores)..=u64::from(all)).contains(&count), "{tuned:?}");
    }
    assert!([128, 256, 512].contains(&tuned[0]["batch_tokens"].as_u64().unwrap()), "{tuned:?}");
    assert!(tuned[0]["token_micros"].as_u64().unwrap() > 0, "{tuned:?}");
    assert_eq!(tuned[0], tuned[1], "the second start uses the stored settings");
}
