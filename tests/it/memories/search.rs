//! `POST /lar/v1/memories/search`: filters, times, token budgets, and queries that look like syntax.

use lar_tests::Lar;
use serde_json::{Value, json};

use super::{ids, remember, save_text, search, search_ids};

#[test]
fn filters_apply_before_ranking() {
    let lar = Lar::start();
    let add = |content: &str, more: Value| {
        let mut body = json!({ "content": content });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        remember(&lar, &body)
    };
    let may = add(
        "The boiler was repaired.",
        json!({ "kind": "event", "tags": ["home", "heat"], "occurred_at": "2026-05-01" }),
    );
    let june = add(
        "The boiler was cleaned.",
        json!({ "kind": "event", "tags": ["home"], "occurred_at": "2026-06-01" }),
    );
    let work = add("The boiler plate code was removed.", json!({ "project": "web" }));
    let filtered = |filters: Value| {
        let mut ids = ids(&search(&lar, &json!({ "query": "boiler", "filters": filters })));
        ids.sort();
        ids
    };
    assert_eq!(filtered(json!({})), [may.clone(), june.clone(), work.clone()]);
    assert_eq!(filtered(json!({ "kinds": ["event"] })), [may.clone(), june.clone()]);
    assert_eq!(filtered(json!({ "tags": ["home", "heat"] })), [may.as_str()]);
    assert_eq!(filtered(json!({ "tags": ["nothing has this"] })), [""; 0]);
    assert_eq!(filtered(json!({ "project": "web" })), [work.as_str()]);
    assert_eq!(filtered(json!({ "since": "2026-05-15", "until": "2026-06-15" })), [june.as_str()]);
    let refused =
        lar.post("/lar/v1/memories/search", &json!({ "query": "x", "filters": { "kind": "event" } }));
    assert!(refused.json()["detail"].as_str().unwrap().contains("kinds"), "{}", refused.body);
}

#[test]
fn superseded_memories_are_found_only_for_their_time() {
    let lar = Lar::start();
    let old = remember(
        &lar,
        &json!({
            "content": "Our database is SQLite.", "valid_from": "2025-01-01", "valid_to": "2026-01-01",
        }),
    );
    let new = remember(&lar, &json!({ "content": "Our database is Postgres.", "valid_from": "2026-01-01" }));
    let as_of = |time: &str| ids(&search(&lar, &json!({ "query": "our database", "as_of": time })));
    assert_eq!(search_ids(&lar, "our database"), [new.as_str()]);
    assert_eq!(as_of("2025-06-01"), [old.as_str()]);
    assert_eq!(as_of("2026-06-01T00:00:00Z"), [new.as_str()]);
    assert_eq!(as_of("2024-01-01"), [""; 0]);
    let both = search(&lar, &json!({ "query": "our database", "filters": { "superseded": true } }));
    assert_eq!(ids(&both).len(), 2);
}

#[test]
fn an_empty_result_is_no_error_and_a_query_is_never_syntax() {
    let lar = Lar::start();
    save_text(&lar, "The cat sleeps on the warm radiator.");
    assert_eq!(search_ids(&lar, "quantum chromodynamics on a lattice"), [""; 0]);
    for query in [
        "'; DROP TABLE memories; --",
        "NEAR(cat sleeps, 2)",
        "cat AND",
        "\"cat",
        "*",
        "cat^2 NOT",
        "content:cat",
        "(((",
        "\u{0}",
        "🐈",
    ] {
        let answer = lar.post("/lar/v1/memories/search", &json!({ "query": query }));
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    }
    assert_eq!(search_ids(&lar, "cats AND radiators").len(), 1);
    for (body, field) in [
        (json!({ "query": "" }), "query"),
        (json!({ "query": "x".repeat(9000) }), "query"),
        (json!({ "query": "x", "limit": 0 }), "limit"),
        (json!({ "query": "x", "limit": 101 }), "limit"),
        (json!({ "query": "x", "detail": "some" }), "detail"),
        (json!({ "query": "x", "as_of": "then" }), "as_of"),
    ] {
        let refused = lar.post("/lar/v1/memories/search", &body);
        assert_eq!((refused.status, refused.json()["errors"][0]["field"].as_str()), (400, Some(field)));
    }
}

#[test]
fn near_duplicates_are_shown_once_and_a_token_budget_is_kept() {
    let lar = Lar::start();
    let one =
        save_text(&lar, "The meeting with the architect is on Monday at ten o'clock in the old town hall.");
    let two =
        save_text(&lar, "The meeting with the architect is on Monday at ten o'clock in the old town hall!");
    let answer = search(&lar, &json!({ "query": "meeting with the architect" }));
    let hit = &answer["results"][0];
    assert_eq!(answer["results"].as_array().unwrap().len(), 1, "{answer}");
    let mut both = vec![hit["id"].clone(), hit["duplicates"][0].clone()];
    both.sort_by_key(ToString::to_string);
    assert_eq!(both, [json!(one), json!(two)]);

    for at in 0..6 {
        save_text(&lar, &format!("House number {at}: its garden has {at} apple trees and a swing."));
    }
    let packed = search(&lar, &json!({ "query": "garden with apple trees", "token_budget": 40 }));
    let (tokens, kept) = (packed["tokens"].as_u64().unwrap(), packed["results"].as_array().unwrap().len());
    assert!(tokens <= 40 && kept >= 1 && packed["left_out"].as_u64().unwrap() >= 1, "{packed}");
    let none = lar.post("/lar/v1/memories/search", &json!({ "query": "garden", "token_budget": 0 }));
    assert_eq!((none.status, none.json()["errors"][0]["field"].clone()), (400, json!("token_budget")));
}

#[test]
fn turns_of_a_dialogue_have_neighbours_and_are_found_through_the_turn_before() {
    let lar = Lar::start();
    let question = "Which day suits you for the dentist appointment?";
    let asked = save_text(&lar, question);
    let answered = remember(&lar, &json!({ "content": "Thursday afternoon, please.", "after": asked }));
    save_text(&lar, "The train to the coast leaves at nine.");
    let query = "When is the dentist appointment?";
    assert_eq!(search_ids(&lar, query)[..2], [asked.clone(), answered.clone()]);
    let full = |query: &str, more: Value| {
        let mut body = json!({ "query": query, "detail": "full", "limit": 1 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        search(&lar, &body)
    };
    let hit = |query: &str| full(query, json!({}))["results"][0].clone();
    let (first, second) = (hit(query), hit("Thursday afternoon"));
    assert_eq!((&first["id"], &second["id"]), (&json!(asked), &json!(answered)));
    let neighbour =
        |id: &str, side: &str, content: &str| json!([{ "id": id, "side": side, "content": content }]);
    assert_eq!(first["neighbours"], neighbour(&answered, "after", "Thursday afternoon, please."));
    assert_eq!(second["neighbours"], neighbour(&asked, "before", question));
    let whole = search(&lar, &json!({ "query": query, "detail": "full" }));
    assert!(!ids(&whole).contains(&answered), "it is shown beside the question: {whole}");
    let tokens = |detail: &str| {
        let found = full(query, json!({ "detail": detail, "token_budget": 1000 }));
        found["tokens"].as_u64().unwrap()
    };
    assert!(tokens("full") > tokens("summary"), "neighbours count against the budget");
}

#[test]
fn searching_changes_no_memory_but_feedback_does() {
    let lar = Lar::start();
    let id = save_text(&lar, "The wifi at the cabin is slow.");
    let shown = || lar.get(&format!("/lar/v1/memories/{id}")).json();
    let before = shown();
    for _ in 0..20 {
        assert_eq!(search_ids(&lar, "wifi at the cabin"), [id.as_str()]);
    }
    assert_eq!((&shown()["stability"], &shown()["version"]), (&before["stability"], &before["version"]));
    let useful = lar.post(&format!("/lar/v1/memories/{id}/feedback"), &json!({ "feedback": "useful" }));
    assert_eq!(useful.json()["version"], 2, "{}", useful.body);
    let outdated = lar.post(&format!("/lar/v1/memories/{id}/feedback"), &json!({ "feedback": "outdated" }));
    assert_eq!(outdated.status, 200, "{}", outdated.body);
    assert_eq!(search_ids(&lar, "wifi at the cabin"), [""; 0]);
}

#[test]
fn a_query_that_the_embedder_cannot_read_is_searched_by_keywords_only() {
    let lar = Lar::start();
    let thai = save_text(&lar, "วันเกิดของแม่คือวันที่สามพฤษภาคม");
    let chinese = save_text(&lar, "备用钥匙在蓝色花盆下面");
    save_text(&lar, "The boiler is serviced in June.");
    for nothing in ["🎉🎉🎉", "กาแฟอร่อย", "🚀 ✨", "…!?"] {
        let answer = search(&lar, &json!({ "query": nothing }));
        assert_eq!(ids(&answer), Vec::<String>::new(), "{nothing}: {answer}");
        assert_eq!(answer["mode"], "keyword", "{nothing}");
    }
    assert_eq!(search_ids(&lar, "蓝色花盆"), [chinese.as_str()], "found by its characters");
    assert_eq!(search_ids(&lar, "วันเกิดของแม่คือวันที่สามพฤษภาคม"), [thai.as_str()], "found by its words");
    let english = search(&lar, &json!({ "query": "When is the heater serviced?" }));
    assert_eq!((ids(&english).len(), &english["mode"]), (1, &json!("hybrid")), "{english}");
}

/// The error for a budget above the largest.
const TOO_LARGE: &str = "`token_budget` must be an integer between 0 and 18446744073709551615";

#[test]
fn a_budget_of_no_tokens_is_refused_by_every_tool_and_api() {
    let lar = Lar::start();
    let refused = lar.post("/lar/v1/memories/search", &json!({ "query": "ladder", "token_budget": 0 }));
    let expected = "`token_budget` must be at least 1";
    assert_eq!(
        (refused.status, refused.json()["detail"].as_str()),
        (400, Some(expected)),
        "{}",
        refused.body
    );
    let headers = format!(
        "authorization: Bearer {}\r\naccept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n",
        Lar::KEY
    );
    for (tool, mut arguments) in [
        ("memory_search", json!({ "query": "ladder" })),
        ("memory_brief", json!({})),
        ("search", json!({ "query": "ladder" })),
        ("session_context", json!({})),
    ] {
        let mut call = |budget: Value| {
            arguments["token_budget"] = budget;
            let params = json!({ "name": tool, "arguments": arguments });
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
            lar.send_with(&headers, "POST", "/mcp", &body).json()["result"].clone()
        };
        for (budget, expected) in
            [(json!(0), expected), (json!(1e30), TOO_LARGE), (json!(2.0_f64.powi(64)), TOO_LARGE)]
        {
            let refused = call(budget);
            assert_eq!(refused["isError"], true, "{tool}: {refused}");
            assert!(
                refused["content"][0]["text"].as_str().unwrap().starts_with(expected),
                "{tool}: {refused}"
            );
        }
        assert_eq!(call(json!(1))["isError"], false, "{tool}");
    }
    let refused = lar.post("/lar/v1/memories/search", &json!({ "query": "ladder", "token_budget": 1e30 }));
    assert_eq!((refused.status, refused.json()["detail"].as_str()), (400, Some(TOO_LARGE)));
}
