//! Workers and servers that are killed a hundred times during their work, and a thousand cancellations during
//! prefill.
//!
//! Nothing that was acknowledged may be lost, every task must have exactly one terminal event, and the worker
//! must count no sequence of a cancelled request as active.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use lar_base::Instant;
use lar_engines::driver::{Ability, Driver as _};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_inference::protocol::Compute;
use lar_inference::{Event, GenerationRequest, Prompt, Sampling};
use lar_tests::crash::{How, Matrix, matrix};
use lar_tests::{Lar, chat_model, program};

use crate::statistics::quantile;

const KILLS: usize = 100;
const KILLS_PER_SERVER: usize = 4;
const CANCELS: usize = 1000;

pub(crate) fn kill_workers() -> anyhow::Result<String> {
    let (mut tasks, mut other_than_one, mut failed) = (0, 0, 0);
    // Each server has few kills: after many crashes in a row its supervisor waits long before a restart.
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
        "`kill -9` of a worker during a stream, {KILLS} times: {tasks} tasks, of which {failed} ended with\n\
         ENGINE_FAILED and {other_than_one} had another number of terminal events than one.\n"
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
        "`kill -9` of the server during writes, {KILLS} times: {} tasks acknowledged, {lost} lost, {open}\n\
         without a terminal event after the restart.\n",
        acknowledged.len()
    ))
}

/// Ends a process that writes memories at each of its writes, and checks the database afterwards.
pub(crate) fn crash_matrix() -> anyhow::Result<String> {
    let mut text = String::from(
        "A process stores, corrects, edits, undoes, deletes, erases and imports memories. A layer under\n\
         SQLite (`tests/faults/crash.c`) ends it at every write, sync and truncation of its database and\n\
         log. Then the database is checked. *Lost*: it has neither the last acknowledged state nor that\n\
         state plus the step in progress. *Disagree*: a memory's passages do not match its text. *Broken*:\n\
         SQLite's check fails, or a reference has no target. `kill -9` alone loses nothing that was written.\n\
         A power loss also loses writes that were not synced.\n\n\
         | ended | points | acknowledged | lost | disagree | broken |\n|---|---|---|---|---|---|\n",
    );
    for (name, how) in [
        ("before a write", How::Kill),
        ("during a write", How::Torn),
        ("power loss: all unsynced writes lost", How::PowerAll),
        ("power loss: some unsynced writes lost", How::PowerSome),
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
    // Each request has another cache owner. Otherwise the prefix cache of one would serve the next.
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
                "the prefill finished before the cancellation"
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
        "{CANCELS} cancellations while a prompt of 3,500 tokens is prefilled. The engine confirmed them\n\
         after {:.0} ms (p50), {:.0} ms (p99) and {:.0} ms at most. Sequences that the worker still counted\n\
         as active: {still_active}.\n",
        quantile(&took, 0.5),
        quantile(&took, 0.99),
        quantile(&took, 1.0),
    ))
}
