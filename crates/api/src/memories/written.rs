//! A memory in the response to a write request. A key that may not read memories gets fewer fields.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Memory, MemoryKind};

/// A memory that a request created, changed or was compared with.
///
/// A key with the scope `memory:read` gets all fields of `Memory`. A key without it gets only `id`,
/// `version`, `updated_at` and `deleted_at`; in `against` it gets only `id`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WrittenMemory {
    /// The memory's id, `mem_…`.
    pub id: String,
    /// The text, up to 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The kind of statement. Memories of the kind `decision` do not decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MemoryKind>,
    /// The tags, in the order in which they were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The origin, as free text of the writer: a file, an address, a person; absent if none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The project that the memory belongs to; absent if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The id of the memory's space, `space_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// The id of the key that wrote the memory, `key_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_by: Option<String>,
    /// The id of the conversation that the memory comes from; absent if it comes from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The id of the message that the memory comes from; absent if it comes from none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the event happened or the statement was made (RFC 3339); absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// The time from which the memory is true (RFC 3339); absent if there is no such time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// The time until which the memory is true (RFC 3339); absent if there is no such time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<String>,
    /// In a dialogue, the id of the memory with the preceding turn; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The id of the memory that superseded this one; absent if the memory is current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// When the memory was superseded (RFC 3339); absent if the memory is current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<String>,
    /// Whether the memory is exempt from decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    /// The probability of recalling the memory now, 0 to 1 (FSRS-6). Search ignores it for pinned memories
    /// and for decisions, which do not decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrievability: Option<f64>,
    /// The days until retrievability falls to 0.9, above 0 (FSRS-6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stability: Option<f64>,
    /// The version, from 1, also sent as `ETag`. Send it in `If-Match` to detect concurrent changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// When the memory was saved (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When the memory last changed, also in strength (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// When the memory was deleted (RFC 3339); absent if it is not. It can be restored for 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
}

impl From<Memory> for WrittenMemory {
    fn from(memory: Memory) -> Self {
        Self {
            id: memory.id,
            content: Some(memory.content),
            kind: Some(memory.kind),
            tags: Some(memory.tags),
            source: memory.source,
            project: memory.project,
            space: Some(memory.space),
            written_by: Some(memory.written_by),
            conversation: memory.conversation,
            message: memory.message,
            occurred_at: memory.occurred_at,
            valid_from: memory.valid_from,
            valid_to: memory.valid_to,
            after: memory.after,
            superseded_by: memory.superseded_by,
            superseded_at: memory.superseded_at,
            pinned: Some(memory.pinned),
            retrievability: Some(memory.retrievability),
            stability: Some(memory.stability),
            version: Some(memory.version),
            created_at: Some(memory.created_at),
            updated_at: Some(memory.updated_at),
            deleted_at: memory.deleted_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys with `memory:read` must get the same JSON as for `Memory`.
    #[test]
    fn a_written_memory_with_all_fields_is_the_same_json_as_a_memory() {
        let full = serde_json::json!({
            "id": "mem_1", "content": "c", "kind": "fact", "tags": ["t"], "source": "s", "project": "p",
            "space": "space_1", "written_by": "key_1", "conversation": "conv_1", "message": "msg_1",
            "occurred_at": "1", "valid_from": "2", "valid_to": "3", "after": "mem_0", "superseded_by": "mem_2",
            "superseded_at": "4", "pinned": true, "retrievability": 0.1, "stability": 2.5, "version": 7,
            "created_at": "5", "updated_at": "6", "deleted_at": "7",
        });
        let full: Memory = serde_json::from_value(full).unwrap();
        let bare = Memory {
            tags: Vec::new(),
            source: None,
            project: None,
            conversation: None,
            message: None,
            occurred_at: None,
            valid_from: None,
            valid_to: None,
            after: None,
            superseded_by: None,
            superseded_at: None,
            deleted_at: None,
            ..full.clone()
        };
        for memory in [full, bare] {
            let expected = serde_json::to_string(&memory).unwrap();
            assert_eq!(serde_json::to_string(&WrittenMemory::from(memory)).unwrap(), expected);
        }
    }
}
