//! The pipeline that every use of a model goes through, from any API and from Lar itself. Each use is a
//! [`Task`] that is admitted, routed, dispatched and metered; [`pipeline`] shows the steps from top to
//! bottom.
//!
//! Invariants: a task has exactly one terminal event. If its client disconnects, its lease is not freed
//! early, and its end is still recorded. No prompt is part of a record.

mod active_tasks;
mod drivers;
mod interactive_tasks;
mod metrics;
mod pipeline;
mod routes;
mod sizing;
mod task;
mod task_events;
mod task_recorder;
mod tuning;

pub use active_tasks::TaskHandle;
pub use drivers::{EngineOptions, Remote};
pub use interactive_tasks::InteractiveTasks;
pub use metrics::Metrics;
pub use pipeline::{Admitted, Count, Gateway};
pub use routes::Route;
pub use sizing::Footprint;
pub use task::{OnDisconnect, Task, Work};
pub use task_events::TaskEventReader;
