//! The ids of tool calls.
//!
//! They are derived from the id of the task, which is random, so that the same events give the same ids.

use lar_base::TaskId;

/// The most calls of an answer whose ids do not depend on other answers.
const CALLS_PER_ANSWER: u128 = 1 << 16;
/// The offset of the ids for calls of earlier messages that came without one.
const EARLIER: u128 = 1 << 32;

/// Returns 32 digits that no other call of the request has.
pub(crate) fn digits(task: TaskId, answer: usize, call: usize) -> String {
    let number = answer as u128 * CALLS_PER_ANSWER + call as u128 + 1;
    format!("{:032x}", task.as_u128().wrapping_add(number))
}

/// Returns the id of a tool call of an answer.
pub(crate) fn call_id(task: TaskId, answer: usize, call: usize) -> String {
    format!("call_{}", digits(task, answer, call))
}

/// Returns an id for call number `call` of a request's earlier messages, which came without one.
pub(crate) fn earlier_call_id(task: TaskId, call: usize) -> String {
    format!("call_{:032x}", task.as_u128().wrapping_add(EARLIER + call as u128))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_a_request_has_its_own_id() {
        let task: TaskId = "task_0193e4b6a1d27c3f8a5b9d0e1f2a3b4c".parse().unwrap();
        let ids = [
            call_id(task, 0, 0),
            call_id(task, 0, 1),
            call_id(task, 1, 0),
            earlier_call_id(task, 0),
            earlier_call_id(task, 1),
        ];
        for (at, id) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(id), "{id}");
            // OpenAI accepts at most 40 characters.
            assert_eq!(id.len(), 37);
        }
        assert_eq!(ids[0], "call_0193e4b6a1d27c3f8a5b9d0e1f2a3b4d");
    }
}
