//! The ids of responses and of their items, which are derived from the ids of the responses' tasks.

use lar_base::{Code, Problem, TaskId};

/// The number of digits at the end of an item's id, after those of its task. They are the item's index.
const ITEM_DIGITS: usize = 4;

/// Returns the id of a task's response: it has the same digits.
#[must_use]
pub fn id_of(task: TaskId) -> String {
    format!("resp_{:032x}", task.as_u128())
}

/// Returns the task of the response with this id.
///
/// # Errors
/// [`Code::NotFound`] if this is no response's id. The error is about `field`, the field or path parameter
/// with the id.
pub fn task_of(field: &str, id: &str) -> Result<TaskId, Problem> {
    let digits = id.strip_prefix("resp_").unwrap_or_default();
    let unknown = |_| {
        let reason = format!("is `{id:.64}`, which is not a response of this key");
        Problem::about(Code::NotFound, field, reason)
    };
    format!("task_{digits}").parse().map_err(unknown)
}

/// Returns the id of an item or a tool call in the response of `task`.
pub(super) fn item_id(prefix: &str, task: TaskId, index: usize) -> String {
    format!("{prefix}_{:032x}{index:04x}", task.as_u128())
}

/// Returns the id of a response's input item that came without one.
///
/// `index` is the index of the item in the input, from 0.
#[must_use]
pub fn input_item_id(task: TaskId, index: usize) -> String {
    item_id("item", task, index)
}

/// Returns the task of the response to which an item belongs, from the item's id.
///
/// Returns `None` if the id does not have the form of Lar's ids.
#[must_use]
pub fn task_of_item(id: &str) -> Option<TaskId> {
    let (_, digits) = id.rsplit_once('_')?;
    let task = digits.get(..digits.len().checked_sub(ITEM_DIGITS)?)?;
    format!("task_{task}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_responses_and_items_lead_to_their_task() {
        let task: TaskId = "task_0193e4b6a1d27c3f8a5b9d0e1f2a3b4c".parse().unwrap();
        assert_eq!(id_of(task), "resp_0193e4b6a1d27c3f8a5b9d0e1f2a3b4c");
        assert_eq!(task_of("response_id", &id_of(task)).unwrap(), task);
        for id in [input_item_id(task, 0), item_id("msg", task, 0x1234)] {
            assert_eq!(task_of_item(&id), Some(task), "{id}");
        }
        for id in ["", "resp_", "resp_1", "task_0193e4b6a1d27c3f8a5b9d0e1f2a3b4c"] {
            let problem = task_of("response_id", id).unwrap_err();
            assert_eq!(
                (problem.code, problem.fields[0].field.as_str()),
                (Code::NotFound, "response_id"),
                "{id}"
            );
        }
        for id in ["", "msg", "msg_", "msg_12", "msg_0193"] {
            assert_eq!(task_of_item(id), None, "{id}");
        }
    }
}
