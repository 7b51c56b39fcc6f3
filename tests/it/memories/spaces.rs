//! Which memories a key sees: the keys of a user share a space, and an agent has its own.

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

use super::{ids, save_text, with};

fn key(lar: &Lar, body: &Value) -> String {
    let made = lar.post("/lar/v1/keys", body).json();
    format!("authorization: Bearer {}\r\n", made["secret"].as_str().unwrap())
}

#[test]
fn a_key_sees_only_the_spaces_of_its_user_or_agent() {
    let lar = Lar::start();
    let (editor, robot) =
        (key(&lar, &json!({ "name": "editor" })), key(&lar, &json!({ "name": "robot", "agent": "robot" })));
    let mine = save_text(&lar, "My favourite colour is teal.");
    let search = |headers: &str| {
        let answer =
            with(&lar, headers, "POST", "/lar/v1/memories/search", &json!({ "query": "favourite colour" }));
        assert_eq!(answer.status, 200, "{}", answer.body);
        ids(&answer.json())
    };
    let add = |headers: &str, content: &str| {
        with(&lar, headers, "POST", "/lar/v1/memories", &json!({ "content": content }))
    };
    assert_eq!(search(&editor), [mine.as_str()], "the keys of a user share their memories");
    assert_eq!(search(&robot), [""; 0]);
    let its = add(&robot, "My favourite colour is chrome.").json()["id"].as_str().unwrap().to_owned();
    assert_eq!(search(&robot), [its.as_str()]);
    assert_eq!(search(&editor), [mine.as_str()]);
    let named = format!("{editor}x-agent-id: robot\r\n");
    assert_eq!(search(&named), [its.as_str()], "a user may read the memories of their agent");

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
fn scopes_are_enforced() {
    let lar = Lar::start();
    let reader = key(&lar, &json!({ "name": "reader", "scopes": ["memory:read"] }));
    let model = key(&lar, &json!({ "name": "model", "scopes": ["inference"] }));
    save_text(&lar, "The lights go out at eleven.");
    let query = json!({ "query": "lights" });
    let found = with(&lar, &reader, "POST", "/lar/v1/memories/search", &query);
    assert_eq!(
        (found.status, found.json()["mode"].as_str()),
        (200, Some("hybrid")),
        "embedding a query needs no `inference` scope"
    );
    let refused = with(&lar, &reader, "POST", "/lar/v1/memories", &json!({ "content": "x" }));
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("FORBIDDEN_SCOPE")));
    assert_eq!(with(&lar, &model, "POST", "/lar/v1/memories/search", &query).status, 403);
    assert_eq!(with(&lar, "", "POST", "/lar/v1/memories/search", &query).status, 401);
}

#[test]
fn a_team_space_is_shared_only_as_granted() {
    let lar = Lar::start();
    let invite = |name: &str| {
        let invited = lar.post("/lar/v1/users", &json!({ "name": name }));
        assert_eq!(invited.status, 201, "{}", invited.body);
        let secret = invited.json()["secret"].as_str().unwrap().to_owned();
        format!("authorization: Bearer {secret}\r\n")
    };
    let (ana, bo) = (invite("ana"), invite("bo"));
    assert_eq!(lar.post("/lar/v1/users", &json!({ "name": "ana" })).status, 409);
    assert_eq!(
        with(&lar, &ana, "GET", "/lar/v1/users", &Value::Null).status,
        403,
        "only an admin may invite users"
    );

    let code =
        |answer: &lar_tests::Answer| (answer.status, answer.json()["code"].as_str().map(str::to_owned));
    let forbidden = (403, Some("FORBIDDEN_SPACE".to_owned()));
    assert_eq!(with(&lar, &ana, "POST", "/lar/v1/spaces", &json!({ "name": "kitchen" })).status, 201);
    assert_eq!(with(&lar, &bo, "POST", "/lar/v1/spaces", &json!({ "name": "kitchen" })).status, 409);
    let team = |key: &str| format!("{key}x-space: kitchen\r\n");
    let fact = json!({ "content": "The rent of the oven is 10 euros." });
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
    assert_eq!(both, expected, "without a named space, all readable spaces are searched");

    // Bo has no access to the space, by any path, until Ana grants it.
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
    let corrected = json!({ "content": "The rent of the oven is 20 euros." });
    let decided = with(&lar, &team(&bo), "POST", "/lar/v1/memories/smart", &corrected);
    assert_eq!((decided.status, &decided.json()["decision"]), (201, &json!("supersede")));
    assert_eq!(search(&team(&ana)), [decided.json()["memory"]["id"].as_str().unwrap()]);

    // The grant does not include Bo's agent.
    let robot = format!("{}x-agent-id: robot\r\n", team(&bo));
    assert_eq!(code(&with(&lar, &robot, "POST", "/lar/v1/memories", &fact)), forbidden);

    assert_eq!(with(&lar, &ana, "DELETE", &format!("{grants}/bo"), &Value::Null).status, 204);
    assert_eq!(search(&bo), [""; 0]);
    assert_eq!(code(&with(&lar, &team(&bo), "POST", "/lar/v1/memories", &fact)), forbidden);
    assert_eq!(lar.send("DELETE", "/lar/v1/users/bo", &Value::Null).status, 204);
    assert_eq!(
        with(&lar, &bo, "GET", "/lar/v1/me", &Value::Null).status,
        401,
        "the keys of a removed user are invalid"
    );
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
    assert_eq!(kitchen.unwrap()["access"], "own", "the owner takes over a team's space");
}

#[test]
fn the_last_reader_and_writer_are_reported() {
    let lar = Lar::start();
    let editor = key(&lar, &json!({ "name": "editor" }));
    save_text(&lar, "The lights go out at eleven.");
    with(&lar, &editor, "POST", "/lar/v1/memories/search", &json!({ "query": "lights" }));
    let clients = lar.get("/lar/v1/memories/clients").json();
    let is_reported = |name: &str, field: &str| {
        let clients = clients["data"].as_array().unwrap();
        clients.iter().find(|client| client["name"] == name).unwrap()[field].is_string()
    };
    assert!(is_reported("owner", "written_at") && is_reported("editor", "read_at"));
    assert!(!is_reported("editor", "written_at"));
}

/// The source of the owner's memories: a word that is in no request of the tested key.
const SOURCE: &str = "Quillfeather";

/// A key that may write to a space with memories of the owner.
struct Writer<'a> {
    lar: &'a Lar,
    owner: String,
    key: String,
    /// Whether the key has `memory:read`.
    reads: bool,
}

impl<'a> Writer<'a> {
    fn new(lar: &'a Lar, space: &str, reads: bool) -> Self {
        let mut scopes = vec!["memory:write", "conversations"];
        scopes.extend(reads.then_some("memory:read"));
        let agent = format!("x-agent-id: {space}-{reads}\r\n");
        let owner = format!("authorization: Bearer {}\r\n{agent}", Lar::KEY);
        Self { lar, owner, key: format!("{}{agent}", lar.key(&scopes)), reads }
    }

    fn as_owner(&self, method: &str, path: &str, body: &Value) -> Answer {
        let answer = with(self.lar, &self.owner, method, path, body);
        assert!(answer.status < 300, "{}", answer.body);
        answer
    }

    fn remember(&self, content: &str) -> String {
        let body = json!({ "content": content, "source": SOURCE });
        let made = self.as_owner("POST", "/lar/v1/memories", &body);
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        with(self.lar, &self.key, method, path, body)
    }

    /// Sends a request whose answer contains the owner's memory if the key may read it, and only then.
    fn change(&self, method: &str, path: &str, body: &Value) -> Value {
        self.checked(&format!("{method} {path} {body}"), &self.send(method, path, body))
    }

    fn checked(&self, what: &str, answer: &Answer) -> Value {
        assert!(matches!(answer.status, 200 | 201), "{what}: {}", answer.body);
        assert_eq!(answer.body.contains(SOURCE), self.reads, "{what}: {}", answer.body);
        answer.json()
    }

    /// Sends a request whose answer never contains the text of a memory.
    fn change_unseen(&self, method: &str, path: &str, body: &Value) -> Answer {
        let answer = self.send(method, path, body);
        assert!(!answer.body.contains(SOURCE), "{method} {path} {body}: {}", answer.body);
        answer
    }

    fn tool(&self, name: &str, arguments: &Value) -> Answer {
        let accept = "accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n";
        let params = json!({ "name": name, "arguments": arguments });
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let answer = with(self.lar, &format!("{}{accept}", self.key), "POST", "/mcp", &call);
        assert_ne!(answer.json()["result"]["isError"], true, "{}", answer.body);
        answer
    }
}

fn fields(value: &Value) -> Vec<&str> {
    let mut fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

/// The fields of a memory in an answer to a key that may not read it.
const UNREAD: [&str; 3] = ["id", "updated_at", "version"];

#[test]
fn a_key_without_memory_read_is_shown_no_memory_in_the_answers_to_its_changes() {
    let lar = Lar::start();
    for reads in [false, true] {
        let writer = Writer::new(&lar, "changes", reads);
        let id = writer.remember("The lights go out at eleven.");
        let path = format!("/lar/v1/memories/{id}");
        let shown = writer.as_owner("GET", &path, &Value::Null).json();
        let unchanged = writer.send("PATCH", &path, &json!({}));
        assert!(unchanged.head.contains("etag: \"1\""), "{}", unchanged.head);
        let unchanged = writer.checked("an empty change", &unchanged);
        assert_eq!(fields(&unchanged), if reads { fields(&shown) } else { UNREAD.to_vec() });
        writer.change("PATCH", &path, &json!({ "pinned": true }));
        writer.change("POST", &format!("{path}/promote"), &json!({}));
        writer.change("POST", &format!("{path}/demote"), &json!({ "reason": "no" }));
        for feedback in ["useful", "wrong", "outdated"] {
            writer.change("POST", &format!("{path}/feedback"), &json!({ "feedback": feedback }));
        }
        writer.change("POST", &format!("{path}/undo"), &json!({}));
        assert_eq!(writer.change_unseen("DELETE", &path, &Value::Null).status, 204);
        let restored = writer.change("PATCH", &path, &json!({ "deleted": false }));
        assert_eq!(restored.get("deleted_at"), None);

        let other = format!("/lar/v1/memories/{}", writer.remember("The lights go out at twelve."));
        let same =
            writer.change_unseen("PATCH", &other, &json!({ "content": "The lights go out at eleven." }));
        assert_eq!(same.status, 409, "{}", same.body);
        let exported = writer.as_owner("GET", "/lar/v1/memories/export", &Value::Null).body;
        let head = format!(
            "POST /lar/v1/memories/import HTTP/1.1\r\nhost: {}\r\n{}content-type: application/x-ndjson\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            lar.address,
            writer.key,
            exported.len()
        );
        let imported = lar.raw(&head, exported.as_bytes());
        assert_eq!(imported.json(), json!({ "imported": 0, "unchanged": 2 }), "{}", imported.body);

        for (method, path) in [
            ("GET", path.clone()),
            ("GET", format!("{path}/history")),
            ("GET", "/lar/v1/memories".into()),
            ("GET", "/lar/v1/memories/stats".into()),
            ("GET", "/lar/v1/memories/inbox".into()),
            ("GET", "/lar/v1/memories/clients".into()),
            ("GET", "/lar/v1/memories/export".into()),
            ("GET", "/lar/v1/spaces".into()),
            ("POST", "/lar/v1/memories/search".into()),
        ] {
            let body = if method == "POST" { json!({ "query": "lights" }) } else { Value::Null };
            let status = writer.send(method, &path, &body).status;
            assert_eq!(status, if reads { 200 } else { 403 }, "{method} {path}");
        }
    }
}

#[test]
fn a_key_without_memory_read_is_shown_no_memory_by_repeating_a_known_fact() {
    let lar = Lar::start();
    for reads in [false, true] {
        let writer = Writer::new(&lar, "same", reads);
        writer.remember("The lights go out at eleven.");
        let same = json!({ "content": "The lights go out at eleven.", "source": SOURCE });
        let outcome = writer.change("POST", "/lar/v1/memories", &same);
        assert_eq!(outcome["created"], false);
        writer.change("POST", "/lar/v1/memories/batch", &json!({ "items": [same] }));
        let new = json!({ "content": "The gate stays open." });
        let outcome = writer.send("POST", "/lar/v1/memories", &new).json();
        assert_eq!(outcome["created"], true);
        assert_eq!(outcome.get("content"), reads.then(|| &new["content"]));

        for (known, text, decision) in [
            ("Tomasz leads Atlas.", "Tomasz leads Atlas.", "reinforce"),
            ("Our dog is called Balu.", "Our dog is called Balu and is a Bernese mountain dog.", "update"),
            (
                "Balu the dog was at the vet on 3 May for a vaccination.",
                "Balu the dog was at the vet on 3 May and weighs 38 kg.",
                "create",
            ),
            ("The rent of the workshop is 900 euros.", "The rent of the workshop is 950 euros.", "supersede"),
        ] {
            let writer = Writer::new(&lar, decision, reads);
            let id = writer.remember(known);
            let decided = writer.change("POST", "/lar/v1/memories/smart", &json!({ "content": text }));
            assert_eq!((&decided["decision"], &decided["against"]["id"]), (&json!(decision), &json!(id)));
            if reads {
                assert_eq!(decided["against"]["content"], known);
                assert!(decided["reason"].is_string() && decided.get("confidence").is_none(), "{decided}");
            } else {
                let linked: &[&str] = if decision == "create" { &["link"] } else { &[] };
                let shown = [&["against", "decision"], linked, &["memory"]].concat();
                assert_eq!(fields(&decided), shown);
                assert_eq!(fields(&decided["against"]), ["id"]);
                assert_eq!(fields(&decided["memory"]), UNREAD);
            }
        }

        // The candidate in the inbox is from a message of another key.
        let writer = Writer::new(&lar, "inbox", reads);
        let message = json!({ "content": format!("I play the oboe in the {SOURCE} orchestra.") });
        assert_eq!(writer.as_owner("POST", "/lar/v1/memories/intents", &message).json()["suggested"], 1);
        let waiting = writer.as_owner("GET", "/lar/v1/memories/inbox", &Value::Null).json();
        let accept = format!("/lar/v1/memories/inbox/{}/accept", waiting["data"][0]["id"].as_str().unwrap());
        writer.change("POST", &accept, &json!({}));
        let asked = json!({ "content": "Forget that I play the oboe." });
        assert_eq!(writer.change_unseen("POST", "/lar/v1/memories/intents", &asked).status, 200);

        // A repeated request is answered with the current memory.
        let writer = Writer::new(&lar, "again", reads);
        for (path, content) in [
            ("/lar/v1/memories", "The attic is dry."),
            ("/lar/v1/memories/smart", "Anna studies law in Vienna."),
            ("/lar/v1/memories/batch", "The garage has two windows."),
        ] {
            let body = match path {
                "/lar/v1/memories/batch" => json!({ "items": [{ "content": content }] }),
                _ => json!({ "content": content }),
            };
            let key = format!("{}idempotency-key: \"{content}\"\r\n", writer.key);
            let first = with(&lar, &key, "POST", path, &body);
            assert_eq!(first.status, 201, "{}", first.body);
            let made = first.json();
            let id = [&made["id"], &made["memory"]["id"], &made["items"][0]["id"]];
            let id = id.iter().find_map(|id| id.as_str()).unwrap();
            writer.as_owner("PATCH", &format!("/lar/v1/memories/{id}"), &json!({ "tags": [SOURCE] }));
            let again = with(&lar, &key, "POST", path, &body);
            assert!(again.head.contains("idempotent-replayed: true"), "{}", again.head);
            writer.checked(path, &again);
        }
    }
}

#[test]
fn a_key_without_memory_read_is_shown_no_memory_by_tools() {
    let lar = Lar::start();
    for reads in [false, true] {
        let writer = Writer::new(&lar, "tools", reads);
        writer.remember("The rent of the workshop is 900 euros.");
        let saved =
            writer.tool("memory_save", &json!({ "content": "The rent of the workshop is 950 euros." }));
        writer.checked("memory_save", &saved);
        assert_eq!(saved.body.contains("900 euros"), reads, "{}", saved.body);
        assert!(saved.body.contains("Supersedes mem_"), "{}", saved.body);
        let turn = writer.remember("The lights go out at eleven.");
        let after = json!({ "content": "And the doors?", "after": turn });
        assert!(!writer.tool("memory_save", &after).body.contains(SOURCE));
        for feedback in ["useful", "wrong", "outdated"] {
            let outcome = writer.tool("memory_feedback", &json!({ "id": turn, "feedback": feedback }));
            writer.checked("memory_feedback", &outcome);
        }
        writer.checked("memory_forget", &writer.tool("memory_forget", &json!({ "id": turn })));

        let writer = Writer::new(&lar, "bridge", reads);
        writer.remember("The rent of the workshop is 900 euros.");
        let message = json!({ "content": "The rent of the workshop is 950 euros." });
        let decided = writer.change_unseen("POST", "/bridge/smart_ingest", &message).json();
        assert_eq!(decided["data"]["decision"], "supersede", "{decided}");
        assert_eq!(decided["data"]["reason"].is_string(), reads, "{decided}");
        let id = writer.remember("The lights go out at eleven.");
        for tool in ["promote", "demote"] {
            writer.change("POST", &format!("/bridge/{tool}"), &json!({ "id": id }));
        }
        for body in [
            json!({ "action": "promote", "id": id }),
            json!({ "action": "edit", "id": id, "content": "The lights go out at ten." }),
            json!({ "action": "delete", "id": id }),
        ] {
            let changed = writer.change("POST", "/bridge/memory", &body);
            assert_eq!(changed["data"]["node"]["id"], json!(id), "{changed}");
        }
    }
}

#[test]
fn a_key_without_memory_read_cannot_grant_others_read_access() {
    let lar = Lar::start();
    let space = lar.post("/lar/v1/spaces", &json!({ "name": "kitchen" })).json();
    let grants = format!("/lar/v1/spaces/{}/grants", space["id"].as_str().unwrap());
    let invited = lar.post("/lar/v1/users", &json!({ "name": "bob" }));
    assert_eq!(invited.status, 201, "{}", invited.body);
    let made = lar.post("/lar/v1/keys", &json!({ "name": "narrow", "scopes": ["memory:write"] })).json();
    let narrow = format!("authorization: Bearer {}\r\n", made["secret"].as_str().unwrap());
    let grant = json!({ "user": "bob", "access": "read" });
    for (method, body) in [("POST", &grant), ("GET", &Value::Null)] {
        let refused = with(&lar, &narrow, method, &grants, body);
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (403, Some("FORBIDDEN_SCOPE")),
            "{method}"
        );
    }
    assert_eq!(lar.get(&grants).json()["data"], json!([]));
    assert_eq!(lar.post(&grants, &grant).status, 200, "a key with both scopes may grant access");
}
