//! The effect of labeled chat messages on the memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use lar_base::{Caller, MemoryId};
use lar_memory::{Item, MemoryActivity, MemoryScope, Origin};
use serde_json::Value;

use super::MemoryFixture;
use super::labeled::{LabeledSet, shows_misses, text, texts};
use crate::progress::progress;

/// The kinds of requests, in the order of the table.
const REQUESTS: [&str; 6] = ["store", "replace", "suggest", "forget", "list", "refuse"];

/// The counts for one kind of expectation: done and all, in English and in other languages.
#[derive(Default, Clone, Copy)]
struct Count {
    english: (usize, usize),
    other: (usize, usize),
}

pub(crate) async fn measure() -> anyhow::Result<String> {
    let fixture = MemoryFixture::open().await?;
    let mut table = String::from(
        "Labeled chat messages, each sent to a space with the memories of its item, without a language model.\n\
         The columns are the requests that were carried out as labeled, of all of the kind; *nothing* are the\n\
         messages that may change nothing, and how many of them stored, changed or forgot something unasked.\n\n\
         | set | language | store | replace | suggest | forget | list | refuse | all requests | nothing: acted |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for set in LabeledSet::all()? {
        let items = set.items("chats.jsonl")?;
        if items.is_empty() {
            continue;
        }
        progress(&format!("  {}", set.name));
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        for (at, item) in items.iter().enumerate() {
            let agent = format!("chat-{}-{at}", set.name);
            let (known, activity) = send(&fixture, &agent, item).await?;
            for want in item["want"].as_array().context("want")? {
                let kind = text(want, "do")?;
                let done = match kind {
                    "nothing" => !is_idle(&activity),
                    _ => is_done(want, kind, &known, &activity),
                };
                let count = counts.entry(kind.to_owned()).or_default();
                let side = if item["lang"] == "en" { &mut count.english } else { &mut count.other };
                side.0 += usize::from(done);
                side.1 += 1;
                if done == (kind == "nothing") && shows_misses() {
                    progress(&format!(
                        "{kind}: {}\n  known {}\n  {activity:?}",
                        item["message"], item["known"]
                    ));
                }
            }
        }
        for (language, side) in [("English", true), ("others", false)] {
            let of = |kind: &str| {
                let count = counts.get(kind).copied().unwrap_or_default();
                if side { count.english } else { count.other }
            };
            write!(table, "| {} | {language} |", set.name)?;
            let mut all = (0, 0);
            for kind in REQUESTS {
                let (done, labeled) = of(kind);
                all = (all.0 + done, all.1 + labeled);
                write!(table, " {done} of {labeled} |")?;
            }
            let (acted, nothing) = of("nothing");
            let share = all.0 as f64 / all.1.max(1) as f64;
            writeln!(table, " **{share:.2}** | {acted} of {nothing} |")?;
        }
    }
    Ok(table)
}

/// Saves the known memories of an item in a space of its own and applies its message.
async fn send(
    fixture: &MemoryFixture,
    agent: &str,
    item: &Value,
) -> anyhow::Result<(Vec<MemoryId>, MemoryActivity)> {
    let own = &fixture.caller;
    let agent = Some(agent.to_owned());
    let caller = Caller::authenticated(own.user(), own.key(), agent, own.scopes().clone(), own.memory());
    let memories = &fixture.memories;
    let writer = memories.authorize_write(caller, MemoryScope::default()).await?;
    let mut known = Vec::new();
    for content in texts(item, "known") {
        let saved = memories.ingest(&writer, Item { content, ..Item::default() }, None).await?;
        known.push(saved.memory.id);
    }
    let origin = Origin { conversation: None, source: "chat" };
    let activity = memories.apply_intents(&writer, text(item, "message")?, origin, &[]).await?;
    Ok((known, activity))
}

/// Returns whether a message stored, changed and forgot nothing.
fn is_idle(activity: &MemoryActivity) -> bool {
    activity.saved.is_empty() && activity.forgotten.is_empty()
}

/// Returns whether an expectation was met.
fn is_done(want: &Value, kind: &str, known: &[MemoryId], activity: &MemoryActivity) -> bool {
    let id = |at: &Value| at.as_u64().and_then(|at| known.get(at as usize)).map(ToString::to_string);
    let has = |content: &str| {
        let content = content.to_lowercase();
        texts(want, "contains").iter().all(|text| content.contains(&text.to_lowercase()))
            && !texts(want, "omits").iter().any(|text| content.contains(&text.to_lowercase()))
    };
    let mut named: Vec<String> = want["memories"].as_array().into_iter().flatten().filter_map(id).collect();
    named.sort();
    match kind {
        "store" => activity.saved.iter().any(|saved| has(&saved.content)),
        "replace" => activity.saved.iter().any(|saved| {
            has(&saved.content) && saved.superseded_id.is_some() && saved.superseded_id == id(&want["memory"])
        }),
        "suggest" => {
            let suggested =
                |outdated: &Option<String>| outdated.is_some() && *outdated == id(&want["memory"]);
            is_idle(activity) && activity.suggested.iter().any(|one| suggested(&one.outdated_id))
        }
        "forget" => {
            let mut forgotten: Vec<String> = activity.forgotten.iter().map(|one| one.id.clone()).collect();
            forgotten.sort();
            forgotten == named
        }
        "list" => named.iter().all(|id| activity.listed.iter().any(|listed| listed.id == *id)),
        "refuse" => is_idle(activity) && !activity.refused.is_empty(),
        _ => false,
    }
}
