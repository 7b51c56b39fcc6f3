//! Whose memories a key sees: a person's keys share theirs, an agent's are its own.

use lar_tests::Lar;
use serde_json::{Value, json};

use super::{ids, said, with};

fn key(lar: &Lar, body: &Value) -> String {
    let made = lar.post("/lar/v1/keys", body).json();
    format!("authorization: Bearer {}\r\n", made["secret"].as_str().unwrap())
}

#[test]
fn spaces_are_apart() {
    let lar = Lar::start();
    let (editor, robot) =
        (key(&lar, &json!({ "name": "editor" })), key(&lar, &json!({ "name": "robot", "agent": "robot" })));
    let mine = said(&lar, "My favourite colour is teal.");
    let search = |headers: &str| {
        let answer =
            with(&lar, headers, "POST", "/lar/v1/memories/search", &json!({ "query": "favourite colour" }));
        assert_eq!(answer.status, 200, "{}", answer.body);
        ids(&answer.json())
    };
    let add = |headers: &str, content: &str| {
        with(&lar, headers, "POST", "/lar/v1/memories", &json!({ "content": content }))
    };
    assert_eq!(search(&editor), [mine.as_str()], "a person's keys share their memories");
    assert_eq!(search(&robot), [""; 0]);
    let its = add(&robot, "My favourite colour is chrome.").json()["id"].as_str().unwrap().to_owned();
    assert_eq!(search(&robot), [its.as_str()]);
    assert_eq!(search(&editor), [mine.as_str()]);
    let named = format!("{editor}x-agent-id: robot\r\n");
    assert_eq!(search(&named), [its.as_str()], "the person may look into their agent's");

    let path = format!("/lar/v1/memories/{mine}");
    for (method, path, body) in [
        ("GET", path.clone(), Value::Null),
        ("PATCH", path.clone(), json!({ "content": "taken over" })),
        ("DELETE", path.clone(), Value::Null),
        ("DELETE", format!("{path}?erase=true"), Value::Null),
        ("POST", format!("{path}/promote"), json!({})),
        ("POST", format!("{path}/undo"), Value::Null),
        ("GET", format!("{path}/history"), Value::Null),
    ] {
        assert_eq!(with(&lar, &robot, method, &path, &body).status, 404, "{method} {path}");
    }
    let after =
        with(&lar, &robot, "POST", "/lar/v1/memories", &json!({ "content": "and then", "after": mine }));
    assert_eq!(after.status, 404);
    let other = format!("{robot}x-agent-id: someone\r\n");
    let refused = add(&other, "written elsewhere?");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("FORBIDDEN_SPACE")));
    assert_eq!(with(&lar, &robot, "GET", "/lar/v1/memories/stats", &Value::Null).json()["memories"], 1);
    for name in ["../x", "a b", "", ".hidden", "x/../y"] {
        let headers = format!("{editor}x-agent-id: {name}\r\n");
        assert_eq!(add(&headers, "x").status, 400, "{name}");
    }
    let spaces = lar.get("/lar/v1/spaces").json();
    let kinds: Vec<&str> =
        spaces["data"].as_array().unwrap().iter().map(|space| space["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["personal", "agent"]);
    assert_eq!(with(&lar, &robot, "GET", "/lar/v1/spaces", &Value::Null).json()["data"][0]["agent"], "robot");
}

#[test]
fn scopes_count() {
    let lar = Lar::start();
    let reader = key(&lar, &json!({ "name": "reader", "scopes": ["memory:read"] }));
    let model = key(&lar, &json!({ "name": "model", "scopes": ["inference"] }));
    said(&lar, "The lights go out at eleven.");
    let query = json!({ "query": "lights" });
    let found = with(&lar, &reader, "POST", "/lar/v1/memories/search", &query);
    assert_eq!(
        (found.status, found.json()["mode"].as_str()),
        (200, Some("hybrid")),
        "embedding is Lar's own work"
    );
    let refused = with(&lar, &reader, "POST", "/lar/v1/memories", &json!({ "content": "x" }));
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("FORBIDDEN_SCOPE")));
    assert_eq!(with(&lar, &model, "POST", "/lar/v1/memories/search", &query).status, 403);
    assert_eq!(with(&lar, "", "POST", "/lar/v1/memories/search", &query).status, 401);
}
