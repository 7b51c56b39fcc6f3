//! Keyword backfill: computes the stored keyword entries again that an older Lar made in another way.
//!
//! It runs once after an upgrade, in batches, and goes on after a restart. Searches work meanwhile: they find
//! words of both versions, only not every form of those that are still old. Vectors do not change.

use std::collections::HashSet;
use std::time::Duration;

use lar_base::Problem;
use lar_store::{ChunkToIndex, NewKeywordEntry, Store};
use lar_text::terms::TERMS_VERSION;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::indexes::Indexes;
use crate::keyword_entry::keyword_entry;

/// The number of chunks that are replaced in one commit.
const PAGE: u32 = 200;
/// The pause between commits, which leaves the database to others.
const PAUSE: Duration = Duration::from_millis(5);
/// The time after which a failed backfill is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// The background task. It shares the state of the memory service.
#[derive(Debug)]
pub(crate) struct KeywordBackfill {
    store: Store,
    indexes: Indexes,
}

impl KeywordBackfill {
    pub(crate) fn new(store: Store, indexes: Indexes) -> Self {
        Self { store, indexes }
    }

    /// Runs until every entry has the current version, or the server stops.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let mut replaced = 0;
        loop {
            let pause = tokio::select! {
                () = stopping.cancelled() => return,
                replacing = self.replace_page() => match replacing {
                    Ok(None) => break,
                    Ok(Some(chunks)) => {
                        replaced += chunks;
                        PAUSE
                    }
                    Err(problem) => {
                        tracing::debug!(%problem, "could not compute keyword entries again");
                        RETRY
                    }
                },
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
        if replaced > 0 {
            tracing::info!(chunks = replaced, version = TERMS_VERSION, "keyword entries computed again");
        }
    }

    /// Replaces the next entries. Returns their number, or `None` if all have the current version.
    async fn replace_page(&self) -> Result<Option<usize>, Problem> {
        let Some(page) = self.store.chunks_to_index(TERMS_VERSION, PAGE).await? else { return Ok(None) };
        let done = page.last().map(|chunk| chunk.seq);
        let changed: HashSet<_> = page.iter().map(|chunk| (chunk.space, chunk.memory_seq)).collect();
        let computing = tokio::task::spawn_blocking(move || page.into_iter().map(compute_entry).collect());
        let entries: Vec<NewKeywordEntry> =
            computing.await.map_err(Error::abort_error("computing keyword entries"))?;
        let count = entries.len();
        self.store.keyword_entries_replace(TERMS_VERSION, entries, done).await?;
        for (space, memory) in changed {
            self.indexes.update(space, &[memory]).await?;
        }
        Ok(Some(count))
    }
}

fn compute_entry(chunk: ChunkToIndex) -> NewKeywordEntry {
    let words = keyword_entry(&chunk.text, chunk.is_first, &chunk.tags, chunk.occurred_at);
    NewKeywordEntry { seq: chunk.seq, before: chunk.words, words }
}

#[cfg(test)]
mod tests {
    use lar_base::{KeyId, MemoryId, Timestamp};
    use lar_store::{Change, MemoryKind, NewChunk, NewMemory, Provenance};
    use lar_text::terms::QueryTerms;

    use super::*;
    use crate::index::{Filter, Index, Query};
    use crate::{ingest, strength};

    /// The words of every entry before this version.
    const OLD_WORDS: &[u8] = b"\0\0\0\0\0\0\0\0\x01\x03old";

    async fn count_hits(indexes: &Indexes, space: lar_base::SpaceId, text: &str) -> usize {
        let words = QueryTerms::of(text);
        let look = move |index: &Index| {
            let filter = Filter::default();
            let query = Query {
                words: &words,
                share_min: 0.0,
                vector: None,
                times: &[],
                filter: &filter,
                now: Timestamp::now(),
                limit: 1000,
                weight: 1.0,
            };
            index.search(&query).hits.len()
        };
        indexes.search(space, None, look).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn entries_of_an_older_version_are_computed_again_while_searches_work() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("lar.db")).unwrap();
        let space = store.space_ensure(store.owner().await.unwrap(), None).await.unwrap().id;
        let key = KeyId::new();
        let new = (0..450).map(|number| {
            let content = format!("Die Katzen Nummer {number} schlafen im Haus.");
            NewMemory {
                id: MemoryId::new(),
                space,
                kind: MemoryKind::Fact,
                chunks: vec![NewChunk {
                    start: 0,
                    length: u32::try_from(content.len()).unwrap(),
                    words: OLD_WORDS.to_vec(),
                    vectors: None,
                }],
                hash: ingest::hash(&content, &[], None, None, None),
                content,
                tags: Vec::new(),
                project: None,
                provenance: Provenance { key, source: None, conversation: None, message: None },
                occurred_at: None,
                valid_from: None,
                valid_to: None,
                after: None,
                pinned: false,
                strength: strength::new(Timestamp::now()),
            }
        });
        store.memories_create(new.collect(), Change::new(key, "create", None), None).await.unwrap();
        let indexes = Indexes::new(store.clone());
        assert_eq!(count_hits(&indexes, space, "old").await, 450);
        let backfill = || KeywordBackfill::new(store.clone(), indexes.clone());
        assert_eq!(backfill().replace_page().await.unwrap(), Some(200));
        assert_eq!(count_hits(&indexes, space, "Katze").await, 200);
        assert_eq!(count_hits(&indexes, space, "old").await, 250);
        // Another one, as after a restart, goes on with the rest.
        backfill().run(CancellationToken::new()).await;
        assert_eq!(count_hits(&indexes, space, "Katze").await, 450);
        assert_eq!(count_hits(&indexes, space, "old").await, 0);
        assert_eq!(backfill().replace_page().await.unwrap(), None);
    }
}
