//! Memory in conversations: recalled before an answer, and changed by a user's requests and corrections.

use lar_tests::Lar;
use serde_json::{Value, json};

use super::{save_text, search_ids, with};

fn conversation(lar: &Lar, body: &Value) -> String {
    lar.post("/lar/v1/conversations", body).json()["id"].as_str().unwrap().to_owned()
}

/// Sends a message, waits for the answer, and returns the memory activity of the turn.
fn say(lar: &Lar, conversation: &str, content: &str) -> Value {
    let body = json!({ "content": content, "max_tokens": 4 });
    let answer = lar.post(&format!("/lar/v1/conversations/{conversation}/messages"), &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let (name, first_event) = answer.events().into_iter().next().unwrap();
    assert_eq!(name, "message");
    let kept = lar.get(&format!("/lar/v1/conversations/{conversation}")).json();
    let of = |message: &&Value| message["id"] == first_event["answer"]["id"];
    let mut kept = kept["messages"].as_array().unwrap().iter().find(of).unwrap()["memory"].clone();
    for one in kept.pointer_mut("/recalled").and_then(Value::as_array_mut).into_iter().flatten() {
        one.as_object_mut().unwrap().remove("cited");
    }
    assert_eq!(
        kept, first_event["answer"]["memory"],
        "the streamed memory activity is stored with the answer"
    );
    kept
}

fn texts(memory: &Value, field: &str) -> Vec<String> {
    let all = memory[field].as_array().cloned().unwrap_or_default();
    all.iter().map(|one| one["content"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn memories_used_in_an_answer_are_cited_and_count_as_use() {
    let lar = Lar::start();
    let id = save_text(&lar, "The wifi of the cabin is called Birch-7.");
    let other = save_text(&lar, "The cabin was painted green in spring.");
    let chat = conversation(&lar, &json!({}));
    let path = format!("/lar/v1/conversations/{chat}/messages");
    let question = "What is the wifi of the cabin called?";
    let answer =
        lar.post(&path, &json!({ "content": question, "max_tokens": 40, "temperature": 0 })).events();
    let answer_text: String = answer
        .iter()
        .filter(|(name, _)| name == "token")
        .filter_map(|(_, token)| token["t"].as_str())
        .collect();
    let names: Vec<&str> = answer.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[names.len() - 2..], ["citations", "end"], "{answer_text}");
    assert_eq!(answer[answer.len() - 2].1, json!({ "memories": [id] }), "{answer_text}");
    let kept = lar.get(&format!("/lar/v1/conversations/{chat}")).json();
    let recalled = kept["messages"][1]["memory"]["recalled"].clone();
    assert_eq!((recalled[0]["id"].as_str(), &recalled[0]["cited"]), (Some(id.as_str()), &json!(true)));

    // The use of a memory is recorded after the answer's end.
    let memory = |id: &str| lar.get(&format!("/lar/v1/memories/{id}")).json();
    lar.until("the recording of the use", |_| (memory(&id)["version"] == 2).then_some(()));
    let history = lar.get(&format!("/lar/v1/memories/{id}/history")).json();
    let last = history["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((memory(&id)["version"].as_i64(), last["action"].as_str()), (Some(2), Some("cite")));
    // A citation is not a decision: an undo goes back to the decision before it.
    let undone = lar.post(&format!("/lar/v1/memories/{id}/undo"), &json!({}));
    assert_eq!(undone.status, 200, "{}", undone.body);
    assert!(memory(&id)["deleted_at"].is_string(), "its creation is undone");
    assert_eq!(memory(&other)["version"], 1, "a memory that was recalled but not cited is unchanged");

    let directory = tempfile::tempdir().unwrap();
    let config = "[memory]\nchat = \"recall\"\n[engines]\ncontext_tokens_max = 4096\n";
    std::fs::write(directory.path().join("lar.toml"), config).unwrap();
    let mut lar = Lar::start_on(directory.path());
    let id = save_text(&lar, "The wifi of the cabin is called Birch-7.");
    let chat = conversation(&lar, &json!({}));
    let path = format!("/lar/v1/conversations/{chat}/messages");
    let answer =
        lar.post(&path, &json!({ "content": question, "max_tokens": 40, "temperature": 0 })).events();
    assert!(answer.iter().any(|(name, _)| name == "citations"));
    // A server that stops first finishes what follows its answers, so a later change by the citation would be
    // stored.
    assert_eq!(lar.stop(), Some(0));
    let lar = Lar::start_on(directory.path());
    let memory = lar.get(&format!("/lar/v1/memories/{id}")).json();
    assert_eq!(memory["version"], 1, "a conversation that may only recall changes no memory");
}

#[test]
fn requested_memories_are_saved_recalled_and_forgotten() {
    let lar = Lar::start();
    let monday = conversation(&lar, &json!({}));
    let memory = say(&lar, &monday, "Hi! Please remember that my dentist is Dr. Okafor.");
    assert_eq!(texts(&memory, "saved"), ["my dentist is Dr. Okafor."]);
    assert_eq!(memory.get("recalled"), None, "a memory saved in this turn is not recalled");

    let friday = conversation(&lar, &json!({}));
    let memory = say(&lar, &friday, "Who is my dentist?");
    assert_eq!(texts(&memory, "recalled"), ["my dentist is Dr. Okafor."]);
    assert!(memory["recalled"][0]["reason"].as_str().unwrap().contains("words"));
    assert_eq!(say(&lar, &friday, "What is the capital of Australia?"), Value::Null);

    // A statement in passing changes nothing, but asks whether to update the memory.
    let memory = say(&lar, &friday, "My dentist is Dr. Weber now.");
    assert_eq!(memory.get("saved"), None, "{memory}");
    let suggested = &memory["suggested"][0];
    assert_eq!(suggested["outdated_content"], "my dentist is Dr. Okafor.", "{memory}");
    assert!(suggested["candidate"].as_str().unwrap().starts_with("cand_"), "{memory}");
    assert_eq!(texts(&say(&lar, &friday, "Who is my dentist?"), "recalled"), ["my dentist is Dr. Okafor."]);

    // A correction supersedes the memory; "forget that" undoes it.
    let correction = "No, that's wrong, my dentist is Dr. Weber.";
    let memory = say(&lar, &friday, correction);
    assert_eq!(memory["saved"][0]["decision"], "supersede", "{memory}");
    assert_eq!(memory["saved"][0]["superseded_content"], "my dentist is Dr. Okafor.");
    let memory = say(&lar, &friday, "Forget that.");
    assert_eq!(texts(&memory, "forgotten"), ["my dentist is Dr. Weber."]);
    let memory = say(&lar, &friday, "Who is my dentist?");
    assert_eq!(texts(&memory, "recalled"), ["my dentist is Dr. Okafor."]);

    // An undone correction stays undone: neither another request nor another undo brings it back.
    let memory = say(&lar, &friday, correction);
    let path = format!("/lar/v1/memories/{}/undo", memory["saved"][0]["id"].as_str().unwrap());
    let undo = json!({ "decision": memory["saved"][0]["change"] });
    assert_eq!((lar.post(&path, &undo).status, lar.post(&path, &undo).status), (200, 409));
    let memory = say(&lar, &friday, "Forget that.");
    assert!(memory["refused"][0].as_str().unwrap().contains("already undone"), "{memory}");
    assert_eq!(texts(&say(&lar, &friday, "Who is my dentist?"), "recalled"), ["my dentist is Dr. Okafor."]);

    let memory = say(&lar, &friday, "Please forget my dentist.");
    assert_eq!(texts(&memory, "forgotten"), ["my dentist is Dr. Okafor."]);
    assert_eq!(say(&lar, &friday, "Who is my dentist?"), Value::Null);
    let memory = say(&lar, &friday, "Forget about the trip to Athens.");
    assert_eq!(memory["refused"][0], "No memory is clearly about “the trip to Athens”.");
}

#[test]
fn everything_about_a_subject_is_listed_and_forgotten_with_one_undo() {
    let lar = Lar::start();
    let long = "Falcon is deployed by Ben on Tuesdays, and the notes of every release are in the wiki.";
    let about = ["Project Falcon uses Postgres.", long, "We paused Falcon in May."];
    let ids: Vec<String> = about.iter().map(|text| save_text(&lar, text)).collect();
    save_text(&lar, "The kitchen was painted green.");
    let talk = conversation(&lar, &json!({}));
    let memory = say(&lar, &talk, "What do you know about Falcon?");
    let mut listed = texts(&memory, "listed");
    listed.sort();
    let mut expected = about.map(ToOwned::to_owned);
    expected.sort();
    assert_eq!(listed, expected);

    let memory = say(&lar, &talk, "Forget everything about Falcon.");
    assert_eq!(texts(&memory, "forgotten").len(), 3, "{memory}");
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 1);
    let undo = json!({ "decision": memory["forgotten"][0]["change"] });
    let undone = lar.post(&format!("/lar/v1/memories/{}/undo", ids[0]), &undo);
    assert_eq!(undone.json()["memories"].as_array().unwrap().len(), 3, "{}", undone.body);
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 4);
}

#[test]
fn a_correction_that_concerns_no_memory_saves_nothing() {
    let lar = Lar::start();
    save_text(&lar, "The kitchen was painted green.");
    let sent = lar.post("/lar/v1/memories/intents", &json!({ "content": "No, that's wrong, 17 is prime." }));
    assert_eq!(sent.json()["saved"], json!([]), "{}", sent.body);
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 1);
}

#[test]
fn a_change_in_passing_asks_whether_to_update_the_memory() {
    let lar = Lar::start();
    let cases = [
        ("Drives a Volvo V70", "Since I sold the Volvo I cycle everywhere. Which panniers are good?"),
        ("Wohnt in Erfurt", "Ich bin letzte Woche nach Jena gezogen, kennst du ein gutes Café?"),
        ("Girlfriend: Priya", "Priya and I broke up in May. What do people cook for one?"),
    ];
    for (known, message) in cases {
        let id = save_text(&lar, known);
        let sent = lar.post("/lar/v1/memories/intents", &json!({ "content": message })).json();
        assert_eq!((&sent["saved"], &sent["suggested"]), (&json!([]), &json!(1)), "{message}: {sent}");
        let inbox = lar.get("/lar/v1/memories/inbox").json();
        assert_eq!(inbox["data"][0]["may_replace"]["id"], json!(id), "{message}: {inbox}");
    }
}

#[test]
fn a_memory_in_other_words_is_forgotten_only_if_it_is_the_only_one() {
    let lar = Lar::start();
    let own = save_text(&lar, "Lives at 8 Quarry Road");
    save_text(&lar, "Anna lives in Bath");
    let forget =
        || lar.post("/lar/v1/memories/intents", &json!({ "content": "Forget where I live." })).json();
    assert_eq!(forget()["forgotten"], json!([own]));
    assert_eq!(forget()["refused"].as_array().unwrap().len(), 1, "nothing else is clearly meant");
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 1);
}

#[test]
fn what_a_request_leaves_out_stays() {
    let lar = Lar::start();
    for text in [
        "The Lisbon trip starts on 3 May",
        "Hotel for the Lisbon trip: Casa Azul",
        "Grandma likes tulips",
        "Ben from accounting plays golf",
        "Ben is allergic to cats",
    ] {
        save_text(&lar, text);
    }
    let chat = conversation(&lar, &json!({}));
    let memory = say(&lar, &chat, "Forget everything about the Lisbon trip, but not the hotel.");
    assert_eq!(texts(&memory, "forgotten"), ["The Lisbon trip starts on 3 May"], "{memory}");
    // It is not clear which memories are about the neighbour, so all stay.
    let memory = say(&lar, &chat, "Delete everything about Ben except the neighbour.");
    assert_eq!(texts(&memory, "forgotten"), [""; 0], "{memory}");
    assert!(memory["refused"][0].as_str().unwrap().contains("it is not clear which memories"), "{memory}");
    let memory = say(&lar, &chat, "You can bin the note about tulips, the rest stays.");
    assert_eq!(texts(&memory, "forgotten"), ["Grandma likes tulips"], "{memory}");
}

#[test]
fn a_correction_that_fits_several_memories_asks() {
    let lar = Lar::start();
    save_text(&lar, "Anna's choir meets on Tuesdays in the school");
    save_text(&lar, "Tom's choir meets on Tuesdays in the church");
    let chat = conversation(&lar, &json!({}));
    let memory = say(&lar, &chat, "You still have Tuesdays, the choir meets on Thursdays.");
    assert_eq!(texts(&memory, "saved"), [""; 0], "{memory}");
    let memory = say(&lar, &chat, "You still have Tuesdays for Anna, her choir meets on Thursdays.");
    assert_eq!(
        memory["saved"][0]["superseded_content"], "Anna's choir meets on Tuesdays in the school",
        "{memory}"
    );
}

#[test]
fn forget_that_cancels_a_reminder_and_nothing_else() {
    let lar = Lar::start();
    let chat = conversation(&lar, &json!({}));
    let memory = say(&lar, &chat, "Remember that my dentist is Dr. Okafor.");
    assert_eq!(texts(&memory, "saved"), ["my dentist is Dr. Okafor."]);
    let memory = say(&lar, &chat, "Remind me tomorrow at 9 to call the bank.");
    assert_eq!(texts(&memory, "scheduled"), ["call the bank"]);
    let memory = say(&lar, &chat, "Forget that.");
    assert_eq!(texts(&memory, "forgotten"), ["call the bank"], "{memory}");
    let reminders = lar.get("/lar/v1/memories/intentions").json();
    assert_eq!(reminders["data"][0]["status"], "cancelled", "{reminders}");
    assert_eq!(search_ids(&lar, "dentist").len(), 1);
}

#[test]
fn a_replaced_text_that_is_said_again_hides_nothing() {
    let lar = Lar::start();
    let old = save_text(&lar, "The team lunch is at noon");
    let chat = conversation(&lar, &json!({}));
    let memory = say(&lar, &chat, "No, that's wrong, the team lunch is in the garden when the sun shines.");
    let newer = memory["saved"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(memory["saved"][0]["superseded_id"], old.as_str(), "{memory}");
    let again = lar.post("/lar/v1/memories", &json!({ "content": "The team lunch is at noon" }));
    assert_eq!((again.status, &again.json()["id"]), (200, &json!(old)), "{}", again.body);
    let found = search_ids(&lar, "team lunch");
    assert!(found.contains(&old) && found.contains(&newer), "both are current and linked: {found:?}");
}

#[test]
fn requests_to_be_reminded_create_intentions() {
    let lar = Lar::start();
    let talk = conversation(&lar, &json!({}));
    let memory = say(&lar, &talk, "Remind me when I work on the invoice to attach the receipts");
    assert_eq!(texts(&memory, "scheduled"), ["attach the receipts"]);
    assert_eq!((memory.get("reminders"), memory.get("saved")), (None, None), "{memory}");
    let memory = say(&lar, &talk, "How do I number the invoice?");
    assert_eq!(texts(&memory, "reminders"), ["attach the receipts"]);

    let memory = say(&lar, &talk, "Remind me tomorrow at 9 to call the bank");
    assert_eq!(texts(&memory, "scheduled"), ["call the bank"]);
    let path = format!("/lar/v1/memories/intentions/{}", memory["scheduled"][0]["id"].as_str().unwrap());
    let intention = lar.get(&path).json();
    assert!(intention["trigger"]["at"].as_str().unwrap().contains("T09:00"), "{intention}");
    assert_eq!(lar.send("PATCH", &path, &json!({ "status": "cancelled" })).status, 200);

    for other in ["Remind me why we dropped Redis", "Don't remind me tomorrow.", "Forget the reminder thing?"]
    {
        assert_eq!(say(&lar, &talk, other).get("scheduled"), None, "{other}");
    }
    let erased = say(&lar, &talk, "Remind me in 20 minutes to check the oven");
    let id = erased["scheduled"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(lar.send("DELETE", &format!("/lar/v1/memories/intentions/{id}"), &Value::Null).status, 204);
    let exported = lar.get("/lar/v1/conversations/export").body;
    assert!(!exported.contains("\"content\":\"check the oven\""), "{exported}");
}

#[test]
fn a_long_memory_is_listed_and_forgotten_by_an_excerpt() {
    let lar = Lar::start();
    save_text(&lar, &format!("The Falcon log. {}", "Nothing happened on this day. ".repeat(2000)));
    let talk = conversation(&lar, &json!({}));
    let listed = texts(&say(&lar, &talk, "What do you know about Falcon?"), "listed");
    assert!(listed[0].starts_with("The Falcon log.") && listed[0].chars().count() == 301, "{listed:?}");
    let forgotten = texts(&say(&lar, &talk, "Forget everything about Falcon."), "forgotten");
    assert_eq!(forgotten, listed);
}

#[test]
fn pasted_texts_and_other_people_change_nothing() {
    let lar = Lar::start();
    let cases = [
        (
            "I like dark mode.",
            "Answer this customer mail:\n\nI don't like dark mode. Please refund me.\n\nRegards, Tom",
        ),
        (
            "Our office is in Porto.",
            "Here is the press release, summarise it:\n\nOur office is in Oslo. We employ 300 people.",
        ),
        ("Anna lives in Berlin.", "Anna's brother moved to Berlin."),
        ("The contract is signed.", "I dreamt the contract was not signed."),
        ("My dentist is Dr. Okafor.", "My dentist is not Dr. Okafor in this story."),
    ];
    for (known, message) in cases {
        let id = save_text(&lar, known);
        let sent = lar.post("/lar/v1/memories/intents", &json!({ "content": message })).json();
        assert_eq!((&sent["saved"], &sent["forgotten"]), (&json!([]), &json!([])), "{message}: {sent}");
        let memory = lar.get(&format!("/lar/v1/memories/{id}")).json();
        assert_eq!((&memory["content"], memory.get("superseded_by")), (&json!(known), None), "{message}");
    }
}

#[test]
fn an_erased_memory_disappears_from_the_answers_that_used_it() {
    let lar = Lar::start();
    let id = save_text(&lar, "My dentist is Dr. Okafor.");
    let chat = conversation(&lar, &json!({}));
    let memory = say(&lar, &chat, "Who is my dentist?");
    assert_eq!(texts(&memory, "recalled"), ["My dentist is Dr. Okafor."]);
    let memory = say(&lar, &chat, "No, that's wrong, my dentist is Dr. Weber.");
    assert_eq!(memory["saved"][0]["superseded_content"], "My dentist is Dr. Okafor.");
    assert_eq!(memory["saved"][0]["superseded_id"], id.as_str());

    assert_eq!(lar.send("DELETE", &format!("/lar/v1/memories/{id}?erase=true"), &Value::Null).status, 204);
    let kept = lar.get(&format!("/lar/v1/conversations/{chat}")).json();
    let memory_of = |at: usize| kept["messages"][at]["memory"].clone();
    assert_eq!(
        (&memory_of(1)["recalled"][0]["id"], memory_of(1)["recalled"][0].get("content")),
        (&json!(id), Some(&json!("")))
    );
    assert_eq!(texts(&memory_of(3), "saved"), ["my dentist is Dr. Weber."]);
    for name in ["superseded_content", "instead_of"] {
        assert_eq!(memory_of(3)["saved"][0].get(name), None, "{name}");
    }
    let exported = lar.get("/lar/v1/conversations/export").body;
    assert!(exported.contains("Dr. Weber") && !exported.contains("Okafor"), "{exported}");
}

#[test]
fn a_good_rating_counts_as_use_of_the_recalled_memories() {
    let lar = Lar::start();
    let id = save_text(&lar, "The boiler was serviced in June 2025.");
    let talk = conversation(&lar, &json!({}));
    say(&lar, &talk, "When was the boiler serviced?");
    let messages = lar.get(&format!("/lar/v1/conversations/{talk}")).json()["messages"].clone();
    let answer =
        messages.as_array().unwrap().iter().find(|one| one["role"] == "assistant").unwrap()["id"].clone();
    let path = format!("/lar/v1/conversations/{talk}/messages/{}/feedback", answer.as_str().unwrap());
    let rate = |rating: Value| assert_eq!(lar.post(&path, &json!({ "rating": rating })).status, 200);
    let actions = || -> Vec<String> {
        let history = lar.get(&format!("/lar/v1/memories/{id}/history")).json();
        history["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["action"].as_str().unwrap().to_owned())
            // Whether the model cites the memory is up to it.
            .filter(|action| action != "cite")
            .collect()
    };
    rate(json!("bad"));
    assert_eq!(actions(), ["create"]);
    rate(json!("good"));
    rate(json!("good"));
    assert_eq!(actions(), ["create", "use"], "a rating counts once");
}

#[test]
fn plain_statements_wait_in_the_inbox() {
    let lar = Lar::start();
    let talk = conversation(&lar, &json!({}));
    let memory = say(&lar, &talk, "I play the oboe in an orchestra. Which reeds are good?");
    assert_eq!(texts(&memory, "suggested"), ["I play the oboe in an orchestra."]);
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 0);
    let waiting = lar.get("/lar/v1/memories/inbox").json();
    let id = waiting["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(waiting["data"][0]["conversation"], json!(talk));
    let accepted = lar.post(&format!("/lar/v1/memories/inbox/{id}/accept"), &json!({})).json();
    assert_eq!(accepted["decision"], "create");
    assert_eq!(lar.get("/lar/v1/memories/inbox").json()["data"], json!([]));
    assert_eq!(search_ids(&lar, "Which instrument do I play?").len(), 1);
    assert_eq!(
        say(&lar, &talk, "I play the oboe in an orchestra.").get("suggested"),
        None,
        "a known fact does not wait again"
    );

    say(&lar, &talk, "My bike was stolen last week.");
    let waiting = lar.get("/lar/v1/memories/inbox").json();
    let id = waiting["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(lar.post(&format!("/lar/v1/memories/inbox/{id}/reject"), &json!({})).status, 204);
    assert_eq!(lar.post(&format!("/lar/v1/memories/inbox/{id}/reject"), &json!({})).status, 404);
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 1);
}

#[test]
fn secrets_temporary_chats_and_narrow_keys_leave_nothing() {
    let lar = Lar::start();
    save_text(&lar, "The garage code is on the back of the door.");
    let talk = conversation(&lar, &json!({}));
    let secret = format!("Remember that the token is ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
    let memory = say(&lar, &talk, &secret);
    assert!(memory["refused"][0].as_str().unwrap().contains("secret"), "{memory}");

    let temporary = conversation(&lar, &json!({ "temporary": true }));
    assert_eq!(
        say(&lar, &temporary, "Remember that the garage code is 1234. Where is the garage code?"),
        Value::Null
    );
    let listed = lar.get("/lar/v1/conversations").json();
    let ids: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [talk.as_str()], "a temporary conversation is in no list");

    let made = lar
        .post("/lar/v1/keys", &json!({ "name": "narrow", "scopes": ["inference", "conversations"] }))
        .json();
    let narrow = format!("authorization: Bearer {}\r\n", made["secret"].as_str().unwrap());
    let body = json!({ "content": "Remember that I like tea. Where is the garage code?", "max_tokens": 4 });
    let answer = with(&lar, &narrow, "POST", &format!("/lar/v1/conversations/{talk}/messages"), &body);
    assert_eq!(answer.events()[0].1["answer"].get("memory"), None);
    assert_eq!(lar.get("/lar/v1/memories/stats").json()["memories"], 1);
}

#[test]
fn a_key_without_memory_read_sees_no_memory_beside_answers() {
    let lar = Lar::start();
    save_text(&lar, "My dentist is Dr. Okafor.");
    let talk = conversation(&lar, &json!({}));
    say(&lar, &talk, "Who is my dentist?");
    let scopes = ["inference", "conversations", "memory:write"];
    let made = lar.post("/lar/v1/keys", &json!({ "name": "narrow", "scopes": scopes })).json();
    let narrow = format!("authorization: Bearer {}\r\n", made["secret"].as_str().unwrap());
    let path = format!("/lar/v1/conversations/{talk}/messages");
    let mut shown = String::new();
    let correction = "No, that's wrong, my dentist is Dr. Weber.";
    for text in [correction, "Forget that.", "Please forget my dentist."] {
        let answer = with(&lar, &narrow, "POST", &path, &json!({ "content": text, "max_tokens": 4 }));
        let memory = answer.events()[0].1["answer"]["memory"].clone();
        assert!(memory["saved"].is_array() || memory["forgotten"].is_array(), "{text}: {memory}");
        shown += &memory.to_string();
    }
    let kept = format!("/lar/v1/conversations/{talk}");
    let seen = |path: &str| with(&lar, &narrow, "GET", path, &Value::Null);
    let messages = seen(&kept).json()["messages"].clone();
    assert!(messages[1]["memory"]["recalled"][0]["id"].is_string(), "{messages}");
    for message in messages.as_array().unwrap() {
        shown += &message["memory"].to_string();
    }
    let line: Value =
        serde_json::from_str(seen("/lar/v1/conversations/export").body.lines().next().unwrap()).unwrap();
    shown += &line["messages"][1]["memory"].to_string();
    let rated = with(
        &lar,
        &narrow,
        "POST",
        &format!("{path}/{}/feedback", messages[1]["id"].as_str().unwrap()),
        &json!({ "rating": "bad" }),
    );
    shown += &rated.json()["memory"].to_string();
    assert!(!shown.contains("Okafor") && !shown.contains("Weber"), "{shown}");
    assert!(lar.get(&kept).body.contains("Okafor"), "a key that may read memories sees it");
}

#[test]
fn memory_can_be_kept_out_of_chats() {
    let lar = Lar::start_with("[memory]\nchat = \"recall\"\n");
    save_text(&lar, "The boiler was serviced in June 2025.");
    let talk = conversation(&lar, &json!({}));
    let memory = say(&lar, &talk, "Remember that I like tea. When was the boiler serviced?");
    assert_eq!((texts(&memory, "recalled").len(), memory.get("saved")), (1, None));
    let lar = Lar::start_with("[memory]\nchat = \"off\"\n");
    save_text(&lar, "The boiler was serviced in June 2025.");
    let talk = conversation(&lar, &json!({}));
    assert_eq!(say(&lar, &talk, "When was the boiler serviced?"), Value::Null);
}
