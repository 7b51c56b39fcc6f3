//! Consolidation in idle hours: the pairs that a run compares, and one person's searches without and during a run.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lar_base::Instant;
use lar_memory::{Item, MemoryScope, Search};
use lar_store::ConsolidationRun;

use super::MemoryFixture;
use super::scale::Generator;
use crate::progress::progress;
use crate::statistics::{median, quantile_of};

/// The memories before the first round.
const FILLED: usize = 2000;
/// The memories that each run compares.
const BATCH: usize = 500;
/// The words of a memory: fewer than in [`super::scale`], because the generated words have four tokens each.
const TEXT_WORDS: usize = 8;
/// The words of a query.
const QUERY_WORDS: usize = 3;
/// One memory in this many repeats the one before in other letters.
const REPEATED: usize = 100;
/// The rounds, each with a run alone, searches alone, and both together.
const ROUNDS: usize = 3;
/// The searches of a round without a run.
const SEARCHES: usize = 40;
/// The pause of the person after each search.
const PAUSE: Duration = Duration::from_millis(150);
/// The interval between looks at the progress.
const EVERY: Duration = Duration::from_millis(20);

/// Measures runs and searches alone and together, in the same rounds.
pub(crate) async fn measure() -> anyhow::Result<String> {
    let fixture = Arc::new(MemoryFixture::open().await?);
    let (mut generator, mut queries) = (Generator::new(), Generator::new());
    save(&fixture, &mut generator, FILLED).await?;
    // A run ends when many findings are open, and `compare` withdraws them.
    while compare(&fixture).await?[1] > 0.0 {}
    progress("  filled");
    let (mut alone, mut beside): (Vec<[f64; 2]>, Vec<[f64; 2]>) = (Vec::new(), Vec::new());
    let (mut quiet, mut during) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        save(&fixture, &mut generator, BATCH).await?;
        alone.push(compare(&fixture).await?);
        for _ in 0..SEARCHES {
            quiet.push(search(&fixture, &mut queries).await?);
            tokio::time::sleep(PAUSE).await;
        }
        save(&fixture, &mut generator, BATCH).await?;
        let over = Arc::new(AtomicBool::new(false));
        let searching = tokio::spawn({
            let (fixture, over) = (fixture.clone(), over.clone());
            async move {
                let mut times = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    times.push(search(&fixture, &mut queries).await?);
                    tokio::time::sleep(PAUSE).await;
                }
                Ok::<_, anyhow::Error>((times, queries))
            }
        });
        beside.push(compare(&fixture).await?);
        over.store(true, Ordering::Relaxed);
        let (times, same_queries) = searching.await??;
        during.extend(times);
        queries = same_queries;
        progress("  a round is over");
    }
    let mut text = format!(
        "{ROUNDS} rounds in a space of {FILLED} memories and more, of {TEXT_WORDS} generated words, embedded. Each run\n\
         compares {BATCH} new memories with up to 16 neighbours each. *Beside*: while one caller searches\n\
         ({QUERY_WORDS} words, embedded) and pauses {} ms after each search. A run pauses for each of them.\n\n\
         | | alone | beside |\n|---|---|---|\n",
        PAUSE.as_millis()
    );
    for (name, at) in [("run, pairs per minute", 0), ("run, memories per minute", 1)] {
        let of = |rates: &[[f64; 2]]| median(rates.iter().map(|rates| rates[at]).collect());
        writeln!(text, "| {name} | {:.0} | {:.0} |", of(&alone), of(&beside))?;
    }
    for (name, share) in [("p50", 0.5), ("p95", 0.95)] {
        writeln!(
            text,
            "| search, {name} ms | {:.1} | {:.1} |",
            quantile_of(&quiet, share),
            quantile_of(&during, share)
        )?;
    }
    Ok(text)
}

/// Saves memories in batches.
async fn save(fixture: &MemoryFixture, generator: &mut Generator, count: usize) -> anyhow::Result<()> {
    let writer = fixture.memories.authorize_write(fixture.caller.clone(), MemoryScope::default()).await?;
    let mut texts: Vec<String> = Vec::with_capacity(count);
    for at in 0..count {
        let text = match texts.last() {
            Some(last) if at % REPEATED == 0 => last.to_uppercase(),
            _ => generator.text(TEXT_WORDS),
        };
        texts.push(text);
    }
    for some in texts.chunks(BATCH) {
        let items = some.iter().map(|content| Ok(Item { content: content.clone(), ..Item::default() }));
        fixture.memories.ingest_batch(&writer, items.collect(), None).await?;
    }
    Ok(())
}

/// Runs consolidation to its end, and withdraws what it found. Returns the pairs and the memories per minute.
async fn compare(fixture: &MemoryFixture) -> anyhow::Result<[f64; 2]> {
    let memories = &fixture.memories;
    let writer = memories.authorize_write(fixture.caller.clone(), MemoryScope::default()).await?;
    let reader = memories.authorize_read(fixture.caller.clone(), MemoryScope::default()).await?;
    let started_at = Instant::now();
    let start = memories.start_consolidation(&writer).await?;
    let end: ConsolidationRun = loop {
        tokio::time::sleep(EVERY).await;
        let run = memories.consolidation_run(&reader, start.id).await?;
        if run.ended_at.is_some() {
            break run;
        }
    };
    let minutes = started_at.elapsed().as_secs_f64() / 60.0;
    memories.undo_run(&writer, end.id).await?;
    Ok([end.pairs - start.pairs, end.memories - start.memories].map(|count| count as f64 / minutes))
}

/// Searches once. Returns the milliseconds.
async fn search(fixture: &MemoryFixture, generator: &mut Generator) -> anyhow::Result<f64> {
    let reader = fixture.memories.authorize_read(fixture.caller.clone(), MemoryScope::default()).await?;
    let search = Search { query: generator.text(QUERY_WORDS), limit: 10, ..Search::default() };
    let started_at = Instant::now();
    fixture.memories.search(&reader, search).await?;
    Ok(started_at.elapsed().as_secs_f64() * 1000.0)
}
