//! Consolidation: in idle hours, memories that were saved or changed since the last look are compared with their
//! neighbours. It proposes and changes nothing by itself.
//!
//! - A memory that repeats another one becomes a proposal to supersede it ([`pairs`]).
//! - A memory that may replace an older one becomes a link, about which a person decides.
//! - Memories about one name or rare word become a proposal to give them one tag ([`themes`]).
//!
//! A run works in slices of a few memories. Each memory is compared with its nearest neighbours in the index, never
//! with all memories. The findings of a slice are committed with the progress, so that a restart continues. Before
//! each memory, a run waits until neither an interactive task nor a search or change of memories has been in progress
//! for a while. [`decide`] carries out what a person decides, and undoes runs.

mod decide;
mod pairs;
mod proposals;
pub(crate) mod status;
mod themes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lar_base::{MemoryId, Problem, RunId, SpaceId, Timestamp};
use lar_store::{ComparedMemories, Memory, MemoryToCompare};
use lar_text::statements::Statement;
use tokio_util::sync::CancellationToken;

pub use self::decide::{RunAcceptance, RunUndo, UndoConflict};
use self::pairs::{PairFinding, ParsedMemory, compare_pair};
pub use self::proposals::ProposalDetails;
use self::status::Turn;
pub use self::status::{ConsolidationMode, ConsolidationState};
use self::themes::{ParsedNeighbour, ThemeWord, find_theme, theme_words};
use crate::neighbours::{NeighbourQuery, Neighbours};
use crate::smart::comparable;
use crate::{Error, Memories};

/// The interval between looks for memories to compare.
const EVERY: Duration = Duration::from_secs(60);
/// The pause in idle hours: the time without interactive tasks, and without searches and changes of memories, before
/// a memory is compared. As long as that of the judge.
const IDLE_PAUSE: Pause = Pause { tasks: Duration::from_secs(20), uses: Duration::from_secs(20) };
/// The pause of a run that a person started.
const REQUESTED_PAUSE: Pause = Pause { tasks: Duration::ZERO, uses: Duration::from_millis(50) };
/// The number of memories whose findings are committed together.
const SLICE: u32 = 16;
/// The most neighbours that a memory is compared with.
const NEIGHBOURS_MAX: usize = 16;
/// The most findings of a space that wait for a person. Runs end there and continue when some are decided.
const OPEN_MAX: u64 = 100;
/// The most parsed texts that are kept for the next comparisons: about 20 KB each.
const PARSED_MAX: usize = 256;

/// The times without other work before a memory is compared.
#[derive(Debug, Clone, Copy)]
struct Pause {
    /// The time without interactive tasks.
    tasks: Duration,
    /// The time without searches and changes of memories.
    uses: Duration,
}

/// The parsed texts of memories, by number and version.
type ParsedTexts = HashMap<(i64, i64), Arc<Statement>>;

impl Memories {
    /// Consolidates until the server stops.
    pub(crate) async fn run_consolidation(self, stopping: CancellationToken) {
        if self.options.consolidation == ConsolidationMode::Off {
            self.consolidation.set(ConsolidationState::Off);
            return;
        }
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                worked = self.consolidate() => if let Err(problem) = worked {
                    tracing::debug!(%problem, "could not consolidate memories");
                },
            }
            self.consolidation.set(ConsolidationState::Idle);
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.consolidation.woken() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Compares what there is to compare: first the spaces for which a person started a run.
    async fn consolidate(&self) -> Result<(), Problem> {
        loop {
            while let Some((space, run)) = self.consolidation.next_request() {
                let compared = self.consolidate_space(space, Some(run)).await;
                self.consolidation.finish(space, run);
                compared?;
            }
            let spaces = self.store.spaces_to_compare().await?;
            let next = spaces.into_iter().find(|space| space.run.is_some() || space.open < OPEN_MAX);
            let Some(next) = next else { return Ok(()) };
            self.consolidate_space(next.space, next.run).await?;
        }
    }

    /// Compares the memories of a space until none is left, enough findings wait for a person, or a person started
    /// a run of another space. `run` is the run in progress there.
    async fn consolidate_space(&self, space: SpaceId, mut run: Option<RunId>) -> Result<(), Problem> {
        let mut parsed = ParsedTexts::new();
        loop {
            let totals = self.store.consolidation_totals(vec![space]).await?;
            let slice = self.store.memories_to_compare(space, SLICE).await?;
            if slice.is_empty() || totals.proposals + totals.links >= OPEN_MAX {
                break;
            }
            if !self.wait_for_turn(space).await {
                return Ok(());
            }
            let id = match run {
                Some(id) => id,
                None => self.store.consolidation_start(space, None).await?.id,
            };
            run = Some(id);
            let (found, is_whole) = self.compare_slice(space, slice, &mut parsed).await?;
            let has_links = !found.links.is_empty();
            self.metrics.record_comparisons(found.pairs);
            if !self.store.memories_compared(space, id, found).await? || !is_whole {
                return Ok(());
            }
            if has_links {
                self.judge.wake();
            }
        }
        match run {
            Some(id) => self.end_run(space, id).await,
            None => Ok(()),
        }
    }

    /// Ends a run, unless it has ended.
    async fn end_run(&self, space: SpaceId, id: RunId) -> Result<(), Problem> {
        let run = self.store.consolidation_run(vec![space], id).await?;
        if run.ended_at.is_some() {
            return Ok(());
        }
        self.metrics.record_findings(&run);
        self.store.consolidation_end(id).await?;
        tracing::info!(
            %space,
            run = %id,
            memories = run.memories,
            pairs = run.pairs,
            duplicates = run.duplicates,
            links = run.links,
            themes = run.themes,
            "memories were compared"
        );
        Ok(())
    }

    /// Compares some memories with their neighbours. Returns the findings, and whether all of the memories were
    /// compared before a person started a run of another space.
    async fn compare_slice(
        &self,
        space: SpaceId,
        slice: Vec<MemoryToCompare>,
        parsed: &mut ParsedTexts,
    ) -> Result<(ComparedMemories, bool), Problem> {
        let mut found = ComparedMemories::default();
        for next in slice {
            if !self.wait_for_turn(space).await {
                return Ok((found, false));
            }
            self.consolidation.set(ConsolidationState::Comparing);
            found.compared.push((next.memory.seq, next.memory.id, next.memory.version));
            if !is_compared(&next.memory) {
                continue;
            }
            let content = next.memory.content.clone();
            let prepare = move || {
                let statement = comparable(&content)?;
                let words = theme_words(&content, &statement);
                Some((statement, words))
            };
            let Some((statement, words)) = run_blocking(next.memory.id, prepare).await?.flatten() else {
                continue;
            };
            let query = NeighbourQuery {
                content: next.memory.content.clone(),
                project: next.memory.project.clone(),
                vectors: next.vectors.clone(),
                limit: NEIGHBOURS_MAX + 1,
                words: words.iter().map(|word| word.word.clone()).collect(),
            };
            let id = next.memory.id;
            let neighbours = self.neighbours(space, query, None).await?;
            let mut texts = std::mem::take(parsed);
            let work = move || {
                let findings = compare_memory(&next, &statement, &neighbours, &words, &mut texts);
                (findings, texts)
            };
            let Some((findings, texts)) = run_blocking(id, work).await? else { continue };
            *parsed = texts;
            found.pairs += findings.pairs;
            found.duplicates.extend(findings.duplicates);
            found.links.extend(findings.links);
            found.themes.extend(findings.themes);
        }
        Ok((found, true))
    }

    /// Waits until a memory of a space may be compared. Returns false if a person started a run of another space.
    async fn wait_for_turn(&self, space: SpaceId) -> bool {
        loop {
            let pause = match self.consolidation.turn_of(space) {
                Turn::Idle => IDLE_PAUSE,
                Turn::Requested => REQUESTED_PAUSE,
                Turn::OfOthers => return false,
            };
            tokio::select! {
                biased;
                () = self.wait_until_quiet(pause) => return true,
                () = self.consolidation.woken() => {}
            }
        }
    }

    async fn wait_until_quiet(&self, pause: Pause) {
        self.consolidation.set(ConsolidationState::Waiting);
        loop {
            self.gateway.interactive_tasks().wait_until_quiet(pause.tasks).await;
            let left = pause.uses.saturating_sub(self.foreground.quiet_time());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

/// Runs a part of the comparison of a memory on a thread of its own. Returns `None` if it panicked: the others go on
/// without this memory.
///
/// # Errors
/// When the server stops.
async fn run_blocking<T: Send + 'static>(
    memory: MemoryId,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.is_panic() => {
            tracing::warn!(%memory, "could not compare a memory with its neighbours");
            Ok(None)
        }
        Err(error) => Err(Error::abort_error("comparing memories")(error).into()),
    }
}

/// Returns whether a memory is compared with others: whether it is current and no turn of a dialogue.
fn is_compared(memory: &Memory) -> bool {
    memory.deleted_at.is_none()
        && memory.superseded.is_none()
        && memory.after.is_none()
        && memory.valid_to.is_none_or(|end| end > Timestamp::now())
}

/// Compares a memory with its neighbours.
fn compare_memory(
    next: &MemoryToCompare,
    statement: &Statement,
    neighbours: &Neighbours,
    words: &[ThemeWord],
    texts: &mut ParsedTexts,
) -> ComparedMemories {
    let of = ParsedMemory { memory: &next.memory, statement };
    if texts.len() > PARSED_MAX {
        texts.clear();
    }
    let mut near: Vec<(&crate::neighbours::Neighbour, Arc<Statement>)> = Vec::new();
    for neighbour in &neighbours.found {
        let memory = &neighbour.memory;
        if memory.seq == next.memory.seq || neighbour.presence <= 0.0 || !is_compared(memory) {
            continue;
        }
        let key = (memory.seq, memory.version);
        let known = texts.get(&key).cloned().or_else(|| {
            let made = Arc::new(comparable(&memory.content)?);
            texts.insert(key, made.clone());
            Some(made)
        });
        near.extend(known.map(|statement| (neighbour, statement)));
    }
    let mut found = ComparedMemories::default();
    for (neighbour, statement) in &near {
        // A pair is compared once: when the later one of the two is looked at.
        if !next.is_again && neighbour.memory.seq > next.memory.seq {
            continue;
        }
        found.pairs += 1;
        let other = ParsedMemory { memory: &neighbour.memory, statement };
        match compare_pair(of, other, neighbour.similarity) {
            Some(PairFinding::Duplicate(duplicate)) => found.duplicates.push(duplicate),
            Some(PairFinding::Link(link)) => found.links.push(link),
            None => {}
        }
    }
    let near: Vec<ParsedNeighbour<'_>> = near
        .iter()
        .map(|(neighbour, statement)| ParsedNeighbour {
            parsed: ParsedMemory { memory: &neighbour.memory, statement },
            similarity: neighbour.similarity,
        })
        .collect();
    found.themes.extend(find_theme(of, &near, words, &neighbours.frequencies, neighbours.memories));
    found
}
