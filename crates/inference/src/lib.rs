//! The values of inference: what a request asks of a model, what an engine reports, and the worker protocol.
//!
//! Plain data that every crate above may name. Nothing here renders a template, runs a model or knows an
//! API's wire format: see `chat-format`, `worker`, `engines` and the API codecs.

mod chat;
mod constraint;
mod embeddings;
mod error;
mod event;
mod generation;
mod number_range;
mod output;
mod prompt;
pub mod protocol;
mod sampling;
mod task;
mod tokenizer;

pub use chat::{AnswerFormat, Chat, ChatMessage, ChatTemplate, TemplateVariable, Tool, ToolCall, ToolChoice};
pub use constraint::{CheckedConstraint, Constraint, TextFormat, ToolCallGrammar, TriggeredGrammar};
pub use embeddings::{Embeddings, Ranking};
pub use error::{CONSTRAINT_FIELD, Error};
pub use event::{Event, FinishReason};
pub use generation::{CallerIds, GenerationRequest};
pub use number_range::in_range;
pub use output::{CallPart, OutputPart};
pub use prompt::Prompt;
pub use sampling::{Candidate, ExtraSampling, SamplerName, Sampling, TokenLogprobs};
pub use task::{
    PrefillProgress, Priority, TaskEvent, TaskSummary, WaitReason, cancelled_problem, stopped_problem,
};
pub use tokenizer::{Cuts, TokenizerAnswer, TokenizerQuery};
