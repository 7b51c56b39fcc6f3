//! `/lar/v1/memories/consolidation`: Lar compares memories and proposes changes, which a person accepts, rejects and
//! undoes.

use lar_tests::{Answer, Lar};
use serde_json::{Value, json};

use super::inbox::change_database;
use super::links::{memory, owner};
use super::{remember, save_text, with};

const CONSOLIDATION: &str = "/lar/v1/memories/consolidation";

/// Memories about one project, whose name is distinctive.
const FALCON: [&str; 4] = [
    "The Falcon service is written in Go.",
    "Ana leads the team of the Falcon service.",
    "We deploy the Falcon service on Fridays.",
    "The logs of the Falcon service are in Loki.",
];

/// Memories about other things, so that the name of the project is not in most of them.
fn save_others(lar: &Lar) {
    for text in [
        "The oven runs ten degrees too hot.",
        "My sister plays the oboe.",
        "The ferry to the island leaves at nine.",
        "The spare key is under the blue pot.",
        "Tomatoes need water every morning.",
    ] {
        save_text(lar, text);
    }
}

/// Starts a run with these headers and waits for its end.
fn run_with(lar: &Lar, headers: &str) -> Value {
    let started = with(lar, headers, "POST", &format!("{CONSOLIDATION}/runs"), &Value::Null);
    assert_eq!(started.status, 202, "{}", started.body);
    let path = format!("{CONSOLIDATION}/runs/{}", started.json()["id"].as_str().unwrap());
    lar.until("the end of the run", |lar| {
        let run = with(lar, headers, "GET", &path, &Value::Null).json();
        run.get("ended_at").is_some().then_some(run)
    })
}

fn run(lar: &Lar) -> Value {
    run_with(lar, &owner())
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

fn proposals(lar: &Lar) -> Vec<Value> {
    let listed = lar.get(&format!("{CONSOLIDATION}/proposals"));
    assert_eq!(listed.status, 200, "{}", listed.body);
    listed.json()["data"].as_array().unwrap().clone()
}

fn decide(lar: &Lar, proposal: &str, decision: &str) -> Answer {
    lar.post(&format!("{CONSOLIDATION}/proposals/{proposal}/{decision}"), &json!({}))
}

fn undo_run(lar: &Lar, run: &str) -> Value {
    let undone = lar.post(&format!("{CONSOLIDATION}/runs/{run}/undo"), &json!({}));
    assert_eq!(undone.status, 200, "{}", undone.body);
    undone.json()
}

fn open_links(lar: &Lar) -> Vec<Value> {
    lar.get("/lar/v1/memories/links").json()["data"].as_array().unwrap().clone()
}

fn superseded_by(lar: &Lar, memory_id: &str) -> Value {
    memory(lar, memory_id)["superseded_by"].clone()
}

/// All memories with their versions.
fn versions(lar: &Lar) -> Vec<(Value, Value)> {
    let listed = lar.get("/lar/v1/memories?limit=200").json();
    listed["data"].as_array().unwrap().iter().map(|one| (one["id"].clone(), one["version"].clone())).collect()
}

#[test]
fn duplicates_contradictions_and_themes_are_found_and_nothing_changes() {
    let lar = Lar::start();
    save_others(&lar);
    let shorter = save_text(&lar, "Anna lives in Porto.");
    let longer = save_text(&lar, "Anna lives in Porto with her sister.");
    let older = save_text(&lar, "Our dentist is called Okafor.");
    let newer = save_text(&lar, "Our dentist is called Weber.");
    let falcon: Vec<String> = FALCON.iter().map(|text| save_text(&lar, text)).collect();
    let before = versions(&lar);

    let run = run(&lar);
    assert_eq!(
        (&run["duplicates"], &run["links"], &run["themes"]),
        (&json!(1), &json!(1), &json!(1)),
        "{run}"
    );
    assert_eq!((&run["memories"], &run["open"], &run["accepted"]), (&json!(13), &json!(3), &json!(0)));
    assert!(run["pairs"].as_u64().unwrap() > 0 && run.get("started_by").is_some(), "{run}");

    let found = proposals(&lar);
    let duplicate = found.iter().find(|one| one["kind"] == "duplicate").unwrap();
    assert_eq!(duplicate["reason"], "another memory contains this text");
    assert_eq!((&duplicate["keep"]["id"], &duplicate["supersede"]["id"]), (&json!(longer), &json!(shorter)));
    assert_eq!(duplicate["keep"]["content"], "Anna lives in Porto with her sister.");
    assert!(duplicate["diff"].to_string().contains("with her sister"), "{duplicate}");
    let theme = found.iter().find(|one| one["kind"] == "theme").unwrap();
    assert_eq!(theme["reason"], "4 memories are about “falcon”");
    assert_eq!((&theme["tag"], &theme["run"]), (&json!("falcon"), &run["id"]));
    let ids: Vec<&str> =
        theme["memories"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, falcon);
    let links = open_links(&lar);
    assert_eq!(links.len(), 1, "{links:?}");
    assert_eq!((&links[0]["older"]["id"], &links[0]["newer"]["id"]), (&json!(older), &json!(newer)));
    assert_eq!(links[0]["reason"], "the same sentence with a new value");

    assert_eq!(versions(&lar), before, "a run changes no memory");
    let state = lar.get(CONSOLIDATION).json();
    assert_eq!(
        (&state["to_compare"], &state["open_proposals"], &state["open_links"]),
        (&json!(0), &json!(2), &json!(1))
    );
    let metrics = lar.get("/metrics").body;
    assert!(metrics.contains("lar_memory_consolidation_findings_total{kind=\"theme\"} 1"), "{metrics}");

    let again = run_with(&lar, &owner());
    assert_eq!((&again["memories"], &again["pairs"]), (&json!(0), &json!(0)), "nothing is compared twice");
    save_text(&lar, "Sparrows nest in the gutter.");
    assert_eq!(run_with(&lar, &owner())["memories"], 1, "only the new memory");
    assert_eq!(proposals(&lar).len(), 2);
}

#[test]
fn unlike_statements_are_not_proposed() {
    let lar = Lar::start();
    for text in [
        "I take 5 mg of lisinopril.",
        "I take 10 mg of lisinopril.",
        "Take 20 mg of ibuprofen in the morning.",
        "Take 20 mg of ibuprofen in the evening.",
        "Anna lives in Porto.",
        "Ben lives in Porto.",
        "Yoga is on Monday.",
        "Yoga is on Thursday.",
        "Anna likes olives.",
        "Anna does not like olives.",
        "Use tabs in Go files.",
        "Use spaces in Python files.",
    ] {
        save_text(&lar, text);
    }
    let run = run(&lar);
    assert_eq!((&run["memories"], &run["duplicates"], &run["themes"]), (&json!(12), &json!(0), &json!(0)));
    assert_eq!(proposals(&lar), Vec::<Value>::new());
}

#[test]
fn an_accepted_change_is_one_decision_and_is_undone_alone_or_with_its_run() {
    let lar = Lar::start();
    save_others(&lar);
    let falcon: Vec<String> = FALCON.iter().map(|text| save_text(&lar, text)).collect();
    let kept = save_text(&lar, "Anna lives in Porto with her sister.");
    let repeated = remember(&lar, &json!({ "content": "Anna lives in Porto.", "tags": ["people"] }));
    let older = save_text(&lar, "Our dentist is called Okafor.");
    let newer = save_text(&lar, "Our dentist is called Weber.");
    let run_id = id(&run(&lar));
    let tags = |id: &str| memory(&lar, id)["tags"].clone();

    let accepted = lar.post(&format!("{CONSOLIDATION}/runs/{run_id}/accept"), &json!({}));
    assert_eq!(accepted.status, 200, "{}", accepted.body);
    assert_eq!(accepted.json()["accepted"].as_array().unwrap().len(), 2, "{}", accepted.body);
    assert_eq!(accepted.json()["conflicts"], json!([]));
    assert_eq!(superseded_by(&lar, &repeated), json!(kept));
    assert_eq!(tags(&kept), json!(["people"]), "the tag of the superseded memory is not lost");
    for id in &falcon {
        assert_eq!(tags(id), json!(["falcon"]));
    }
    let history = lar.get(&format!("/lar/v1/memories/{}/history", falcon[0])).json();
    let last = history["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["action"], &last["reason"]),
        (&json!("tag"), &json!("you accepted: 4 memories are about “falcon”"))
    );
    assert_eq!(open_links(&lar).len(), 1, "a person decides about links");
    assert_eq!(decide(&lar, accepted.json()["accepted"][0].as_str().unwrap(), "accept").status, 409);

    // Undo of one memory of the theme reverts the tag in all of them, and opens the proposal again.
    let undone = lar.post(&format!("/lar/v1/memories/{}/undo", falcon[2]), &json!({}));
    assert_eq!(undone.json()["memories"].as_array().unwrap().len(), 4, "{}", undone.body);
    assert_eq!(tags(&falcon[0]), json!([]));
    let open = proposals(&lar);
    assert_eq!((open.len(), &open[0]["kind"]), (1, &json!("theme")));
    let again = decide(&lar, &id(&open[0]), "accept");
    assert_eq!(again.status, 200, "{}", again.body);
    assert_eq!(tags(&falcon[0]), json!(["falcon"]));

    // A link of the run is decided, and one of the tagged memories changes later.
    let link = id(&open_links(&lar)[0]);
    let replaced = lar.post(&format!("/lar/v1/memories/links/{link}"), &json!({ "resolution": "replace" }));
    assert_eq!(replaced.status, 200, "{}", replaced.body);
    assert_eq!(superseded_by(&lar, &older), json!(newer));
    let path = format!("/lar/v1/memories/{}", falcon[1]);
    assert_eq!(lar.send("PATCH", &path, &json!({ "pinned": true })).status, 200);

    let undone = undo_run(&lar, &run_id);
    let conflicts = undone["conflicts"].as_array().unwrap();
    assert_eq!(conflicts.len(), 1, "{undone}");
    assert!(falcon.contains(&conflicts[0]["memory"].as_str().unwrap().to_owned()));
    assert!(conflicts[0]["reason"].as_str().unwrap().contains("changed"), "{undone}");
    assert_eq!(tags(&falcon[0]), json!(["falcon"]), "a conflict changes nothing");
    assert_eq!((superseded_by(&lar, &repeated), tags(&kept)), (Value::Null, json!([])));
    assert_eq!(superseded_by(&lar, &older), Value::Null, "the decision about the link is undone, too");
    assert_eq!((proposals(&lar), open_links(&lar)), (Vec::new(), Vec::new()), "the rest is withdrawn");

    let again = undo_run(&lar, &run_id);
    assert_eq!(
        (&again["memories"], again["conflicts"].as_array().unwrap().len()),
        (&json!([]), 1),
        "{again}"
    );
    let shown = lar.get(&format!("{CONSOLIDATION}/runs/{run_id}")).json();
    assert!(shown.get("undone_at").is_some() && shown["open"] == 0, "{shown}");
}

#[test]
fn what_was_rejected_or_withdrawn_is_not_proposed_again() {
    let lar = Lar::start();
    save_others(&lar);
    let falcon: Vec<String> = FALCON.iter().map(|text| save_text(&lar, text)).collect();
    let shorter = save_text(&lar, "Anna lives in Porto.");
    save_text(&lar, "Anna lives in Porto with her sister.");
    run(&lar);
    for proposal in proposals(&lar) {
        let rejected = decide(&lar, &id(&proposal), "reject");
        assert_eq!(rejected.status, 204, "{}", rejected.body);
        assert_eq!(decide(&lar, &id(&proposal), "accept").status, 409, "a decision is final");
    }
    assert_eq!(proposals(&lar), Vec::<Value>::new());
    // Changed and restored memories are compared again.
    let change = |id: &str, body: Value| {
        let changed = lar.send("PATCH", &format!("/lar/v1/memories/{id}"), &body);
        assert_eq!(changed.status, 200, "{}", changed.body);
    };
    change(&shorter, json!({ "content": "Anna still lives in Porto." }));
    change(&shorter, json!({ "content": "Anna lives in Porto." }));
    assert_eq!(lar.send("DELETE", &format!("/lar/v1/memories/{}", falcon[3]), &Value::Null).status, 204);
    change(&falcon[3], json!({ "deleted": false }));
    save_text(&lar, "The Falcon service has three replicas.");
    let second = run(&lar);
    assert_eq!(second["memories"], 3, "{second}");
    assert_eq!(proposals(&lar), Vec::<Value>::new());

    save_text(&lar, "The garage door code changed in spring.");
    save_text(&lar, "the garage door code changed in spring");
    let third = run(&lar);
    assert_eq!(third["duplicates"], 1, "{third}");
    assert_eq!(undo_run(&lar, &id(&third))["withdrawn"], 1);
    assert_eq!(proposals(&lar), Vec::<Value>::new());
}

#[test]
fn an_edited_or_deleted_memory_takes_its_proposal_along() {
    let data = tempfile::tempdir().unwrap();
    let mut lar = Lar::start_on(data.path());
    save_others(&lar);
    let falcon: Vec<String> = FALCON.iter().map(|text| save_text(&lar, text)).collect();
    let shorter = save_text(&lar, "Anna lives in Porto.");
    let longer = save_text(&lar, "Anna lives in Porto with her sister.");
    run(&lar);
    assert_eq!(proposals(&lar).len(), 2);
    let path = |id: &str| format!("/lar/v1/memories/{id}");

    // A deleted memory leaves no proposal, and the proposal returns with it.
    assert_eq!(lar.send("DELETE", &path(&shorter), &Value::Null).status, 204);
    assert_eq!(lar.send("DELETE", &path(&falcon[0]), &Value::Null).status, 204);
    assert_eq!(proposals(&lar), Vec::<Value>::new());
    for id in [&shorter, &falcon[0]] {
        assert_eq!(lar.send("PATCH", &path(id), &json!({ "deleted": false })).status, 200);
    }
    assert_eq!(proposals(&lar).len(), 2);

    // A new text is compared again.
    let edited = lar.send("PATCH", &path(&longer), &json!({ "content": "Anna's sister has a boat." }));
    assert_eq!(edited.status, 200, "{}", edited.body);
    assert_eq!(proposals(&lar).len(), 1);
    assert_eq!(run(&lar)["duplicates"], 0);

    // An erased memory leaves neither a proposal nor a word behind.
    let erased = lar.send("DELETE", &format!("{}?erase=true", path(&falcon[0])), &Value::Null);
    assert_eq!(erased.status, 204, "{}", erased.body);
    assert_eq!(proposals(&lar), Vec::<Value>::new());
    assert_eq!(lar.stop(), Some(0));
    change_database(
        &lar,
        "CREATE TABLE counted (themes INTEGER CHECK (themes = 0));
         INSERT INTO counted SELECT count(*) FROM consolidation_proposals WHERE tag IS NOT NULL;
         DROP TABLE counted",
    );
}

#[test]
fn a_run_goes_on_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let mut lar = Lar::start_on(data.path());
    save_text(&lar, "Anna lives in Porto.");
    let first = run(&lar);
    assert_eq!(first["memories"], 1);
    save_text(&lar, "Anna lives in Porto with her sister.");
    assert_eq!(lar.stop(), Some(0));
    // As if the server had stopped within the run.
    change_database(&lar, "UPDATE consolidation_runs SET ended_at = NULL");
    let lar = Lar::start_on(data.path());
    let second = run(&lar);
    assert_eq!(
        (&second["id"], &second["memories"], &second["duplicates"]),
        (&first["id"], &json!(2), &json!(1))
    );
    assert_eq!(second["pairs"], 1, "the first memory is not looked at again");
}

#[test]
fn memories_are_compared_in_idle_hours_unless_that_is_off() {
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("lar.toml");
    std::fs::write(&config, "[memory]\nconsolidation = \"off\"\n").unwrap();
    let mut lar = Lar::start_on(data.path());
    save_text(&lar, "Anna lives in Porto.");
    save_text(&lar, "Anna lives in Porto with her sister.");
    assert_eq!(lar.get(CONSOLIDATION).json()["activity"], "off");
    let refused = lar.post(&format!("{CONSOLIDATION}/runs"), &json!({}));
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (409, Some("CONFLICT")),
        "{}",
        refused.body
    );
    assert!(refused.body.contains("memory.consolidation"), "{}", refused.body);
    assert_eq!(lar.get(CONSOLIDATION).json()["to_compare"], 2);
    assert_eq!(lar.stop(), Some(0));
    std::fs::write(&config, "").unwrap();
    let lar = Lar::start_on(data.path());
    // It waits for 20 seconds without interactive tasks and uses of memory.
    let found = lar.until("a proposal", |lar| proposals(lar).first().cloned());
    assert_eq!(found["kind"], "duplicate");
    let runs = lar.get(&format!("{CONSOLIDATION}/runs")).json();
    assert_eq!(runs["data"].as_array().unwrap().len(), 1, "{runs}");
    assert!(runs["data"][0].get("started_by").is_none(), "{runs}");
}

#[test]
fn each_user_has_runs_and_proposals_of_their_own() {
    let lar = Lar::start();
    let ana = lar.invite("ana");
    save_text(&lar, "Anna lives in Porto.");
    let hers =
        with(&lar, &ana, "POST", "/lar/v1/memories", &json!({ "content": "Anna lives in Porto with Ben." }));
    assert_eq!(hers.status, 201, "{}", hers.body);
    for headers in [&owner(), &ana] {
        let run = run_with(&lar, headers);
        assert_eq!((&run["memories"], &run["pairs"]), (&json!(1), &json!(0)), "{run}");
    }

    save_text(&lar, "Anna lives in Porto with Tom.");
    let mine = run(&lar);
    let proposal = id(&proposals(&lar)[0]);
    let get = |headers: &str, path: &str| {
        with(&lar, headers, "GET", &format!("{CONSOLIDATION}{path}"), &Value::Null)
    };
    let post = |headers: &str, path: &str| {
        with(&lar, headers, "POST", &format!("{CONSOLIDATION}{path}"), &Value::Null)
    };
    assert_eq!(get(&ana, "/proposals").json()["data"], json!([]));
    let decisions = [
        format!("/proposals/{proposal}/accept"),
        format!("/proposals/{proposal}/reject"),
        format!("/runs/{}/accept", id(&mine)),
        format!("/runs/{}/undo", id(&mine)),
    ];
    for path in &decisions {
        assert_eq!(post(&ana, path).status, 404, "{path}");
    }
    assert_eq!(get(&ana, &format!("/runs/{}", id(&mine))).status, 404);

    let reader = lar.key(&["memory:read"]);
    assert_eq!(get(&reader, "/proposals").json()["data"].as_array().unwrap().len(), 1);
    for path in decisions.iter().map(String::as_str).chain(["/runs"]) {
        let refused = post(&reader, path);
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (403, Some("FORBIDDEN_SCOPE")),
            "{path}"
        );
    }
    let model = lar.key(&["inference"]);
    for path in ["", "/runs", "/proposals"] {
        assert_eq!(get(&model, path).status, 403, "{path}");
    }
    let writer = lar.key(&["memory:write"]);
    let accepted = post(&writer, &decisions[0]);
    assert_eq!(accepted.status, 200, "{}", accepted.body);
    assert!(!accepted.body.contains("Porto"), "a key that only writes sees no text: {}", accepted.body);
    for (path, status) in
        [("/proposals?run=x", 400), ("/proposals?limit=0", 400), ("/runs?after=x", 400), ("/runs/x", 404)]
    {
        assert_eq!(get(&owner(), path).status, status, "{path}");
    }
}
