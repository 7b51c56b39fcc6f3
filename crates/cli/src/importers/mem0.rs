//! mem0's memories: the result of `get_all`, as JSON.
//!
//! Metadata, the role and all other fields become tags such as `role:user`; what does not fit in a tag becomes a line
//! of the text. The user, the agent and other owners are named in the source, and the run becomes the conversation.
//! `created_at` is when the memory was stated, and a later `updated_at` is since when its text is true. mem0's own
//! ids, hashes and scores, and the parts of `created_at`, are left out. The messages that a memory came from are named.

use lar_api::memories::NewMemory;
use serde_json::Value;

use super::details::{Detail, add, flatten, labels, others};
use super::json_items::{has_content, items, name, scalar, string, time};
use super::parsed_export::ParsedExport;
use super::report::Location;
use super::times;

/// The names of the text.
const TEXT: [&str; 3] = ["memory", "data", "text"];
/// The fields that have a field in Lar's memory, that are read one by one, or that only mean something to mem0.
const MAPPED: [&str; 12] = [
    "categories",
    "created_at",
    "updated_at",
    "expiration_date",
    "run_id",
    "metadata",
    "id",
    "hash",
    "score",
    "score_details",
    "structured_attributes",
    "input",
];
/// The fields that are named in the source.
const IDENTITIES: [(&str, &str); 6] = [
    ("user_id", "user"),
    ("agent_id", "agent"),
    ("app_id", "app"),
    ("actor_id", "actor"),
    ("owner", "owner"),
    ("organization", "organization"),
];
/// The attributes that mem0 derives from the time of a memory.
const TIME_PARTS: [&str; 12] = [
    "day",
    "hour",
    "year",
    "month",
    "minute",
    "second",
    "quarter",
    "is_weekend",
    "day_of_week",
    "day_of_year",
    "week_of_year",
    "time_of_day",
];
/// The names of the parts of a relation.
const RELATION: [&str; 5] = ["source", "relationship", "relation", "target", "destination"];

/// Parses the result of `get_all`: a list, or an object with a list in `results` or `memories`.
pub(super) fn parse(text: &str, file: &Location, read: &mut ParsedExport) -> anyhow::Result<()> {
    for (location, item) in items(text, file, &["results", "memories"], &["relations"], read)? {
        let content = item.as_str().map(ToOwned::to_owned).or_else(|| string(&item, &TEXT));
        let Some(content) = content else {
            read.skip(location, "without text");
            continue;
        };
        if has_content(&item["input"]) {
            read.skip(
                location.clone(),
                "the messages that mem0 made a memory from, `input` (the memory is kept)",
            );
        }
        let memory = memory(content, &item);
        read.push(location, memory);
    }
    let whole: Value = serde_json::from_str(text).unwrap_or_default();
    for (number, found) in (1..).zip(whole["relations"].as_array().into_iter().flatten()) {
        let location = file.item(format!("relation {number}"));
        match relation(found) {
            Some(memory) => {
                read.push(location, memory);
            }
            None => read.skip(location, "relations without a source, a name or a target"),
        }
    }
    if has_content(&whole["next"]) {
        read.skip(file.item("`next`"), "more pages of memories, which are not in this file");
    }
    Ok(())
}

fn memory(content: String, item: &Value) -> NewMemory {
    let mut known: Vec<&str> = MAPPED.to_vec();
    // The text can be in two fields.
    known.extend(TEXT.iter().filter(|field| item[**field].as_str().is_none_or(|text| text == content)));
    known.extend(IDENTITIES.iter().map(|(field, _)| *field).filter(|field| scalar(&item[*field]).is_some()));
    let mut details = others(item, &known);
    flatten(if item["metadata"].is_object() { "" } else { "metadata" }, &item["metadata"], &mut details);
    let tags = labels("categories", &item["categories"], &mut details);
    let created = time(item, &["created_at"]);
    let mut attributes = item["structured_attributes"].clone();
    if let Some(parts) = attributes.as_object_mut().filter(|_| created.is_some()) {
        parts.retain(|name, _| !TIME_PARTS.contains(&name.as_str()));
    }
    flatten("structured_attributes", &attributes, &mut details);
    let is_later = |updated: &String| {
        let created = created.as_deref().and_then(times::parse);
        times::parse(updated).is_none_or(|updated| created.is_none_or(|created| updated > created))
    };
    let valid_from = time(item, &["updated_at"]).filter(is_later);
    let mut memory = NewMemory {
        content,
        tags,
        source: Some(source(item)),
        valid_from,
        occurred_at: created,
        valid_to: time(item, &["expiration_date"]),
        conversation: name(item, &["run_id"]),
        ..NewMemory::default()
    };
    add(&mut memory, details);
    memory
}

/// Returns `mem0`, with the user, the agent and the other owners if they are known.
fn source(item: &Value) -> String {
    let named =
        IDENTITIES.iter().filter_map(|(field, name)| Some(format!("{name} {}", scalar(&item[*field])?)));
    let named: Vec<String> = named.collect();
    if named.is_empty() { "mem0".into() } else { format!("mem0: {}", named.join(", ")) }
}

/// Returns a relation of mem0's graph memory as a sentence. Its other fields are details.
fn relation(found: &Value) -> Option<NewMemory> {
    let from = name(found, &["source"])?;
    let (kind, to) = (name(found, &["relationship", "relation"])?, name(found, &["target", "destination"])?);
    let details: Vec<Detail> = others(found, &RELATION);
    let mut memory = NewMemory {
        content: format!("{from} {} {to}", kind.replace('_', " ")),
        tags: vec!["relation".into()],
        source: Some("mem0".into()),
        ..NewMemory::default()
    };
    add(&mut memory, details);
    Some(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part of what `Memory().get_all` returned, with other words.
    const GET_ALL: &str = r#"{ "results": [
        { "id": "0b6c", "memory": "Keeps bees on the roof", "hash": "9f1e", "score": null,
          "metadata": { "topic": "hobby", "seasons": ["spring", "summer"], "place": { "city": "Graz" } },
          "created_at": "2025-06-01T10:00:00.123456-07:00", "updated_at": "2025-07-02T08:00:00.000000-07:00",
          "user_id": "mira", "agent_id": "garden-bot", "run_id": "run-7", "role": "user" },
        { "id": "0b6d", "memory": "Takes the 7:40 train", "hash": "11aa", "metadata": null,
          "created_at": "2025-06-01T10:00:00-07:00", "updated_at": null, "expiration_date": "2026-01-01",
          "categories": ["travel"] },
        { "id": "0b6e" }
    ], "relations": [{ "source": "mira", "relationship": "works_at", "target": "acme" }] }"#;

    fn parsed(text: &str) -> ParsedExport {
        let mut read = ParsedExport::default();
        parse(text, &Location::file("mem0.json"), &mut read).unwrap();
        read
    }

    #[test]
    fn metadata_roles_identities_and_times_are_kept() {
        let read = parsed(GET_ALL);
        let [bees, train, relation] = read.entries.as_slice() else { panic!("{:?}", read.entries) };
        assert_eq!(bees.memory.content, "Keeps bees on the roof");
        assert_eq!(
            bees.memory.tags,
            ["place.city:Graz", "role:user", "seasons:spring", "seasons:summer", "topic:hobby"]
        );
        assert_eq!(bees.memory.source.as_deref(), Some("mem0: user mira, agent garden-bot"));
        assert_eq!(bees.memory.conversation.as_deref(), Some("run-7"));
        assert_eq!(bees.memory.occurred_at.as_deref(), Some("2025-06-01T17:00:00.123Z"));
        assert_eq!(bees.memory.valid_from.as_deref(), Some("2025-07-02T15:00:00.000Z"));
        assert_eq!(
            (train.memory.tags.as_slice(), train.memory.source.as_deref()),
            (["travel".into()].as_slice(), Some("mem0"))
        );
        assert_eq!(train.memory.valid_to.as_deref(), Some("2026-01-01T00:00:00.000Z"));
        assert_eq!(train.memory.valid_from, None);
        assert_eq!(relation.memory.content, "mira works at acme");
        assert_eq!(read.skipped[0].location.to_string(), "mem0.json, item 3");
    }

    #[test]
    fn metadata_that_does_not_fit_in_a_tag_becomes_a_line_of_the_text() {
        let long = "x".repeat(120);
        let read = parsed(
            &serde_json::json!([{ "memory": "A", "metadata": { "note": long, "two": "a\nb" } }]).to_string(),
        );
        assert_eq!(read.entries[0].memory.content, format!("A\nnote: {long}\ntwo: a\nb"));
        assert_eq!(read.entries[0].memory.tags, [""; 0]);
    }

    #[test]
    fn an_unreadable_line_or_time_loses_no_memory() {
        let read = parsed(
            "{\"memory\": \"a\", \"created_at\": \"2025-01-02 03:04:05\"}\nnope\n{\"memory\": \"b\", \"created_at\": \"soon\"}\n",
        );
        let times: Vec<Option<&str>> =
            read.entries.iter().map(|one| one.memory.occurred_at.as_deref()).collect();
        assert_eq!(times, [Some("2025-01-02T03:04:05.000Z"), None]);
        assert_eq!(
            (read.failed[0].location.to_string(), read.skipped.len()),
            ("mem0.json, line 2".into(), 1)
        );
    }

    #[test]
    fn no_field_of_a_memory_is_lost() {
        let item = serde_json::json!({
            "memory": "Likes tea", "text": "Likes green tea", "user_id": 7, "owner": "mira",
            "organization": { "name": "acme" },
            "input": [{ "role": "user", "content": "I like tea" }], "created_at": 1_717_236_000,
            "structured_attributes": { "day": 1, "month": 6, "mood": "calm" }, "internal_metadata": { "origin": "app" },
            "categories": "drinks", "run_id": 12, "metadata": "plain",
        });
        let read = parsed(&serde_json::json!({ "results": [item, "Likes cake"], "next": "page 2",
            "relations": [
                { "source": "mira", "relationship": "likes", "target": "tea", "since": 2020 }, { "source": "x" },
            ] }).to_string());
        let [tea, cake, relation] = read.entries.as_slice() else { panic!("{:?}", read.entries) };
        assert_eq!(tea.memory.content, "Likes tea");
        assert_eq!(tea.memory.source.as_deref(), Some("mem0: user 7, owner mira"));
        assert_eq!(tea.memory.conversation.as_deref(), Some("12"));
        assert_eq!(tea.memory.occurred_at.as_deref(), Some("2024-06-01T10:00:00.000Z"));
        assert_eq!(
            tea.memory.tags,
            [
                "drinks",
                "internal_metadata.origin:app",
                "metadata:plain",
                "organization.name:acme",
                "structured_attributes.mood:calm",
                "text:Likes green tea"
            ]
        );
        assert_eq!(
            (cake.memory.content.as_str(), &relation.memory.tags[..]),
            ("Likes cake", &["relation".to_owned(), "since:2020".to_owned()][..])
        );
        let skipped: Vec<String> = read.skipped.iter().map(|one| one.location.to_string()).collect();
        assert_eq!(skipped, ["mem0.json, item 1", "mem0.json, relation 2", "mem0.json, `next`"]);
    }
}
