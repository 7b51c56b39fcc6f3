//! Export and import of memories with their vectors, histories and links, and of intentions.
//!
//! Nothing is lost, and existing vectors are not recomputed. Imported memories are checked and screened like
//! new ones, because anybody may have written the file.

mod dry_run;

use lar_base::{Caller, KeyId, Problem, Scope, SpaceId};
use lar_store::{ExportedMemory, Intention, Memory, NewChunk, SpaceKind};

pub use self::dry_run::{ImportPreview, LineDecision, LinePreview};
use crate::secret_policy::SecretPolicy;
use crate::{Memories, MemoryScope, WriteAccess, ingest, intentions, vectors};

/// The number of memories per page of an export.
const PAGE: u32 = 200;
/// The maximum stability in days: a hundred years, which FSRS never reaches.
const STABILITY_MAX: f64 = 36_500.0;
/// The maximum dimension of a vector.
const DIMENSION_MAX: u32 = 8192;
/// The most characters of the reason of a link, which is a sentence; the rest is cut off.
const LINK_REASON_CHARS_MAX: usize = 500;

/// A memory or an intention to import.
#[derive(Debug, Clone, PartialEq)]
pub enum ImportLine {
    /// A memory.
    Memory(Box<ExportedMemory>),
    /// An intention.
    Intention(Box<Intention>),
}

/// A running export of one space, in pages.
#[derive(Debug)]
pub struct Export {
    memories: Memories,
    space: Option<SpaceId>,
    after: i64,
    /// The last exported intention; `None` before the first.
    after_intention: Option<String>,
    unreadable: u64,
}

impl Memories {
    /// Starts an export of the named space, or of the user's own space if none is named.
    ///
    /// # Errors
    /// As [`Memories::authorize_read`].
    pub async fn export(&self, caller: Caller, memory_scope: MemoryScope<'_>) -> Result<Export, Problem> {
        caller.require(Scope::MemoryRead)?;
        let named = memory_scope != MemoryScope::default() || caller.agent().is_some();
        let mut visible_spaces = self.visible_spaces(&caller, memory_scope).await?.into_iter();
        let space =
            visible_spaces.find(|space| named || space.kind == SpaceKind::Personal).map(|space| space.id);
        Ok(Export { memories: self.clone(), space, after: 0, after_intention: None, unreadable: 0 })
    }

    /// Imports exported memories and intentions, all or none, and returns how many are new. Existing ones are
    /// left unchanged. Links whose memories exist afterwards are restored.
    ///
    /// In a team space, the importing key becomes the author, so that nobody can write in another user's
    /// name.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] with the invalid memory and the reason; when the database fails.
    pub async fn import(&self, writer: &WriteAccess, lines: Vec<ImportLine>) -> Result<usize, Problem> {
        let policy = self.options.secrets;
        let by = author(writer);
        let checking = tokio::task::spawn_blocking(move || {
            let (mut moved, mut intentions) = (Vec::new(), Vec::new());
            for (at, line) in lines.into_iter().enumerate() {
                let in_line = |problem: Problem| problem.within(&format!("lines[{at}]"));
                match check_line(line, policy, by).map_err(in_line)? {
                    ImportLine::Memory(memory) => moved.push(*memory),
                    ImportLine::Intention(intention) => intentions.push(*intention),
                }
            }
            Ok::<_, Problem>((moved, intentions))
        });
        let (moved, intentions) =
            checking.await.map_err(crate::Error::abort_error("checking memories"))??;
        let imported = self.commit_import(writer.space, moved, intentions).await?;
        self.backfill.wake();
        Ok(imported)
    }
}

impl Export {
    /// Returns the next page, oldest first. Empty at the end. Memories that cannot be read are skipped and
    /// counted.
    ///
    /// # Errors
    /// When the database fails for a reason other than damage.
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

    /// Returns the next page of intentions, oldest first. Empty at the end. Intentions that cannot be read are
    /// skipped and counted.
    ///
    /// # Errors
    /// When the database fails for a reason other than damage.
    pub async fn intention_page(&mut self) -> Result<Vec<Intention>, Problem> {
        let Some(space) = self.space else { return Ok(Vec::new()) };
        loop {
            let after = self.after_intention.clone();
            let page = self.memories.store.intentions_export(space, after, PAGE).await?;
            self.unreadable += page.unreadable;
            let Some(last) = page.last else { return Ok(Vec::new()) };
            self.after_intention = Some(last);
            if !page.intentions.is_empty() {
                return Ok(page.intentions);
            }
        }
    }

    /// Returns how many memories and intentions were skipped so far because the database is damaged.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }
}

/// Returns the author of what a caller imports into a team space; `None` in the caller's own space.
fn author(writer: &WriteAccess) -> Option<KeyId> {
    writer.is_shared.then_some(writer.caller.key())
}

/// Checks and screens a memory or an intention. `by` replaces the authors.
fn check_line(line: ImportLine, policy: SecretPolicy, by: Option<KeyId>) -> Result<ImportLine, Problem> {
    Ok(match line {
        ImportLine::Memory(memory) => ImportLine::Memory(Box::new(check(*memory, policy, by)?)),
        ImportLine::Intention(intention) => {
            ImportLine::Intention(Box::new(check_intention(*intention, policy, by)?))
        }
    })
}

/// Checks and screens an imported memory. `by` replaces the authors of the memory, of its history and of its
/// links.
fn check(
    mut moved: ExportedMemory,
    policy: SecretPolicy,
    by: Option<KeyId>,
) -> Result<ExportedMemory, Problem> {
    let memory = &mut moved.memory;
    if let Some(by) = by {
        memory.provenance.key = by;
        moved.history.iter_mut().for_each(|change| change.key = by);
        moved.links.iter_mut().for_each(|link| link.key = by);
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
        return Err(Problem::invalid("difficulty", "must be between 1 and 10"));
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
    for link in &mut moved.links {
        policy.screen("links.reason", &mut link.reason)?;
        link.reason = link.reason.chars().take(LINK_REASON_CHARS_MAX).collect();
    }
    memory.hash = hash(memory);
    moved.chunks = chunks(memory, &moved.chunks)?;
    Ok(moved)
}

/// Checks and screens an imported intention. `by` replaces its author.
fn check_intention(
    mut intention: Intention,
    policy: SecretPolicy,
    by: Option<KeyId>,
) -> Result<Intention, Problem> {
    if let Some(by) = by {
        intention.provenance.key = by;
    }
    intentions::check_imported(intention, policy)
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

/// Splits the content into chunks and reuses the imported vectors of equal chunks. The backfill embeds the
/// others.
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
            let reason =
                format!("must be vectors of dimension {dimension}; the largest dimension is {DIMENSION_MAX}");
            return Err(Problem::invalid("passages.vectors", reason));
        }
        chunk.vectors = Some(found);
    }
    Ok(made)
}
