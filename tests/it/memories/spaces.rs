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

#[test]
fn a_team_shares_what_it_grants_and_no_more() {
    let lar = Lar::start();
    let invite = |name: &str| {
        let invited = lar.post("/lar/v1/users", &json!({ "name": name }));
        assert_eq!(invited.status, 201, "{}", invited.body);
        let secret = invited.json()["secret"].as_str().unwrap().to_owned();
        format!("authorization: Bearer {secret}\r\n")
    };
    let (ana, bo) = (invite("ana"), invite("bo"));
    assert_eq!(lar.post("/lar/v1/users", &json!({ "name": "ana" })).status, 409);
    assert_eq!(with(&lar, &ana, "GET", "/lar/v1/users", &Value::Null).status, 403, "people invite nobody");

    let code =
        |answer: &lar_tests::Answer| (answer.status, answer.json()["code"].as_str().map(str::to_owned));
    let forbidden = (403, Some("FORBIDDEN_SPACE".to_owned()));
    assert_eq!(with(&lar, &ana, "POST", "/lar/v1/spaces", &json!({ "name": "kitchen" })).status, 201);
    assert_eq!(with(&lar, &bo, "POST", "/lar/v1/spaces", &json!({ "name": "kitchen" })).status, 409);
    let team = |key: &str| format!("{key}x-space: kitchen\r\n");
    let fact = json!({ "content": "The oven runs ten degrees too hot." });
    let made = with(&lar, &team(&ana), "POST", "/lar/v1/memories", &fact);
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let own = with(
        &lar,
        &ana,
        "POST",
        "/lar/v1/memories",
        &json!({ "content": "The oven is a present from Leo." }),
    );
    let own = own.json()["id"].as_str().unwrap().to_owned();
    let search = |headers: &str| {
        ids(&with(&lar, headers, "POST", "/lar/v1/memories/search", &json!({ "query": "the oven" })).json())
    };
    assert_eq!(search(&team(&ana)), [id.as_str()]);
    let mut both = search(&ana);
    both.sort();
    let mut expected = vec![id.clone(), own];
    expected.sort();
    assert_eq!(both, expected, "without a space named, all that one may read");

    // Bo sees nothing of it, by any way, until Ana grants it.
    let path = format!("/lar/v1/memories/{id}");
    let grants = "/lar/v1/spaces/kitchen/grants";
    assert_eq!(search(&bo), [""; 0]);
    assert_eq!(
        code(&with(&lar, &team(&bo), "POST", "/lar/v1/memories/search", &json!({ "query": "oven" }))),
        forbidden
    );
    assert_eq!(code(&with(&lar, &team(&bo), "POST", "/lar/v1/memories", &fact)), forbidden);
    assert_eq!(with(&lar, &bo, "GET", &path, &Value::Null).status, 404);
    assert_eq!(with(&lar, &bo, "GET", grants, &Value::Null).status, 404);
    let grant = |access: &str| with(&lar, &ana, "POST", grants, &json!({ "user": "bo", "access": access }));
    assert_eq!(with(&lar, &bo, "POST", grants, &json!({ "user": "bo", "access": "write" })).status, 404);

    assert_eq!(grant("read").status, 200);
    assert_eq!(search(&bo), [id.as_str()]);
    assert_eq!(
        code(&with(&lar, &team(&bo), "POST", "/lar/v1/memories", &json!({ "content": "mine" }))),
        forbidden
    );
    for (method, path, body) in [
        ("PATCH", path.clone(), json!({ "content": "taken over" })),
        ("DELETE", path.clone(), Value::Null),
        ("DELETE", format!("{path}?erase=true"), Value::Null),
        ("POST", format!("{path}/promote"), json!({})),
        ("POST", format!("{path}/undo"), Value::Null),
    ] {
        assert_eq!(code(&with(&lar, &bo, method, &path, &body)), forbidden, "{method} {path}");
    }
    assert_eq!(
        code(&with(&lar, &bo, "POST", grants, &json!({ "user": "bo", "access": "write" }))),
        forbidden
    );
    assert_eq!(with(&lar, &bo, "GET", "/lar/v1/memories/stats", &Value::Null).json()["memories"], 1);

    assert_eq!(grant("write").status, 200);
    let corrected = json!({ "content": "The oven runs twenty degrees too hot." });
    let decided = with(&lar, &team(&bo), "POST", "/lar/v1/memories/smart", &corrected);
    assert_eq!((decided.status, &decided.json()["decision"]), (201, &json!("supersede")));
    assert_eq!(search(&team(&ana)), [decided.json()["memory"]["id"].as_str().unwrap()]);

    // An agent of Bo's has no part in it.
    let robot = format!("{}x-agent-id: robot\r\n", team(&bo));
    assert_eq!(code(&with(&lar, &robot, "POST", "/lar/v1/memories", &fact)), forbidden);

    assert_eq!(with(&lar, &ana, "DELETE", &format!("{grants}/bo"), &Value::Null).status, 204);
    assert_eq!(search(&bo), [""; 0]);
    assert_eq!(code(&with(&lar, &team(&bo), "POST", "/lar/v1/memories", &fact)), forbidden);
    assert_eq!(lar.send("DELETE", "/lar/v1/users/bo", &Value::Null).status, 204);
    assert_eq!(with(&lar, &bo, "GET", "/lar/v1/me", &Value::Null).status, 401, "who was removed has no key");
    assert_eq!(lar.send("DELETE", "/lar/v1/users/owner", &Value::Null).status, 409);
    for name in ["../x", "a b", "", "x/y"] {
        assert_eq!(
            with(&lar, &ana, "POST", "/lar/v1/spaces", &json!({ "name": name })).status,
            400,
            "{name}"
        );
        assert_eq!(lar.post("/lar/v1/users", &json!({ "name": name })).status, 400, "{name}");
    }
    assert_eq!(lar.send("DELETE", "/lar/v1/users/ana", &Value::Null).status, 204);
    let left = lar.get("/lar/v1/spaces").json();
    let kitchen = left["data"].as_array().unwrap().iter().find(|space| space["name"] == "kitchen").cloned();
    assert_eq!(kitchen.unwrap()["access"], "own", "a team's space goes on with the owner");
}

#[test]
fn who_read_and_wrote_last_is_told() {
    let lar = Lar::start();
    let editor = key(&lar, &json!({ "name": "editor" }));
    said(&lar, "The lights go out at eleven.");
    with(&lar, &editor, "POST", "/lar/v1/memories/search", &json!({ "query": "lights" }));
    let clients = lar.get("/lar/v1/memories/clients").json();
    let told = |name: &str, field: &str| {
        let clients = clients["data"].as_array().unwrap();
        clients.iter().find(|client| client["name"] == name).unwrap()[field].is_string()
    };
    assert!(told("owner", "written_at") && told("editor", "read_at"));
    assert!(!told("editor", "written_at"));
}
