//! `/lar/v1/memories/intentions`: reminders over HTTP, MCP, the bridge, the command line and in chats.

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

use super::{save_text, with};

const PATH: &str = "/lar/v1/memories/intentions";

fn owner() -> String {
    format!("authorization: Bearer {}\r\n", Lar::KEY)
}

fn create(lar: &Lar, body: &Value) -> Value {
    let made = lar.post(PATH, body);
    assert_eq!(made.status, 201, "{}", made.body);
    made.json()
}

/// Creates an intention with a topic; returns its id.
fn remind_of(lar: &Lar, content: &str, topic: &str) -> String {
    let made = create(lar, &json!({ "content": content, "trigger": { "topic": topic } }));
    made["id"].as_str().unwrap().to_owned()
}

fn patch(lar: &Lar, id: &str, body: &Value) -> Answer {
    lar.send("PATCH", &format!("{PATH}/{id}"), body)
}

/// The texts that are due in a context, most important first.
fn due(lar: &Lar, context: &Value) -> Vec<String> {
    let found = lar.post(&format!("{PATH}/check"), context);
    assert_eq!(found.status, 200, "{}", found.body);
    let due = found.json()["due"].as_array().unwrap().clone();
    due.iter().map(|due| due["intention"]["content"].as_str().unwrap().to_owned()).collect()
}

fn contents(lar: &Lar, query: &str) -> Vec<String> {
    let found = lar.get(&format!("{PATH}{query}"));
    assert_eq!(found.status, 200, "{}", found.body);
    let found = found.json()["data"].as_array().unwrap().clone();
    found.iter().map(|one| one["content"].as_str().unwrap().to_owned()).collect()
}

/// Calls a tool over MCP; returns its result.
fn tool(lar: &Lar, name: &str, arguments: &Value) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                       "params": { "name": name, "arguments": arguments } });
    let headers = format!(
        "{}accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n\
         mcp-method: tools/call\r\nmcp-name: {name}\r\n",
        owner()
    );
    let answer = with(lar, &headers, "POST", "/mcp", &call);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let data =
        answer.body.lines().find_map(|line| line.strip_prefix("data: ").filter(|data| data.contains('{')));
    let message: Value = serde_json::from_str(data.unwrap_or(&answer.body)).unwrap();
    message["result"].clone()
}

#[test]
fn an_intention_is_due_in_its_context_once_an_hour_until_it_is_done() {
    let lar = Lar::start_without_models();
    let id = remind_of(&lar, "Send the invoice to Anna.", "invoice");
    let message = |text: &str| json!({ "message": text });
    assert_eq!(due(&lar, &message("What is the weather?")), [""; 0]);
    let found = lar.post(&format!("{PATH}/check"), &message("I am writing invoices.")).json();
    let first = &found["due"][0];
    assert_eq!(
        (&first["cause"], &first["reason"]),
        (&json!("context"), &json!("the text mentions “invoice”"))
    );
    assert_eq!(first["intention"]["id"], id);
    assert_eq!(due(&lar, &message("The invoice again.")), [""; 0], "it was shown less than an hour ago");
    let other = json!({ "message": "The invoice.", "conversation": "another" });
    assert_eq!(due(&lar, &other), ["Send the invoice to Anna."], "each conversation is reminded");
    assert_eq!(due(&lar, &other), [""; 0]);
    assert!(lar.get(&format!("{PATH}/{id}")).json()["last_shown_at"].is_string());

    let snoozed = patch(&lar, &id, &json!({ "snooze_minutes": 30 })).json();
    assert!(snoozed["snoozed_until"].is_string(), "{snoozed}");
    assert_eq!(due(&lar, &message("The invoice.")), [""; 0]);
    patch(&lar, &id, &json!({ "snoozed_until": null }));
    assert_eq!(due(&lar, &message("The invoice.")), ["Send the invoice to Anna."], "a change shows it again");
    let done = patch(&lar, &id, &json!({ "status": "done" })).json();
    assert_eq!(done["status"], "done");
    assert_eq!(due(&lar, &json!({ "message": "The invoice.", "conversation": "third" })), [""; 0]);
    assert_eq!((contents(&lar, "?status=active").len(), contents(&lar, "?status=done").len()), (0, 1));
    assert_eq!(patch(&lar, &id, &json!({ "status": "active" })).status, 200);
    assert_eq!(due(&lar, &message("The invoice.")).len(), 1);
}

#[test]
fn times_deadlines_projects_and_files_make_intentions_due() {
    let lar = Lar::start_without_models();
    for (content, more) in [
        ("past", json!({ "trigger": { "at": "2020-01-01T09:00" }, "priority": "low" })),
        ("now", json!({ "trigger": { "type": "time", "in_minutes": 0 } })),
        ("future", json!({ "trigger": { "in_minutes": 60 } })),
        ("overdue", json!({ "deadline": "2020-01-01", "priority": "critical" })),
        ("project", json!({ "trigger": { "project": "team/orders" } })),
        ("file", json!({ "trigger": { "codebase": "orders", "file_pattern": "src/**/*.rs" } })),
        ("event", json!({ "trigger": { "condition": "the tests fail" } })),
    ] {
        let mut body = more;
        body["content"] = json!(content);
        create(&lar, &body);
    }
    assert_eq!(due(&lar, &json!({})), ["overdue", "now", "past"], "the most important first");
    assert_eq!(due(&lar, &json!({ "project": "Orders" })), ["project"]);
    let file = |file: &str| json!({ "codebase": "orders", "file": file, "conversation": file });
    assert!(due(&lar, &file("/x/src/a/b.rs")).contains(&"file".into()));
    assert!(!due(&lar, &file("/x/src/a/b.py")).contains(&"file".into()));
    assert_eq!(
        due(&lar, &json!({ "topics": ["a test passed"] })),
        [""; 0],
        "another condition shares a word"
    );
    assert_eq!(due(&lar, &json!({ "topics": ["Hm.", "All tests have failed!"] })), ["event"]);
    assert_eq!(contents(&lar, "?status=all&limit=2"), ["event", "file"], "newest first");
    let page = lar.get(&format!("{PATH}?limit=5")).json();
    let next = page["next"].as_str().unwrap();
    assert_eq!(contents(&lar, &format!("?limit=5&after={next}")), ["now", "past"]);
}

#[test]
fn invalid_requests_name_the_field_and_the_reason() {
    let lar = Lar::start_without_models();
    let id = remind_of(&lar, "Something.", "something");
    let trigger = |trigger: Value| json!({ "content": "x", "trigger": trigger });
    for (body, field, reason) in [
        (json!({ "content": " ", "trigger": { "topic": "x" } }), "content", "must not be empty"),
        (json!({ "content": "x".repeat(9000), "trigger": { "topic": "x" } }), "content", "the limit is 8192"),
        (json!({ "content": "my password is hunter22", "trigger": { "topic": "x" } }), "content", "secret"),
        (json!({ "content": "x" }), "trigger", "is missing"),
        (trigger(json!({})), "trigger", "must have a time"),
        (trigger(json!({ "type": "time" })), "trigger", "`in_minutes`"),
        (trigger(json!({ "type": "moon" })), "trigger.type", "must be time"),
        (trigger(json!({ "in_minutes": -5 })), "trigger.in_minutes", "must be between"),
        (trigger(json!({ "in_minutes": i64::MAX })), "trigger.in_minutes", "must be between"),
        (trigger(json!({ "in_minutes": 1e30 })), "trigger.in_minutes", "must be an integer"),
        (trigger(json!({ "at": "tomorrow" })), "trigger.at", "must be a time"),
        (trigger(json!({ "at": "99999-01-01T00:00:00Z" })), "trigger.at", "must be a time"),
        (trigger(json!({ "at": "-000001-01-01T00:00:00Z" })), "trigger.at", ""),
        (trigger(json!({ "file_pattern": "*".repeat(10_000) })), "trigger.file_pattern", "10000"),
        (trigger(json!({ "file_pattern": "**/*" })), "trigger.file_pattern", "matches every file"),
        (trigger(json!({ "topic": "?!" })), "trigger.topics", "must contain a word"),
        (trigger(json!({ "topics": vec!["x"; 21] })), "trigger.topics", "the limit is 20"),
        (trigger(json!({ "topic": "x".repeat(501) })), "trigger.topics", "500 characters"),
        (trigger(json!({ "moon": "full" })), "trigger", "moon"),
        (json!({ "content": "x", "deadline": "soon" }), "deadline", "must be a time"),
        (
            json!({ "content": "x", "deadline": "2026-01-01", "priority": "huge" }),
            "priority",
            "must be one of",
        ),
    ] {
        let refused = lar.post(PATH, &body);
        assert_eq!(refused.status, 400, "{body:.200} {}", refused.body);
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(field) && detail.contains(reason), "{detail}: {field} {reason}");
    }
    let huge = json!({ "content": "y".repeat(10 << 20), "trigger": { "topic": "x" } });
    let huge = lar.post(PATH, &huge);
    assert!(
        huge.status == 400 && huge.body.contains("the limit is 8192"),
        "{} {:.300}",
        huge.status,
        huge.body
    );
    for (body, field) in [
        (json!({ "status": "forgotten" }), "status"),
        (json!({ "snoozed_until": "2020-01-01" }), "snoozed_until"),
        (json!({ "snooze_minutes": 0 }), "snooze_minutes"),
        (json!({ "snooze_minutes": -1 }), "snooze_minutes"),
        (json!({ "snooze_minutes": 9_000_000_000_000_i64 }), "snooze_minutes"),
        (json!({ "snooze_minutes": 1, "snoozed_until": "2090-01-01" }), "snooze_minutes"),
        (json!({ "content": "" }), "content"),
        (json!({ "trigger": {} }), "trigger"),
    ] {
        let refused = patch(&lar, &id, &body);
        let text = refused.body.clone();
        assert!(refused.status == 400 && text.contains(field), "{body}: {} {text}", refused.status);
    }
    assert_eq!(patch(&lar, &id, &json!({ "status": "cancelled" })).status, 200);
    let refused = patch(&lar, &id, &json!({ "snooze_minutes": 5 }));
    assert!(refused.status == 409 && refused.body.contains("cancelled"), "{}", refused.body);
    for (path, field) in
        [("?status=old", "status"), ("?limit=0", "limit"), ("?after=x", "after"), ("?x=1", "x")]
    {
        let refused = lar.get(&format!("{PATH}{path}"));
        assert!(refused.status == 400 && refused.body.contains(field), "{path}: {}", refused.body);
    }
    for check in [
        json!({ "topics": vec!["x"; 40] }),
        json!({ "file": "x".repeat(5000) }),
        json!({ "project": "" }),
        json!({ "conversation": "x".repeat(501) }),
    ] {
        assert_eq!(lar.post(&format!("{PATH}/check"), &check).status, 400, "{check:.80}");
    }
}

#[test]
fn intentions_have_the_access_rules_of_memories() {
    let lar = Lar::start_without_models();
    let id = remind_of(&lar, "Send the invoice.", "invoice");
    let again = lar.post(PATH, &json!({ "content": "Send the invoice.", "trigger": { "topic": "invoice" } }));
    assert_eq!(
        (again.status, &again.json()["id"]),
        (200, &json!(id)),
        "the same intention is not stored twice"
    );
    let path = format!("{PATH}/{id}");
    let invited = lar.post("/lar/v1/users", &json!({ "name": "ana" })).json();
    let ana = format!("authorization: Bearer {}\r\n", invited["secret"].as_str().unwrap());
    for (method, body) in
        [("GET", Value::Null), ("PATCH", json!({ "content": "y" })), ("DELETE", Value::Null)]
    {
        assert_eq!(with(&lar, &ana, method, &path, &body).status, 404, "{method}");
    }
    assert_eq!(with(&lar, &ana, "GET", PATH, &Value::Null).json()["data"], json!([]));
    let agent = format!("{}x-agent-id: claw\r\n", owner());
    assert_eq!(
        with(&lar, &agent, "GET", PATH, &Value::Null).json()["data"],
        json!([]),
        "an agent has its own"
    );
    assert_eq!(with(&lar, &agent, "GET", &path, &Value::Null).status, 404);

    let key = |scopes: Value| {
        let made = lar.post("/lar/v1/keys", &json!({ "name": "narrow", "scopes": scopes })).json();
        format!("authorization: Bearer {}\r\n", made["secret"].as_str().unwrap())
    };
    let (reader, writer) = (key(json!(["memory:read"])), key(json!(["memory:write"])));
    let check = format!("{PATH}/check");
    assert_eq!(with(&lar, &reader, "GET", &path, &Value::Null).status, 200);
    let found = with(&lar, &reader, "POST", &check, &json!({ "message": "invoice" })).json();
    assert_eq!(found["due"][0]["intention"]["id"], id);
    let body = json!({ "content": "x", "trigger": { "topic": "x" } });
    assert_eq!(with(&lar, &reader, "POST", PATH, &body).status, 403);
    assert_eq!(with(&lar, &reader, "PATCH", &path, &json!({ "status": "done" })).status, 403);
    assert_eq!(with(&lar, &reader, "DELETE", &path, &Value::Null).status, 403);
    for (method, path) in [("GET", &path), ("GET", &PATH.to_owned()), ("POST", &check)] {
        assert_eq!(with(&lar, &writer, method, path, &json!({})).status, 403, "{method} {path}");
    }
    let changed = with(&lar, &writer, "PATCH", &path, &json!({ "priority": "high" }));
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert!(!changed.body.contains("nvoice"), "a writer does not read: {}", changed.body);

    let space =
        lar.post("/lar/v1/spaces", &json!({ "name": "team" })).json()["id"].as_str().unwrap().to_owned();
    let granted =
        lar.post(&format!("/lar/v1/spaces/{space}/grants"), &json!({ "user": "ana", "access": "read" }));
    assert_eq!(granted.status, 200, "{}", granted.body);
    let team = format!("{}x-space: team\r\n", owner());
    let shared = with(&lar, &team, "POST", PATH, &body).json()["id"].as_str().unwrap().to_owned();
    let path = format!("{PATH}/{shared}");
    assert_eq!(with(&lar, &ana, "GET", &path, &Value::Null).status, 200);
    assert_eq!(with(&lar, &ana, "PATCH", &path, &json!({ "status": "done" })).status, 403);
    assert_eq!(with(&lar, &ana, "DELETE", &path, &Value::Null).status, 403);
    assert_eq!(lar.send("DELETE", &path, &Value::Null).status, 204);
    assert_eq!(lar.get(&path).status, 404);
}

#[test]
fn intentions_are_exported_and_imported_with_the_memories() {
    let from = Lar::start_without_models();
    save_text(&from, "The rent is 1150 euros.");
    let id = remind_of(&from, "Pay the rent.", "the rent");
    let timed = create(
        &from,
        &json!({ "content": "Call.", "trigger": { "in_minutes": 90 }, "priority": "high",
                                       "deadline": "2090-01-01", "source": "phone" }),
    );
    patch(&from, timed["id"].as_str().unwrap(), &json!({ "snoozed_until": "2090-06-01T10:00" }));
    due(&from, &json!({ "message": "the rent" }));
    let export = |lar: &Lar| lar.get("/lar/v1/memories/export").body;
    let lines = export(&from);
    assert_eq!(lines.lines().filter(|line| line.starts_with("{\"intention\":")).count(), 2, "{lines}");
    let to = Lar::start_without_models();
    let import = |lar: &Lar, body: &str| {
        let head = lar.head("POST", "/lar/v1/memories/import", body.len());
        lar.raw(&head.replace("application/json", "application/x-ndjson"), body.as_bytes())
    };
    assert_eq!(import(&to, &lines).json(), json!({ "imported": 3, "unchanged": 0 }));
    assert_eq!(import(&to, &lines).json(), json!({ "imported": 0, "unchanged": 3 }));
    assert_eq!(export(&to), lines, "nothing is lost");
    let other = id.replace("int_", "int_f").chars().take(id.len()).collect::<String>();
    let changed = lines.replace(&id, &other);
    for (what, broken) in [
        ("content", changed.replace("Pay the rent.", "my password is hunter22")),
        ("priority", changed.replace("\"normal\"", "\"huge\"")),
        ("surprise", changed.replace("\"status\"", "\"surprise\":1,\"status\"")),
        ("trigger.topics", changed.replace("[\"the rent\"]", "[\"?\"]")),
    ] {
        let refused = import(&to, &broken);
        assert!(refused.status == 400 && refused.body.contains(what), "{what}: {}", refused.body);
    }
    assert_eq!(contents(&to, "").len(), 2, "nothing of it was stored");
}

#[test]
fn the_tools_of_the_earlier_service_work_over_mcp_and_the_bridge() {
    let lar = Lar::start_without_models();
    let call = |name: &str, arguments: Value| {
        let result = tool(&lar, name, &arguments);
        assert_ne!(result["isError"], json!(true), "{result}");
        result["structuredContent"].clone()
    };
    let bridge = |name: &str, arguments: Value| {
        let answer = with(&lar, &owner(), "POST", &format!("/bridge/{name}"), &arguments);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["data"].clone()
    };
    let set = call(
        "intention",
        json!({ "action": "set", "description": "Rotate the logs.", "priority": "high",
                                        "trigger": { "type": "context", "codebase": "lar", "topic": "logs" } }),
    );
    assert_eq!(
        (&set["success"], &set["action"], &set["priority"]),
        (&json!(true), &json!("set"), &json!("high"))
    );
    let id = set["intentionId"].as_str().unwrap();
    let timed = bridge(
        "intention",
        json!({ "action": "set", "description": "Rest.", "deadline": null,
                                            "trigger": { "type": "time", "inMinutes": 60 } }),
    );
    assert!(timed["triggerAt"].is_string(), "{timed}");
    let context = json!({ "codebase": "lar", "topics": ["the server's logs"] });
    let checked = bridge("intention", json!({ "action": "check", "context": context }));
    assert_eq!(checked["triggered"][0]["description"], "Rotate the logs.", "{checked}");
    assert_eq!(checked["pending"][0]["id"], timed["intentionId"], "{checked}");
    let again = call("intention", json!({ "action": "check", "context": context }));
    assert_eq!(
        (again["triggered"].as_array().unwrap().len(), again["pending"].as_array().unwrap().len()),
        (0, 2)
    );
    let snoozed =
        call("intention", json!({ "action": "update", "id": id, "status": "snooze", "snooze_minutes": 5 }));
    assert!(snoozed["snoozedUntil"].is_string(), "{snoozed}");
    let list = |filter: &str| {
        let listed = call("intention", json!({ "action": "list", "filter_status": filter }));
        assert_eq!((&listed["success"], &listed["status"]), (&json!(true), &json!(filter)));
        listed["total"].as_u64().unwrap()
    };
    assert_eq!([list("active"), list("snoozed"), list("fulfilled"), list("all")], [1, 1, 0, 2]);
    call("intention", json!({ "action": "update", "id": id, "status": "complete" }));
    let rest = timed["intentionId"].as_str().unwrap();
    bridge("intention", json!({ "action": "update", "id": rest, "status": "cancel" }));
    assert_eq!([list("active"), list("fulfilled"), list("cancelled")], [0, 1, 1]);

    let pattern = call(
        "codebase",
        json!({ "action": "remember_pattern", "name": "Errors", "codebase": "lar",
                                           "description": "One enum per crate.", "files": ["src/error.rs"] }),
    );
    assert_eq!((&pattern["success"], &pattern["patternName"]), (&json!(true), &json!("Errors")));
    let decision = bridge(
        "codebase",
        json!({ "action": "remember_decision", "decision": "Use SQLite.",
                                              "rationale": "One file.", "alternatives": ["Postgres"],
                                              "files": ["src/store.rs"], "codebase": "lar" }),
    );
    let node = lar.get(&format!("/lar/v1/memories/{}", decision["nodeId"].as_str().unwrap())).json();
    let content = node["content"].as_str().unwrap();
    for part in ["Use SQLite.", "One file.", "Postgres", "src/store.rs"] {
        assert!(content.contains(part), "{content}");
    }
    assert_eq!((&node["kind"], &node["project"]), (&json!("decision"), &json!("lar")));
    call(
        "codebase",
        json!({ "action": "remember_pattern", "name": "Other", "description": "Of another project.",
                             "codebase": "other", "files": ["web/app.ts"] }),
    );
    let found = call("codebase", json!({ "action": "get_context", "codebase": "lar" }));
    assert_eq!(
        (&found["patterns"]["count"], &found["decisions"]["count"]),
        (&json!(1), &json!(1)),
        "{found}"
    );
    assert_eq!(found["patterns"]["items"][0]["id"], pattern["nodeId"]);
    let found =
        bridge("codebase", json!({ "action": "get_context", "codebase": "lar", "files": ["/x/web/app.ts"] }));
    assert_eq!(found["patterns"]["count"], 2, "{found}");
    assert!(found["patterns"]["items"][0]["content"].as_str().unwrap().contains("Other"), "{found}");
    for (name, arguments, part) in [
        ("intention", json!({ "action": "burn" }), "action"),
        ("intention", json!({ "action": "set" }), "description"),
        (
            "intention",
            json!({ "action": "set", "description": "x", "trigger": { "in_minutes": -1 } }),
            "in_minutes",
        ),
        ("intention", json!({ "action": "update", "id": "int_1", "status": "complete" }), "int_1"),
        ("intention", json!({ "action": "update", "id": id, "status": "later" }), "status"),
        ("intention", json!({ "action": "list", "filter_status": "old" }), "filter_status"),
        ("intention", json!({ "action": "list", "colour": 1 }), "colour"),
        ("codebase", json!({ "action": "remember_pattern", "name": "x" }), "description"),
        ("codebase", json!({ "action": "remember_decision", "decision": " ", "rationale": "x" }), "decision"),
        ("codebase", json!({ "action": "get_context", "limit": 0 }), "limit"),
    ] {
        let refused = tool(&lar, name, &arguments);
        let text = refused["content"][0]["text"].as_str().unwrap();
        assert!(refused["isError"] == true && text.contains(part), "{arguments}: {refused}");
    }
}

#[test]
fn the_command_line_manages_reminders() {
    let lar = Lar::start_without_models();
    let cli = |arguments: &[&str]| {
        let done = lar.cli(&[&["memory", "intentions"], arguments].concat());
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        (done.status.success(), text + &String::from_utf8_lossy(&done.stderr))
    };
    let added = cli(&["add", "Send the invoice", "--when", "invoice", "--priority", "high"]);
    assert!(added.0 && added.1.starts_with("Added: at the words “invoice”."), "{}", added.1);
    assert!(cli(&["add", "Rest", "--in", "2h"]).0);
    assert!(cli(&["add", "Renew it", "--at", "2090-12-01T09:00"]).1.contains("at 2090-12-01 09:00 UTC"));
    assert!(cli(&["add", "Test it", "--project", "team/orders", "--file", "*.rs"]).0);
    for (arguments, part) in [
        (&["add", "Nothing"][..], "say when"),
        (&["add", "x", "--in", "2 moons"], "not a duration"),
        (&["add", "x", "--at", "2090-01-01", "--in", "2h"], "cannot be used with"),
        (&["add", "x", "--at", "soon"], "must be a time"),
    ] {
        let (success, text) = cli(arguments);
        assert!(!success && text.contains(part), "{arguments:?}: {text}");
    }
    let (_, listed) = cli(&["list"]);
    assert!(listed.contains("Send the invoice") && listed.contains("in project team/orders"), "{listed}");
    let id = listed.lines().find(|line| line.contains("Send the invoice")).unwrap();
    let id = id.split_whitespace().next().unwrap().to_owned();
    assert!(cli(&["snooze", &id, "--for", "1d"]).1.starts_with("Snoozed until "));
    assert!(cli(&["list"]).1.contains("snoozed"));
    assert_eq!(cli(&["done", &id]), (true, "Done.\n".into()));
    assert!(cli(&["list", "--status", "done"]).1.contains("Send the invoice"));
    assert!(!cli(&["cancel", "int_1"]).0);
}

#[test]
fn an_answer_and_a_brief_remind_the_user() {
    let lar = Lar::start();
    let id = remind_of(&lar, "Send the invoice to Anna.", "invoice");
    create(&lar, &json!({ "content": "Renew the passport.", "trigger": { "in_minutes": 600 } }));
    create(&lar, &json!({ "content": "Tag it.", "trigger": { "project": "team/orders" } }));
    let chat = lar.post("/lar/v1/conversations", &json!({})).json()["id"].as_str().unwrap().to_owned();
    let path = format!("/lar/v1/conversations/{chat}/messages");
    let reminders = |content: &str| {
        let answer = lar.post(&path, &json!({ "content": content, "max_tokens": 4 }));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.events()[0].1["answer"]["memory"]["reminders"].clone()
    };
    assert_eq!(reminders("Hello there."), Value::Null);
    let shown = reminders("I want to write the invoice now.");
    assert_eq!(
        shown,
        json!([{ "id": id, "content": "Send the invoice to Anna.", "reason": "the text mentions “invoice”" }])
    );
    assert_eq!(reminders("What is an invoice?"), Value::Null, "it is not repeated in the conversation");
    // A compatible API reminds, too, and names the reminder in a header.
    let body = json!({ "model": "default+memory", "max_tokens": 4,
                       "messages": [{ "role": "user", "content": "Which invoice is open?" }] });
    let answer = lar.post("/v1/chat/completions", &body);
    assert!(answer.head.to_lowercase().contains(&format!("x-lar-reminders: {id}")), "{}", answer.head);

    let brief = tool(&lar, "memory_brief", &json!({ "project": "orders" }));
    let reminders = &brief["structuredContent"]["reminders"];
    assert_eq!(reminders["due"][0]["intention"]["content"], "Tag it.", "{brief}");
    assert_eq!(reminders["upcoming"][0]["content"], "Renew the passport.", "{brief}");
    assert!(
        brief["content"][0]["text"].as_str().unwrap().contains("the current project is team/orders"),
        "{brief}"
    );
    let cancelled = tool(&lar, "memory_forget", &json!({ "id": id }));
    assert_eq!(cancelled["structuredContent"]["status"], "cancelled", "{cancelled}");

    // Deleting an intention removes its text from the answers that contain it.
    assert_eq!(lar.send("DELETE", &format!("{PATH}/{id}"), &Value::Null).status, 204);
    let kept = lar.get(&format!("/lar/v1/conversations/{chat}")).body;
    assert!(kept.contains(&id) && !kept.contains("Send the invoice to Anna"), "{kept}");
}
