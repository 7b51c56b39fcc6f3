//! The types of messages: stored, to be stored, and the end of an answer.

use lar_base::{Code, ConversationId, MessageId, TaskId, Timestamp};

use crate::idempotency::IdempotentRequest;
use crate::tasks::TaskStart;

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The operator or the client, who gives instructions to the model: a system prompt.
    System,
    /// The person who chats.
    User,
    /// The model, which answers.
    Assistant,
}

/// The state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// An answer that is being written.
    Streaming,
    /// The whole text is stored: a prompt, a user message, or an answer that ended by itself.
    Complete,
    /// Someone stopped it; the text so far is kept.
    Stopped,
    /// It failed; the text so far is kept.
    Failed,
}

/// A reader's rating of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rating {
    /// The answer helped. It is stored as 1.
    Good,
    /// The answer did not help. It is stored as -1.
    Bad,
}

macro_rules! texts {
    ($type:ident { $($name:ident = $text:literal),+ }) => {
        impl $type {
            /// Returns the name that is stored and used in the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($type::$name => $text,)+ }
            }
        }
        impl std::str::FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok($type::$name),)+
                    _ => Err(format!("`{text}` is not one of: {}", [$($text),+].join(", "))),
                }
            }
        }
    };
}
texts!(Role { System = "system", User = "user", Assistant = "assistant" });
texts!(Status { Streaming = "streaming", Complete = "complete", Stopped = "stopped", Failed = "failed" });

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, which sorts by the time of its creation unless it was imported.
    pub id: MessageId,
    /// The conversation in whose tree of messages it is.
    pub conversation: ConversationId,
    /// The message that it follows; `None` for a root of the conversation.
    pub parent: Option<MessageId>,
    /// The author: the system prompt, the user or the model.
    pub role: Role,
    /// The text. Of an answer that is being written, the text at the last checkpoint.
    pub content: String,
    /// The model's reasoning before the answer, if it produced any.
    pub reasoning: Option<String>,
    /// Whether its answer is being written, complete, stopped or failed.
    pub status: Status,
    /// The model that writes the answer; `None` if no model wrote the message.
    pub model: Option<String>,
    /// The task that writes the answer; `None` if no model of Lar wrote the message.
    pub task: Option<TaskId>,
    /// The reason why the answer failed; `None` for every other status.
    pub error: Option<Code>,
    /// The number of prompt tokens; `None` unless the answer is complete.
    pub tokens_in: Option<u64>,
    /// The number of answer tokens; `None` unless the answer is complete.
    pub tokens_out: Option<u64>,
    /// Milliseconds from admission to the first token; `None` unless the answer is complete.
    pub ttft_ms: Option<u64>,
    /// Milliseconds from the first token to the end; `None` unless the answer is complete.
    pub decode_ms: Option<u64>,
    /// The finish reason of a complete answer, `stop` or `length`; otherwise `None`.
    pub finish_reason: Option<String>,
    /// The rating by a reader; `None` if nobody rated it.
    pub rating: Option<Rating>,
    /// The memory activity in the turn of this answer, as JSON for display ([`crate::answer_memories`]).
    pub memory: Option<String>,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// A new message that no model wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The message that it follows; `None` starts the conversation, or another root in it.
    pub parent: Option<MessageId>,
    /// The text, up to 1 MiB.
    pub content: String,
}

/// A turn to start.
#[derive(Debug, Clone)]
pub struct NewTurn {
    /// The user's message; `None` if an answer is regenerated.
    pub user_message: Option<NewMessage>,
    /// The user message to answer if there is no new one.
    pub answer_to: Option<MessageId>,
    /// The title that the conversation gets if it has none. With `None`, it stays without.
    pub title: Option<String>,
    /// The task that will write the answer.
    pub task: TaskStart,
    /// The memory activity so far, as JSON; it is stored with the answer.
    pub memory: Option<String>,
    /// Identifies the request in case it is sent again.
    pub once: Option<IdempotentRequest>,
}

/// The end of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerEnd {
    /// The whole text, which replaces the text at the last checkpoint.
    pub content: String,
    /// The model's reasoning before the answer, if it produced any.
    pub reasoning: Option<String>,
    /// The final state: any but [`Status::Streaming`].
    pub status: Status,
    /// The reason why the answer failed; `None` if it did not.
    pub error: Option<Code>,
    /// The number of prompt tokens; `None` unless the answer is complete.
    pub tokens_in: Option<u64>,
    /// The number of answer tokens; `None` unless the answer is complete.
    pub tokens_out: Option<u64>,
    /// Milliseconds from admission to the first token; `None` unless the answer is complete.
    pub ttft_ms: Option<u64>,
    /// Milliseconds from the first token to the end; `None` unless the answer is complete.
    pub decode_ms: Option<u64>,
    /// The finish reason of a complete answer: `stop` or `length`.
    pub finish_reason: Option<String>,
    /// The memory activity in the turn, if the answer adds to it.
    pub memory: Option<String>,
}
