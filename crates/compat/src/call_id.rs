//! The ids of tool calls.
//!
//! The ids of an answer's calls are derived from the id of its task, which is random. Those of earlier calls that
//! came without an id depend on the chat only: a chat template may show ids, and a prompt that starts like an
//! earlier one is then found in the prefix cache.

use lar_base::TaskId;

/// The distance between the ids of two consecutive answers' first calls. No answer has as many calls.
const CALLS_PER_ANSWER: u128 = 1 << 16;

/// Returns 32 digits that no other call of the response has.
pub(crate) fn digits(task: TaskId, answer: usize, call: usize) -> String {
    let number = answer as u128 * CALLS_PER_ANSWER + call as u128 + 1;
    format!("{:032x}", task.as_u128().wrapping_add(number))
}

/// Returns the id of a tool call of an answer.
pub(crate) fn call_id(task: TaskId, answer: usize, call: usize) -> String {
    format!("call_{}", digits(task, answer, call))
}

/// Returns an id for a call of an earlier message that came without one. `number` is its number in the chat.
///
/// It has at least 9 characters, as some chat templates demand.
pub(crate) fn earlier_call_id(number: usize) -> String {
    format!("call_{number:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_a_response_has_its_own_id() {
        let task: TaskId = "task_0193e4b6a1d27c3f8a5b9d0e1f2a3b4c".parse().unwrap();
        let ids = [call_id(task, 0, 0), call_id(task, 0, 1), call_id(task, 1, 0)];
        for (at, id) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(id), "{id}");
            // OpenAI accepts at most 40 characters.
            assert_eq!(id.len(), 37);
        }
        assert_eq!(ids[0], "call_0193e4b6a1d27c3f8a5b9d0e1f2a3b4d");
    }

    #[test]
    fn the_id_of_an_earlier_call_depends_on_its_number_only() {
        assert_eq!([0, 12, 10_000].map(earlier_call_id), ["call_0000", "call_0012", "call_10000"]);
    }
}
