//! JSON exports of mem0, Vestige and the reference MCP memory server.

use anyhow::bail;
use lar_api::memories::NewMemory;
use serde_json::Value;

use super::parsed_export::ParsedExport;

/// The reason for a skipped line.
const NO_JSON: &str = "lines that are not JSON";
/// The kinds of memories in Lar. Other programs can use the same names.
const KINDS: [&str; 9] =
    ["fact", "event", "preference", "person", "place", "decision", "procedure", "pattern", "note"];

/// Parses the result of mem0's `get_all`: a list, or an object with a list in `results` or `memories`.
pub(super) fn mem0(text: &str) -> anyhow::Result<ParsedExport> {
    let mut read = ParsedExport::default();
    let items = list(text, &["results", "memories"], &mut read)?;
    for item in items {
        let Some(content) = string(&item, &["memory", "data", "text"]) else {
            read.leave_out("without text");
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

/// Parses Vestige's export: a list of nodes, or an object with a list in `nodes`, `memories` or `results`.
pub(super) fn vestige(text: &str) -> anyhow::Result<ParsedExport> {
    let mut read = ParsedExport::default();
    let items = list(text, &["nodes", "memories", "results"], &mut read)?;
    for item in items {
        let Some(content) = string(&item, &["content"]) else {
            read.leave_out("without text");
            continue;
        };
        if string(&item, &["deletedAt", "deleted_at"]).is_some() {
            read.leave_out("deleted");
            continue;
        }
        let kind = string(&item, &["nodeType", "node_type"]);
        read.push(NewMemory {
            content,
            // Vestige has other kinds, such as concepts. They become the default kind.
            kind: kind.filter(|kind| KINDS.contains(&kind.as_str())),
            tags: strings(&item["tags"]),
            source: string(&item, &["source"]).map(|source| format!("vestige: {source}")),
            occurred_at: string(&item, &["createdAt", "created_at"]),
            ..NewMemory::default()
        });
    }
    Ok(read)
}

/// Parses lines with entities and their observations, and with relations between entities.
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
                    read.leave_out("entities without observations");
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
                    _ => read.leave_out("incomplete relations"),
                }
            }
            _ => read.leave_out("lines of another type"),
        }
    }
    if read.memories.is_empty() && read.left_out.contains_key(NO_JSON) {
        bail!("no line is an entry of the MCP memory server; line {} is not valid JSON", read.skipped[0]);
    }
    Ok(read)
}

/// Returns an observation that names its entity.
fn about(name: &str, observed: &str) -> String {
    let names_it = observed.to_lowercase().contains(&name.to_lowercase());
    if names_it { observed.to_owned() } else { format!("{name}: {observed}") }
}

/// Returns the items of an export: a list, a list in a field of one of `names`, or one object per line.
fn list(text: &str, names: &[&str], read: &mut ParsedExport) -> anyhow::Result<Vec<Value>> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(items)) => Ok(items),
        Ok(Value::Object(mut fields)) => {
            for name in names {
                if let Some(Value::Array(items)) = fields.remove(*name) {
                    return Ok(items);
                }
            }
            // One object per line, and there is only one line.
            if fields.contains_key("content") || fields.contains_key("memory") {
                return Ok(vec![Value::Object(fields)]);
            }
            bail!("the file has no list, neither at the top level nor in {}", names.join(", "))
        }
        Ok(_) => bail!("the file has no list"),
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
                bail!("the file is not valid JSON: {whole}");
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
        assert_eq!((contents(&read), read.left_out["without text"]), (vec!["Likes tea"], 1));
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
        assert_eq!(read.left_out["entities without observations"], 1);
    }

    #[test]
    fn json_lines_are_read_as_a_list_and_other_input_is_an_error() {
        assert_eq!(contents(&mem0("{\"memory\": \"a\"}\n{\"memory\": \"b\"}\n").unwrap()), ["a", "b"]);
        assert_eq!(contents(&mem0("{\"memory\": \"a\"}").unwrap()), ["a"]);
        for bad in ["", "{", "7", "{\"a\": 1}", "not json"] {
            assert!(mem0(bad).is_err() || mem0(bad).unwrap().memories.is_empty(), "{bad}");
        }
        assert!(mcp_memory("nope").is_err());
    }

    #[test]
    fn an_invalid_line_is_skipped_and_the_others_are_read() {
        let lines = "{\"type\":\"entity\",\"name\":\"Anna\",\"observations\":[\"sings\"]}\n{\"type\":\n{\"type\":\"entity\"}\n";
        let read = mcp_memory(lines).unwrap();
        assert_eq!(contents(&read), ["Anna: sings"]);
        assert_eq!((read.left_out[NO_JSON], read.skipped), (1, vec![2, 3]));
        let read = mem0("{\"memory\": \"a\", \"created_at\": \"2025-01-02 03:04:05\"}\nnope\n{\"memory\": \"b\", \"created_at\": \"soon\"}\n").unwrap();
        assert_eq!(contents(&read), ["a", "b"]);
        let times: Vec<Option<&str>> = read.memories.iter().map(|one| one.occurred_at.as_deref()).collect();
        assert_eq!(times, [Some("2025-01-02T03:04:05.000Z"), None]);
        assert_eq!((read.left_out[NO_JSON], read.left_out["unreadable times"]), (1, 1));
    }
}
