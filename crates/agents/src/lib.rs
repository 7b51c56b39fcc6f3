//! The use of models by conversations and by requests of the compatible APIs.
//!
//! [`turn`] runs one turn of a conversation that Lar stores; no other code connects a conversation to a
//! model. [`generation`] runs the requests of the compatible APIs, whose clients store their own chats, with
//! memory from [`compat_memory`]. [`responses`] stores responses of OpenAI's Responses API and runs those in the
//! background.

mod answer_stream;
mod citations;
mod client_prompts;
mod client_sections;
pub mod compat_memory;
mod detached;
pub mod generation;
mod line_tracker;
mod prepared_request;
mod prompt_text;
mod rating;
mod recall;
mod recall_retry;
mod request_errors;
mod requester;
pub mod responses;
mod texts;
mod title;
mod tool_call_check;
pub mod truncation;
pub mod turn;

pub use answer_stream::{AnswerStream, ReadEvent};
pub use citations::AnswerCitations;
pub use compat_memory::CompatMemory;
pub use generation::{AdmittedTasks, Generations};
pub use prompt_text::{detokenize, prompt_texts};
pub use rating::rate_answer;
pub use recall::ChatMemory;
pub use request_errors::{about_model, about_prompt};
pub use requester::{Arrival, Requester};
pub use responses::Responses;
pub use texts::{ComputedEmbeddings, ComputedRanking, embed, rank};
pub use tool_call_check::schema_violations;
pub use turn::{Turn, TurnRequest, Turns};
