//! The embedding of a batch, alone and beside one person's searches.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lar_base::Instant;
use lar_memory::{Item, MemoryScope, Mode, Search};

use super::MemoryFixture;
use super::scale::Generator;
use crate::statistics::{median, quantile_of};

/// The memories of a batch.
const BATCH: usize = 1000;
/// The words of a text: fewer than in [`super::scale`], because the generated words have four tokens each.
const TEXT_WORDS: usize = 8;
/// The words of a query.
const QUERY_WORDS: usize = 3;
/// The rounds, each with a batch alone, searches alone, and both together.
const ROUNDS: usize = 3;
/// The searches of a round without a batch.
const SEARCHES: usize = 60;
/// The pause of the person after each search.
const PAUSE: Duration = Duration::from_millis(20);

/// Measures batches and searches alone and together, in the same rounds.
pub(crate) async fn measure() -> anyhow::Result<String> {
    let fixture = Arc::new(MemoryFixture::open().await?);
    // The embeddings of queries are cached, so each query is another one.
    let (mut generator, mut queries) = (Generator::new(), Generator::new());
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let (mut quiet, mut during): (Vec<[f64; 2]>, Vec<[f64; 2]>) = (Vec::new(), Vec::new());
    save_batch(&fixture, &mut generator).await?;
    for _ in 0..ROUNDS {
        alone.push(save_batch(&fixture, &mut generator).await?);
        for _ in 0..SEARCHES {
            quiet.push(search(&fixture, &mut generator).await?);
        }
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
        beside.push(save_batch(&fixture, &mut generator).await?);
        over.store(true, Ordering::Relaxed);
        let (times, used) = searching.await??;
        during.extend(times);
        queries = used;
    }
    let mut text = format!(
        "One batch of {BATCH} memories of {TEXT_WORDS} generated words, embedded. *Beside*: while one caller\n\
         searches ({QUERY_WORDS} words, embedded) and pauses {} ms after each search. {ROUNDS} rounds of each.\n\n\
         | | alone | beside |\n|---|---|---|\n",
        PAUSE.as_millis()
    );
    writeln!(text, "| batch, memories per second | {:.0} | {:.0} |", median(alone), median(beside))?;
    for (name, at, share) in [
        ("search, p50", 0, 0.5),
        ("search, p95", 0, 0.95),
        ("embedding of the query, p50", 1, 0.5),
        ("embedding of the query, p95", 1, 0.95),
    ] {
        let of = |times: &[[f64; 2]]| {
            quantile_of(&times.iter().map(|times| times[at]).collect::<Vec<f64>>(), share)
        };
        writeln!(text, "| {name} ms | {:.1} | {:.1} |", of(&quiet), of(&during))?;
    }
    Ok(text)
}

/// Saves a batch. Returns the memories per second.
async fn save_batch(fixture: &MemoryFixture, generator: &mut Generator) -> anyhow::Result<f64> {
    let writer = fixture.memories.authorize_write(fixture.caller.clone(), MemoryScope::default()).await?;
    let item = |content| Ok(Item { content, ..Item::default() });
    let items = (0..BATCH).map(|_| item(generator.text(TEXT_WORDS))).collect();
    let started_at = Instant::now();
    fixture.memories.ingest_batch(&writer, items, None).await?;
    Ok(BATCH as f64 / started_at.elapsed().as_secs_f64())
}

/// Searches once. Returns the milliseconds of the search and of the embedding of its query.
async fn search(fixture: &MemoryFixture, generator: &mut Generator) -> anyhow::Result<[f64; 2]> {
    let reader = fixture.memories.authorize_read(fixture.caller.clone(), MemoryScope::default()).await?;
    let search = Search { query: generator.text(QUERY_WORDS), limit: 10, ..Search::default() };
    let started_at = Instant::now();
    let found = fixture.memories.search(&reader, search).await?;
    if let Mode::Keyword(reason) = found.mode {
        anyhow::bail!("a search without the embedding of its query: {reason}");
    }
    Ok([started_at.elapsed(), found.stages.embed].map(|took| took.as_secs_f64() * 1000.0))
}
