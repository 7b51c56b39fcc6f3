//! `/bridge`, as plugins of an earlier memory service call it.

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

use super::with;

fn call(lar: &Lar, agent: &str, tool: &str, body: &Value) -> Answer {
    let headers = format!("authorization: Bearer {}\r\nx-agent-id: {agent}\r\n", Lar::KEY);
    with(lar, &headers, "POST", &format!("/bridge/{tool}"), body)
}

fn data(answer: &Answer) -> Value {
    assert_eq!((answer.status, answer.json()["success"].as_bool()), (200, Some(true)), "{}", answer.body);
    answer.json()["data"].clone()
}

#[test]
fn an_old_plugin_finds_its_memories() {
    let lar = Lar::start();
    let say = |tool: &str, body: Value| data(&call(&lar, "claw", tool, &body));
    let made = say(
        "ingest",
        json!({ "content": "The canary is called Pip.", "node_type": "fact", "tags": ["pets"], "context": "a chat" }),
    );
    let id = made["nodeId"].as_str().unwrap().to_owned();
    let corrected = say(
        "smart_ingest",
        json!({ "content": "The canary is called Pop now, not Pip.", "node_type": null }),
    );
    assert_eq!(corrected["decision"], "supersede", "{corrected}");
    let found = say(
        "search",
        json!({ "query": "What is the canary called?", "mode": "hybrid", "limit": 3, "threshold": 0.1 }),
    );
    assert_eq!(found["results"][0]["id"], corrected["nodeId"], "{found}");
    let node = say("memory", json!({ "action": "get", "memory_id": id }))["node"].clone();
    assert_eq!((&node["source"], &node["tags"]), (&json!("a chat"), &json!(["pets"])));
    let before = say("memory", json!({ "action": "check_state", "memory_id": id }))["node"]["stability"]
        .as_f64()
        .unwrap();
    let after = say("promote", json!({ "memory_id": id }))["node"]["stability"].as_f64().unwrap();
    assert!(after > before, "{after} {before}");
    say("demote", json!({ "memory_id": id, "reason": "wrong" }));
    say("memory", json!({ "action": "delete", "memory_id": id }));

    let other = data(&call(&lar, "another", "search", &json!({ "query": "canary" })));
    assert_eq!(other["total"], 0, "agents do not see the memories of other agents");
    for path in ["/bridge/health", "/bridge/readyz"] {
        let well = with(&lar, "", "GET", path, &Value::Null);
        assert_eq!((well.status, &well.json()["success"]), (200, &json!(true)));
    }
}

#[test]
fn errors_have_the_format_of_the_bridge() {
    let lar = Lar::start();
    for (tool, body, status, part) in [
        ("search", json!({}), 400, "query"),
        ("search", json!({ "query": "q", "colour": 1 }), 400, "colour"),
        ("ingest", json!({ "content": "x", "node_type": "nonsense" }), 400, "kind"),
        ("memory", json!({ "action": "burn", "memory_id": "mem_1" }), 404, "mem_1"),
        ("promote", json!({ "id": "a", "memory_id": "b" }), 400, "twice"),
        ("intention", json!({ "action": "forget" }), 400, "action"),
        ("codebase", json!({ "action": "remember_pattern" }), 400, "name"),
        ("dream", json!({}), 404, "/bridge/dream"),
    ] {
        let answer = call(&lar, "claw", tool, &body);
        let reply = answer.json();
        assert_eq!(answer.status, status, "{tool} {}", answer.body);
        assert!(reply["success"] == false && reply["error"].as_str().unwrap().contains(part), "{reply}");
    }
    let nobody = with(&lar, "", "POST", "/bridge/search", &json!({ "query": "q" }));
    assert_eq!((nobody.status, &nobody.json()["success"]), (401, &json!(false)));
}
