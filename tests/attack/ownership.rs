//! Every route with an id in its path, called with the ids of another user's resources while that user's
//! answer runs.

use std::io::Read as _;

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

/// The ids of the owner's resources.
struct OtherUsersResources {
    conversation: String,
    message: String,
    task: String,
    turn: String,
    response: String,
    memory: String,
    link: String,
    intention: String,
    space: String,
    key: String,
    user: String,
}

/// Paths of resources that all users share. The matrix excludes them.
const SHARED: [&str; 3] = ["/lar/v1/aliases/", "/lar/v1/catalog/models/", "/lar/v1/pools/"];

impl OtherUsersResources {
    /// Replaces the placeholders of a path by ids. `{id}` becomes the resource that the path names.
    fn fill(&self, path: &str) -> String {
        let id = match path {
            path if path.contains("/conversations/") => &self.conversation,
            path if path.contains("/tasks/") => &self.task,
            path if path.contains("/responses/") => &self.response,
            path if path.contains("/memories/links/") => &self.link,
            path if path.contains("/memories/intentions/") => &self.intention,
            path if path.contains("/memories/") => &self.memory,
            path if path.contains("/spaces/") => &self.space,
            path if path.contains("/keys/") => &self.key,
            path if path.contains("/users/") => &self.user,
            path => panic!("{path} names no resource of the owner"),
        };
        path.replace("{id}", id).replace("{message}", &self.message).replace("{user}", &self.user)
    }
}

/// Returns a valid body for a route.
fn body(method: &str, path: &str) -> Value {
    match (method, path.rsplit('/').next().unwrap_or_default()) {
        ("PATCH", _) if path.contains("/conversations/") => json!({ "title": "mine", "model": "default" }),
        ("PATCH", _) => json!({ "content": "changed by somebody else" }),
        ("POST", "messages") => json!({ "content": "hi", "max_tokens": 1 }),
        ("POST", "branch") => json!({ "content": "hi", "max_tokens": 1 }),
        ("POST", "regenerate") => json!({ "max_tokens": 1 }),
        ("POST", "feedback") if path.contains("/conversations/") => json!({ "rating": "bad" }),
        ("POST", "feedback") => json!({ "feedback": "wrong" }),
        ("POST", _) if path.contains("/memories/links/") => json!({ "resolution": "replace" }),
        ("POST", "grants") => json!({ "user": "mallory", "access": "write" }),
        ("POST", "accept" | "promote" | "demote" | "undo") => json!({}),
        _ => Value::Null,
    }
}

/// Returns every route of the OpenAPI document with an id of a user's resource, and those of OpenAI's
/// Responses API.
fn routes(lar: &Lar) -> Vec<(String, String)> {
    let described = lar.get("/openapi.json").json();
    let mut routes: Vec<(String, String)> = Vec::new();
    for (path, methods) in described["paths"].as_object().unwrap() {
        if path.contains('{') && !SHARED.iter().any(|shared| path.starts_with(shared)) {
            let methods = methods.as_object().unwrap().keys();
            routes.extend(methods.map(|method| (method.to_ascii_uppercase(), path.clone())));
        }
    }
    for (method, end) in [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")] {
        routes.push((method.into(), format!("/v1/responses/{{id}}{end}")));
    }
    routes
}

fn field_of(answer: &Answer, field: &str) -> String {
    answer.json()[field].as_str().unwrap_or_else(|| panic!("{}", answer.body)).to_owned()
}

/// Saves a memory that may replace another one; returns the id of the link between them.
fn link_memory(lar: &Lar, older: &str) -> String {
    let newer = json!({ "content": "The door code is in the drawer." });
    let newer = field_of(&lar.post("/lar/v1/memories", &newer), "id");
    let exported = lar.get("/lar/v1/memories/export").body;
    let mut lines = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut line = lines.find(|line| line["id"] == newer.as_str()).unwrap();
    let link = format!("link_{:032x}", 1);
    line["links"] = json!([{
        "id": link, "older": older, "relation": "may_replace", "reason": "another place",
        "by": line["written_by"], "created_at": "2026-11-30T10:00:00Z",
    }]);
    let body = line.to_string();
    let head = lar.head("POST", "/lar/v1/memories/import", body.len());
    let imported = lar.raw(&head.replace("application/json", "application/x-ndjson"), body.as_bytes());
    assert_eq!(imported.status, 200, "{}", imported.body);
    link
}

#[test]
fn requests_for_resources_of_others_are_refused_without_effect() {
    let lar = Lar::start_with("[engines]\nconcurrency = 4\n");
    let mallory = lar.invite("mallory");
    let conversation = field_of(&lar.post("/lar/v1/conversations", &json!({})), "id");
    let path = format!("/lar/v1/conversations/{conversation}");
    let first = lar.post(&format!("{path}/messages"), &json!({ "content": "Hello.", "max_tokens": 4 }));
    let question = first.events()[0].1["question"]["id"].as_str().unwrap().to_owned();
    let message =
        json!({ "content": "Tell a very long story.", "max_tokens": 900, "temperature": 0 }).to_string();
    let mut turn =
        lar.open(&lar.head("POST", &format!("{path}/messages"), message.len()), message.as_bytes());
    let running = lar.until("the turn to begin", |lar| {
        lar.get(&path).json()["running_task"].as_str().map(ToOwned::to_owned)
    });
    let response = json!({ "model": "default", "input": "Count to a thousand.", "background": true,
                           "max_output_tokens": 400, "temperature": 0 });
    let memory = field_of(
        &lar.post("/lar/v1/memories", &json!({ "content": "The door code is on the fridge." })),
        "id",
    );
    let intention = json!({ "content": "Change the door code.", "trigger": { "topic": "the door" } });
    let things = OtherUsersResources {
        message: question,
        task: lar.make_task(600).unwrap(),
        turn: running,
        response: field_of(&lar.post("/v1/responses", &response), "id"),
        link: link_memory(&lar, &memory),
        intention: field_of(&lar.post("/lar/v1/memories/intentions", &intention), "id"),
        memory,
        space: field_of(&lar.post("/lar/v1/spaces", &json!({ "name": "team" })), "id"),
        key: field_of(&lar.get("/lar/v1/me"), "key_id"),
        user: field_of(&lar.get("/lar/v1/me"), "user_id"),
        conversation,
    };

    let routes = routes(&lar);
    let mut tried = 0;
    let mut refused = |headers: &str, method: &str, path: &str| {
        let answer = lar.send_with(headers, method, path, &body(method, path));
        assert!(matches!(answer.status, 403 | 404), "{method} {path}: {} {}", answer.status, answer.body);
        tried += 1;
    };
    // The callers are another user, and a key of the owner without the needed scopes.
    let narrow = lar.key(&["inference"]);
    for (method, path) in &routes {
        refused(&mallory, method, &things.fill(path));
        if path.contains("/conversations/") || path.contains("/memories/") || path.contains("/responses/") {
            refused(&narrow, method, &things.fill(path));
        }
    }
    for erase in [&mallory, &narrow] {
        refused(erase, "DELETE", &format!("{}?erase=true", things.fill("/lar/v1/conversations/{id}")));
        refused(erase, "DELETE", &format!("{}?erase=true", things.fill("/lar/v1/memories/{id}")));
        for task in [&things.task, &things.turn] {
            refused(erase, "GET", &format!("/lar/v1/tasks/{task}"));
            refused(erase, "GET", &format!("/lar/v1/tasks/{task}/stream"));
            refused(erase, "POST", &format!("/lar/v1/tasks/{task}/cancel"));
        }
    }
    for path in ["/lar/v1/conversations", "/lar/v1/conversations/export", "/lar/v1/keys", "/lar/v1/memories"]
    {
        refused(&narrow, "GET", path);
    }
    assert!(
        routes.len() >= 28 && tried >= 70,
        "the matrix has only {} routes and {tried} tries",
        routes.len()
    );
    for path in ["/lar/v1/conversations", "/lar/v1/tasks", "/lar/v1/memories"] {
        let listed = lar.send_with(&mallory, "GET", path, &Value::Null);
        assert_eq!((listed.status, listed.json()["data"].clone()), (200, json!([])), "{path}");
    }
    // The tasks still run, so each rejected request could have stopped them.
    let still_running = lar.get(&path).json()["running_task"].clone();
    assert_eq!(still_running, things.turn.as_str(), "the turn ended before everything was tried");
    let task = lar.get(&format!("/lar/v1/tasks/{}", things.task)).json();
    assert_eq!(task["state"], "running", "the task ended before everything was tried: {task}");

    // All resources are unchanged, and the tasks run to their end.
    let mut rest = String::new();
    turn.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("event: end\n"),
        "the answer was stopped: {}",
        &rest[rest.len().saturating_sub(500)..]
    );
    let kept = lar.get(&path).json();
    let messages = kept["messages"].as_array().unwrap();
    assert_eq!((kept["deleted_at"].clone(), messages.len()), (Value::Null, 4));
    assert!(messages.iter().all(|message| message["rating"].is_null()));
    let state = lar.until("the task to end", |lar| {
        let state = lar.get(&format!("/lar/v1/tasks/{}", things.task)).json()["state"].clone();
        (state != "running").then_some(state)
    });
    assert_eq!(state, "end");
    let response = lar.until("the response to end", |lar| {
        let response = lar.get(&format!("/v1/responses/{}", things.response)).json();
        (response["status"] != "in_progress" && response["status"] != "queued").then_some(response)
    });
    assert!(matches!(response["status"].as_str(), Some("completed" | "incomplete")), "{response}");
    let memory = lar.get(&format!("/lar/v1/memories/{}", things.memory)).json();
    assert_eq!(memory["content"], "The door code is on the fridge.");
    let links = lar.get("/lar/v1/memories/links").json();
    assert_eq!(links["data"][0]["id"], things.link.as_str());
    assert_eq!(lar.get(&format!("/lar/v1/spaces/{}/grants", things.space)).json()["data"], json!([]));
}

#[test]
fn a_key_sees_its_own_tasks_and_those_of_others_with_conversations_only() {
    let lar = Lar::start();
    let [one, other] = [0; 2].map(|_| lar.key(&["inference"]));
    let wide = lar.key(&["inference", "conversations"]);
    let task = json!({ "workload": "completion", "prompt": "1, 2,", "max_tokens": 2, "detached": true });
    let taken = lar.send_with(&one, "POST", "/lar/v1/tasks", &task);
    let id = field_of(&taken, "task_id");
    let listed = |headers: &str| {
        let tasks = lar.send_with(headers, "GET", "/lar/v1/tasks", &Value::Null).json();
        tasks["data"].as_array().unwrap().iter().any(|task| task["id"] == id.as_str())
    };
    assert_eq!([&one, &other, &wide].map(|headers| listed(headers)), [true, false, true]);
    let followed = |headers: &str| {
        lar.send_with(headers, "GET", &format!("/lar/v1/tasks/{id}/stream"), &Value::Null).status
    };
    assert_eq!([&one, &other, &wide].map(|headers| followed(headers)), [200, 404, 200]);
}

#[test]
fn usage_covers_keys_with_visible_tasks_and_metrics_need_admin() {
    let lar = Lar::start();
    let [one, other] = [0; 2].map(|_| lar.key(&["inference"]));
    let wide = lar.key(&["inference", "conversations"]);
    let mallory = lar.invite("mallory");
    let completion = json!({ "model": "default", "prompt": "1, 2,", "max_tokens": 1 });
    for headers in [&one, &other] {
        assert_eq!(lar.send_with(headers, "POST", "/v1/completions", &completion).status, 200);
    }
    let id = |headers: &str| field_of(&lar.send_with(headers, "GET", "/lar/v1/me", &Value::Null), "key_id");
    let [first, second] = [&one, &other].map(|headers| id(headers));
    let keys = |lar: &Lar, headers: &str| {
        let usage = lar.send_with(headers, "GET", "/lar/v1/usage", &Value::Null).json();
        let mut keys: Vec<String> = usage["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["key_id"].as_str().unwrap().to_owned())
            .collect();
        keys.sort();
        keys
    };
    let mut both = vec![first.clone(), second.clone()];
    both.sort();
    // Lar stores usage shortly after the answer.
    lar.until("the usage to be stored", |lar| (keys(lar, &wide) == both).then_some(()));
    assert_eq!(keys(&lar, &one), [first]);
    assert_eq!(keys(&lar, &other), [second]);
    assert_eq!(keys(&lar, &mallory), Vec::<String>::new());

    let admin = lar.key(&["admin"]);
    let status = |headers: &str| lar.send_with(headers, "GET", "/metrics", &Value::Null).status;
    assert_eq!([&one, &wide, &mallory, &admin].map(|headers| status(headers)), [403, 403, 403, 200]);
}

/// Sends a message with a lasting fact, as an app with its own chat does. The fact is added to the inbox.
fn send_message(lar: &Lar, headers: &str, content: &str) {
    let reply =
        lar.send_with(headers, "POST", "/lar/v1/memories/intents", &json!({ "content": content })).json();
    assert_eq!(reply["suggested"], 1, "{reply}");
}

/// Returns the text and the id of each inbox entry, newest first.
fn list_inbox(lar: &Lar, headers: &str) -> Vec<(String, String)> {
    let inbox = lar.send_with(headers, "GET", "/lar/v1/memories/inbox", &Value::Null).json();
    let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
    let entries = inbox["data"].as_array().unwrap();
    entries.iter().map(|entry| (text(entry, "content"), text(entry, "id"))).collect()
}

fn texts(entries: &[(String, String)]) -> Vec<String> {
    entries.iter().map(|(text, _)| text.clone()).collect()
}

/// Accepts or rejects an inbox entry.
fn decide(lar: &Lar, headers: &str, id: &str, verb: &str) -> u16 {
    let path = format!("/lar/v1/memories/inbox/{id}/{verb}");
    lar.send_with(headers, "POST", &path, &json!({})).status
}

/// Inbox entries are a user's own words that nobody has accepted yet.
#[test]
fn inbox_entries_are_for_their_own_key_and_for_keys_with_conversations() {
    let lar = Lar::start();
    let [app, other] = [0; 2].map(|_| lar.key(&["memory:read", "memory:write"]));
    let wide = lar.key(&["memory:read", "memory:write", "conversations"]);
    let mallory = lar.invite("mallory");
    let owner = format!("authorization: Bearer {}\r\n", Lar::KEY);
    let conversation = field_of(&lar.post("/lar/v1/conversations", &json!({})), "id");
    let message = json!({ "content": "I play the oboe in an orchestra.", "max_tokens": 1 });
    assert_eq!(lar.post(&format!("/lar/v1/conversations/{conversation}/messages"), &message).status, 200);
    send_message(&lar, &app, "My bike was stolen last week.");
    let space = field_of(&lar.post("/lar/v1/spaces", &json!({ "name": "band" })), "id");
    let grant = json!({ "user": "mallory", "access": "write" });
    assert!(lar.post(&format!("/lar/v1/spaces/{space}/grants"), &grant).status < 300);
    send_message(&lar, &format!("{app}x-space: band\r\n"), "Our drummer lives in Leeds.");
    let texts = |headers: &str| texts(&list_inbox(&lar, headers));
    let (oboe, bike, drummer) =
        ("I play the oboe in an orchestra.", "My bike was stolen last week.", "Our drummer lives in Leeds.");
    assert_eq!(texts(&owner), [drummer, bike, oboe]);
    assert_eq!(texts(&wide), [drummer, bike, oboe]);
    assert_eq!(texts(&app), [drummer, bike], "its own entries");
    let nothing: [&str; 0] = [];
    assert_eq!(texts(&other), nothing);
    assert_eq!(texts(&mallory), nothing, "not even entries of a space that is shared with her");
    assert_eq!(texts(&format!("{mallory}x-space: band\r\n")), nothing);

    let all = list_inbox(&lar, &owner);
    let id = |text: &str| all.iter().find(|(found, _)| found == text).unwrap().1.clone();
    let decide = |headers: &str, text: &str, verb: &str| decide(&lar, headers, &id(text), verb);
    for verb in ["accept", "reject"] {
        for text in [oboe, bike, drummer] {
            assert_eq!(
                [&other, &mallory].map(|headers| decide(headers, text, verb)),
                [404; 2],
                "{verb} {text}"
            );
        }
        assert_eq!(decide(&app, oboe, verb), 404);
    }
    let stats = |headers: &str| {
        lar.send_with(headers, "GET", "/lar/v1/memories/stats", &Value::Null).json()["memories"].clone()
    };
    assert_eq!([&owner, &other].map(|headers| stats(headers)), [json!(0), json!(0)]);
    assert_eq!(texts(&owner), [drummer, bike, oboe], "a rejected request changed the inbox");

    assert_eq!((decide(&app, bike, "reject"), decide(&wide, oboe, "accept")), (204, 200));
    assert_eq!(texts(&owner), [drummer]);
    let shared = lar.send_with(&other, "GET", "/lar/v1/memories", &Value::Null).json();
    assert_eq!(shared["data"][0]["content"], oboe, "the accepted entry is no memory: {shared}");
}

/// A key cannot find out that another key added the same sentence, and keeps its own entry.
#[test]
fn a_sentence_from_several_keys_is_one_inbox_entry_for_each_key_and_for_their_person() {
    let lar = Lar::start();
    let scopes = ["memory:read", "memory:write"];
    let [one, two] = [0; 2].map(|_| lar.key(&scopes));
    let wide = lar.key(&["memory:read", "memory:write", "conversations"]);
    let mallory = lar.invite("mallory");
    let (bike, oboe, drummer) =
        ("My bike was stolen last week.", "I play the oboe in an orchestra.", "Our drummer lives in Leeds.");
    let inbox = |headers: &str| texts(&list_inbox(&lar, headers));
    let nothing: [&str; 0] = [];

    // One of the keys rejects the sentence, then the user rejects it for all keys.
    for key in [&one, &two, &one] {
        send_message(&lar, key, bike);
    }
    assert_eq!([&one, &two].map(|key| inbox(key)), [[bike], [bike]], "each key sees its own entry");
    assert_eq!(inbox(&wide), [bike], "the user sees one entry");
    let [of_one, of_two] = [&one, &two].map(|key| list_inbox(&lar, key)[0].1.clone());
    assert_ne!(of_one, of_two);
    assert_eq!([(&one, &of_two), (&two, &of_one)].map(|(key, id)| decide(&lar, key, id, "reject")), [404; 2]);
    assert_eq!(decide(&lar, &one, &of_one, "reject"), 204);
    assert_eq!(inbox(&one), nothing);
    assert_eq!([&two, &wide].map(|key| inbox(key)), [[bike], [bike]], "the entry of the other key stays");
    send_message(&lar, &one, bike);
    assert_eq!(decide(&lar, &wide, &list_inbox(&lar, &wide)[0].1, "reject"), 204);
    assert_eq!([&one, &two, &wide].map(|key| inbox(key)), [nothing; 3]);

    // An accepted sentence is a memory, so it is in no inbox.
    for key in [&one, &two] {
        send_message(&lar, key, oboe);
    }
    assert_eq!(decide(&lar, &one, &list_inbox(&lar, &one)[0].1, "accept"), 200);
    assert_eq!([&one, &two, &wide].map(|key| inbox(key)), [nothing; 3]);

    // The same applies to a saved sentence.
    for key in [&one, &two] {
        send_message(&lar, key, bike);
    }
    let message = json!({ "content": format!("Remember that {bike}") });
    let saved = lar.send_with(&two, "POST", "/lar/v1/memories/intents", &message).json();
    assert_eq!(saved["saved"].as_array().unwrap().len(), 1, "{saved}");
    assert_eq!([&one, &two, &wide].map(|key| inbox(key)), [nothing; 3]);

    // In a space that two users share, each of them has their own entry.
    let space = field_of(&lar.post("/lar/v1/spaces", &json!({ "name": "band" })), "id");
    let grant = json!({ "user": "mallory", "access": "write" });
    assert!(lar.post(&format!("/lar/v1/spaces/{space}/grants"), &grant).status < 300);
    let [of_one, of_mallory] = [&one, &mallory].map(|key| format!("{key}x-space: band\r\n"));
    for key in [&of_one, &of_mallory] {
        send_message(&lar, key, drummer);
    }
    assert_eq!([&one, &of_mallory].map(|key| inbox(key)), [[drummer], [drummer]]);
    assert_ne!(list_inbox(&lar, &one), list_inbox(&lar, &of_mallory));
    assert_eq!(decide(&lar, &of_mallory, &list_inbox(&lar, &of_mallory)[0].1, "reject"), 204);
    assert_eq!((inbox(&of_mallory), inbox(&wide)), (vec![], vec![drummer.to_owned()]));
}
