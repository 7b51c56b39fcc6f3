//! The ground floor: what every room of the house may use and none may redefine.
//!
//! Typed ids, units, the one clock, the one table of error codes, secrets that cannot be printed, who is
//! calling and what they may do, paths as a shell reads them, texts that do not steer a terminal, and tasks that shut down in
//! order. Nothing here does input or output, but for [`files`], by which every crate reads small files.

pub mod caller;
pub mod clock;
pub mod code;
pub mod files;
pub mod id;
pub mod problem;
pub mod secret;
pub mod shell;
pub mod task_group;
pub mod terminal;
pub mod units;

pub use caller::{Caller, MemoryMode, Scope, Scopes, VisibleKeys};
pub use clock::{Instant, Timestamp};
pub use code::Code;
pub use id::{
    CandidateId, ChangeId, ConversationId, KeyId, MemoryId, MessageId, RequestId, SessionId, SpaceId, TaskId,
    UserId,
};
pub use problem::{FieldError, Problem};
pub use secret::Secret;
pub use task_group::TaskGroup;
pub use units::Bytes;
