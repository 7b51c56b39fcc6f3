//! Exports in JSON: mem0's, Vestige's, the reference MCP memory server's.

use anyhow::bail;
use lar_api::memories::NewMemory;
use serde_json::Value;

use super::ParsedExport;

/// Why a line is left out.
const NO_JSON: &str = "lines that are no JSON";
/// Kinds that Lar has and others may name.
const KINDS: [&str; 9] =
    ["fact", "event", "preference", "person", "place", "decision", "procedure", "pattern", "note"];

/// What mem0's `get_all` returns: a list, or one below `results` or `memories`.
pub(super) fn mem0(text: &str) -> anyhow::Result<ParsedExport> {
    let mut read = ParsedExport::default();
    let items = list(text, &["results", "memories"], &mut read)?;
    for item in items {
        let Some(content) = string(&item, &["memory", "data", "text"]) else {
            read.leave_out("without a text");
            continue;
        };
        read.push(NewMemory {
            content,
            tags: strings(&item["categories"]),
            occurred_at: string(&item, &["created_at"]),
            ..NewMemory::default()
        });
    }
    Ok(read)
}

/// Vestige's export: a list of nodes, or one below `nodes` or `memories`.
pub(super) fn vestige(text: &str) -> anyhow::Result<ParsedExport> {
    let mut read = ParsedExport::default();
    let items = list(text, &["nodes", "memories", "results"], &mut read)?;
    for item in items {
        let Some(content) = string(&item, &["content"]) else {
            read.leave_out("without a text");
            continue;
        };
        if string(&item, &["deletedAt", "deleted_at"]).is_some() {
            read.leave_out("deleted");
            continue;
        }
        let kind = string(&item, &["nodeType", "node_type"]);
        read.push(NewMemory {
            content,
            // It calls some facts concepts.
            kind: kind.filter(|kind| KINDS.contains(&kind.as_str())),
            tags: strings(&item["tags"]),
            source: string(&item, &["source"]).map(|source| format!("vestige: {source}")),
            occurred_at: string(&item, &["createdAt", "created_at"]),
            ..NewMemory::default()
        });
    }
    Ok(read)
}

/// Lines of entities with what was observed of them, and of relations between them.
pub(super) fn mcp_memory(text: &str) -> anyhow::Result<ParsedExport> {
    let mut read = ParsedExport::default();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let Ok(item) = serde_json::from_str::<Value>(line) else {
            read.skip_line(number + 1, NO_JSON);
            continue;
        };
        match item["type"].as_str() {
            Some("entity") => {
                let Some(name) = string(&item, &["name"]) else {
                    read.skip_line(number + 1, "entities without a name");
                    continue;
                };
                let kind = string(&item, &["entityType"]).unwrap_or_default();
                let observations = strings(&item["observations"]);
                if observations.is_empty() {
                    read.leave_out("of which nothing was observed");
                }
                for observed in observations {
                    let tags = if kind.is_empty() { Vec::new() } else { vec![kind.clone()] };
                    read.push(NewMemory { content: about(&name, &observed), tags, ..NewMemory::default() });
                }
            }
            Some("relation") => {
                let part = |name| string(&item, &[name]);
                match (part("from"), part("relationType"), part("to")) {
                    (Some(from), Some(relation), Some(to)) => {
                        let content = format!("{from} {} {to}", relation.replace('_', " "));
                        read.push(NewMemory {
                            content,
                            tags: vec!["relation".into()],
                            ..NewMemory::default()
                        });
                    }
                    _ => read.leave_out("relations that are not whole"),
                }
            }
            _ => read.leave_out("of another type"),
        }
    }
    if read.memories.is_empty() && read.left_out.contains_key(NO_JSON) {
        bail!("none of its lines is a memory of the MCP memory server; line {} is no JSON", read.skipped[0]);
    }
    Ok(read)
}

/// What was observed, so that it can be read without knowing of what.
fn about(name: &str, observed: &str) -> String {
    let names_it = observed.to_lowercase().contains(&name.to_lowercase());
    if names_it { observed.to_owned() } else { format!("{name}: {observed}") }
}

/// The items of an export: a list, one below a name, or a line each.
fn list(text: &str, names: &[&str], read: &mut ParsedExport) -> anyhow::Result<Vec<Value>> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(items)) => Ok(items),
        Ok(Value::Object(mut fields)) => {
            for name in names {
                if let Some(Value::Array(items)) = fields.remove(*name) {
                    return Ok(items);
                }
            }
            // A single line of a list of lines.
            if fields.contains_key("content") || fields.contains_key("memory") {
                return Ok(vec![Value::Object(fields)]);
            }
            bail!("there is no list in it, below {} or at its top", names.join(", "))
        }
        Ok(_) => bail!("there is no list in it"),
        Err(whole) => {
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            let mut items = Vec::new();
            let mut bad = Vec::new();
            for (number, line) in lines {
                match serde_json::from_str::<Value>(line) {
                    Ok(item @ Value::Object(_)) => items.push(item),
                    _ => bad.push(number + 1),
                }
            }
            if items.is_empty() {
                bail!("it is no JSON: {whole}");
            }
            bad.into_iter().for_each(|number| read.skip_line(number, NO_JSON));
            Ok(items)
        }
    }
}

fn string(item: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| item[*name].as_str()).map(ToOwned::to_owned)
}

fn strings(value: &Value) -> Vec<String> {
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(read: &ParsedExport) -> Vec<&str> {
        read.memories.iter().map(|memory| memory.content.as_str()).collect()
    }

    #[test]
    fn each_export_becomes_memories() {
        let mem0_list = r#"{"results": [{"id": "1", "memory": "Likes tea", "categories": ["food"], "created_at": "2025-01-02T03:04:05Z"}, {"id": "2"}]}"#;
        let read = mem0(mem0_list).unwrap();
        assert_eq!((contents(&read), read.left_out["without a text"]), (vec!["Likes tea"], 1));
        assert_eq!(read.memories[0].tags, ["food"]);

        let nodes = r#"[{"content": "We use Postgres", "nodeType": "decision", "tags": ["db"], "source": "chat"},
                        {"content": "x", "nodeType": "concept"}, {"content": "gone", "deletedAt": "2025-01-01"}]"#;
        let read = vestige(nodes).unwrap();
        assert_eq!(contents(&read), ["We use Postgres", "x"]);
        assert_eq!(read.memories[0].kind.as_deref(), Some("decision"));
        assert_eq!((read.memories[1].kind.as_deref(), read.left_out["deleted"]), (None, 1));

        let lines = "{\"type\":\"entity\",\"name\":\"Anna\",\"entityType\":\"person\",\"observations\":[\"lives in Oslo\",\"Anna sings\"]}\n\
                     {\"type\":\"relation\",\"from\":\"Anna\",\"to\":\"Acme\",\"relationType\":\"works_at\"}\n\
                     {\"type\":\"entity\",\"name\":\"Acme\",\"entityType\":\"company\",\"observations\":[]}\n";
        let read = mcp_memory(lines).unwrap();
        assert_eq!(contents(&read), ["Anna: lives in Oslo", "Anna sings", "Anna works at Acme"]);
        assert_eq!(read.left_out["of which nothing was observed"], 1);
    }

    #[test]
    fn json_lines_are_read_as_a_list_and_other_input_is_refused() {
        assert_eq!(contents(&mem0("{\"memory\": \"a\"}\n{\"memory\": \"b\"}\n").unwrap()), ["a", "b"]);
        assert_eq!(contents(&mem0("{\"memory\": \"a\"}").unwrap()), ["a"]);
        for bad in ["", "{", "7", "{\"a\": 1}", "not json"] {
            assert!(mem0(bad).is_err() || mem0(bad).unwrap().memories.is_empty(), "{bad}");
        }
        assert!(mcp_memory("nope").is_err());
    }

    #[test]
    fn a_bad_line_does_not_keep_the_others_out() {
        let lines = "{\"type\":\"entity\",\"name\":\"Anna\",\"observations\":[\"sings\"]}\n{\"type\":\n{\"type\":\"entity\"}\n";
        let read = mcp_memory(lines).unwrap();
        assert_eq!(contents(&read), ["Anna: sings"]);
        assert_eq!((read.left_out[NO_JSON], read.skipped), (1, vec![2, 3]));
        let read = mem0("{\"memory\": \"a\", \"created_at\": \"2025-01-02 03:04:05\"}\nnope\n{\"memory\": \"b\", \"created_at\": \"soon\"}\n").unwrap();
        assert_eq!(contents(&read), ["a", "b"]);
        let times: Vec<Option<&str>> = read.memories.iter().map(|one| one.occurred_at.as_deref()).collect();
        assert_eq!(times, [Some("2025-01-02T03:04:05.000Z"), None]);
        assert_eq!((read.left_out[NO_JSON], read.left_out["times that cannot be read"]), (1, 1));
    }
}
