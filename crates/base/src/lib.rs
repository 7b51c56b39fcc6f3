//! Types that every other crate may use and none may redefine.
//!
//! Typed ids, units, the clock, the table of error codes, secrets that cannot be printed, the authenticated
//! caller, shell quoting, terminal-safe text, groups of background tasks and warnings about deprecated names.
//! Only [`files`] and [`lines`] do input and output: every crate reads small files and lines through them.

pub mod caller;
pub mod clock;
pub mod code;
pub mod default_models;
pub mod deprecation;
pub mod error_chain;
pub mod files;
pub mod id;
pub mod json;
pub mod lines;
pub mod problem;
pub mod secret;
pub mod shell;
pub mod task_group;
pub mod terminal;
pub mod units;

pub use caller::{Caller, MemoryMode, Scope, Scopes, VisibleKeys};
pub use clock::{Instant, Timestamp};
pub use code::Code;
pub use error_chain::error_chain;
pub use id::{
    CandidateId, ChangeId, ConversationId, IntentionId, KeyId, LinkId, MemoryId, MessageId, ProposalId,
    RequestId, RunId, SessionId, SpaceId, TaskId, UserId,
};
pub use problem::{FieldError, Problem};
pub use secret::Secret;
pub use task_group::TaskGroup;
pub use units::Bytes;
