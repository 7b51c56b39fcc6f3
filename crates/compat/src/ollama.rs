//! Ollama's API, `/api`: chats, completions, embeddings, and requests about models.
//!
//! Chat and generate differ in their prompts only: [`OllamaInput`] is the decoded request of both, and both have the
//! same encoder.

mod chat;
mod context;
pub mod embed;
mod encode;
pub mod error;
mod generate;
mod input;
mod keep_alive;
pub mod models;
mod options;
pub mod wire;

use lar_base::{Problem, TaskId};

use self::encode::OllamaEncoder;
pub use self::encode::load_answer;
pub use self::input::{OllamaInput, OllamaStyle};
pub use self::keep_alive::FOREVER;
use self::wire::OllamaAnswer;
use crate::{Answer, Codec, Head};

/// The codec of `POST /api/chat`. A request has one answer.
#[derive(Debug)]
pub struct OllamaChat;

impl Codec for OllamaChat {
    type Input = OllamaInput;
    type Style = OllamaStyle;
    type Whole = OllamaAnswer;
    type Encoder = OllamaEncoder;

    fn decode(body: &[u8], id: TaskId) -> Result<OllamaInput, Problem> {
        chat::decode(body, id)
    }

    fn encoder(head: Head, style: OllamaStyle) -> OllamaEncoder {
        OllamaEncoder::new(head, style)
    }

    fn whole(head: &Head, answers: Vec<Answer>, style: &OllamaStyle) -> OllamaAnswer {
        encode::whole(head, answers, style)
    }
}

/// The codec of `POST /api/generate`. A request has one answer.
#[derive(Debug)]
pub struct OllamaGenerate;

impl Codec for OllamaGenerate {
    type Input = OllamaInput;
    type Style = OllamaStyle;
    type Whole = OllamaAnswer;
    type Encoder = OllamaEncoder;

    fn decode(body: &[u8], id: TaskId) -> Result<OllamaInput, Problem> {
        generate::decode(body, id)
    }

    fn encoder(head: Head, style: OllamaStyle) -> OllamaEncoder {
        OllamaEncoder::new(head, style)
    }

    fn whole(head: &Head, answers: Vec<Answer>, style: &OllamaStyle) -> OllamaAnswer {
        encode::whole(head, answers, style)
    }
}
