//! The use of models by conversations and by requests of the compatible APIs.
//!
//! [`turn`] runs one turn of a conversation that Lar stores; no other code connects a conversation to a
//! model. [`generation`] runs the requests of the compatible APIs, whose clients store their own chats, with
//! memory from [`compat_memory`]. [`responses`] stores responses of OpenAI's Responses API and runs those in the
//! background.

mod answer_stream;
mod background;
mod citations;
pub mod compat_memory;
pub mod generation;
mod prepared_request;
mod prompt_text;
mod rating;
mod recall;
mod recall_retry;
mod request_errors;
mod requester;
pub mod responses;
mod title;
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
pub use requester::Requester;
pub use responses::Responses;
pub use turn::{Turn, TurnRequest, Turns};
