//! mem0's memories: the result of `get_all`, as JSON.
//!
//! Metadata and the role become tags such as `role:user`; what does not fit in a tag becomes a line of the text.
//! The user, the agent and the actor are named in the source, and the run becomes the conversation. `created_at`
//! is when the memory was stated, and a later `updated_at` is since when its text is true. mem0's own ids, hashes
//! and scores are left out.

use lar_api::memories::NewMemory;
use serde_json::Value;

use super::json_items::{items, string, strings};
use super::parsed_export::{ParsedExport, TAG_CHARS_MAX};
use super::report::Location;
use super::times;

/// The names of the text.
const TEXT: [&str; 3] = ["memory", "data", "text"];
/// The fields that have a field in Lar's memory, or that only mean something to mem0.
const MAPPED: [&str; 18] = [
    "memory",
    "data",
    "text",
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
    "internal_metadata",
    "input",
    "owner",
    "organization",
];
/// The fields that are named in the source.
const IDENTITIES: [(&str, &str); 4] =
    [("user_id", "user"), ("agent_id", "agent"), ("app_id", "app"), ("actor_id", "actor")];

/// Parses the result of `get_all`: a list, or an object with a list in `results` or `memories`.
pub(super) fn parse(text: &str, file: &Location, read: &mut ParsedExport) -> anyhow::Result<()> {
    for (location, item) in items(text, file, &["results", "memories"], read)? {
        let Some(content) = string(&item, &TEXT) else {
            read.skip(location, "without text");
            continue;
        };
        let memory = memory(content, &item);
        read.push(location, memory);
    }
    for relation in relations(text) {
        read.push(file.clone(), relation);
    }
    Ok(())
}

fn memory(mut content: String, item: &Value) -> NewMemory {
    let mut tags = strings(&item["categories"]);
    let mut details = Vec::new();
    for (name, value) in item.as_object().into_iter().flatten() {
        let is_identity = IDENTITIES.iter().any(|(field, _)| field == name);
        if name == "metadata" {
            flatten("", value, &mut details);
        } else if !is_identity && !MAPPED.contains(&name.as_str()) {
            flatten(name, value, &mut details);
        }
    }
    // The order of fields is that of the program that wrote them, and it can change.
    details.sort();
    for (name, value) in details {
        let tag = format!("{name}:{value}");
        if tag.chars().count() <= TAG_CHARS_MAX && !value.contains('\n') {
            tags.push(tag);
        } else {
            content.push_str(&format!("\n{name}: {value}"));
        }
    }
    let (created, updated) = (string(item, &["created_at"]), string(item, &["updated_at"]));
    let is_later = |updated: &String| {
        let created = created.as_deref().and_then(times::parse);
        times::parse(updated).is_none_or(|updated| created.is_none_or(|created| updated > created))
    };
    NewMemory {
        content,
        tags,
        source: Some(source(item)),
        valid_from: updated.filter(is_later),
        occurred_at: created,
        valid_to: string(item, &["expiration_date"]),
        conversation: string(item, &["run_id"]),
        ..NewMemory::default()
    }
}

/// Returns `mem0`, with the user, the agent and the actor if they are known.
fn source(item: &Value) -> String {
    let named =
        IDENTITIES.iter().filter_map(|(field, name)| Some(format!("{name} {}", item[*field].as_str()?)));
    let named: Vec<String> = named.collect();
    if named.is_empty() { "mem0".into() } else { format!("mem0: {}", named.join(", ")) }
}

/// Adds the values in `value` with their names. The name of a value in an object contains the object's name.
fn flatten(name: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (inner, value) in fields {
                let name = if name.is_empty() { inner.clone() } else { format!("{name}.{inner}") };
                flatten(&name, value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| flatten(name, value, found)),
        Value::String(text) if text.trim().is_empty() => {}
        Value::String(text) => found.push((name.to_owned(), text.trim().to_owned())),
        Value::Bool(_) | Value::Number(_) => found.push((name.to_owned(), value.to_string())),
    }
}

/// Returns the relations of mem0's graph memory as sentences.
fn relations(text: &str) -> Vec<NewMemory> {
    let whole: Value = serde_json::from_str(text).unwrap_or_default();
    let relations = whole["relations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sentence = |relation: &Value| {
        let from = string(relation, &["source"])?;
        let (kind, to) =
            (string(relation, &["relationship", "relation"])?, string(relation, &["target", "destination"])?);
        Some(format!("{from} {} {to}", kind.replace('_', " ")))
    };
    let memory = |content| NewMemory {
        content,
        tags: vec!["relation".into()],
        source: Some("mem0".into()),
        ..NewMemory::default()
    };
    relations.iter().filter_map(sentence).map(memory).collect()
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
}
