//! The file `memory.jsonl` of the reference MCP memory server: entities with observations, and relations.

use anyhow::bail;
use lar_api::memories::NewMemory;
use serde_json::Value;

use super::details::{add, others};
use super::json_items::{NOT_JSON, name, scalar, string, time};
use super::parsed_export::ParsedExport;
use super::report::Location;

/// The fields of an entity, and of a relation, that have their own place.
const ENTITY: [&str; 4] = ["type", "name", "entityType", "observations"];
const RELATION: [&str; 4] = ["type", "from", "to", "relationType"];
/// The names of the text of an observation that is an object.
const OBSERVED: [&str; 3] = ["content", "text", "observation"];
/// The fields with a time.
const TIMES: [&str; 3] = ["createdAt", "created_at", "timestamp"];

/// Parses the lines. Each observation becomes a memory that names its entity, and each relation a sentence.
pub(super) fn parse(text: &str, file: &Location, read: &mut ParsedExport) -> anyhow::Result<()> {
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let location = file.line(number + 1);
        match serde_json::from_str::<Value>(line) {
            Ok(item) => entry(&item, location, read),
            Err(_) => read.fail(location, NOT_JSON),
        }
    }
    if let (true, Some(first)) = (read.entries.is_empty(), read.failed.first()) {
        bail!("no line is an entry of the MCP memory server; {}: {}", first.location, first.reason);
    }
    Ok(())
}

fn entry(item: &Value, location: Location, read: &mut ParsedExport) {
    match item["type"].as_str() {
        Some("entity") => entity(item, location, read),
        Some("relation") => {
            let part = |field| name(item, &[field]);
            let (Some(from), Some(relation), Some(to)) = (part("from"), part("relationType"), part("to"))
            else {
                return read.fail(location, "a relation without `from`, `relationType` or `to`");
            };
            let content = format!("{from} {} {to}", relation.replace('_', " "));
            read.push(location, memory(content, vec!["relation".into()], &[item], &RELATION));
        }
        _ => read.skip(location, "neither an entity nor a relation"),
    }
}

fn entity(item: &Value, location: Location, read: &mut ParsedExport) {
    let Some(name) = name(item, &["name"]) else {
        return read.fail(location, "an entity without a name");
    };
    let kind = string(item, &["entityType"]).filter(|kind| !kind.trim().is_empty());
    let tags: Vec<String> = kind.iter().cloned().collect();
    let observations = match &item["observations"] {
        Value::Array(all) => all.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    if observations.is_empty() {
        // What is known of it is its type, or its other fields.
        let content = kind.map(|kind| format!("{name} ({kind})")).unwrap_or_else(|| name.clone());
        let memory = memory(content, tags, &[item], &ENTITY);
        if memory.content == name && memory.tags.is_empty() {
            return read.skip(location, "entities with only a name");
        }
        read.push(location, memory);
        return;
    }
    for observed in observations {
        let text = scalar(&observed).or_else(|| string(&observed, &OBSERVED));
        match text {
            Some(text) => {
                let known = [ENTITY.as_slice(), &OBSERVED].concat();
                let memory = memory(about(&name, &text), tags.clone(), &[&observed, item], &known);
                read.push(location.clone(), memory);
            }
            None => read.skip(location.clone(), "observations without text"),
        }
    }
}

/// Returns a memory with the time and the other fields of these objects.
fn memory(content: String, tags: Vec<String>, of: &[&Value], known: &[&str]) -> NewMemory {
    let occurred_at = of.iter().find_map(|item| time(item, &TIMES));
    let mut memory =
        NewMemory { content, tags, source: Some("mcp-memory".into()), occurred_at, ..NewMemory::default() };
    let known = [known, &TIMES].concat();
    add(&mut memory, of.iter().flat_map(|item| others(item, &known)).collect());
    memory
}

/// Returns an observation that names its entity.
fn about(name: &str, observed: &str) -> String {
    let names_it = observed.to_lowercase().contains(&name.to_lowercase());
    if names_it { observed.to_owned() } else { format!("{name}: {observed}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(lines: &str) -> (Vec<String>, ParsedExport) {
        let mut read = ParsedExport::default();
        parse(lines, &Location::file("memory.jsonl"), &mut read).unwrap();
        (read.entries.iter().map(|entry| entry.memory.content.clone()).collect(), read)
    }

    #[test]
    fn observations_name_their_entity_and_relations_are_sentences() {
        let (contents, read) = parsed(
            "{\"type\":\"entity\",\"name\":\"Anna\",\"entityType\":\"person\",\"observations\":[\"lives in Oslo\",\"Anna sings\"]}\n\
             {\"type\":\"relation\",\"from\":\"Anna\",\"to\":\"Acme\",\"relationType\":\"works_at\"}\n\
             {\"type\":\"entity\",\"name\":\"Acme\",\"entityType\":\"company\",\"observations\":[]}\n\
             {\"type\":\"entity\",\"name\":\"Bo\",\"entityType\":\"\",\"observations\":[]}\n",
        );
        assert_eq!(contents, ["Anna: lives in Oslo", "Anna sings", "Anna works at Acme", "Acme (company)"]);
        assert_eq!(read.entries[0].memory.tags, ["person"]);
        assert_eq!(
            (read.skipped.len(), read.skipped[0].location.to_string()),
            (1, "memory.jsonl, line 4".into())
        );
    }

    #[test]
    fn observations_of_every_form_and_other_fields_are_kept() {
        let (contents, read) = parsed(
            "{\"type\":\"entity\",\"name\":\"Anna\",\"entityType\":\"person\",\"observations\":\"sings\",\"createdAt\":\"2025-01-02\"}\n\
             {\"type\":\"entity\",\"name\":\"Bo\",\"observations\":[{\"content\":\"paints\",\"by\":\"me\"}, 7, {}],\"team\":\"red\"}\n\
             {\"type\":\"relation\",\"from\":\"Anna\",\"to\":\"Bo\",\"relationType\":\"knows\",\"since\":2020}\n",
        );
        assert_eq!(contents, ["Anna: sings", "Bo: paints", "Bo: 7", "Anna knows Bo"]);
        let tags: Vec<String> = read.entries.iter().map(|one| one.memory.tags.join(" ")).collect();
        assert_eq!(tags, ["person", "by:me team:red", "team:red", "relation since:2020"]);
        assert_eq!(read.entries[0].memory.occurred_at.as_deref(), Some("2025-01-02T00:00:00.000Z"));
        assert_eq!(read.skipped[0].reason, "observations without text");
    }

    #[test]
    fn an_invalid_line_is_skipped_and_the_others_are_read() {
        let (contents, read) = parsed(
            "{\"type\":\"entity\",\"name\":\"Anna\",\"observations\":[\"sings\"]}\n{\"type\":\n{\"type\":\"entity\"}\n\n",
        );
        assert_eq!(contents, ["Anna: sings"]);
        let failed: Vec<String> = read.failed.iter().map(|one| one.location.to_string()).collect();
        assert_eq!(failed, ["memory.jsonl, line 2", "memory.jsonl, line 3"]);
        assert!(parse("nope", &Location::file("f"), &mut ParsedExport::default()).is_err());
        assert!(
            parse("", &Location::file("f"), &mut ParsedExport::default()).is_ok(),
            "an empty file is no error"
        );
    }
}
