//! The order of a conversation's messages: parents first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use lar_base::MessageId;

use super::record::Message;

/// Moves each message after its parent, and otherwise keeps the order: imported ids may not be in time order.
/// A message whose parent is missing counts as a root.
pub(super) fn parents_first(messages: Vec<Message>) -> Vec<Message> {
    let index_of: HashMap<MessageId, usize> =
        messages.iter().enumerate().map(|(at, message)| (message.id, at)).collect();
    let mut children = vec![Vec::new(); messages.len()];
    let mut ready = BinaryHeap::new();
    for (at, message) in messages.iter().enumerate() {
        match message.parent.and_then(|parent| index_of.get(&parent)) {
            Some(parent) => children[*parent].push(at),
            None => ready.push(Reverse(at)),
        }
    }
    let mut messages: Vec<Option<Message>> = messages.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(messages.len());
    while let Some(Reverse(at)) = ready.pop() {
        ordered.extend(messages[at].take());
        ready.extend(children[at].drain(..).map(Reverse));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use lar_base::{ConversationId, Timestamp};

    use super::super::record::{Role, Status};
    use super::*;

    #[test]
    fn messages_come_after_their_parents() {
        let ids: [MessageId; 5] = std::array::from_fn(|_| MessageId::new());
        let message = |at: usize, parent: Option<usize>| Message {
            id: ids[at],
            conversation: ConversationId::new(),
            parent: parent.map(|parent| ids[parent]),
            role: Role::User,
            content: String::new(),
            reasoning: None,
            status: Status::Complete,
            model: None,
            task: None,
            error: None,
            tokens_in: None,
            tokens_out: None,
            ttft_ms: None,
            decode_ms: None,
            finish_reason: None,
            rating: None,
            memory: None,
            created_at: Timestamp::from_millis(0),
        };
        let order = |parents: [Option<usize>; 5]| -> Vec<usize> {
            let messages = parents.iter().enumerate().map(|(at, parent)| message(at, *parent)).collect();
            let ordered = parents_first(messages);
            ordered.iter().filter_map(|one| ids.iter().position(|id| *id == one.id)).collect()
        };
        assert_eq!(order([None, Some(0), Some(1), Some(1), None]), [0, 1, 2, 3, 4]);
        assert_eq!(order([Some(3), Some(0), Some(0), None, Some(1)]), [3, 0, 1, 2, 4]);
        assert_eq!(order([Some(1), Some(2), Some(3), Some(4), None]), [4, 3, 2, 1, 0]);
    }
}
