//! Ingest: a text is checked, screened for secrets, split into chunks and embedded.
//!
//! The memory is stored in one commit with its keyword entries and vectors, and it is on disk before the
//! caller gets the answer.

mod batch;
mod dry_run;
mod screening;

use lar_base::{MemoryId, Problem, Timestamp};
use lar_inference::Priority;
use lar_store::{
    Change, IdempotentRequest, MemoryKind, NewChunk, NewMemory, Provenance, StoredMemory, Vectors,
};
use sha2::{Digest as _, Sha256};

pub use self::dry_run::IngestPreview;
use self::screening::{AcceptedItem, ScreenedItem};
use crate::embed::TextRole;
use crate::keyword_entry::keyword_entry;
use crate::{Memories, WriteAccess, strength};
use lar_text::chunking;

/// The most bytes in a memory.
pub const CONTENT_BYTES_MAX: usize = 1 << 20;
/// The most memories in a batch.
pub const BATCH_MAX: usize = 1000;
/// The most tags of a memory.
pub const TAGS_MAX: usize = 64;
/// The most characters in a tag.
pub const TAG_CHARS_MAX: usize = 100;
/// The most characters in a source, a project, or the id of a conversation or message.
const NAME_CHARS_MAX: usize = 500;
/// The number of bytes at the end of the previous turn that are embedded together with a turn.
const BEFORE_BYTES: usize = 200;

/// A memory to save.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Item {
    /// The text, up to 1 MiB.
    pub content: String,
    /// The kind. The default is a fact.
    pub kind: Option<MemoryKind>,
    /// Up to 64 tags of one line each.
    pub tags: Vec<String>,
    /// The source, a name of the caller's choice.
    pub source: Option<String>,
    /// The project that the memory belongs to: one line of up to 500 characters; `None` if none.
    pub project: Option<String>,
    /// The time when it happened or was said.
    pub occurred_at: Option<Timestamp>,
    /// The time from which the memory is true; `None` without a start.
    pub valid_from: Option<Timestamp>,
    /// The time until which the memory is true; `None` without an end.
    pub valid_to: Option<Timestamp>,
    /// The previous turn of a dialogue.
    pub after: Option<MemoryId>,
    /// The id of the conversation that the memory comes from, in Lar or another program.
    pub conversation: Option<String>,
    /// The id of the message that the memory comes from, in Lar or another program.
    pub message: Option<String>,
}

/// The result of saving a memory.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestResult {
    /// The stored memory: the new one, or the identical one that existed.
    pub memory: lar_store::Memory,
    /// Whether the memory is new. False if an identical one existed.
    pub created: bool,
    /// The rules that found secrets, which were redacted.
    pub redacted: Vec<String>,
    /// The reason why it has no vectors yet. Until the backfill, only keyword search finds it.
    pub unembedded: Option<String>,
}

/// The chunks of a text with their keyword entries, ready to be embedded.
pub(crate) struct PreparedText {
    pub(crate) chunks: Vec<NewChunk>,
    /// The texts to embed for each chunk.
    pieces: Vec<Vec<String>>,
}

/// A memory ready to be stored.
pub(crate) struct PreparedItem {
    pub(crate) new: NewMemory,
    /// The rules that found secrets, which were redacted.
    pub(crate) redacted: Vec<String>,
    /// The reason why it has no vectors yet.
    pub(crate) unembedded: Option<String>,
}

impl Memories {
    /// Saves a memory. An item identical in content, tags, source, project and time is not stored twice.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] for an invalid item or one that contains a secret;
    /// [`lar_base::Code::NotFound`] for a previous turn that is not in the space.
    pub async fn ingest(
        &self,
        writer: &WriteAccess,
        item: Item,
        once: Option<IdempotentRequest>,
    ) -> Result<IngestResult, Problem> {
        let results = self.ingest_batch(writer, vec![Ok(item)], once).await?;
        results.into_iter().next().unwrap_or_else(|| Err(Problem::not_found("memory")))
    }

    /// Prepares an item like [`Memories::prepare_item`] and applies the quarantine policy.
    ///
    /// With that policy, an item with a secret is refused, and a copy without the secret goes to the inbox.
    ///
    /// # Errors
    /// As [`Memories::ingest`].
    pub(crate) async fn prepare_or_quarantine(
        &self,
        writer: &WriteAccess,
        item: Item,
    ) -> Result<PreparedItem, Problem> {
        match self.screen(writer, item).await? {
            ScreenedItem::Accepted(item) => self.prepare_accepted(writer, item).await,
            ScreenedItem::Refused(refusal) => Err(self.quarantine(writer, refusal).await?),
        }
    }

    /// Checks an item, screens it for secrets, splits it into chunks and embeds it.
    ///
    /// # Errors
    /// As [`Memories::ingest`].
    pub(crate) async fn prepare_item(
        &self,
        writer: &WriteAccess,
        item: Item,
    ) -> Result<PreparedItem, Problem> {
        match self.screen(writer, item).await? {
            ScreenedItem::Accepted(item) => self.prepare_accepted(writer, item).await,
            ScreenedItem::Refused(refusal) => Err(refusal.problem),
        }
    }

    async fn prepare_accepted(
        &self,
        writer: &WriteAccess,
        item: AcceptedItem,
    ) -> Result<PreparedItem, Problem> {
        let redacted = item.redacted.clone();
        let (new, unembedded) = self.prepare_all(writer, vec![item]).await;
        let new = new.into_iter().next().ok_or_else(|| Problem::not_found("memory"))?;
        Ok(PreparedItem { new, redacted, unembedded })
    }

    /// Splits the texts of items into chunks and embeds them. Returns the reason if they have no vectors yet.
    async fn prepare_all(
        &self,
        writer: &WriteAccess,
        items: Vec<AcceptedItem>,
    ) -> (Vec<NewMemory>, Option<String>) {
        let prepare_one = |AcceptedItem { item, before, .. }: &AcceptedItem| {
            prepare(&item.content, &item.tags, item.occurred_at, before.as_deref())
        };
        let mut prepared: Vec<PreparedText> = items.iter().map(prepare_one).collect();
        let unembedded = self.embed_all(writer, &mut prepared, Priority::Interactive).await.err();
        let now = Timestamp::now();
        let new = items.into_iter().zip(prepared).map(|(AcceptedItem { item, .. }, prepared)| NewMemory {
            id: MemoryId::new(),
            space: writer.space,
            hash: hash_of(&item),
            kind: item.kind.unwrap_or(MemoryKind::Fact),
            content: item.content,
            tags: item.tags,
            project: item.project,
            provenance: Provenance {
                key: writer.caller.key(),
                source: item.source,
                conversation: item.conversation,
                message: item.message,
            },
            occurred_at: item.occurred_at,
            valid_from: item.valid_from,
            valid_to: item.valid_to,
            after: item.after,
            pinned: false,
            strength: strength::new(now),
            chunks: prepared.chunks,
        });
        (new.collect(), unembedded.map(|problem| problem.detail))
    }

    /// Stores memories with ready chunks and vectors, for benchmarks. They are neither checked nor screened.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn store_prepared(
        &self,
        writer: &WriteAccess,
        new: Vec<NewMemory>,
    ) -> Result<Vec<StoredMemory>, Problem> {
        self.store_new(writer, new, None).await
    }

    async fn store_new(
        &self,
        writer: &WriteAccess,
        new: Vec<NewMemory>,
        once: Option<IdempotentRequest>,
    ) -> Result<Vec<StoredMemory>, Problem> {
        let change = Change::new(writer.caller.key(), "create", None);
        self.commit_new(writer.space, new, change, once).await
    }

    /// Returns the result of an earlier identical request, from the id of the memory that it stored.
    ///
    /// # Errors
    /// [`lar_base::Code::NotFound`] if the memory no longer exists.
    pub async fn find_past_ingest(
        &self,
        writer: &WriteAccess,
        id: MemoryId,
    ) -> Result<IngestResult, Problem> {
        let memory = self.store.memory_get(vec![writer.space], id).await?;
        Ok(IngestResult { memory, created: true, redacted: Vec::new(), unembedded: None })
    }

    /// Embeds the pieces of prepared texts and adds the vectors to their chunks.
    ///
    /// # Errors
    /// As [`crate::embed::Embeddings::embed`]; the texts are unchanged then.
    pub(crate) async fn embed_all(
        &self,
        writer: &WriteAccess,
        prepared: &mut [PreparedText],
        priority: Priority,
    ) -> Result<(), Problem> {
        let texts: Vec<String> =
            prepared.iter().flat_map(|prepared| prepared.pieces.iter().flatten().cloned()).collect();
        let embedded = self.embeddings.embed(&writer.caller, texts, TextRole::Passage, priority).await?;
        let mut vectors = embedded.vectors.into_iter();
        for prepared in prepared {
            for (chunk, pieces) in prepared.chunks.iter_mut().zip(&prepared.pieces) {
                let mut bytes = Vec::new();
                vectors.by_ref().take(pieces.len()).for_each(|vector| vector.encode(&mut bytes));
                chunk.vectors = Some(Vectors { embedder: embedded.embedder.clone(), bytes });
            }
        }
        Ok(())
    }
}

/// Splits a text into chunks with keyword entries. `before` is the text of the previous turn.
pub(crate) fn prepare(
    content: &str,
    tags: &[String],
    occurred_at: Option<Timestamp>,
    before: Option<&str>,
) -> PreparedText {
    let mut prepared = PreparedText { chunks: Vec::new(), pieces: Vec::new() };
    for (at, range) in chunking::chunks(content).into_iter().enumerate() {
        let chunk_text = &content[range.clone()];
        let mut pieces: Vec<String> = chunking::pieces(chunk_text).into_iter().map(str::to_owned).collect();
        if let (0, Some(before), Some(first)) = (at, before, pieces.first()) {
            pieces.push(format!("{}\n{first}", end_of(before)));
        }
        prepared.chunks.push(NewChunk {
            start: u32::try_from(range.start).unwrap_or(u32::MAX),
            length: u32::try_from(range.len()).unwrap_or(u32::MAX),
            words: keyword_entry(chunk_text, at == 0, tags, occurred_at),
            vectors: None,
        });
        prepared.pieces.push(pieces);
    }
    prepared
}

/// Splits a text into chunks without vectors, for callers that have vectors from elsewhere.
#[must_use]
pub fn chunks(content: &str, tags: &[String], occurred_at: Option<Timestamp>) -> Vec<NewChunk> {
    prepare(content, tags, occurred_at, None).chunks
}

fn hash_of(item: &Item) -> [u8; 32] {
    hash(&item.content, &item.tags, item.source.as_deref(), item.project.as_deref(), item.occurred_at)
}

/// Returns the hash of the fields that identify a memory: equal hashes in one space mean the same memory.
pub(crate) fn hash(
    content: &str,
    tags: &[String],
    source: Option<&str>,
    project: Option<&str>,
    occurred_at: Option<Timestamp>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    part(content);
    part(source.unwrap_or_default());
    part(project.unwrap_or_default());
    part(&occurred_at.map(|at| at.as_millis().to_string()).unwrap_or_default());
    tags.iter().for_each(|tag| part(tag));
    hash.finalize().into()
}

/// Returns about the last [`BEFORE_BYTES`] of a text, starting at a word if possible.
fn end_of(text: &str) -> &str {
    let mut start = text.len().saturating_sub(BEFORE_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let end = &text[start..];
    if start == 0 { end } else { end.split_once(char::is_whitespace).map_or(end, |(_, rest)| rest) }
}

pub(crate) fn check_content(content: &str) -> Result<String, Problem> {
    let trimmed = content.trim();
    if trimmed.is_empty() {
        return Err(Problem::invalid("content", "must not be empty"));
    }
    if trimmed.len() > CONTENT_BYTES_MAX {
        let reason = format!("has {} bytes; the limit is {CONTENT_BYTES_MAX}", trimmed.len());
        return Err(Problem::invalid("content", reason));
    }
    if trimmed.contains('\0') {
        return Err(Problem::invalid("content", "must not contain U+0000"));
    }
    Ok(trimmed.to_owned())
}

pub(crate) fn check_tags(mut tags: Vec<String>) -> Result<Vec<String>, Problem> {
    if tags.len() > TAGS_MAX {
        return Err(Problem::invalid("tags", format!("has {} tags; the limit is {TAGS_MAX}", tags.len())));
    }
    for tag in &tags {
        if !(1..=TAG_CHARS_MAX).contains(&tag.chars().count()) || tag.chars().any(char::is_control) {
            let reason = format!("must each be one line of 1 to {TAG_CHARS_MAX} characters");
            return Err(Problem::invalid("tags", reason));
        }
    }
    let mut seen = std::collections::HashSet::new();
    tags.retain(|tag| seen.insert(tag.clone()));
    Ok(tags)
}

pub(crate) fn check_name(field: &str, text: &str) -> Result<(), Problem> {
    if (1..=NAME_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Problem::invalid(field, format!("must be one line of 1 to {NAME_CHARS_MAX} characters")))
}

pub(crate) fn check_times(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<(), Problem> {
    match (from, to) {
        (Some(from), Some(to)) if to <= from => {
            Err(Problem::invalid("valid_to", "must be later than `valid_from`"))
        }
        _ => Ok(()),
    }
}
