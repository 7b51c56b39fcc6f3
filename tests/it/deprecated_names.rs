//! Renamed public names: the old name works for one release, and its first use in a process is logged once.
//!
//! Answers have both names, so nobody can tell who reads the old one: nothing is logged there. The same holds for
//! metrics and for folders of the data directory. Two old names are tested elsewhere: the metric
//! `lar_tokens_guessed_total` in `crates/gateway/src/metrics.rs`, and the folder `rehearsal` in `upgrade.rs`.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use lar_tests::Lar;
use serde_json::{Value, json};

/// Stops a server that logs, and returns the deprecated names in its log.
fn warned_names(lar: &mut Lar) -> Vec<String> {
    assert_eq!(lar.stop(), Some(0), "the log is written when the server stops");
    let log = fs::read_to_string(lar.data().join("log")).unwrap();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|line| Some(line["deprecated"].as_str()?.to_owned())).collect()
}

/// Asserts that an object has the same value under both names.
fn assert_both(object: &Value, new: &str, old: &str) {
    assert!(object.get(new).is_some(), "`{new}` is missing: {object}");
    assert_eq!(object.get(new), object.get(old), "`{new}` and `{old}` differ: {object}");
}

#[test]
fn the_old_path_of_intents_works_and_is_logged_once() {
    let mut lar = Lar::start_logging("", "warn");
    for (path, text) in [
        ("/lar/v1/memories/intents", "Remember that the ferry leaves at six."),
        ("/lar/v1/memories/heard", "Remember that the winch is stuck."),
        ("/lar/v1/memories/heard", "I live in a small house by the lake."),
    ] {
        let answer = lar.post(path, &json!({ "content": text }));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_both(&answer.json(), "suggested", "waiting");
    }
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 2);
    assert_eq!(warned_names(&mut lar), ["POST /lar/v1/memories/heard"]);
}

#[test]
fn the_old_value_of_a_setting_works_and_is_logged_once() {
    let mut lar = Lar::start_logging("[limits]\nqueue_full = \"drop-lru\"\n", "warn");
    let shown = String::from_utf8(lar.cli(&["config", "explain"]).stdout).unwrap();
    let row = shown.lines().find(|line| line.starts_with("limits.queue_full")).unwrap();
    assert!(row.contains("\"drop-oldest\""), "{row}");
    assert_eq!(warned_names(&mut lar), ["limits.queue_full = \"drop-lru\""]);
}

#[test]
fn search_results_and_counts_have_both_names() {
    let lar = Lar::start();
    let save = |body: &Value| {
        let made = lar.post("/lar/v1/memories", body);
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()["id"].clone()
    };
    let find = |query: &str| {
        let found = lar.post("/lar/v1/memories/search", &json!({ "query": query, "detail": "full" })).json();
        assert_eq!(found["mode"], "hybrid", "{found}");
        found["results"][0].clone()
    };
    save(&json!({ "content": "The rent of the workshop is 900 euros." }));
    let raised =
        lar.post("/lar/v1/memories/smart", &json!({ "content": "The rent of the workshop is 950 euros." }));
    assert_eq!(raised.json()["decision"], "supersede", "{}", raised.body);
    let hit = find("rent of the workshop");
    assert_both(&hit, "supersedes", "instead_of");
    assert_both(&hit["parts"], "keyword", "words");
    assert_both(&hit["parts"], "similarity", "meaning");

    for end in [".", "!"] {
        let text = "The meeting with the architect is on Monday at ten o'clock in the old town hall";
        save(&json!({ "content": format!("{text}{end}") }));
    }
    assert_both(&find("meeting with the architect"), "duplicates", "same");

    let question = "Which day suits you for the dentist appointment?";
    let asked = save(&json!({ "content": question }));
    save(&json!({ "content": "Thursday afternoon, please.", "after": asked }));
    let hit = find(question);
    assert_eq!((&hit["id"], &hit["neighbours"][0]["side"]), (&asked, &json!("after")), "{hit}");

    let stats = lar.get("/lar/v1/memories/stats").json();
    assert_both(&stats, "chunks", "passages");
    assert_both(&stats, "chunks_without_embeddings", "passages_without_vectors");
}

#[test]
fn the_memory_of_a_turn_has_both_names() {
    let lar = Lar::start();
    assert_eq!(lar.post("/lar/v1/memories", &json!({ "content": "My dentist is Dr. Okafor." })).status, 201);
    let id = lar.post("/lar/v1/conversations", &json!({})).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/lar/v1/conversations/{id}");
    for content in [
        "No, that's wrong, my dentist is Dr. Weber.",
        "I play the oboe in an orchestra. Which reeds are good?",
    ] {
        let sent = lar.post(&format!("{path}/messages"), &json!({ "content": content, "max_tokens": 4 }));
        assert_eq!(sent.status, 200, "{}", sent.body);
    }
    let messages = lar.get(&path).json()["messages"].clone();
    let saved = &messages[1]["memory"]["saved"][0];
    assert_eq!(saved["superseded_content"], "My dentist is Dr. Okafor.", "{messages}");
    assert_both(saved, "superseded_content", "instead_of");
    assert_both(saved, "superseded_id", "instead_of_id");
    assert_both(&messages[3]["memory"], "suggested", "waiting");

    let unread = lar.send_with(&lar.key(&["conversations"]), "GET", &path, &Value::Null);
    assert_eq!(unread.status, 200, "{}", unread.body);
    let shown = unread.json();
    let saved = &shown["messages"][1]["memory"]["saved"][0];
    assert_both(saved, "superseded_id", "instead_of_id");
    for name in ["superseded_content", "instead_of"] {
        assert_eq!(saved.get(name), None, "a key without `memory:read` sees no text: {saved}");
    }
}

#[test]
fn metrics_have_the_new_label_values() {
    let lar = Lar::start_without_models();
    for status in [201, 200] {
        let saved = lar.post("/lar/v1/memories", &json!({ "content": "The winch is stuck." }));
        assert_eq!(saved.status, status, "{}", saved.body);
    }
    let found = lar.post("/lar/v1/memories/search", &json!({ "query": "winch" }));
    assert_eq!(found.json()["mode"], "keyword", "{}", found.body);
    let metrics = lar.get("/metrics").body;
    for line in [
        "lar_memory_ingests_total{decision=\"duplicate\"} 1\n",
        "lar_memory_searches_total{mode=\"keyword\"} 1\n",
        "lar_memory_search_stage_seconds_count{stage=\"keyword\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
}

#[test]
fn the_description_marks_the_old_names() {
    let lar = Lar::start_without_models();
    let description = lar.get("/openapi.json").json();
    assert_eq!(description["paths"]["/lar/v1/memories/heard"]["post"]["deprecated"], true);
    assert!(description["paths"]["/lar/v1/memories/intents"]["post"].get("deprecated").is_none());
    for (schema, old) in [
        ("IntentOutcome", "waiting"),
        ("MemoryActivity", "waiting"),
        ("MemoryStats", "passages"),
        ("MemoryStats", "passages_without_vectors"),
        ("Saved", "instead_of"),
        ("Saved", "instead_of_id"),
        ("ScoreParts", "meaning"),
        ("ScoreParts", "words"),
        ("SearchResult", "instead_of"),
        ("SearchResult", "same"),
        ("SmartIngestResult", "confidence"),
    ] {
        let field = &description["components"]["schemas"][schema]["properties"][old];
        assert_eq!(field["deprecated"], true, "{schema}.{old}: {field}");
    }
}

/// A server, and the home directory of a person with client settings.
struct ClientHome {
    lar: Lar,
    home: tempfile::TempDir,
}

impl ClientHome {
    fn new() -> Self {
        Self { lar: Lar::start(), home: tempfile::tempdir().unwrap() }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(lar_tests::program());
        command.env_clear().env("HOME", self.home.path()).env("LAR_DATA_DIR", self.lar.data());
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {done:?}");
        done
    }

    fn settings(&self) -> PathBuf {
        self.home.path().join(".claude/settings.json")
    }

    /// Rewrites the settings and the journal of Claude Code as an earlier release wrote them.
    fn make_old(&self) {
        for path in [self.settings(), self.lar.data().join("clients/claude-code.json")] {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains("hook prompt --client"), "{text}");
            fs::write(&path, text.replace("hook prompt --client", "hook heard --client")).unwrap();
        }
    }

    /// Runs hooks until Lar has this number of memories.
    fn deliver(&self, expected: u64) {
        self.lar.until("the delivery of the prompts", |lar| {
            self.run(&["hook", "brief", "--client", "claude-code"], "");
            (lar.get("/lar/v1/memories/stats").json()["memories"] == expected).then_some(())
        });
    }
}

#[test]
fn the_hook_of_an_earlier_release_works_is_logged_and_is_replaced() {
    let test_home = ClientHome::new();
    fs::create_dir(test_home.home.path().join(".claude")).unwrap();
    fs::write(test_home.settings(), "{\n  \"theme\": \"dark\"\n}\n").unwrap();
    let connect = ["connect", "claude-code", "--hooks", "--no-check"];
    test_home.run(&connect, "");
    test_home.make_old();

    let prompt = json!({ "prompt": "Remember that the ferry leaves at six." }).to_string();
    let done = test_home.run(&["hook", "heard", "--client", "claude-code"], &prompt);
    let log = String::from_utf8(done.stderr).unwrap();
    assert!(done.stdout.is_empty() && log.matches("lar hook heard").count() == 1, "{log}");
    test_home.deliver(1);

    // The queue of an earlier release.
    let queue = test_home.lar.data().join("heard/claude-code");
    fs::create_dir_all(&queue).unwrap();
    fs::write(queue.join("000000000000001-1"), "Remember that the winch is stuck.").unwrap();
    test_home.deliver(2);
    test_home.lar.until("the removal of the empty folder", |lar| {
        test_home.run(&["hook", "brief", "--client", "claude-code"], "");
        (!lar.data().join("heard").exists()).then_some(())
    });

    // Connecting again replaces the old hook.
    test_home.run(&connect, "");
    let settings: Value = serde_json::from_str(&fs::read_to_string(test_home.settings()).unwrap()).unwrap();
    let hooks = settings["hooks"]["UserPromptSubmit"].as_array().unwrap();
    assert_eq!(hooks.len(), 1, "{settings}");
    assert!(hooks[0].to_string().contains("hook prompt --client"), "{settings}");

    // Disconnecting finds the old hook in settings that have changed since.
    test_home.make_old();
    let text = fs::read_to_string(test_home.settings()).unwrap();
    fs::write(test_home.settings(), text.replace("dark", "light")).unwrap();
    test_home.run(&["connect", "claude-code", "--undo"], "");
    let text = fs::read_to_string(test_home.settings()).unwrap();
    assert!(text.contains("\"theme\": \"light\"") && !text.contains(" hook "), "{text}");
}

#[test]
fn json_output_of_commands_has_both_names() {
    let test_home = ClientHome::new();
    let done = test_home.run(&["connect", "codex", "--json"], "");
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    assert!(!checks.is_empty(), "{report}");
    checks.iter().for_each(|check| assert_both(check, "detail", "told"));

    let findings: Value = serde_json::from_slice(&test_home.lar.cli(&["doctor", "--json"]).stdout).unwrap();
    for finding in findings.as_array().unwrap() {
        assert_eq!(finding.get("fix"), finding.get("mend"), "{finding}");
    }
}
