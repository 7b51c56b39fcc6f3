//! The only crate that contains SQL: everything that Lar keeps across restarts.
//!
//! SQLite in WAL mode, with one group-committing [`writer`] and several readers. A method that changes data
//! returns once the change is on disk. Method names start with the noun (`key_create`). Functions that run
//! inside the caller's transaction end in `_in_txn`. Model files are not stored here: `catalog` keeps their
//! manifests beside them, so that data directories can share models.

mod aliases;
mod answer_memories;
pub mod backup;
mod browser_sessions;
mod check;
mod chunks;
mod columns;
mod connection;
mod consolidation;
mod conversation_search;
mod conversations;
mod erasure;
mod error;
mod health;
mod idempotency;
mod inspection;
mod json_columns;
mod keys;
mod keyword_entries;
mod link_judgments;
mod linked_database;
mod location;
mod memories;
mod memory_candidates;
mod memory_changes;
mod memory_clients;
mod memory_counts;
mod memory_intentions;
mod memory_links;
mod memory_transfer;
mod messages;
mod migrations;
mod page;
mod panics;
mod private_files;
mod readers;
mod reserve;
mod responses;
pub mod salvage;
mod spaces;
mod sparse_file;
mod sqlite_files;
mod store;
mod tasks;
mod tunings;
mod unallocated;
mod usage;
mod users;
mod wal;
mod writer;

pub use aliases::Alias;
pub use browser_sessions::BrowserSession;
pub use check::Check;
pub use chunks::{Embedder, IndexedChunk, IndexedMemory, NewChunk, UnembeddedChunk, Vectors};
pub use consolidation::{
    ComparedMemories, ConsolidationRun, ConsolidationTotals, DuplicateRule, FoundLink, MemoryToCompare,
    NewDuplicate, NewTheme, Proposal, ProposalStatus, ProposedChange, RunDecision, SpaceToCompare,
    THEME_MEMORIES_MIN,
};
pub use conversations::{Conversation, ConversationPatch, NewConversation, OwnedConversation, SearchHit};
pub use error::Error;
pub use idempotency::IdempotentRequest;
pub use inspection::{Inspection, inspect, wal_copies};
pub use json_columns::NewerValue;
pub use keys::{KeyRecord, NewKey};
pub use keyword_entries::{ChunkToIndex, NewKeywordEntry};
pub use link_judgments::{JudgeCalibration, LinkJudgment, UnjudgedLink};
pub use linked_database::LinkedDatabase;
pub use location::{away_path, lock_file};
pub use memories::{
    AppliedDecision, Memory, MemoryChange, MemoryDecision, MemoryKind, MemoryList, MemoryPatch, MemoryStats,
    NewMemory, Provenance, PurgedMemories, StoredMemory, Strength,
};
pub use memory_candidates::Candidate;
pub use memory_changes::{Change, ChangeRecord};
pub use memory_clients::{MemoryClient, SpaceUse};
pub use memory_intentions::{
    ExportedIntentions, Intention, IntentionList, IntentionPatch, IntentionPriority, IntentionStatus,
    IntentionTrigger,
};
pub use memory_links::{LinkRelation, LinkResolution, MemoryLink, NewLink};
pub use memory_transfer::{ExportedMemory, ExportedPage, ImportDecisions, ImportKey, Imported};
pub use messages::{AnswerEnd, Message, NewMessage, NewTurn, Rating, Role, Status};
pub use reserve::Reserve;
pub use responses::{Response, ResponseState};
pub use spaces::{Access, Grant, Space, SpaceKind};
pub use store::Store;
pub use tasks::{Outcome, TaskEnd, TaskRecord, TaskStart};
pub use usage::UsageDay;
pub use users::User;
