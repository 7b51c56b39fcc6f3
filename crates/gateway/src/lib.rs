//! The one pipeline: every use of a model, by any API and by Lar itself, is a [`Task`] that walks
//! admit → route → dispatch → meter, readable from top to bottom in [`pipeline`].
//!
//! Invariants: a task has exactly one terminal event; whoever asked may go away at any time without the
//! lease being freed early or the end going unrecorded; prompts are nowhere in what is recorded.

mod footprint;
mod log;
mod metrics;
mod pipeline;
mod recorder;
mod routes;
mod runs;
mod task;

pub use footprint::Footprint;
pub use log::{End, LogReader, PrefillProgress, TaskEvent, cancelled};
pub use metrics::Metrics;
pub use pipeline::{Admitted, Count, Gateway};
pub use routes::{EngineOptions, Remote, Route};
pub use runs::TaskHandle;
pub use task::{HangUp, Task, Work};
