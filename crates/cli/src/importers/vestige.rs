//! Vestige's JSON export.

use lar_api::memories::NewMemory;

use super::details::{add, labels, others};
use super::json_items::{items, string, time};
use super::parsed_export::{KINDS, ParsedExport};
use super::report::Location;

/// The fields that have a field in Lar's memory, and Vestige's ids, strengths and vectors.
const KNOWN: [&str; 42] = [
    "id",
    "content",
    "nodeType",
    "node_type",
    "tags",
    "source",
    "createdAt",
    "created_at",
    "updatedAt",
    "updated_at",
    "validFrom",
    "valid_from",
    "validUntil",
    "valid_until",
    "deletedAt",
    "deleted_at",
    "lastAccessed",
    "last_accessed",
    "stability",
    "difficulty",
    "reps",
    "lapses",
    "nextReview",
    "next_review",
    "storageStrength",
    "storage_strength",
    "retrievalStrength",
    "retrieval_strength",
    "retentionStrength",
    "retention_strength",
    "sentimentScore",
    "sentiment_score",
    "sentimentMagnitude",
    "sentiment_magnitude",
    "utilityScore",
    "utility_score",
    "hasEmbedding",
    "has_embedding",
    "embedding",
    "embeddingModel",
    "embedding_model",
    "learningState",
];

/// Parses a list of nodes, or an object with a list in `nodes`, `memories` or `results`.
pub(super) fn parse(text: &str, file: &Location, read: &mut ParsedExport) -> anyhow::Result<()> {
    for (location, item) in items(text, file, &["nodes", "memories", "results"], &[], read)? {
        let Some(content) = string(&item, &["content"]) else {
            read.skip(location, "without text");
            continue;
        };
        if string(&item, &["deletedAt", "deleted_at"]).is_some() {
            read.skip(location, "deleted");
            continue;
        }
        let kind = string(&item, &["nodeType", "node_type"]);
        let mut details = others(&item, &KNOWN);
        let mut tags = labels("tags", &item["tags"], &mut details);
        // Vestige has other kinds, such as concepts. They become tags.
        tags.extend(kind.clone().filter(|kind| !KINDS.contains(&kind.as_str())));
        let source = string(&item, &["source"]).map(|source| format!("vestige: {source}"));
        let mut memory = NewMemory {
            content,
            kind: kind.filter(|kind| KINDS.contains(&kind.as_str())),
            tags,
            source: source.or_else(|| Some("vestige".into())),
            occurred_at: time(&item, &["createdAt", "created_at"]),
            valid_from: time(&item, &["validFrom", "valid_from"]),
            valid_to: time(&item, &["validUntil", "valid_until"]),
            ..NewMemory::default()
        };
        add(&mut memory, details);
        read.push(location, memory);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_fields_become_tags_and_other_lists_are_named() {
        let text = r#"{"nodes": [{"content": "a", "tags": "db", "createdAt": 1717236000, "stability": 2.5, "mood": "calm"}],
                       "edges": [{"from": "1", "to": "2"}]}"#;
        let mut read = ParsedExport::default();
        parse(text, &Location::file("vestige.json"), &mut read).unwrap();
        let memory = &read.entries[0].memory;
        assert_eq!(memory.tags, ["db", "mood:calm"]);
        assert_eq!(memory.occurred_at.as_deref(), Some("2024-06-01T10:00:00.000Z"));
        assert_eq!(read.skipped[0].location.to_string(), "vestige.json, `edges`");
    }

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
