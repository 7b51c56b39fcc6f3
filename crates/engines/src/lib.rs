//! Engines: what runs a model, and who gets it when.
//!
//! The [`driver`] trait says what an engine owes; [`scheduler`] decides, purely, who runs next; [`pools`]
//! carries that out with real engines and lends them as [`Lease`]s. Engines know nothing of HTTP shapes,
//! conversations or the database: prompts and plain values come in, tokens and facts go out.

#[cfg(all(feature = "portable", feature = "gpu"))]
compile_error!(
    "`portable` loads libraries before a worker is confined; those of a GPU start threads, which would not be confined"
);

pub mod chat_format;
pub mod device;
pub mod driver;
pub mod embedded;
mod embedding_cache;
pub mod encoder;
mod error;
pub mod gbnf;
mod lease;
pub mod llama_server;
pub mod pools;
pub mod protocol;
pub mod scheduler;
mod schema;
mod stderr;
pub mod template;
pub mod worker;

pub use error::{CONSTRAINT_FIELD, Error};
pub use lease::Lease;
pub use pools::{Engines, PoolStatus, Ticket};
pub use schema::schema_violation;
