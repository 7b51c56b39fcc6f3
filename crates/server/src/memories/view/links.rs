//! Links and the memories of links in responses. Only a reader sees them.

use lar_api::memories::{LinkRelation as WireRelation, LinkedMemory, MemoryLink};
use lar_memory::{LinkedPair, ReadAccess};
use lar_store::{LinkRelation, Memory};

/// Returns a link with its memories.
pub(crate) fn show_link(reader: &ReadAccess, pair: LinkedPair) -> MemoryLink {
    MemoryLink {
        id: pair.link.id.to_string(),
        relation: match pair.link.relation {
            LinkRelation::MayReplace => WireRelation::MayReplace,
            LinkRelation::Contradicts => WireRelation::Contradicts,
        },
        older: show_linked(reader, &pair.older),
        newer: show_linked(reader, &pair.newer),
        reason: pair.link.reason,
        space: pair.link.space.to_string(),
        created_at: pair.link.created_at.to_string(),
    }
}

/// Returns a memory of a link, or one that an inbox entry may replace.
pub(crate) fn show_linked(_: &ReadAccess, memory: &Memory) -> LinkedMemory {
    LinkedMemory {
        id: memory.id.to_string(),
        content: memory.content.clone(),
        created_at: memory.created_at.to_string(),
    }
}
