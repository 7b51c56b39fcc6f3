//! Workers and servers killed a hundred times in the middle of what they do, and a thousand cancellations in
//! prefill: what was lost (nothing may be), how many ends each task has (one), what the worker still counts.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use lar_base::Instant;
use lar_engines::driver::{Ability, Driver as _, Event, GenerationRequest, Prompt, Sampling};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_engines::protocol::Compute;
use lar_tests::crash::{How, Matrix, matrix};
use lar_tests::{Lar, chat_model, program};

use crate::quantile;

const KILLS: usize = 100;
const KILLS_PER_SERVER: usize = 4;
const CANCELS: usize = 1000;

pub(crate) fn kill_workers() -> anyhow::Result<String> {
    let (mut tasks, mut other_than_one, mut failed) = (0, 0, 0);
    // A new server every few rounds: after many deaths in a row a supervisor rightly waits long.
    for _ in 0..KILLS / KILLS_PER_SERVER {
        let lar = Lar::start();
        for _ in 0..KILLS_PER_SERVER {
            let Some(id) = lar.make_task(2000) else { continue };
            tasks += 1;
            lar.kill_workers();
            let events = lar.get(&format!("/lar/v1/tasks/{id}/stream")).events();
            let ends = events
                .iter()
                .filter(|(name, _)| matches!(name.as_str(), "end" | "error" | "cancelled"))
                .count();
            other_than_one += usize::from(ends != 1);
            failed += usize::from(events.last().is_some_and(|(_, data)| data["code"] == "ENGINE_FAILED"));
        }
    }
    Ok(format!(
        "`kill -9` of a worker mid-stream, {KILLS} times: {tasks} tasks, {failed} ended as ENGINE_FAILED, {other_than_one} with other than one end.\n"
    ))
}

pub(crate) fn kill_servers() -> anyhow::Result<String> {
    let directory = tempfile::tempdir()?;
    let mut acknowledged: Vec<String> = Vec::new();
    let mut lost = 0;
    for _ in 0..KILLS {
        let mut lar = Lar::start_on(directory.path());
        acknowledged.extend((0..3).filter_map(|_| lar.make_task(2000)));
        lar.kill();
    }
    let lar = Lar::start_on(directory.path());
    let mut open = 0;
    for id in &acknowledged {
        let state = lar.get(&format!("/lar/v1/tasks/{id}")).json()["state"].clone();
        lost += usize::from(!state.is_string());
        open += usize::from(state == "running");
    }
    Ok(format!(
        "`kill -9` of the server mid-write, {KILLS} times: {} tasks acknowledged, {lost} lost, {open} without an end after the \
         restart.\n",
        acknowledged.len()
    ))
}

/// A process that writes memories, ended at each of its writes.
pub(crate) fn crash_matrix() -> anyhow::Result<String> {
    let mut text = String::from(
        "A process that stores, corrects, edits, undoes, deletes, erases and imports memories, ended at every write, sync and \
         truncation of its database and log by a layer under SQLite (`tests/faults/crash.c`), then looked at: `lost` is \
         where neither what it had acknowledged last nor that and the step under way is there, `disagree` where a memory's \
         passages are not those of its text, `broken` where SQLite's check or a reference fails. `kill -9` alone loses \
         nothing that was written; *power* takes away what was not synced.\n\n\
         | ended | points | acknowledged | lost | disagree | broken |\n|---|---|---|---|---|---|\n",
    );
    for (name, how) in [
        ("before a write", How::Kill),
        ("in the middle of one", How::Torn),
        ("power: all unsynced writes lost", How::PowerAll),
        ("power: some of them lost", How::PowerSome),
    ] {
        let found = matrix(how, 1);
        let Matrix { points, acknowledged, lost, disagree, broken } = found;
        writeln!(text, "| {name} | {points} | {acknowledged} | {lost} | {disagree} | {broken} |")?;
    }
    Ok(text)
}

pub(crate) async fn cancel_in_prefill() -> anyhow::Result<String> {
    let driver = Embedded::new(EmbeddedOptions {
        program: program(),
        path: chat_model(),
        template: None,
        ability: Ability::Generate,
        concurrency: 1,
        context_tokens: 4096,
        compute: Compute::with_threads(lar_engines::device::threads()),
        tuning: None,
        draft: None,
        cache: lar_base::Bytes(0),
        memory_max: None,
        confinement: ConfinementPolicy::BestEffort,
    });
    driver.load().await?;
    let prompt = driver.prepare(Prompt::Text("word ".repeat(3500))).await?.prompt;
    // Each is someone else's, or what one left would be known to the next.
    let job = |key| GenerationRequest {
        prompt: prompt.clone(),
        caller: None,
        cache_of: Some(key),
        sampling: Sampling { tokens_max: 8, ..Sampling::default() },
    };
    let (mut took, mut still_active) = (Vec::new(), 0);
    for round in 0..CANCELS {
        let mut generation = driver.generate(job(lar_base::KeyId::new()))?;
        tokio::time::sleep(Duration::from_millis(5 + (round % 40) as u64)).await;
        let started_at = Instant::now();
        generation.stop.cancel();
        while let Some(event) = generation.events.next().await {
            anyhow::ensure!(
                !matches!(event, Event::Prefilled { .. }),
                "the prompt was read before the cancellation"
            );
            if event.is_terminal() {
                break;
            }
        }
        took.push(started_at.elapsed().as_secs_f64() * 1000.0);
        still_active += driver.worker_active().unwrap_or(1);
    }
    took.sort_by(f64::total_cmp);
    Ok(format!(
        "{CANCELS} cancellations while a prompt of 3,500 tokens is read: confirmed in p50 {:.0} ms, p99 {:.0} ms, at most {:.0} ms; \
         sequences the worker still counted: {still_active}.\n",
        quantile(&took, 0.5),
        quantile(&took, 0.99),
        quantile(&took, 1.0),
    ))
}
