//! The stored items that a request refers to: by their ids, or as those of the previous response.

use std::collections::{BTreeSet, HashMap};

use lar_base::{Code, KeyId, Problem, TaskId};
use lar_compat::openai::responses::wire::InputItem;
use lar_compat::openai::responses::{UndecodedResponseRequest, id_of, task_of_item};
use lar_store::Store;

use super::followers::Followers;
use super::lookup::{FoundResponse, Progress, with_progress};
use super::stored::{input_with_ids, items_of, output_of};

/// The maximum number of responses whose items a request references.
const REFERENCED_RESPONSES_MAX: usize = 1_000;
/// The maximum size in bytes of all referenced items. An item counts once per reference.
const REFERENCED_BYTES_MAX: usize = 16 << 20;

/// Replaces a request's item references by the items of the key's stored responses.
///
/// # Errors
/// [`Code::NotFound`] if an item is missing; [`Code::InvalidParams`] if the items are too large or belong to
/// too many responses.
pub(super) async fn resolve(
    store: &Store,
    key: KeyId,
    request: &mut UndecodedResponseRequest,
) -> Result<(), Problem> {
    let ids = request.references();
    let tasks: BTreeSet<TaskId> = ids.iter().filter_map(|id| task_of_item(id)).collect();
    if tasks.len() > REFERENCED_RESPONSES_MAX {
        let reason =
            format!("references items of too many responses; the limit is {REFERENCED_RESPONSES_MAX}");
        return Err(Problem::invalid("input", reason));
    }
    let mut repeated: HashMap<&str, usize> = HashMap::new();
    for id in &ids {
        *repeated.entry(id).or_default() += 1;
    }
    let (mut items, mut bytes) = (HashMap::new(), 0);
    for task in tasks {
        let stored = match store.response_get(key, task).await.map_err(Problem::from) {
            Ok(stored) => stored,
            // `replace_references` reports the missing item with its path.
            Err(problem) if problem.code == Code::NotFound => continue,
            Err(problem) => return Err(problem),
        };
        let output = output_of(&stored)?;
        for item in input_with_ids(&stored)?.into_iter().chain(output) {
            let Some(times) = item["id"].as_str().and_then(|id| repeated.get(id)) else { continue };
            bytes += times * item.to_string().len();
            if bytes > REFERENCED_BYTES_MAX {
                let reason = format!(
                    "references items that are too large; the limit is {REFERENCED_BYTES_MAX} bytes in total"
                );
                return Err(Problem::invalid("input", reason));
            }
            items.insert(item["id"].as_str().unwrap_or_default().to_owned(), item);
        }
    }
    request.replace_references(&items)
}

/// Returns the items of the previous response and of those before it, oldest first.
///
/// # Errors
/// [`Code::NotFound`] if a response of the chain is missing; [`Code::Conflict`] if one is still in progress.
pub(super) async fn earlier_items(
    store: &Store,
    followers: &Followers,
    key: KeyId,
    previous: Option<TaskId>,
) -> Result<Vec<InputItem>, Problem> {
    let Some(last) = previous else { return Ok(Vec::new()) };
    let chain = store.response_chain(key, last).await.map_err(|error| {
        let problem = Problem::from(error);
        if problem.code != Code::NotFound {
            return problem;
        }
        let reason = format!("must be the id of a stored response of this key: {}", problem.detail);
        Problem::about(Code::NotFound, "previous_response_id", reason)
    })?;
    let mut items = Vec::new();
    for stored in chain {
        let FoundResponse { row, progress } = with_progress(store, followers, stored).await?;
        if matches!(progress, Progress::Running(_)) {
            let detail = format!("{} is still in progress; wait until it has ended", id_of(row.task));
            return Err(Problem::new(Code::Conflict, detail));
        }
        items.extend(items_of(&row)?);
    }
    Ok(items)
}
