//! Sends the memories of an export to the server, or asks it for a dry run of them.

use std::collections::HashMap;

use anyhow::{anyhow, ensure};
use indicatif::ProgressBar;
use lar_api::ProblemBody;
use lar_api::memories::{
    DryRunOutcome, DryRunResults, IngestResult, IngestResults, NewMemories, NewMemory, RefusedMemory,
};

use super::parsed_export::Entry;
use super::report::{ImportReport, Notice};
use crate::{ApiError, Client};

/// The number of memories per request.
const BATCH: usize = 100;
/// The number of bytes of texts per request, unless one text is longer. It is half of what the server accepts.
const BATCH_BYTES: usize = 4 << 20;
/// The statuses of a response that refuses a memory. With another error, the import ends.
const REFUSED: [u16; 5] = [400, 404, 409, 413, 422];

/// The result of one memory.
pub(crate) enum Outcome {
    /// The memory is new. Its id, if it was saved.
    Created(Option<String>),
    /// The memory existed. Its id, if the server tells it.
    Unchanged(Option<String>),
    /// The server refused the memory for this reason.
    Refused(String),
}

/// Saves memories, or makes a dry run, and counts the results in `report`. Returns the indexes of the new ones.
///
/// Turns of a dialogue are saved after the turns that they follow, because each names the id of the one before
/// it.
///
/// # Errors
/// If the server cannot be reached, or an error is not about a memory. The report has what was done before.
pub(super) async fn save(
    client: &Client,
    entries: &[Entry],
    progress: &ProgressBar,
    report: &mut ImportReport,
) -> anyhow::Result<Vec<usize>> {
    let mut ids: Vec<Option<String>> = vec![None; entries.len()];
    let mut created = Vec::new();
    for batch in batches(entries) {
        let items = batch.iter().map(|at| (*at, with_preceding(entries, &ids, *at))).collect();
        let results = match report.dry_run {
            true => preview(client, items).await?,
            false => save_batch(client, items).await?,
        };
        for (at, outcome) in results {
            match outcome {
                Outcome::Created(id) => {
                    report.created += 1;
                    created.push(at);
                    ids[at] = id;
                }
                Outcome::Unchanged(id) => {
                    report.unchanged += 1;
                    ids[at] = id;
                }
                Outcome::Refused(reason) => {
                    report.refused.push(Notice { location: entries[at].location.clone(), reason });
                }
            }
        }
        progress.inc(batch.len() as u64);
    }
    created.sort_unstable();
    Ok(created)
}

/// Groups entries for requests. A turn is in a later group than the turn that it follows.
fn batches(entries: &[Entry]) -> Vec<Vec<usize>> {
    let mut depths: Vec<usize> = Vec::with_capacity(entries.len());
    for entry in entries {
        let before = entry.follows.and_then(|at| depths.get(at));
        depths.push(before.map_or(0, |depth| depth + 1));
    }
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|at| depths[*at]);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for at in order {
        let length = entries[at].memory.content.len();
        match batches.last_mut() {
            Some(batch)
                if batch.len() < BATCH
                    && bytes + length <= BATCH_BYTES
                    && batch.last().is_some_and(|last| depths[*last] == depths[at]) =>
            {
                batch.push(at);
                bytes += length;
            }
            _ => {
                batches.push(vec![at]);
                bytes = length;
            }
        }
    }
    batches
}

/// Returns a memory with the id of the nearest preceding turn that was saved.
fn with_preceding(entries: &[Entry], ids: &[Option<String>], at: usize) -> NewMemory {
    let mut before = entries[at].follows;
    while let Some(turn) = before.filter(|turn| ids[*turn].is_none()) {
        before = entries[turn].follows;
    }
    NewMemory { after: before.and_then(|turn| ids[turn].clone()), ..entries[at].memory.clone() }
}

/// Asks the server for a dry run of memories, and returns the outcome of each with its index.
///
/// # Errors
/// If the server cannot be reached, or has no dry run.
pub(crate) async fn preview(
    client: &Client,
    items: Vec<(usize, NewMemory)>,
) -> anyhow::Result<Vec<(usize, Outcome)>> {
    let (indexes, items): (Vec<usize>, Vec<NewMemory>) = items.into_iter().unzip();
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let results: DryRunResults = client
        .post("memories/batch/dry-run", &NewMemories { items })
        .await
        .map_err(|error| match error.downcast::<ApiError>() {
            Ok(ApiError(problem)) if problem.status == 404 => anyhow!("this Lar is too old for a dry run"),
            Ok(error) => error.into(),
            Err(error) => error,
        })?;
    let outcome = |result: lar_api::memories::DryRunResult| match result.outcome {
        DryRunOutcome::Duplicate => Outcome::Unchanged(result.id),
        DryRunOutcome::Refuse => Outcome::Refused(result.reason.unwrap_or_default()),
        DryRunOutcome::Create | DryRunOutcome::Unknown => Outcome::Created(None),
    };
    ensure!(results.items.len() == indexes.len(), "the server did not decide about each memory");
    Ok(indexes.into_iter().zip(results.items.into_iter().map(outcome)).collect())
}

/// Saves memories. A refused one does not refuse the others.
async fn save_batch(
    client: &Client,
    items: Vec<(usize, NewMemory)>,
) -> anyhow::Result<Vec<(usize, Outcome)>> {
    match post(client, items.iter().map(|(_, memory)| memory.clone()).collect()).await {
        Ok(results) => {
            ensure!(results.items.len() == items.len(), "the server did not answer about each memory");
            Ok(items.into_iter().map(|(at, _)| at).zip(outcomes(results)).collect())
        }
        Err(error) => {
            refusal(error)?;
            save_singly(client, items).await
        }
    }
}

/// Saves memories one by one, because the server refused the request as a whole.
async fn save_singly(
    client: &Client,
    items: Vec<(usize, NewMemory)>,
) -> anyhow::Result<Vec<(usize, Outcome)>> {
    let mut results = Vec::with_capacity(items.len());
    for (at, memory) in items {
        match post(client, vec![memory]).await {
            Ok(saved) => results.extend(outcomes(saved).into_iter().map(|outcome| (at, outcome))),
            Err(error) => results.push((at, Outcome::Refused(reason(&refusal(error)?.detail, 0)))),
        }
    }
    Ok(results)
}

async fn post(client: &Client, items: Vec<NewMemory>) -> anyhow::Result<IngestResults> {
    client.post("memories/batch", &NewMemories { items }).await
}

/// Returns the outcome of each memory of a request.
fn outcomes(results: IngestResults) -> Vec<Outcome> {
    let mut refused: HashMap<u64, RefusedMemory> =
        results.refused.into_iter().map(|refused| (refused.index, refused)).collect();
    let outcome = |(at, saved): (usize, Option<IngestResult>)| match saved {
        Some(saved) if saved.created => Outcome::Created(Some(saved.memory.id)),
        Some(saved) => Outcome::Unchanged(Some(saved.memory.id)),
        None => {
            let refused = refused.remove(&(at as u64));
            Outcome::Refused(refused.map(|refused| reason(&refused.detail, at)).unwrap_or_default())
        }
    };
    results.items.into_iter().enumerate().map(outcome).collect()
}

/// Returns the error of a response that refuses a memory.
///
/// # Errors
/// Every other error.
pub(crate) fn refusal(error: anyhow::Error) -> anyhow::Result<ProblemBody> {
    match error.downcast::<ApiError>() {
        Ok(ApiError(problem)) if REFUSED.contains(&problem.status) => Ok(problem),
        Ok(error) => Err(error.into()),
        Err(error) => Err(error),
    }
}

/// Returns the reason of a refusal, which names the field without the index in the request.
fn reason(detail: &str, at: usize) -> String {
    detail.replace(&format!("items[{at}]."), "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::importers::report::Location;

    fn entry(bytes: usize, follows: Option<usize>) -> Entry {
        let memory = NewMemory { content: "x".repeat(bytes), ..NewMemory::default() };
        Entry { memory, location: Location::file("f"), follows }
    }

    #[test]
    fn a_turn_is_sent_after_the_turn_that_it_follows() {
        let entries =
            [entry(1, None), entry(1, Some(0)), entry(1, Some(1)), entry(1, None), entry(1, Some(3))];
        assert_eq!(batches(&entries), [vec![0, 3], vec![1, 4], vec![2]]);
        let ids = [Some("mem_0".into()), None, None, Some("mem_3".into()), None];
        let after = |at| with_preceding(&entries, &ids, at).after;
        assert_eq!(after(0), None);
        assert_eq!(after(1).as_deref(), Some("mem_0"));
        assert_eq!(after(2).as_deref(), Some("mem_0"), "the refused turn between them is left out");
        assert_eq!(after(4).as_deref(), Some("mem_3"));
    }

    #[test]
    fn a_request_has_a_limit_of_memories_and_of_bytes() {
        let many: Vec<Entry> = (0..250).map(|_| entry(1, None)).collect();
        assert_eq!(batches(&many).iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
        let large =
            [entry(BATCH_BYTES - 1, None), entry(2, None), entry(BATCH_BYTES * 2, None), entry(1, None)];
        assert_eq!(batches(&large), [vec![0], vec![1], vec![2], vec![3]]);
        assert!(batches(&[]).is_empty());
    }

    #[test]
    fn each_memory_of_a_batch_has_an_outcome() {
        let saved = |id: &str, created: bool| serde_json::json!({ "id": id, "created": created, "kind": "fact", "content": "x", "created_at": "" });
        let results = serde_json::json!({
            "items": [saved("mem_0", true), null, saved("mem_2", false)],
            "refused": [{
                "index": 1, "code": "INVALID_PARAMS", "detail": "`items[1].content` contains a secret",
            }],
        });
        let outcomes = outcomes(serde_json::from_value(results).unwrap());
        assert!(matches!(&outcomes[0], Outcome::Created(Some(id)) if id == "mem_0"));
        assert!(matches!(&outcomes[1], Outcome::Refused(reason) if reason == "`content` contains a secret"));
        assert!(matches!(&outcomes[2], Outcome::Unchanged(Some(id)) if id == "mem_2"));
    }
}
