//! The decisions of smart ingest on labeled pairs of texts.
//!
//! Each pair is ingested in a space of its own, and again in a space that holds the first texts of all pairs
//! of its set.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lar_base::{Caller, MemoryId};
use lar_memory::{Item, MemoryScope, SmartIngestResult, WriteAccess};
use lar_store::MemoryList;

use super::MemoryFixture;
use super::labeled::{LabeledSet, shows_misses, text, texts};
use crate::progress::progress;

/// The older, easier pairs: set, label, field of life, first and second text.
const OLDER_PAIRS: &str = include_str!("../../data/smart-ingest.tsv");

/// Two texts that are saved one after another, and the relation of the second to the first.
struct Pair {
    language: String,
    first: String,
    second: String,
    /// `same`, `adds`, `replaces`, `contradicts`, `unrelated` or `reject`.
    label: String,
    /// The texts that a current memory must still contain afterwards.
    must_keep: Vec<String>,
}

/// The outcome of a pair.
struct Outcome {
    decided: SmartIngestResult,
    /// Whether the first text is no longer in a current memory.
    is_hidden: bool,
    /// Whether a text that must be kept is in no current memory.
    is_lost: bool,
}

pub(crate) async fn measure() -> anyhow::Result<String> {
    let fixture = MemoryFixture::open().await?;
    let mut text = String::from(
        "Pairs of texts that are saved one after another, the second with `POST memories/smart`, without a\n\
         language model. *Hidden*: first texts that are still true, but no longer found. *Found*:\n\
         replacements that superseded the first text or are linked to it. *Other links*: links of texts that\n\
         add, repeat or are unrelated, though they were written to look related. *Crowded*: links to another\n\
         text in a space with the first texts of all pairs.\n\n\
         | set | pairs | hidden | replaced | linked | found | found in English | in other languages | other links | wrong merges | lost | crowded |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut matrices = String::new();
    for (name, pairs) in all_pairs()? {
        progress(&format!("  {name}"));
        let mut outcomes = Vec::new();
        for (at, pair) in pairs.iter().enumerate() {
            let writer = writer(&fixture, &format!("{name}-{at}")).await?;
            let outcome = ingest_pair(&fixture, &writer, pair).await?;
            if shows_misses() && (outcome.is_lost || outcome.is_hidden && pair.label != "replaces") {
                progress(&format!("{}: {} | {}", pair.label, pair.first, pair.second));
            }
            outcomes.push((pair, outcome));
        }
        let crowded = crowded_links(&fixture, &name, &pairs).await?;
        summarize(&mut text, &name, &outcomes, crowded)?;
        matrix(&mut matrices, &name, &outcomes)?;
    }
    Ok(text + &matrices)
}

/// Returns the pairs of every set.
fn all_pairs() -> anyhow::Result<Vec<(String, Vec<Pair>)>> {
    let mut sets: BTreeMap<String, Vec<Pair>> = BTreeMap::new();
    for row in OLDER_PAIRS.lines().filter(|row| !row.starts_with('#')) {
        let [set, label, _, first, second] = row.split('\t').collect::<Vec<_>>()[..] else { continue };
        let label = match label {
            "supersede" => "replaces",
            "reinforce" => "same",
            "update" | "merge" => "adds",
            "create" => "unrelated",
            other => other,
        };
        sets.entry(format!("older, {set}")).or_default().push(Pair {
            language: "en".into(),
            first: first.into(),
            second: second.into(),
            label: label.into(),
            must_keep: Vec::new(),
        });
    }
    for set in LabeledSet::all()? {
        for item in set.items("pairs.jsonl")? {
            sets.entry(set.name.clone()).or_default().push(Pair {
                language: text(&item, "lang")?.to_owned(),
                first: text(&item, "first")?.to_owned(),
                second: text(&item, "second")?.to_owned(),
                label: text(&item, "want")?.to_owned(),
                must_keep: texts(&item, "must_keep"),
            });
        }
    }
    Ok(sets.into_iter().collect())
}

async fn writer(fixture: &MemoryFixture, agent: &str) -> anyhow::Result<WriteAccess> {
    let own = &fixture.caller;
    let agent: String = agent.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let caller =
        Caller::authenticated(own.user(), own.key(), Some(agent), own.scopes().clone(), own.memory());
    Ok(fixture.memories.authorize_write(caller, MemoryScope::default()).await?)
}

/// Saves a text without comparing it. Returns its memory's id.
async fn save(fixture: &MemoryFixture, writer: &WriteAccess, content: &str) -> anyhow::Result<MemoryId> {
    let item = Item { content: content.to_owned(), ..Item::default() };
    Ok(fixture.memories.ingest(writer, item, None).await?.memory.id)
}

/// Ingests both texts of a pair.
async fn ingest_pair(fixture: &MemoryFixture, writer: &WriteAccess, pair: &Pair) -> anyhow::Result<Outcome> {
    save(fixture, writer, &pair.first).await?;
    let second = Item { content: pair.second.clone(), ..Item::default() };
    let decided = match fixture.memories.ingest_smart(writer, second, None).await {
        Ok(decided) => decided,
        // The second text is a secret.
        Err(problem) if pair.label == "reject" => refused(problem.detail),
        Err(problem) => anyhow::bail!("{}: {problem}", pair.second),
    };
    let query = MemoryList { spaces: vec![writer.space()], limit: 10, ..MemoryList::default() };
    let current = fixture.store.memory_list(query).await?;
    let current = current.iter().filter(|memory| memory.superseded.is_none());
    let kept: String = current.map(|memory| memory.content.as_str()).collect::<Vec<_>>().join("\n");
    Ok(Outcome {
        is_hidden: !kept.contains(&pair.first) && decided.decision.as_str() == "supersede",
        is_lost: pair.must_keep.iter().any(|text| !kept.contains(text)),
        decided,
    })
}

/// The outcome of a text that was refused.
fn refused(reason: String) -> SmartIngestResult {
    SmartIngestResult {
        decision: lar_memory::Decision::Reject,
        reason,
        against: None,
        memory: None,
        link: None,
        diff: Vec::new(),
        redacted: Vec::new(),
        unembedded: None,
    }
}

/// Returns the share of second texts that are linked to another text than their first one, in a space with
/// all first texts.
async fn crowded_links(fixture: &MemoryFixture, name: &str, pairs: &[Pair]) -> anyhow::Result<f64> {
    let writer = writer(fixture, &format!("{name}-crowded")).await?;
    let mut firsts = Vec::new();
    for pair in pairs {
        firsts.push(save(fixture, &writer, &pair.first).await?);
    }
    let mut others = 0;
    for (pair, first) in pairs.iter().zip(firsts) {
        let second = Item { content: pair.second.clone(), ..Item::default() };
        let Ok(decided) = fixture.memories.ingest_smart(&writer, second, None).await else { continue };
        others += usize::from(decided.link.is_some_and(|link| link.older != first));
    }
    Ok(others as f64 / pairs.len().max(1) as f64)
}

fn summarize(
    table: &mut String,
    name: &str,
    outcomes: &[(&Pair, Outcome)],
    crowded: f64,
) -> anyhow::Result<()> {
    let count =
        |is: &dyn Fn(&Pair, &Outcome) -> bool| outcomes.iter().filter(|(pair, one)| is(pair, one)).count();
    let replaces = |pair: &Pair| pair.label == "replaces";
    let superseded = |one: &Outcome| one.decided.decision.as_str() == "supersede";
    let linked = |one: &Outcome| one.decided.link.is_some();
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    let found = |is: &dyn Fn(&Pair) -> bool| {
        let all = count(&|pair, _| replaces(pair) && is(pair));
        share(count(&|pair, one| replaces(pair) && is(pair) && (superseded(one) || linked(one))), all)
    };
    let others = count(&|pair, _| matches!(pair.label.as_str(), "same" | "adds" | "unrelated"));
    let other_links =
        count(&|pair, one| matches!(pair.label.as_str(), "same" | "adds" | "unrelated") && linked(one));
    let merges = count(&|pair, one| {
        let merged = matches!(one.decided.decision.as_str(), "merge" | "update" | "reinforce");
        merged && !matches!(pair.label.as_str(), "same" | "adds")
    });
    writeln!(
        table,
        "| {name} | {} | {} | {} | {} | **{:.2}** | {:.2} | {:.2} | {:.2} | {merges} | {} | {crowded:.2} |",
        outcomes.len(),
        count(&|pair, one| !replaces(pair) && one.is_hidden),
        count(&|pair, one| replaces(pair) && superseded(one)),
        count(&|pair, one| replaces(pair) && linked(one)),
        found(&|_| true),
        found(&|pair| pair.language == "en"),
        found(&|pair| pair.language != "en"),
        share(other_links, others),
        count(&|pair, one| pair.label != "reject" && one.is_lost),
    )?;
    Ok(())
}

/// Writes the number of pairs by label and decision.
fn matrix(table: &mut String, name: &str, outcomes: &[(&Pair, Outcome)]) -> anyhow::Result<()> {
    const LABELS: [&str; 6] = ["same", "adds", "replaces", "contradicts", "unrelated", "reject"];
    const DECISIONS: [&str; 6] = ["reinforce", "update", "supersede", "link", "create", "reject"];
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (pair, outcome) in outcomes {
        let decision = match outcome.decided.link {
            Some(_) => "link",
            None => outcome.decided.decision.as_str(),
        };
        *counts.entry((pair.label.as_str(), decision)).or_default() += 1;
    }
    writeln!(table, "\n| {name}: label ↓ decision → | {} |", DECISIONS.join(" | "))?;
    writeln!(table, "|---|{}", "---|".repeat(DECISIONS.len()))?;
    for label in LABELS {
        write!(table, "| {label} |")?;
        for decision in DECISIONS {
            match counts.get(&(label, decision)) {
                Some(count) => write!(table, " {count} |")?,
                None => write!(table, " |")?,
            }
        }
        table.push('\n');
    }
    Ok(())
}
