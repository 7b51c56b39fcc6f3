//! The time of searches and writes as a space grows, with and without the computation of embeddings.
//!
//! Texts and vectors are generated, and the same in every run. Words are distributed as in English (Zipf).
//! Vectors cluster around 1,000 centers, as those of people's topics do. Embedding a million real texts would
//! take hours and would not show anything about the index.

use std::fmt::Write as _;
use std::time::Duration;

use lar_base::{Instant, MemoryId, Problem, Timestamp};
use lar_memory::{Item, MemoryScope, Search, chunks, strength};
use lar_store::{Change, Embedder, MemoryKind, NewMemory, Provenance, Vectors};

use super::{MemoryFixture, Random};
use crate::progress::progress;
use crate::statistics::quantile;

/// The numbers of memories in the space.
const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];
/// Timed searches for each size.
const SEARCHES: usize = 300;
/// Words of a text.
const TEXT_WORDS: usize = 20;
/// Words of a query.
const QUERY_WORDS: usize = 6;
/// The number of different words.
const VOCABULARY: usize = 50_000;
/// The dimension of a vector, as MiniLM's.
const DIMENSION: usize = 384;
/// The number of centers that vectors cluster around.
const TOPICS: usize = 1000;
/// Memories of one commit.
const BATCH: usize = 2000;
/// The duration of the measurement for each number of callers.
const ROUND: Duration = Duration::from_secs(5);
const CALLERS: [usize; 3] = [1, 16, 64];

/// The number of memories when the recall of the scan is measured.
const RECALL_SIZE: usize = 100_000;
/// Searches whose results are compared with the exact nearest vectors.
const RECALL_SEARCHES: usize = 100;
/// Timed searches that also embed their query.
const EMBEDDED_SEARCHES: usize = 100;

/// A generator of texts and vectors.
pub(super) struct Generator {
    pub(super) random: Random,
    topics: Vec<Vec<f32>>,
}

impl Generator {
    pub(super) fn new() -> Self {
        let mut random = Random::new(42);
        let topics = (0..TOPICS).map(|_| (0..DIMENSION).map(|_| random.normal()).collect()).collect();
        Self { random, topics }
    }

    /// Returns words with a frequency that is inverse to their rank.
    pub(super) fn text(&mut self, words: usize) -> String {
        let word = |random: &mut Random| {
            let uniform = random.below(1 << 20) as f64 / f64::from(1 << 20);
            let rank = (VOCABULARY as f64).powf(uniform) as usize;
            format!("w{rank}x")
        };
        (0..words).map(|_| word(&mut self.random)).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn vector(&mut self) -> Vec<f32> {
        let topic = self.random.below(TOPICS);
        let random = &mut self.random;
        self.topics[topic].iter().map(|middle| middle + 0.8 * random.normal()).collect()
    }
}

pub(crate) async fn searches() -> anyhow::Result<String> {
    let fixture = MemoryFixture::open().await?;
    let writer = fixture.memories.authorize_write(fixture.caller.clone(), MemoryScope::default()).await?;
    let reader = fixture.memories.authorize_read(fixture.caller.clone(), MemoryScope::default()).await?;
    let embedder = embedder_of(&fixture);
    let mut generator = Generator::new();
    let mut text = format!(
        "Memories of {TEXT_WORDS} words (Zipf over {VOCABULARY}), with vectors of {DIMENSION} numbers around\n\
         {TOPICS} centers. {SEARCHES} searches of {QUERY_WORDS} words with a given vector, one after\n\
         another. Each returns ten results, and the time includes reading them from the database. The first\n\
         search loads the index.\n\n\
         | memories | p50 ms | p95 ms | p99 ms | with a filter that 1 % pass, p50 ms | with embedding, p50 ms | p95 ms | first search ms | index | database |\n\
         |---|---|---|---|---|---|---|---|---|---|\n"
    );
    let mut stored = 0;
    let mut exact: Vec<Vec<f32>> = Vec::new();
    let mut near = String::new();
    let mut parts = String::from(
        "\nThe stages of a search that embeds its query, p50 in ms:\n\n\
         | memories | embed | index | keywords | scan | read | total |\n|---|---|---|---|---|---|---|\n",
    );
    for size in SIZES {
        progress(&format!("  {size} memories"));
        while stored < size {
            let count = BATCH.min(size - stored);
            let mut new = Vec::with_capacity(count);
            for at in 0..count {
                let vector = generator.vector();
                new.push(new_memory(
                    &mut generator,
                    writer.space(),
                    &fixture,
                    &embedder,
                    stored + at,
                    &vector,
                ));
                if stored + at < RECALL_SIZE {
                    exact.push(vector);
                }
            }
            fixture
                .store
                .memories_create(new, Change::new(fixture.caller.key(), "create", None), None)
                .await?;
            stored += count;
        }
        fixture.memories.forget_indexes(&reader);
        let mut times = [Vec::new(), Vec::new()];
        let started_at = Instant::now();
        search(&fixture, &reader, &mut generator, false).await?;
        let first = started_at.elapsed().as_secs_f64() * 1000.0;
        for at in 0..SEARCHES * 2 {
            let started_at = Instant::now();
            search(&fixture, &reader, &mut generator, at % 2 == 1).await?;
            times[at % 2].push(started_at.elapsed().as_secs_f64() * 1000.0);
        }
        let mut together = Vec::new();
        let mut stages: [Vec<f64>; 5] = Default::default();
        for _ in 0..EMBEDDED_SEARCHES {
            let search = Search { query: generator.text(QUERY_WORDS), limit: 10, ..Search::default() };
            let started_at = Instant::now();
            let found = fixture.memories.search(&reader, search).await?;
            together.push(started_at.elapsed().as_secs_f64() * 1000.0);
            for (times, (_, took)) in stages.iter_mut().zip(found.stages.named()) {
                times.push(took.as_secs_f64() * 1000.0);
            }
        }
        write!(parts, "| {size} |")?;
        for times in &mut stages {
            times.sort_by(f64::total_cmp);
            write!(parts, " {:.2} |", quantile(times, 0.5))?;
        }
        together.sort_by(f64::total_cmp);
        writeln!(parts, " {:.2} |", quantile(&together, 0.5))?;
        if size == RECALL_SIZE {
            near = recall(&fixture, &reader, &mut generator, &exact).await?;
        }
        times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        let (_, bytes) = fixture.memories.stats(&reader).await?;
        let log = fixture.store.path().with_extension("db-wal");
        let file = std::fs::metadata(fixture.store.path())?.len() + std::fs::metadata(log)?.len();
        writeln!(
            text,
            "| {size} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {first:.0} | {} | {} |",
            quantile(&times[0], 0.5),
            quantile(&times[0], 0.95),
            quantile(&times[0], 0.99),
            quantile(&times[1], 0.5),
            quantile(&together, 0.5),
            quantile(&together, 0.95),
            lar_base::Bytes(bytes as u64),
            lar_base::Bytes(file),
        )?;
    }
    Ok(text + &parts + &near)
}

/// Measures how many of the ten nearest memories by exact f32 products a search by vectors alone finds.
async fn recall(
    fixture: &MemoryFixture,
    reader: &lar_memory::ReadAccess,
    generator: &mut Generator,
    exact: &[Vec<f32>],
) -> anyhow::Result<String> {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let lengths: Vec<f32> = exact.iter().map(|vector| product(vector, vector).sqrt()).collect();
    let mut found = 0;
    for _ in 0..RECALL_SEARCHES {
        let query = generator.vector();
        let mut scored: Vec<(f32, usize)> = exact
            .iter()
            .zip(&lengths)
            .enumerate()
            .map(|(at, (vector, length))| (product(vector, &query) / length, at))
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        let expected: Vec<String> = scored[..10].iter().map(|(_, at)| format!(" n{at}")).collect();
        let search =
            Search { query: "w1x".into(), limit: 10, keyword_weight: Some(0.0), ..Search::default() };
        let hits = fixture.memories.search_embedded(reader, &search, &fixture.embedder, &query).await?.hits;
        found +=
            hits.iter().filter(|hit| expected.iter().any(|end| hit.memory.content.ends_with(end))).count();
    }
    let recall = found as f64 / (10 * RECALL_SEARCHES) as f64;
    Ok(format!(
        "\nRecall@10 of the scan over vectors quantized to bytes, compared with exact f32 products\n\
         ({RECALL_SIZE} memories, {RECALL_SEARCHES} searches): **{recall:.3}**.\n"
    ))
}

/// Returns the embedder of the fixture. With another one, Lar would recompute embeddings during the
/// measurement.
pub(super) fn embedder_of(fixture: &MemoryFixture) -> Embedder {
    Embedder { digest: fixture.embedder.clone(), name: "made".into(), dimension: DIMENSION as u32 }
}

/// Searches with a given vector. If `filtered`, also filters by a tag that one memory in a hundred has.
async fn search(
    fixture: &MemoryFixture,
    reader: &lar_memory::ReadAccess,
    generator: &mut Generator,
    filtered: bool,
) -> anyhow::Result<()> {
    let mut search = Search { query: generator.text(QUERY_WORDS), limit: 10, ..Search::default() };
    if filtered {
        search.filter.tags.push("t7".into());
    }
    let vector = generator.vector();
    fixture.memories.search_embedded(reader, &search, &fixture.embedder, &vector).await?;
    Ok(())
}

pub(super) fn new_memory(
    generator: &mut Generator,
    space: lar_base::SpaceId,
    fixture: &MemoryFixture,
    embedder: &Embedder,
    number: usize,
    vector: &[f32],
) -> NewMemory {
    let content = format!("{} n{number}", generator.text(TEXT_WORDS));
    let tags = vec![format!("t{}", number % 100)];
    let mut chunks = chunks(&content, &tags, None);
    for chunk in &mut chunks {
        let bytes = lar_memory::encode_vector(vector);
        chunk.vectors = Some(Vectors { embedder: embedder.clone(), bytes });
    }
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&(number as u64).to_le_bytes());
    NewMemory {
        id: MemoryId::new(),
        space,
        kind: MemoryKind::Fact,
        content,
        tags,
        project: None,
        provenance: Provenance { key: fixture.caller.key(), source: None, conversation: None, message: None },
        occurred_at: None,
        valid_from: None,
        valid_to: None,
        after: None,
        pinned: false,
        strength: strength::new(Timestamp::now()),
        hash,
        chunks,
    }
}

pub(crate) async fn ingests() -> anyhow::Result<String> {
    let mut text = format!(
        "Memories of {TEXT_WORDS} words. Each is acknowledged once it is on disk and a search finds it.\n\
         *Without embedding*: the vector is given, so that only the commit and the index are timed. {} s\n\
         each.\n\n\
         | callers | without embedding, per second | p50 ms | p99 ms | with embedding, per second | p50 ms | p99 ms |\n\
         |---|---|---|---|---|---|---|\n",
        ROUND.as_secs()
    );
    for callers in CALLERS {
        let without = round(callers, false).await?;
        let with = round(callers, true).await?;
        writeln!(
            text,
            "| {callers} | {:.0} | {:.2} | {:.2} | {:.0} | {:.2} | {:.2} |",
            without.len() as f64 / ROUND.as_secs_f64(),
            quantile(&without, 0.5),
            quantile(&without, 0.99),
            with.len() as f64 / ROUND.as_secs_f64(),
            quantile(&with, 0.5),
            quantile(&with, 0.99),
        )?;
    }
    let fixture = MemoryFixture::open().await?;
    let writer = fixture.memories.authorize_write(fixture.caller.clone(), MemoryScope::default()).await?;
    let mut generator = Generator::new();
    let items: Vec<Result<Item, Problem>> =
        (0..1000).map(|_| Ok(Item { content: generator.text(TEXT_WORDS), ..Item::default() })).collect();
    let started_at = Instant::now();
    fixture.memories.ingest_batch(&writer, items, None).await?;
    writeln!(
        text,
        "\nOne batch of 1,000, with embedding: {:.0} per second.",
        1000.0 / started_at.elapsed().as_secs_f64()
    )?;
    Ok(text)
}

async fn round(callers: usize, embedding: bool) -> anyhow::Result<Vec<f64>> {
    let fixture = std::sync::Arc::new(MemoryFixture::open().await?);
    let writer = fixture.memories.authorize_write(fixture.caller.clone(), MemoryScope::default()).await?;
    let reader = fixture.memories.authorize_read(fixture.caller.clone(), MemoryScope::default()).await?;
    let embedder = embedder_of(&fixture);
    // Loads the index, so that each write updates it.
    search(&fixture, &reader, &mut Generator::new(), false).await?;
    fixture.memories.ingest(&writer, Item { content: "the first".into(), ..Item::default() }, None).await?;
    let mut all = tokio::task::JoinSet::new();
    let started_at = Instant::now();
    for caller in 0..callers {
        let (fixture, writer, embedder) = (fixture.clone(), writer.clone(), embedder.clone());
        all.spawn(async move {
            let mut generator = Generator::new();
            generator.random = Random::new(caller as u64 + 1);
            let mut times = Vec::new();
            for at in 0.. {
                if started_at.elapsed() >= ROUND {
                    break;
                }
                let number = caller * 10_000_000 + at;
                let vector = generator.vector();
                let memory = new_memory(&mut generator, writer.space(), &fixture, &embedder, number, &vector);
                let one = Instant::now();
                let done = if embedding {
                    let item = Item { content: memory.content, ..Item::default() };
                    fixture.memories.ingest(&writer, item, None).await.is_ok()
                } else {
                    fixture.memories.store_prepared(&writer, vec![memory]).await.is_ok()
                };
                if done {
                    times.push(one.elapsed().as_secs_f64() * 1000.0);
                }
            }
            times
        });
    }
    let mut times: Vec<f64> = all.join_all().await.into_iter().flatten().collect();
    times.sort_by(f64::total_cmp);
    Ok(times)
}
