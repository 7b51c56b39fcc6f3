//! Vestige's JSON export.

use lar_api::memories::NewMemory;

use super::json_items::{items, string, strings};
use super::parsed_export::{KINDS, ParsedExport};
use super::report::Location;

/// Parses a list of nodes, or an object with a list in `nodes`, `memories` or `results`.
pub(super) fn parse(text: &str, file: &Location, read: &mut ParsedExport) -> anyhow::Result<()> {
    for (location, item) in items(text, file, &["nodes", "memories", "results"], read)? {
        let Some(content) = string(&item, &["content"]) else {
            read.skip(location, "without text");
            continue;
        };
        if string(&item, &["deletedAt", "deleted_at"]).is_some() {
            read.skip(location, "deleted");
            continue;
        }
        let kind = string(&item, &["nodeType", "node_type"]);
        let mut tags = strings(&item["tags"]);
        // Vestige has other kinds, such as concepts. They become tags.
        tags.extend(kind.clone().filter(|kind| !KINDS.contains(&kind.as_str())));
        let source = string(&item, &["source"]).map(|source| format!("vestige: {source}"));
        let memory = NewMemory {
            content,
            kind: kind.filter(|kind| KINDS.contains(&kind.as_str())),
            tags,
            source: source.or_else(|| Some("vestige".into())),
            occurred_at: string(&item, &["createdAt", "created_at"]),
            valid_from: string(&item, &["validFrom", "valid_from"]),
            valid_to: string(&item, &["validUntil", "valid_until"]),
            ..NewMemory::default()
        };
        read.push(location, memory);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_keep_their_kind_tags_and_source() {
        let nodes = r#"[{"content": "We use Postgres", "nodeType": "decision", "tags": ["db"], "source": "chat"},
                        {"content": "x", "nodeType": "concept"}, {"content": "gone", "deletedAt": "2025-01-01"}]"#;
        let mut read = ParsedExport::default();
        parse(nodes, &Location::file("vestige.json"), &mut read).unwrap();
        let [decision, concept] = read.entries.as_slice() else { panic!("{:?}", read.entries) };
        assert_eq!(
            (decision.memory.content.as_str(), decision.memory.kind.as_deref()),
            ("We use Postgres", Some("decision"))
        );
        assert_eq!(
            (decision.memory.tags.as_slice(), decision.memory.source.as_deref()),
            (["db".to_owned()].as_slice(), Some("vestige: chat"))
        );
        assert_eq!(
            (concept.memory.kind.as_deref(), concept.memory.tags.as_slice()),
            (None, ["concept".to_owned()].as_slice())
        );
        assert_eq!(
            (read.skipped[0].location.to_string(), read.skipped[0].reason.as_str()),
            ("vestige.json, item 3".into(), "deleted")
        );
    }
}
