//! The dry run of an import of memories: it asks the server about each line, and stores nothing.

use lar_api::memories::{ExportedIntentionLine, ExportedMemory, Intention, Memory, NewMemory};

use serde::de::DeserializeOwned;

use super::NumberedLine;
use crate::importers::report::{ImportReport, Location, Notice};
use crate::importers::upload::{self, Outcome};
use crate::{ApiError, Client, url_path};

/// The number of memories per request.
const BATCH: usize = 100;

/// Counts in `report` what an import of these lines would do.
///
/// A memory or an intention whose id exists stays unchanged. The other memories are checked as new ones. Their
/// histories and vectors are not checked.
///
/// # Errors
/// If the server cannot be reached.
pub(super) async fn lines(
    client: &Client,
    location: &Location,
    lines: &[NumberedLine],
    report: &mut ImportReport,
) -> anyhow::Result<()> {
    let mut asked = Vec::new();
    for (number, line) in lines {
        // A line of a memory has other fields.
        if let Ok(ExportedIntentionLine { intention }) = serde_json::from_slice(line) {
            match exists::<Intention>(client, "memories/intentions/", &intention.id).await? {
                true => report.unchanged += 1,
                false => report.created += 1,
            }
            continue;
        }
        match serde_json::from_slice::<ExportedMemory>(line) {
            Ok(memory) if exists::<Memory>(client, "memories/", &memory.id).await? => report.unchanged += 1,
            Ok(memory) => asked.push((*number, memory)),
            Err(error) => {
                report.failed.push(Notice { location: location.line(*number), reason: error.to_string() });
            }
        }
    }
    for group in asked.chunks(BATCH) {
        let memories = group.iter().enumerate().map(|(at, (_, memory))| (at, as_new(memory)));
        let outcomes = upload::preview(client, memories.collect()).await?;
        for ((number, memory), (_, outcome)) in group.iter().zip(outcomes) {
            match outcome {
                Outcome::Refused(reason) => {
                    report.failed.push(Notice { location: location.line(*number), reason });
                }
                // A deleted memory is imported beside one with the same text.
                Outcome::Unchanged(_) if memory.deleted_at.is_none() => report.unchanged += 1,
                Outcome::Unchanged(_) | Outcome::Created(_) => report.created += 1,
            }
        }
    }
    Ok(())
}

async fn exists<T: DeserializeOwned>(client: &Client, path: &str, id: &str) -> anyhow::Result<bool> {
    match client.get::<T>(&format!("{path}{}", url_path::encode_segment(id))).await {
        Ok(_) => Ok(true),
        Err(error) => match error.downcast_ref::<ApiError>() {
            Some(ApiError(problem)) if problem.status == 404 => Ok(false),
            _ => Err(error),
        },
    }
}

fn as_new(memory: &ExportedMemory) -> NewMemory {
    NewMemory {
        content: memory.content.clone(),
        kind: Some(memory.kind.clone()),
        tags: memory.tags.clone(),
        source: memory.source.clone(),
        project: memory.project.clone(),
        occurred_at: memory.occurred_at.clone(),
        valid_from: memory.valid_from.clone(),
        valid_to: memory.valid_to.clone(),
        ..NewMemory::default()
    }
}
