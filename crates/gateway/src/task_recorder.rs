//! Records the starts and ends of tasks in the database, many per commit, and none later than
//! [`FLUSH_EVERY`].

use std::time::Duration;

use lar_base::{TaskGroup, TaskId, error_chain};
use lar_store::{Store, TaskEnd, TaskStart};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The longest delay of a record; the limit that Lar promises is 100 ms.
const FLUSH_EVERY: Duration = Duration::from_millis(10);
/// The most records in one commit.
const BATCH_MAX: usize = 512;
/// The records that are kept while the database fails, and as many that arrive meanwhile. Further ones are
/// dropped and logged.
const BACKLOG_MAX: usize = 50_000;

/// The wait after a failed write.
const RETRY_AFTER: Duration = Duration::from_millis(500);

pub(crate) enum Record {
    Start(TaskStart),
    End(TaskId, TaskEnd),
}

#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    records: mpsc::Sender<Record>,
}

impl Recorder {
    /// Starts the writing task. After `tasks` is stopped, it writes the remaining records until all handles
    /// are dropped or the group's time limit ends it.
    pub(crate) fn start(store: Store, tasks: &TaskGroup) -> Self {
        let (records, inbox) = mpsc::channel(BACKLOG_MAX);
        tasks.spawn(write(store, inbox, tasks.stopping()));
        Self { records }
    }

    pub(crate) fn record(&self, record: Record) {
        // The writing task ends only with the process.
        if let Err(mpsc::error::TrySendError::Full(_)) = self.records.try_send(record) {
            tracing::error!(
                waiting = BACKLOG_MAX,
                "too many task records wait to be written; one was dropped"
            );
        }
    }
}

async fn write(store: Store, mut inbox: mpsc::Receiver<Record>, stopping: CancellationToken) {
    let mut waiting: Vec<Record> = Vec::new();
    loop {
        let stop = stopping.is_cancelled();
        if waiting.is_empty() {
            tokio::select! {
                record = inbox.recv() => match record {
                    Some(record) => waiting.push(record),
                    None => return,
                },
                () = stopping.cancelled(), if !stop => continue,
                () = tokio::time::sleep(FLUSH_EVERY), if stop => return,
            }
            if !stop {
                tokio::time::sleep(FLUSH_EVERY).await;
            }
        }
        while waiting.len() < BACKLOG_MAX
            && let Ok(record) = inbox.try_recv()
        {
            waiting.push(record);
        }
        while !waiting.is_empty() {
            let batch = waiting.len().min(BATCH_MAX);
            let (mut starts, mut ends) = (Vec::new(), Vec::new());
            for record in &waiting[..batch] {
                match record {
                    Record::Start(start) => starts.push(start.clone()),
                    Record::End(id, end) => ends.push((*id, end.clone())),
                }
            }
            if let Err(error) = store.tasks_record(starts, ends).await {
                tracing::error!(
                    error = %error_chain(&error),
                    waiting = waiting.len(),
                    "could not write task records; retrying"
                );
                tokio::time::sleep(RETRY_AFTER).await;
                break;
            }
            waiting.drain(..batch);
        }
    }
}
