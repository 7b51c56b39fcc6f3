//! The parts of an answer once its text is parsed: text, reasoning and tool calls.

use serde::{Deserialize, Serialize};

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputPart {
    /// A piece of the answer that is neither reasoning nor a tool call.
    Text(String),
    /// Text that the model wrote as reasoning.
    Reasoning(String),
    /// A piece of a tool call.
    Call(CallPart),
}

/// A piece of a tool call. The first piece of a call has its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallPart {
    /// The index of the call in the answer, from 0.
    pub index: usize,
    /// The tool's name, in the first piece.
    pub name: Option<String>,
    /// More of the arguments' JSON text.
    pub arguments: String,
}
