//! One space with 200,000 memories: searches with filters, the counts, and what deleting most of them frees.
//!
//! Texts and vectors are generated as in [`super::scale`].

use std::fmt::Write as _;
use std::time::Duration;

use lar_base::{Instant, MemoryId, Timestamp};
use lar_memory::{Filter, MemoryScope, ReadAccess, Search};
use lar_store::{Change, MemoryKind, MemoryList};

use super::MemoryFixture;
use super::scale::{Generator, embedder_of, new_memory};
use crate::process::resident_mib;
use crate::progress::progress;
use crate::statistics::quantile_of;

/// The number of memories in the space.
const MEMORIES: usize = 200_000;
/// The memories of one commit.
const BATCH: usize = 2000;
/// The words of a query.
const QUERY_WORDS: usize = 6;
/// The searches with each filter.
const SEARCHES: usize = 200;
/// The counts that are timed.
const COUNTS: usize = 21;
/// One memory in this many is a decision.
const DECISIONS: usize = 1000;
/// The memories of one commit in this many remain after the deletion.
const REMAINING: usize = 10;
/// The time between two memories' events.
const INTERVAL_MS: i64 = 60_000;
/// The longest time to wait for a smaller index.
const WAIT_MAX: Duration = Duration::from_secs(15);

/// Fills a space, measures it, and deletes most of it.
pub(crate) async fn measure() -> anyhow::Result<String> {
    let fixture = MemoryFixture::open().await?;
    let mut generator = Generator::new();
    let before = resident_mib(std::process::id());
    fill(&fixture, &mut generator).await?;
    let reader = fixture.memories.authorize_read(fixture.caller.clone(), MemoryScope::default()).await?;
    progress("  filled");
    let mut text = format!(
        "{MEMORIES} memories with vectors, one process without HTTP. {SEARCHES} searches of {QUERY_WORDS} words\n\
         with a given vector for each filter, one after another. *Scan* and *keywords* are stages of the search.\n\n\
         | filter | p50 ms | p95 ms | keywords, p50 ms | scan, p50 ms |\n|---|---|---|---|---|\n"
    );
    let end = Timestamp::from_millis(MEMORIES as i64 * INTERVAL_MS);
    let last = |count: i64| Timestamp::from_millis(end.as_millis() - count * INTERVAL_MS);
    let filters = [
        ("none", Filter::default()),
        ("a tag of 1 %", Filter { tags: vec!["t7".into()], ..Filter::default() }),
        ("a kind of 0.1 %", Filter { kinds: vec![MemoryKind::Decision], ..Filter::default() }),
        ("the last 0.1 % of the time", Filter { since: Some(last(200)), ..Filter::default() }),
        ("the last 10 % of the time", Filter { since: Some(last(20_000)), ..Filter::default() }),
    ];
    for (name, filter) in filters {
        let [total, keywords, scan] = time_searches(&fixture, &reader, &mut generator, &filter).await?;
        writeln!(
            text,
            "| {name} | {:.2} | {:.2} | {:.2} | {:.2} |",
            quantile_of(&total, 0.5),
            quantile_of(&total, 0.95),
            quantile_of(&keywords, 0.5),
            quantile_of(&scan, 0.5)
        )?;
    }
    let mut counts = Vec::new();
    for _ in 0..COUNTS {
        let started_at = Instant::now();
        fixture.memories.stats(&reader).await?;
        counts.push(started_at.elapsed().as_secs_f64() * 1000.0);
    }
    writeln!(
        text,
        "\nThe counts of `GET /lar/v1/memories/stats`: p50 {:.2} ms, p95 {:.2} ms.\n",
        quantile_of(&counts, 0.5),
        quantile_of(&counts, 0.95)
    )?;
    text += "| | resident MiB more than at the start | index |\n|---|---|---|\n";
    let mut row = async |what: &str| {
        let (_, bytes) = fixture.memories.stats(&reader).await?;
        let more = resident_mib(std::process::id()) - before;
        writeln!(text, "| {what} | {more:.0} | {} |", lar_base::Bytes(bytes as u64))?;
        Ok::<_, anyhow::Error>(())
    };
    row("full").await?;
    progress("  deleting");
    let took = delete_most(&fixture, &reader).await?;
    row("after the deletion").await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    row("two seconds later, without a search").await?;
    time_searches(&fixture, &reader, &mut generator, &Filter::default()).await?;
    let (_, full) = fixture.memories.stats(&reader).await?;
    let started_at = Instant::now();
    while started_at.elapsed() < WAIT_MAX && fixture.memories.stats(&reader).await?.1 * 2 > full {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    row("after searches").await?;
    writeln!(text, "\nDeleting {} % took {:.1} s.", 100 - 100 / REMAINING, took.as_secs_f64())?;
    Ok(text)
}

async fn fill(fixture: &MemoryFixture, generator: &mut Generator) -> anyhow::Result<()> {
    let writer = fixture.memories.authorize_write(fixture.caller.clone(), MemoryScope::default()).await?;
    let embedder = embedder_of(fixture);
    for first in (0..MEMORIES).step_by(BATCH) {
        let mut new = Vec::with_capacity(BATCH);
        for number in first..first + BATCH {
            let vector = generator.vector();
            let mut memory = new_memory(generator, writer.space(), fixture, &embedder, number, &vector);
            memory.occurred_at = Some(Timestamp::from_millis(number as i64 * INTERVAL_MS));
            if number % DECISIONS == 0 {
                memory.kind = MemoryKind::Decision;
            }
            new.push(memory);
        }
        let change = Change::new(fixture.caller.key(), "create", None);
        fixture.store.memories_create(new, change, None).await?;
    }
    Ok(())
}

/// Returns the milliseconds of searches with a filter: in total, of keyword scoring, and of the scan.
async fn time_searches(
    fixture: &MemoryFixture,
    reader: &ReadAccess,
    generator: &mut Generator,
    filter: &Filter,
) -> anyhow::Result<[Vec<f64>; 3]> {
    let mut times: [Vec<f64>; 3] = Default::default();
    for at in 0..=SEARCHES {
        let search = Search {
            query: generator.text(QUERY_WORDS),
            limit: 10,
            filter: filter.clone(),
            ..Search::default()
        };
        let vector = generator.vector();
        let started_at = Instant::now();
        let found = fixture.memories.search_embedded(reader, &search, &fixture.embedder, &vector).await?;
        let took = [started_at.elapsed(), found.stages.keyword, found.stages.scan];
        // The first one may build the index.
        if at > 0 {
            times.iter_mut().zip(took).for_each(|(times, took)| times.push(took.as_secs_f64() * 1000.0));
        }
    }
    Ok(times)
}

/// Deletes all commits' memories but those of one in [`REMAINING`]. Returns how long it took.
async fn delete_most(fixture: &MemoryFixture, reader: &ReadAccess) -> anyhow::Result<Duration> {
    let mut ids: Vec<MemoryId> = Vec::with_capacity(MEMORIES);
    loop {
        let list = MemoryList {
            spaces: Vec::new(),
            kind: None,
            tag: None,
            project: None,
            deleted: false,
            after: ids.last().copied(),
            limit: 5000,
        };
        let page = fixture.memories.list(reader, list).await?;
        if page.is_empty() {
            break;
        }
        ids.extend(page.iter().map(|memory| memory.id));
    }
    // The memories of a commit were created by one decision, and undoing that deletes them all.
    let batches = ids.chunks(BATCH).enumerate().filter(|(at, _)| at % REMAINING > 0);
    let writer = fixture.memories.authorize_write(fixture.caller.clone(), MemoryScope::default()).await?;
    let started_at = Instant::now();
    for id in batches.filter_map(|(_, batch)| batch.first()) {
        fixture.memories.undo(&writer, *id, None).await?;
    }
    Ok(started_at.elapsed())
}
