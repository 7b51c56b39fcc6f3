//! Pure analysis of what people write: words, secrets, statements and requests to the memory.
//!
//! Nothing here reads a clock, a file or a model. The crate `memory` applies the results.

pub mod chunking;
pub mod days;
pub mod future_times;
pub mod languages;
pub mod own_words;
pub mod requests;
pub mod secrets;
pub mod stance;
pub mod statements;
pub mod subjects;
pub mod terms;
pub mod time_expressions;
