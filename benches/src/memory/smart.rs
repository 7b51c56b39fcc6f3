//! The decisions of smart ingest on the labeled pairs of `benches/data/smart-ingest.tsv`.
//!
//! Each pair is ingested in a space of its own, and again in a space that contains the known statements of
//! all other fields of life.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use lar_base::Caller;
use lar_memory::{
    Item, MemoryScope, Search, SimilarityThresholds, SmartIngestResult, WriteAccess, decision_on,
};
use lar_store::MemoryList;

use super::MemoryFixture;
use crate::progress::progress;

const PAIRS: &str = include_str!("../../data/smart-ingest.tsv");
const SETS: [&str; 4] = ["calibration", "held", "second", "third"];
const LABELS: [&str; 6] = ["create", "reinforce", "update", "supersede", "merge", "reject"];
/// The similarity thresholds that are tried.
const BOUNDS: [f32; 8] = [0.0, 0.3, 0.4, 0.45, 0.5, 0.6, 0.7, 0.85];

struct Pair {
    set: &'static str,
    label: &'static str,
    field: &'static str,
    known: &'static str,
    incoming: &'static str,
}

pub(crate) async fn measure() -> anyhow::Result<String> {
    let fixture = MemoryFixture::open().await?;
    let pairs = pairs();
    let mut text = String::from(
        "Pairs of statements that are saved one after another, the second with `POST memories/smart`. The\n\
         sets *calibration* and *held* (held out) were written before the rules and split by a hash.\n\
         *second* was written after the rules, in freer sentences; the faults that it showed were fixed.\n\
         *third* was written after that. *Crowded*: the space also contains the known statements of all\n\
         other fields of life.\n\n\
         | set | pairs | corrections: precision | recall | wrong merges | decisions unlike the label | content lost |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let mut matrices = String::new();
    for set in SETS {
        progress(&format!("  {set}"));
        for crowded in [false, true] {
            let mut outcomes = Vec::new();
            let mut lost = 0;
            for (at, pair) in pairs.iter().enumerate().filter(|(_, pair)| pair.set == set) {
                let space = if crowded { format!("crowd-{}", pair.field) } else { format!("pair-{at}") };
                let writer = writer(&fixture, &space).await?;
                if crowded {
                    fill(&fixture, &writer, &pairs, pair.field).await?;
                }
                let (decided, kept) = ingest_pair(&fixture, &writer, pair).await?;
                lost += usize::from(!kept && pair.label != "reject");
                outcomes.push((pair.label, decided.decision.as_str()));
            }
            let name = if crowded { format!("{set}, crowded") } else { set.to_owned() };
            summary(&mut text, &name, &outcomes, lost)?;
            if !crowded {
                matrix(&mut matrices, set, &outcomes)?;
            }
        }
    }
    bounds(&mut matrices, &fixture, &pairs).await?;
    Ok(text + &matrices)
}

fn pairs() -> Vec<Pair> {
    let rows = PAIRS.lines().filter(|line| !line.starts_with('#'));
    let pair = |row: &'static str| {
        let mut columns = row.split('\t');
        Some(Pair {
            set: columns.next()?,
            label: columns.next()?,
            field: columns.next()?,
            known: columns.next()?,
            incoming: columns.next()?,
        })
    };
    rows.filter_map(pair).collect()
}

async fn writer(fixture: &MemoryFixture, agent: &str) -> anyhow::Result<WriteAccess> {
    let own = &fixture.caller;
    let agent = Some(agent.to_owned());
    let caller = Caller::authenticated(own.user(), own.key(), agent, own.scopes().clone(), own.memory());
    Ok(fixture.memories.authorize_write(caller, MemoryScope::default()).await?)
}

/// Saves the known statements of every other field of life, unless the space has them already.
async fn fill(
    fixture: &MemoryFixture,
    writer: &WriteAccess,
    pairs: &[Pair],
    field: &str,
) -> anyhow::Result<()> {
    if !fixture
        .store
        .memory_list(MemoryList { spaces: vec![writer.space()], limit: 1, ..MemoryList::default() })
        .await?
        .is_empty()
    {
        return Ok(());
    }
    let others: BTreeSet<&str> =
        pairs.iter().filter(|pair| pair.field != field).map(|pair| pair.known).collect();
    let items = others.into_iter().map(|known| Item { content: known.to_owned(), ..Item::default() });
    fixture.memories.ingest(writer, items.collect(), None).await?;
    Ok(())
}

/// Ingests both statements of a pair, then erases their memories. Returns the decision, and whether both
/// texts were still in a memory or its history.
async fn ingest_pair(
    fixture: &MemoryFixture,
    writer: &WriteAccess,
    pair: &Pair,
) -> anyhow::Result<(SmartIngestResult, bool)> {
    let memories = &fixture.memories;
    let known = Item { content: pair.known.to_owned(), ..Item::default() };
    let known = memories.ingest(writer, vec![known], None).await?;
    let Some(known) = known.into_iter().next() else { anyhow::bail!("no memory was stored") };
    let incoming = Item { content: pair.incoming.to_owned(), ..Item::default() };
    let decided = memories.ingest_smart(writer, incoming, None).await?;
    let reader = memories.authorize_read(writer.caller().clone(), MemoryScope::default()).await?;
    let mut kept = String::new();
    let ids: BTreeSet<_> = [Some(known.memory.id), decided.memory.as_ref().map(|memory| memory.id)]
        .into_iter()
        .flatten()
        .collect();
    for id in &ids {
        kept.push_str(&memories.get(&reader, *id).await?.content);
        for change in memories.history(&reader, *id).await? {
            kept.push_str(change.before.content.as_ref().map_or("", |(content, _)| content));
            kept.push_str(change.reason.as_deref().unwrap_or_default());
        }
    }
    for id in ids {
        memories.erase(writer, id).await?;
    }
    Ok((decided, kept.contains(pair.known) && kept.contains(pair.incoming)))
}

fn summary(text: &mut String, name: &str, outcomes: &[(&str, &str)], lost: usize) -> anyhow::Result<()> {
    let count =
        |is: &dyn Fn(&str, &str) -> bool| outcomes.iter().filter(|(label, got)| is(label, got)).count();
    let right = count(&|label, got| label == "supersede" && got == "supersede");
    let claimed = count(&|_, got| got == "supersede");
    let labeled = count(&|label, _| label == "supersede");
    let merges = count(&|label, got| got == "merge" && label != "merge");
    let other = count(&|label, got| label != got);
    writeln!(
        text,
        "| {name} | {} | {right} of {claimed}: **{:.3}** | {right} of {labeled}: **{:.3}** | {merges} | {other} | {lost} |",
        outcomes.len(),
        right as f64 / claimed.max(1) as f64,
        right as f64 / labeled.max(1) as f64,
    )?;
    Ok(())
}

fn matrix(text: &mut String, set: &str, outcomes: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for outcome in outcomes {
        *counts.entry(*outcome).or_default() += 1;
    }
    write!(text, "\n| {set}: label ↓ decision → |")?;
    for label in LABELS {
        write!(text, " {label} |")?;
    }
    writeln!(text, "\n|---|---|---|---|---|---|---|")?;
    for label in LABELS {
        write!(text, "| {label} |")?;
        for got in LABELS {
            match counts.get(&(label, got)) {
                Some(count) => write!(text, " {count} |")?,
                None => write!(text, " |")?,
            }
        }
        text.push('\n');
    }
    Ok(())
}

/// Counts right and wrong decisions on the calibration set for each similarity threshold.
async fn bounds(text: &mut String, fixture: &MemoryFixture, pairs: &[Pair]) -> anyhow::Result<()> {
    let mut similarities = Vec::new();
    for (at, pair) in
        pairs.iter().enumerate().filter(|(_, pair)| pair.set == "calibration" && pair.label != "reject")
    {
        let writer = writer(fixture, &format!("bound-{at}")).await?;
        let known = Item { content: pair.known.to_owned(), ..Item::default() };
        fixture.memories.ingest(&writer, vec![known], None).await?;
        let reader = fixture.memories.authorize_read(writer.caller().clone(), MemoryScope::default()).await?;
        let search = Search {
            query: pair.incoming.to_owned(),
            limit: 1,
            keyword_weight: Some(0.0),
            ..Search::default()
        };
        let found = fixture.memories.search(&reader, search).await?;
        similarities.push((pair, found.hits.first().and_then(|hit| hit.similarity).unwrap_or_default()));
    }
    write!(text, "\n| right / wrong on calibration, by similarity threshold |")?;
    for bound in BOUNDS {
        write!(text, " {bound} |")?;
    }
    writeln!(text, "\n|---|---|---|---|---|---|---|---|---|")?;
    type Set = fn(f32) -> SimilarityThresholds;
    let rows: [(&str, &str, Set); 3] = [
        ("the same in other words (`reinforce`)", "reinforce", |same| SimilarityThresholds {
            same,
            changed: 0.0,
            part: 0.0,
        }),
        ("a correction (`supersede`)", "supersede", |changed| SimilarityThresholds {
            same: 2.0,
            changed,
            part: 0.0,
        }),
        ("a part of one thing (`merge`)", "merge", |part| SimilarityThresholds {
            same: 2.0,
            changed: 0.0,
            part,
        }),
    ];
    for (name, label, thresholds) in rows {
        write!(text, "| {name} |")?;
        for bound in BOUNDS {
            let got = similarities.iter().filter(|(pair, similarity)| {
                decision_on(pair.known, pair.incoming, Some((*similarity, thresholds(bound)))).as_str()
                    == label
            });
            let (right, wrong): (Vec<&str>, Vec<&str>) =
                got.map(|(pair, _)| pair.label).partition(|labeled| *labeled == label);
            write!(text, " {} / {} |", right.len(), wrong.len())?;
        }
        text.push('\n');
    }
    Ok(())
}
