//! Linked memories in search results.
//!
//! Two memories are linked if the newer one may make the older one outdated. A search returns them together,
//! the newer one first, and marks the older one. The newer one is returned even if it does not match the query,
//! unless the conditions of the search exclude it.

use std::collections::{HashMap, HashSet};

use lar_base::{MemoryId, Problem, SpaceId, Timestamp};
use lar_store::{Memory, MemoryLink};

use super::{Detail, Hit, HitLink, render_text};
use crate::index::{Filter, Index};
use crate::{Memories, ReadAccess};

impl Memories {
    /// Adds the open links of the hits, and brings linked hits together: at most `limit`.
    pub(super) async fn with_linked(
        &self,
        reader: &ReadAccess,
        mut hits: Vec<Hit>,
        filter: &Filter,
        detail: Detail,
        limit: usize,
    ) -> Result<Vec<Hit>, Problem> {
        // What was known earlier had no links of today.
        if filter.as_of.is_some() || filter.known_at.is_some() || hits.is_empty() {
            return Ok(hits);
        }
        let ids = hits.iter().map(|hit| hit.memory.id).collect();
        let links = self.store.links_of(reader.spaces.clone(), ids).await?;
        if links.is_empty() {
            return Ok(hits);
        }
        self.add_newer(reader, &mut hits, &links, filter, detail).await?;
        for hit in &mut hits {
            hit.links = links.iter().filter_map(|link| side_of(link, hit.memory.id)).collect();
        }
        let mut hits = bring_together(hits);
        hits.truncate(limit);
        Ok(hits)
    }

    /// Adds the newest memory that a hit is linked with, if the search did not find it. It gets the score of the older
    /// one, so that they stay together, but no parts of it.
    async fn add_newer(
        &self,
        reader: &ReadAccess,
        hits: &mut Vec<Hit>,
        links: &[MemoryLink],
        filter: &Filter,
        detail: Detail,
    ) -> Result<(), Problem> {
        let is_found = |id: MemoryId| is_found_in(hits, id);
        let missing: Vec<MemoryId> =
            links.iter().map(|link| link.newer).filter(|id| !is_found(*id)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing = self.store.memories_by_id(reader.spaces.clone(), missing).await?;
        let mut missing = self.passing(missing, filter).await?;
        missing.sort_by_key(|memory| std::cmp::Reverse(memory.created_at));
        let mut extended: HashSet<MemoryId> = HashSet::new();
        for memory in missing {
            let older = links.iter().filter(|link| link.newer == memory.id).map(|link| link.older);
            let older =
                older.into_iter().find(|older| is_found_in(hits, *older) && !extended.contains(older));
            let Some(older) = older else { continue };
            extended.insert(older);
            let Some(found) = hits.iter().find(|hit| hit.memory.id == older) else { continue };
            let whole = 0..u32::try_from(memory.content.len()).unwrap_or(u32::MAX);
            let (text, is_truncated) = render_text(&memory.content, &whole, detail);
            let neighbours = match detail {
                Detail::Full => self.store.memory_neighbours(reader.spaces.clone(), memory.clone()).await?,
                Detail::Brief | Detail::Summary => (None, None),
            };
            let added = Hit {
                memory,
                text,
                is_truncated,
                neighbours,
                supersedes: None,
                duplicates: Vec::new(),
                links: Vec::new(),
                keyword_score: 0.0,
                similarity: None,
                presence: 0.0,
                presence_of_known: 0.0,
                ..found.clone()
            };
            hits.push(added);
        }
        Ok(())
    }

    /// Returns those of these memories that pass a filter.
    async fn passing(&self, mut memories: Vec<Memory>, filter: &Filter) -> Result<Vec<Memory>, Problem> {
        if *filter == Filter::default() {
            return Ok(memories);
        }
        let mut by_space: HashMap<SpaceId, Vec<i64>> = HashMap::new();
        for memory in &memories {
            by_space.entry(memory.space).or_default().push(memory.seq);
        }
        let mut passing = HashSet::new();
        for (space, seqs) in by_space {
            let filter = filter.clone();
            let look = move |index: &Index| index.passing(&seqs, &filter, Timestamp::now());
            passing.extend(self.indexes.search(space, None, look).await?);
        }
        memories.retain(|memory| passing.contains(&memory.seq));
        Ok(memories)
    }
}

fn is_found_in(hits: &[Hit], id: MemoryId) -> bool {
    hits.iter().any(|hit| hit.memory.id == id)
}

/// Returns a link as seen from one of its memories, or `None` for another memory.
fn side_of(link: &MemoryLink, memory: MemoryId) -> Option<HitLink> {
    let side = |memory, is_newer| Some(HitLink { id: link.id, memory, is_newer, relation: link.relation });
    match memory {
        _ if memory == link.older => side(link.newer, true),
        _ if memory == link.newer => side(link.older, false),
        _ => None,
    }
}

/// Moves linked hits next to each other, newest first, at the place of the best of them.
fn bring_together(hits: Vec<Hit>) -> Vec<Hit> {
    let mut left: Vec<Option<Hit>> = hits.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(left.len());
    for at in 0..left.len() {
        let Some(first) = left[at].take() else { continue };
        let mut pending: Vec<MemoryId> = first.links.iter().map(|link| link.memory).collect();
        let (mut group, mut seen) = (vec![first], HashSet::new());
        while let Some(id) = pending.pop() {
            if !seen.insert(id) {
                continue;
            }
            let found = left.iter_mut().find(|hit| hit.as_ref().is_some_and(|hit| hit.memory.id == id));
            if let Some(hit) = found.and_then(Option::take) {
                pending.extend(hit.links.iter().map(|link| link.memory));
                group.push(hit);
            }
        }
        group.sort_by_key(|hit| std::cmp::Reverse(hit.memory.created_at));
        ordered.extend(group);
    }
    ordered
}
