//! Durable task commits per second through the store's group commit, compared with the cost of one sync on
//! this disk.

use std::fmt::Write as _;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use lar_base::{Instant, KeyId, TaskId, Timestamp, UserId};
use lar_store::{Store, TaskStart};

use crate::statistics::quantile;

/// The duration of one measurement.
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
const WRITERS: [usize; 3] = [1, 16, 64];

pub(crate) async fn measure() -> anyhow::Result<String> {
    let directory = tempfile::tempdir_in(".")?;
    let store = Store::open(&directory.path().join("lar.db"))?;
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); WRITERS.len()];
    let mut waits: Vec<Vec<f64>> = vec![Vec::new(); WRITERS.len()];
    let mut syncs = Vec::new();
    for _ in 0..ROUNDS {
        syncs.extend(sync_times(directory.path())?);
        for (index, writers) in WRITERS.into_iter().enumerate() {
            let took = round(&store, writers).await;
            rates[index].push(took.len() as f64 / ROUND.as_secs_f64());
            waits[index].extend(took);
        }
    }
    syncs.sort_by(f64::total_cmp);
    let mut text = format!(
        "A commit is the start of one task, acknowledged once it is on disk (`synchronous=FULL`). One\n\
         `fdatasync` of a 4 KiB write on this disk: p50 {:.2} ms, p99 {:.2} ms. {ROUNDS} interleaved rounds\n\
         of {} s.\n\n\
         | writers | commits/s (median) | p50 ms | p99 ms |\n|---|---|---|---|\n",
        quantile(&syncs, 0.5),
        quantile(&syncs, 0.99),
        ROUND.as_secs(),
    );
    for (index, writers) in WRITERS.into_iter().enumerate() {
        rates[index].sort_by(f64::total_cmp);
        waits[index].sort_by(f64::total_cmp);
        let (rate, waits) = (quantile(&rates[index], 0.5), &waits[index]);
        writeln!(
            text,
            "| {writers} | {rate:.0} | {:.2} | {:.2} |",
            quantile(waits, 0.5),
            quantile(waits, 0.99)
        )?;
    }
    Ok(text)
}

async fn round(store: &Store, writers: usize) -> Vec<f64> {
    let (started_at, key, user) = (Instant::now(), KeyId::new(), UserId::new());
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..writers {
        let store = store.clone();
        all.spawn(async move {
            let mut took = Vec::new();
            while started_at.elapsed() < ROUND {
                let start = TaskStart {
                    id: TaskId::new(),
                    key,
                    user,
                    conversation: None,
                    api: "bench",
                    workload: "completion",
                    model: "smollm2-135m-instruct".into(),
                    priority: "interactive",
                    created_at: Timestamp::now(),
                    memory: None,
                };
                let one = Instant::now();
                if store.tasks_record(vec![start], Vec::new()).await.is_ok() {
                    took.push(one.elapsed().as_secs_f64() * 1000.0);
                }
            }
            took
        });
    }
    all.join_all().await.into_iter().flatten().collect()
}

fn sync_times(directory: &std::path::Path) -> anyhow::Result<Vec<f64>> {
    let mut file = std::fs::File::create(directory.join("sync"))?;
    (0..100)
        .map(|_| {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&[7; 4096])?;
            let started_at = Instant::now();
            file.sync_data()?;
            Ok(started_at.elapsed().as_secs_f64() * 1000.0)
        })
        .collect()
}
