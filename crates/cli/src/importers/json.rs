//! Exports in JSON: mem0's, Vestige's, the reference MCP memory server's.

use anyhow::{Context as _, bail};
use lar_api::memories::NewMemory;
use serde_json::Value;

use super::Read;

/// Kinds that Lar has and others may name.
const KINDS: [&str; 9] =
    ["fact", "event", "preference", "person", "place", "decision", "procedure", "pattern", "note"];

/// What mem0's `get_all` returns: a list, or one below `results` or `memories`.
pub(super) fn mem0(text: &str) -> anyhow::Result<Read> {
    let mut read = Read::default();
    for item in list(text, &["results", "memories"])? {
        let Some(content) = string(&item, &["memory", "data", "text"]) else {
            read.leave_out("without a text");
            continue;
        };
        read.keep(NewMemory {
            content,
            tags: strings(&item["categories"]),
            occurred_at: string(&item, &["created_at"]),
            ..NewMemory::default()
        });
    }
    Ok(read)
}

/// Vestige's export: a list of nodes, or one below `nodes` or `memories`.
pub(super) fn vestige(text: &str) -> anyhow::Result<Read> {
    let mut read = Read::default();
    for item in list(text, &["nodes", "memories", "results"])? {
        let Some(content) = string(&item, &["content"]) else {
            read.leave_out("without a text");
            continue;
        };
        if string(&item, &["deletedAt", "deleted_at"]).is_some() {
            read.leave_out("deleted");
            continue;
        }
        let kind = string(&item, &["nodeType", "node_type"]);
        read.keep(NewMemory {
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
pub(super) fn mcp_memory(text: &str) -> anyhow::Result<Read> {
    let mut read = Read::default();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let item: Value =
            serde_json::from_str(line).with_context(|| format!("line {} is no JSON", number + 1))?;
        match item["type"].as_str() {
            Some("entity") => {
                let name =
                    string(&item, &["name"]).with_context(|| format!("line {} names nothing", number + 1))?;
                let kind = string(&item, &["entityType"]).unwrap_or_default();
                let observations = strings(&item["observations"]);
                if observations.is_empty() {
                    read.leave_out("of which nothing was observed");
                }
                for observed in observations {
                    let tags = if kind.is_empty() { Vec::new() } else { vec![kind.clone()] };
                    read.keep(NewMemory { content: about(&name, &observed), tags, ..NewMemory::default() });
                }
            }
            Some("relation") => {
                let part = |name| string(&item, &[name]);
                match (part("from"), part("relationType"), part("to")) {
                    (Some(from), Some(relation), Some(to)) => {
                        let content = format!("{from} {} {to}", relation.replace('_', " "));
                        read.keep(NewMemory {
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
    Ok(read)
}

/// What was observed, so that it can be read without knowing of what.
fn about(name: &str, observed: &str) -> String {
    let names_it = observed.to_lowercase().contains(&name.to_lowercase());
    if names_it { observed.to_owned() } else { format!("{name}: {observed}") }
}

/// The items of an export: a list, one below a name, or a line each.
fn list(text: &str, names: &[&str]) -> anyhow::Result<Vec<Value>> {
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
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            let read: Result<Vec<Value>, _> = lines.map(serde_json::from_str).collect();
            read.map_err(|_| anyhow::anyhow!("it is no JSON: {whole}"))
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

    fn contents(read: &Read) -> Vec<&str> {
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
    fn lines_are_taken_as_a_list_and_what_is_none_is_refused() {
        assert_eq!(contents(&mem0("{\"memory\": \"a\"}\n{\"memory\": \"b\"}\n").unwrap()), ["a", "b"]);
        assert_eq!(contents(&mem0("{\"memory\": \"a\"}").unwrap()), ["a"]);
        for bad in ["", "{", "7", "{\"a\": 1}", "not json"] {
            assert!(mem0(bad).is_err() || mem0(bad).unwrap().memories.is_empty(), "{bad}");
        }
        assert!(mcp_memory("nope").is_err());
    }
}
