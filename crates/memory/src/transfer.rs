//! Moving memories in and out, with their vectors and histories, so that nothing is lost or made anew. What comes in
//! is checked as if it were told: it may have been written by anybody.

use lar_base::{Caller, KeyId, Problem, Scope, SpaceId};
use lar_store::{ExportedMemory, Memory, NewChunk, SpaceKind};

use crate::secret_scan::SecretPolicy;
use crate::{Memories, MemoryScope, WriteAccess, ingest, vectors};

/// Memories that are read at once while they are exported.
const PAGE: u32 = 200;
/// Days of stability at most, a hundred years: FSRS never reaches it.
const STABILITY_MAX: f64 = 36_500.0;
/// Numbers of a vector at most.
const DIMENSION_MAX: u32 = 8192;

/// The memories of one place, in pages.
#[derive(Debug)]
pub struct Export {
    memories: Memories,
    space: Option<SpaceId>,
    after: i64,
    unreadable: u64,
}

impl Memories {
    /// Begins an export of the place named, of the person's own memories where none is.
    ///
    /// # Errors
    /// As [`Memories::reader`].
    pub async fn export(&self, caller: Caller, memory_scope: MemoryScope<'_>) -> Result<Export, Problem> {
        caller.require(Scope::MemoryRead)?;
        let named = memory_scope != MemoryScope::default() || caller.agent().is_some();
        let mut visible_spaces = self.visible_spaces(&caller, memory_scope).await?.into_iter();
        let space =
            visible_spaces.find(|space| named || space.kind == SpaceKind::Personal).map(|space| space.id);
        Ok(Export { memories: self.clone(), space, after: 0, unreadable: 0 })
    }

    /// Stores memories that were exported, all or none; those that are there already stay as they are. Returns how
    /// many are new. In a space that others use they are by whoever imports them: nobody writes in another's name.
    ///
    /// # Errors
    /// Which of them is wrong and why.
    pub async fn import(&self, writer: &WriteAccess, moved: Vec<ExportedMemory>) -> Result<usize, Problem> {
        let policy = self.options.secrets;
        let by = writer.is_shared.then_some(writer.caller.key());
        let checking = tokio::task::spawn_blocking(move || {
            let checked = moved.into_iter().enumerate().map(|(at, moved)| {
                check(moved, policy, by).map_err(|problem| problem.within(&format!("lines[{at}]")))
            });
            checked.collect::<Result<Vec<ExportedMemory>, Problem>>()
        });
        let checked = checking.await.map_err(crate::Error::abort_error("checking memories"))??;
        let imported = self.commit_import(writer.space, checked).await?;
        self.backfill.wake();
        Ok(imported)
    }
}

impl Export {
    /// The next page, oldest first; empty at the end. Memories that cannot be read are passed over and counted.
    ///
    /// # Errors
    /// When the database fails for another reason than damage.
    pub async fn page(&mut self) -> Result<Vec<ExportedMemory>, Problem> {
        let Some(space) = self.space else { return Ok(Vec::new()) };
        loop {
            let page = self.memories.store.memories_export(space, self.after, PAGE).await?;
            self.unreadable += page.unreadable;
            let Some(last) = page.last else { return Ok(Vec::new()) };
            self.after = last;
            if !page.memories.is_empty() {
                return Ok(page.memories);
            }
        }
    }

    /// How many memories could not be read so far, because the database is damaged.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }
}

fn check(
    mut moved: ExportedMemory,
    policy: SecretPolicy,
    by: Option<KeyId>,
) -> Result<ExportedMemory, Problem> {
    let memory = &mut moved.memory;
    if let Some(by) = by {
        memory.provenance.key = by;
        moved.history.iter_mut().for_each(|change| change.key = by);
    }
    memory.content = ingest::check_content(&memory.content)?;
    memory.tags = ingest::check_tags(std::mem::take(&mut memory.tags))?;
    for (field, text) in [
        ("source", &memory.provenance.source),
        ("project", &memory.project),
        ("conversation", &memory.provenance.conversation),
        ("message", &memory.provenance.message),
    ] {
        if let Some(text) = text {
            ingest::check_name(field, text)?;
        }
    }
    ingest::check_times(memory.valid_from, memory.valid_to)?;
    let strength = memory.strength;
    if !(strength.stability > 0.0 && strength.stability <= STABILITY_MAX) {
        return Err(Problem::invalid("stability", format!("must be above 0 and at most {STABILITY_MAX}")));
    }
    if !(1.0..=10.0).contains(&strength.difficulty) {
        return Err(Problem::invalid("difficulty", "must be from 1 to 10"));
    }
    policy.screen("content", &mut memory.content)?;
    memory.tags.iter_mut().try_for_each(|tag| policy.screen("tags", tag).map(drop))?;
    let provenance = &mut memory.provenance;
    for (field, text) in [("source", &mut provenance.source), ("project", &mut memory.project)] {
        text.iter_mut().try_for_each(|text| policy.screen(field, text).map(drop))?;
    }
    for change in &mut moved.history {
        let before = change.before.content.iter_mut().map(|(content, _)| content);
        let texts = before.chain(&mut change.reason).chain(change.before.tags.iter_mut().flatten());
        texts.into_iter().try_for_each(|text| policy.screen("history", text).map(drop))?;
    }
    memory.hash = hash(memory);
    moved.chunks = chunks(memory, &moved.chunks)?;
    Ok(moved)
}

fn hash(memory: &Memory) -> [u8; 32] {
    ingest::hash(
        &memory.content,
        &memory.tags,
        memory.provenance.source.as_deref(),
        memory.project.as_deref(),
        memory.occurred_at,
    )
}

/// The passages of the content as Lar makes them, with the vectors that came for the same ones; others are embedded
/// in the background.
fn chunks(memory: &Memory, incoming: &[NewChunk]) -> Result<Vec<NewChunk>, Problem> {
    let mut made = ingest::chunks(&memory.content, &memory.tags, memory.occurred_at);
    for chunk in &mut made {
        let same = |other: &&NewChunk| (other.start, other.length) == (chunk.start, chunk.length);
        let Some(found) = incoming.iter().find(same).and_then(|other| other.vectors.clone()) else {
            continue;
        };
        let dimension = found.embedder.dimension;
        let sound = (1..=DIMENSION_MAX).contains(&dimension)
            && !found.bytes.is_empty()
            && vectors::are_valid(&found.bytes, dimension as usize);
        if !sound {
            let reason = format!("must be scales and bytes of {dimension} numbers, up to {DIMENSION_MAX}");
            return Err(Problem::invalid("passages.vectors", reason));
        }
        chunk.vectors = Some(found);
    }
    Ok(made)
}
