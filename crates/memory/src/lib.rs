//! Memories: ingest, search, strength, and all changes of a memory. Also intentions, of which the user wants to
//! be reminded.
//!
//! The database is the source of truth: a memory's text, keyword entry and vectors are stored in one commit.
//! Searches run on indexes built from it, which are private to this crate. Reading a memory changes nothing.
//! *Using* one is a separate event and counts as a review ([`strength`]). Saving needs no language model.
//!
//! Access is decided once, when a [`ReadAccess`] or [`WriteAccess`] is created for a caller. Every query of
//! the store is limited to the spaces in it.

mod access;
mod brief;
mod chat;
mod client_uses;
mod clients;
mod commit;
mod consolidation;
mod edit;
mod embed;
mod embedding_backfill;
mod error;
mod foreground;
mod inbox;
mod index;
mod indexes;
mod ingest;
mod intentions;
mod judge;
mod keyword_backfill;
mod keyword_entry;
mod links;
mod memories;
mod metrics;
mod neighbours;
mod readable;
mod rerank;
mod search;
mod secret_policy;
mod similarity;
mod smart;
pub mod strength;
mod supersede;
mod transfer;
mod vectors;

pub use access::{MemoryScope, ReadAccess, WriteAccess, check_agent_name};
pub use chat::{
    Forgotten, Listed, MemoryActivity, MemoryActivityIds, Origin, Recalled, Reminder, Saved, Suggested,
};
pub use consolidation::{
    ConsolidationMode, ConsolidationState, ProposalDetails, RunAcceptance, RunUndo, UndoConflict,
};
pub use edit::Edit;
pub use error::Error;
pub use inbox::InboxEntry;
pub use index::Filter;
pub use ingest::{IngestPreview, IngestResult, Item, chunks};
pub use intentions::{
    BriefIntentions, CreatedIntention, DueCause, DueContext, DueIntention, NewIntention, Repetition,
};
pub use judge::{JudgeModel, JudgeState};
pub use links::{LinkPage, LinkedPair};
pub use memories::{Memories, Options};
pub use metrics::Metrics;
pub use search::{Detail, Hit, HitLink, Mode, Search, SearchResults, Stages, Superseded, check_token_budget};
pub use secret_policy::SecretPolicy;
pub use smart::{Decision, Difference, SmartIngestResult};
pub use transfer::{Export, ImportLine, ImportPreview, LineDecision, LinePreview};
pub use vectors::encode_vector;

/// Limits on saved memories and queries, for the API's description.
pub mod limits {
    pub use crate::access::NAME_CHARS_MAX;
    pub use crate::ingest::{BATCH_MAX, CONTENT_BYTES_MAX, TAG_CHARS_MAX, TAGS_MAX};
    pub use crate::intentions::{
        CONTENT_BYTES_MAX as INTENTION_BYTES_MAX, MINUTES_MAX, PATTERN_CHARS_MAX, TEXT_CHARS_MAX, TOPICS_MAX,
    };
    pub use crate::search::QUERY_BYTES_MAX;
}
