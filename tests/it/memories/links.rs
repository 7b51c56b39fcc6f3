//! `/lar/v1/memories/links`: links between memories, of which the newer may make the older outdated. The links
//! of these tests come from an import.

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

use super::{ids, remember, save_text, search, search_ids, with};

const REASON: &str = "another city for the same person";

pub(super) fn owner() -> String {
    format!("authorization: Bearer {}\r\n", Lar::KEY)
}

fn lines(lar: &Lar, headers: &str) -> Vec<Value> {
    let answer = with(lar, headers, "GET", "/lar/v1/memories/export", &Value::Null);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn import(lar: &Lar, headers: &str, lines: &[Value]) -> Answer {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let head = format!(
        "POST /lar/v1/memories/import HTTP/1.1\r\nhost: {}\r\n{headers}content-type: application/x-ndjson\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        lar.address,
        body.len()
    );
    lar.raw(&head, body.as_bytes())
}

/// Links two memories of the space that the headers select; returns the id of the link.
pub(super) fn link(lar: &Lar, headers: &str, older: &str, newer: &str) -> String {
    let mut lines = lines(lar, headers);
    let line = lines.iter_mut().find(|line| line["id"] == newer).unwrap();
    let id = format!("link_{}", newer.strip_prefix("mem_").unwrap());
    line["links"] = json!([{
        "id": id, "older": older, "relation": "may_replace", "reason": REASON, "by": line["written_by"],
        "created_at": "2026-11-30T10:00:00Z",
    }]);
    let done = import(lar, headers, &lines);
    assert_eq!(done.json()["imported"], 0, "{}", done.body);
    id
}

/// Saves two memories and links them; returns their ids and that of the link.
fn linked_pair(lar: &Lar) -> (String, String, String) {
    let older = save_text(lar, "Anna lives in Berlin.");
    let newer = save_text(lar, "Anna lives in Porto.");
    let link = link(lar, &owner(), &older, &newer);
    (older, newer, link)
}

fn links(lar: &Lar, headers: &str) -> Vec<Value> {
    let listed = with(lar, headers, "GET", "/lar/v1/memories/links", &Value::Null);
    assert_eq!(listed.status, 200, "{}", listed.body);
    listed.json()["data"].as_array().unwrap().clone()
}

fn link_ids(lar: &Lar) -> Vec<String> {
    links(lar, &owner()).iter().map(|link| link["id"].as_str().unwrap().to_owned()).collect()
}

fn resolve(lar: &Lar, link: &str, resolution: &str) -> Answer {
    lar.post(&format!("/lar/v1/memories/links/{link}"), &json!({ "resolution": resolution }))
}

pub(super) fn memory(lar: &Lar, id: &str) -> Value {
    lar.get(&format!("/lar/v1/memories/{id}")).json()
}

fn last_change(lar: &Lar, id: &str) -> Value {
    let history = lar.get(&format!("/lar/v1/memories/{id}/history")).json();
    history["data"].as_array().unwrap().last().unwrap().clone()
}

fn undo(lar: &Lar, id: &str) {
    let undone = lar.post(&format!("/lar/v1/memories/{id}/undo"), &json!({}));
    assert_eq!(undone.status, 200, "{}", undone.body);
}

#[test]
fn the_newer_memory_takes_the_place_of_the_older_one_if_the_conditions_allow_it() {
    let lar = Lar::start_without_models();
    let save = |content: &str, tags: Value| remember(&lar, &json!({ "content": content, "tags": tags }));
    let older = save("Anna lives in Berlin.", json!(["people"]));
    let newer = save("Anna lives in Porto.", json!([]));
    link(&lar, &owner(), &older, &newer);
    let best =
        |filters: Value| ids(&search(&lar, &json!({ "query": "Berlin", "limit": 1, "filters": filters })));
    assert_eq!(best(json!({})), [newer.as_str()]);
    assert_eq!(best(json!({ "kinds": ["fact"] })), [newer.as_str()]);
    assert_eq!(best(json!({ "tags": ["people"] })), [older.as_str()]);
}

#[test]
fn open_links_are_listed_with_both_memories_in_pages() {
    let lar = Lar::start_without_models();
    let (older, newer, first) = linked_pair(&lar);
    let third = save_text(&lar, "Anna lives in Oslo.");
    let second = link(&lar, &owner(), &older, &third);
    assert_eq!(link_ids(&lar), [second.clone(), first.clone()]);
    let shown = links(&lar, &owner())[1].clone();
    let space = memory(&lar, &older)["space"].clone();
    let side = |id: &str| {
        let memory = memory(&lar, id);
        json!({ "id": id, "content": memory["content"], "created_at": memory["created_at"] })
    };
    assert_eq!(
        shown,
        json!({
            "id": first, "relation": "may_replace", "older": side(&older), "newer": side(&newer), "reason": REASON,
            "space": space, "created_at": shown["created_at"],
        })
    );
    let page = lar.get("/lar/v1/memories/links?limit=1").json();
    assert_eq!((&page["data"][0]["id"], &page["next"]), (&json!(second), &json!(second)));
    let rest = lar.get(&format!("/lar/v1/memories/links?limit=2&after={second}")).json();
    assert_eq!((&rest["data"][0]["id"], rest.get("next")), (&json!(first), None));
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["open_links"], 2);
    for (query, field) in [("?limit=0", "limit"), ("?limit=201", "limit"), ("?after=mem_1", "after")] {
        let refused = lar.get(&format!("/lar/v1/memories/links{query}"));
        assert_eq!((refused.status, refused.json()["errors"][0]["field"].as_str()), (400, Some(field)));
    }
    assert_eq!(lar.get("/lar/v1/memories/links?size=2").status, 400);

    // A link whose memory is gone is in no list.
    assert_eq!(lar.send("DELETE", &format!("/lar/v1/memories/{third}"), &Value::Null).status, 204);
    assert_eq!(link_ids(&lar), [first]);
    assert_eq!(resolve(&lar, &second, "replace").status, 409);
    assert!(memory(&lar, &older).get("superseded_by").is_none());
}

#[test]
fn a_replaced_memory_is_superseded_and_undo_opens_the_link_again() {
    let lar = Lar::start_without_models();
    let (older, newer, link) = linked_pair(&lar);
    // An undo from either memory reverts the decision.
    for undone in [&older, &newer] {
        let done = resolve(&lar, &link, "replace");
        assert_eq!(done.status, 200, "{}", done.body);
        assert_eq!(done.json()["memory"]["id"], json!(newer));
        assert_eq!(done.json()["memory"]["version"], memory(&lar, &newer)["version"]);
        assert_eq!(memory(&lar, &older)["superseded_by"], json!(newer));
        let change = last_change(&lar, &older);
        assert_eq!(
            (&change["action"], &change["reason"]),
            (&json!("supersede"), &json!("you chose to replace it"))
        );
        assert_eq!(search_ids(&lar, "Where does Anna live?"), [newer.as_str()]);
        assert_eq!(link_ids(&lar), [""; 0]);
        for resolution in ["replace", "keep_both", "merge"] {
            let again = resolve(&lar, &link, resolution);
            assert_eq!(
                (again.status, again.json()["code"].as_str()),
                (409, Some("CONFLICT")),
                "{}",
                again.body
            );
        }
        undo(&lar, undone);
        assert!(memory(&lar, &older).get("superseded_by").is_none());
        assert_eq!(memory(&lar, &newer)["content"], "Anna lives in Porto.");
        assert_eq!(search_ids(&lar, "Where does Anna live?").len(), 2);
        assert_eq!(link_ids(&lar), [link.as_str()]);
    }
}

#[test]
fn kept_memories_do_not_change_and_are_not_asked_about_again() {
    let lar = Lar::start_without_models();
    let (older, newer, id) = linked_pair(&lar);
    let before = [&older, &newer].map(|id| memory(&lar, id)["version"].clone());
    let done = resolve(&lar, &id, "keep_both");
    assert_eq!((done.status, &done.json()["memory"]["id"]), (200, &json!(newer)), "{}", done.body);
    assert_eq!([&older, &newer].map(|id| memory(&lar, id)["version"].clone()), before);
    assert_eq!(search_ids(&lar, "Where does Anna live?").len(), 2);
    assert_eq!(link_ids(&lar), [""; 0]);
    assert_eq!(resolve(&lar, &id, "replace").status, 409);
    link(&lar, &owner(), &older, &newer);
    assert_eq!(link_ids(&lar), [""; 0]);
}

#[test]
fn merged_memories_lose_no_text_and_are_embedded_again() {
    let lar = Lar::start();
    let older = remember(&lar, &json!({ "content": "Anna lives in Berlin.", "tags": ["family", "home"] }));
    let newer =
        remember(&lar, &json!({ "content": "Anna collects harpsichords.", "tags": ["home", "music"] }));
    let link = link(&lar, &owner(), &older, &newer);
    let done = resolve(&lar, &link, "merge");
    assert_eq!(done.status, 200, "{}", done.body);
    let merged = done.json()["memory"].clone();
    assert_eq!(
        (&merged["id"], &merged["content"], &merged["tags"]),
        (
            &json!(newer),
            &json!("Anna lives in Berlin.\nAnna collects harpsichords."),
            &json!(["home", "music", "family"])
        )
    );
    assert_eq!(memory(&lar, &older)["superseded_by"], json!(newer));
    for id in [&older, &newer] {
        let change = last_change(&lar, id);
        assert_eq!(
            (&change["action"], &change["reason"]),
            (&json!("merge"), &json!("you chose to merge them"))
        );
    }
    assert_eq!(search_ids(&lar, "In which city does Anna live?"), [newer.as_str()]);
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["chunks_without_embeddings"], 0);
    assert_eq!(resolve(&lar, &link, "keep_both").status, 409);

    undo(&lar, &newer);
    assert_eq!(memory(&lar, &newer)["content"], "Anna collects harpsichords.");
    assert_eq!(memory(&lar, &newer)["tags"], json!(["home", "music"]));
    let both = [newer.as_str(), older.as_str()];
    assert_eq!(search_ids(&lar, "In which city does Anna live?")[..2], both, "the newer one comes first");
    assert_eq!(link_ids(&lar), [link.as_str()]);
}

#[test]
fn invalid_decisions_change_nothing() {
    let lar = Lar::start_without_models();
    let (older, newer, id) = linked_pair(&lar);
    let path = format!("/lar/v1/memories/links/{id}");
    for body in [
        json!({ "resolution": "unrelated" }),
        json!({ "resolution": "Replace" }),
        json!({ "resolution": null }),
        json!({}),
    ] {
        let refused = lar.post(&path, &body);
        assert!(refused.status == 400 && refused.body.contains("`resolution`"), "{body}: {}", refused.body);
    }
    assert_eq!(lar.post(&path, &json!({ "resolution": "replace", "force": true })).status, 400);
    for unknown in [newer.as_str(), "link_1", &format!("link_{:032x}", 7)] {
        let refused = resolve(&lar, unknown, "replace");
        assert_eq!((refused.status, refused.json()["code"].as_str()), (404, Some("NOT_FOUND")), "{unknown}");
    }
    assert_eq!(link_ids(&lar), [id.as_str()]);
    assert!(memory(&lar, &older).get("superseded_by").is_none());

    let long = |word: &str| save_text(&lar, &format!("{word} ").repeat(90_000));
    let (first, second) = (long("millet"), long("barley"));
    let too_long = link(&lar, &owner(), &first, &second);
    let refused = resolve(&lar, &too_long, "merge");
    assert_eq!((refused.status, refused.json()["errors"][0]["field"].as_str()), (400, Some("resolution")));
    assert!(refused.body.contains("1048576"), "{}", refused.body);
    assert_eq!(resolve(&lar, &too_long, "replace").status, 200, "and the link was still open");
}

/// The fields of a memory in an answer to a key that may not read it.
const UNREAD: [&str; 3] = ["id", "updated_at", "version"];

#[test]
fn only_those_who_may_use_a_space_see_and_decide_its_links() {
    let lar = Lar::start_without_models();
    let (older, newer, own) = linked_pair(&lar);
    let mallory = lar.invite("mallory");
    let [reads, writes, infers] =
        [["memory:read"], ["memory:write"], ["inference"]].map(|scopes| lar.key(&scopes));
    let robot = lar.post("/lar/v1/keys", &json!({ "name": "robot", "agent": "robot" })).json();
    let robot = format!("authorization: Bearer {}\r\n", robot["secret"].as_str().unwrap());
    let list = |headers: &str| with(&lar, headers, "GET", "/lar/v1/memories/links", &Value::Null);
    let decide = |headers: &str, link: &str, resolution: &str| {
        let path = format!("/lar/v1/memories/links/{link}");
        with(&lar, headers, "POST", &path, &json!({ "resolution": resolution }))
    };

    assert_eq!(links(&lar, &reads).len(), 1);
    for (headers, status) in [(&writes, 403), (&infers, 403), (&String::new(), 401)] {
        assert_eq!(list(headers).status, status);
    }
    for headers in [&mallory, &robot] {
        assert_eq!(links(&lar, headers), Vec::<Value>::new());
    }
    for resolution in ["replace", "keep_both", "merge"] {
        for (headers, status) in [(&mallory, 404), (&robot, 404), (&reads, 403), (&infers, 403)] {
            let refused = decide(headers, &own, resolution);
            assert_eq!(refused.status, status, "{resolution}: {}", refused.body);
            assert!(!refused.body.contains("Anna"), "{}", refused.body);
        }
    }
    assert_eq!(link_ids(&lar), [own.as_str()]);

    // Nobody links own memories with those of another space, or takes a link over.
    let its = with(&lar, &mallory, "POST", "/lar/v1/memories", &json!({ "content": "Anna lives in Rome." }));
    let its = its.json()["id"].as_str().unwrap().to_owned();
    let mut taken = lines(&lar, &mallory);
    for (id, older) in [(own.clone(), newer), (format!("link_{:032x}", 1), older)] {
        taken[0]["links"] = json!([{
            "id": id, "older": older, "relation": "may_replace", "reason": "mine", "by": taken[0]["written_by"],
            "created_at": "2026-11-30T10:00:00Z",
        }]);
        assert_eq!(import(&lar, &mallory, &taken).status, 200);
        assert_eq!(links(&lar, &mallory), Vec::<Value>::new());
    }
    assert_eq!(links(&lar, &owner())[0]["reason"], REASON);

    // A key that may only write learns nothing about the memory.
    let done = decide(&writes, &own, "merge");
    assert_eq!(done.status, 200, "{}", done.body);
    assert!(!done.body.contains("Anna"), "{}", done.body);
    let mut fields: Vec<String> = done.json()["memory"].as_object().unwrap().keys().cloned().collect();
    fields.sort();
    assert_eq!(fields, UNREAD);

    // In a team space, the grant decides.
    let space = lar.post("/lar/v1/spaces", &json!({ "name": "kitchen" })).json();
    let team = format!("{}x-space: kitchen\r\n", owner());
    let save = |content: &str| {
        let made = with(&lar, &team, "POST", "/lar/v1/memories", &json!({ "content": content }));
        made.json()["id"].as_str().unwrap().to_owned()
    };
    let (cold, hot) = (save("The oven is too cold."), save("The oven is too hot."));
    let shared = link(&lar, &team, &cold, &hot);
    assert_eq!(decide(&mallory, &shared, "replace").status, 404);
    let grant = |access: &str| {
        let path = format!("/lar/v1/spaces/{}/grants", space["id"].as_str().unwrap());
        assert!(lar.post(&path, &json!({ "user": "mallory", "access": access })).status < 300);
    };
    grant("read");
    assert_eq!(links(&lar, &mallory)[0]["id"], json!(shared));
    let refused = decide(&mallory, &shared, "replace");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("FORBIDDEN_SPACE")));
    grant("write");
    assert_eq!(decide(&mallory, &shared, "replace").status, 200);
    assert_eq!(memory(&lar, &cold)["superseded_by"], json!(hot));
    assert_eq!(lar.get(&format!("/lar/v1/memories/{its}")).status, 404);
}

#[test]
fn an_erased_memory_takes_its_links_with_it() {
    let mut lar = Lar::start_without_models();
    let (older, _, _) = linked_pair(&lar);
    let holds = |lar: &Lar| {
        let files = std::fs::read_dir(lar.data()).unwrap();
        files
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap_or_default())
            .any(|bytes| bytes.windows(REASON.len()).any(|some| some == REASON.as_bytes()))
    };
    assert!(holds(&lar));
    assert_eq!(lar.send("DELETE", &format!("/lar/v1/memories/{older}?erase=true"), &Value::Null).status, 204);
    assert!(!holds(&lar), "while the server runs");
    assert_eq!(link_ids(&lar), [""; 0]);
    assert!(lines(&lar, &owner())[0].get("links").is_none());
    let _ = lar.stop();
    assert!(!holds(&lar), "after the server stopped");
}

#[test]
fn an_export_keeps_links_and_older_exports_have_none() {
    let from = Lar::start_without_models();
    let (older, newer, replaced) = linked_pair(&from);
    let third = save_text(&from, "Anna lives in Oslo.");
    let open = link(&from, &owner(), &newer, &third);
    assert_eq!(resolve(&from, &replaced, "replace").status, 200);
    let moved = lines(&from, &owner());
    let [decided] = &moved[1]["links"].as_array().unwrap()[..] else { panic!("{}", moved[1]) };
    assert_eq!((&decided["older"], &decided["resolution"]), (&json!(older), &json!("replace")));
    assert_eq!(decided["decision"], last_change(&from, &older)["decision"]);

    let to = Lar::start_without_models();
    let mut reversed = moved.clone();
    reversed.reverse();
    assert_eq!(import(&to, &owner(), &reversed).json(), json!({ "imported": 3, "unchanged": 0 }));
    let links_of =
        |lines: &[Value], id: &str| lines.iter().find(|line| line["id"] == id).unwrap().get("links").cloned();
    for id in [&older, &newer, &third] {
        assert_eq!(links_of(&lines(&to, &owner()), id), links_of(&moved, id));
    }
    assert_eq!(link_ids(&to), [open.as_str()]);
    assert_eq!(import(&to, &owner(), &moved).json(), json!({ "imported": 0, "unchanged": 3 }));
    assert_eq!(link_ids(&to), [open.as_str()], "a second import changes nothing");
    undo(&to, &older);
    assert!(link_ids(&to).contains(&replaced), "an imported decision can be undone");

    let mut old = moved.clone();
    old.iter_mut().for_each(|line| drop(line.as_object_mut().unwrap().remove("links")));
    let other = Lar::start_without_models();
    assert_eq!(import(&other, &owner(), &old).json()["imported"], 3);
    assert_eq!(link_ids(&other), [""; 0]);

    for (field, value) in [
        ("relation", json!("replaces")),
        ("resolution", json!("maybe")),
        ("resolved_at", Value::Null),
        ("older", json!("link_1")),
    ] {
        let mut broken = moved.clone();
        match value {
            Value::Null => drop(broken[1]["links"][0].as_object_mut().unwrap().remove(field)),
            value => broken[1]["links"][0][field] = value,
        }
        let refused = import(&other, &owner(), &broken);
        assert_eq!(refused.status, 400, "{field}: {}", refused.body);
        assert!(refused.body.contains(&format!("links.{field}")), "{field}: {}", refused.body);
    }
}
