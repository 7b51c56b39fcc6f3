//! The one pipeline: every use of a model, by any API and by Lar itself, is a [`Task`] that walks
//! admit → route → dispatch → meter, readable from top to bottom in [`pipeline`].
//!
//! Invariants: a task has exactly one terminal event; whoever asked may go away at any time without the
//! lease being freed early or the end going unrecorded; prompts are nowhere in what is recorded.

mod active_tasks;
mod footprint;
mod metrics;
mod pipeline;
mod recorder;
mod routes;
mod task;
mod task_events;

pub use active_tasks::TaskHandle;
pub use footprint::Footprint;
pub use metrics::Metrics;
pub use pipeline::{Admitted, Count, Gateway};
pub use routes::{EngineOptions, Remote, Route};
pub use task::{OnDisconnect, Task, Work};
pub use task_events::{End, PrefillProgress, TaskEvent, TaskEventReader, cancelled_problem};
