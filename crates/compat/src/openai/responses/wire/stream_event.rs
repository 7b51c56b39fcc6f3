//! The events of a streamed response of OpenAI's Responses API.

use serde::Serialize;

use super::response::{OutputItem, OutputPart, Response};
use crate::openai::wire::TokenLogprob;

/// An event of a stream, with its sequence number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResponseStreamEvent {
    /// The kind and the data of the event.
    #[serde(flatten)]
    pub kind: EventKind,
    /// The number of the event in its stream, from 0.
    pub sequence_number: u64,
}

/// The kind of a stream event, with its data.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type")]
pub enum EventKind {
    /// The response was accepted. This is the first event.
    #[serde(rename = "response.created")]
    Created {
        /// The response without any output.
        response: Box<Response>,
    },
    /// The response waits in the queue.
    #[serde(rename = "response.queued")]
    Queued {
        /// The response in its present state.
        response: Box<Response>,
    },
    /// An engine works on the response.
    #[serde(rename = "response.in_progress")]
    InProgress {
        /// The response in its present state.
        response: Box<Response>,
    },
    /// An output item starts.
    #[serde(rename = "response.output_item.added")]
    ItemAdded {
        /// The index of the item in the output, from 0.
        output_index: usize,
        /// The item without content.
        item: OutputItem,
    },
    /// A content part of an item starts.
    #[serde(rename = "response.content_part.added")]
    PartAdded {
        /// The id of the item.
        item_id: String,
        /// The index of the item in the output, from 0.
        output_index: usize,
        /// The index of the part in the item, always 0.
        content_index: usize,
        /// The part without text.
        part: OutputPart,
    },
    /// More text of a message.
    #[serde(rename = "response.output_text.delta")]
    TextDelta {
        /// The id of the item.
        item_id: String,
        /// The index of the item in the output, from 0.
        output_index: usize,
        /// The index of the part in the item, always 0.
        content_index: usize,
        /// The additional text.
        delta: String,
        /// The logprobs of the additional tokens; empty unless the request includes them.
        logprobs: Vec<TokenLogprob>,
    },
    /// The text of a message is complete.
    #[serde(rename = "response.output_text.done")]
    TextDone {
        /// The id of the item.
        item_id: String,
        /// The index of the item in the output, from 0.
        output_index: usize,
        /// The index of the part in the item, always 0.
        content_index: usize,
        /// The whole text.
        text: String,
        /// The logprobs of all tokens of the text; empty unless the request includes them.
        logprobs: Vec<TokenLogprob>,
    },
    /// More reasoning.
    #[serde(rename = "response.reasoning_text.delta")]
    ReasoningDelta {
        /// The id of the item.
        item_id: String,
        /// The index of the item in the output, from 0.
        output_index: usize,
        /// The index of the part in the item, always 0.
        content_index: usize,
        /// The additional reasoning.
        delta: String,
    },
    /// The reasoning of an item is complete.
    #[serde(rename = "response.reasoning_text.done")]
    ReasoningDone {
        /// The id of the item.
        item_id: String,
        /// The index of the item in the output, from 0.
        output_index: usize,
        /// The index of the part in the item, always 0.
        content_index: usize,
        /// The whole reasoning of the item.
        text: String,
    },
    /// A content part of an item is complete.
    #[serde(rename = "response.content_part.done")]
    PartDone {
        /// The id of the item.
        item_id: String,
        /// The index of the item in the output, from 0.
        output_index: usize,
        /// The index of the part in the item, always 0.
        content_index: usize,
        /// The whole part.
        part: OutputPart,
    },
    /// More of a function call's arguments.
    #[serde(rename = "response.function_call_arguments.delta")]
    ArgumentsDelta {
        /// The id of the item.
        item_id: String,
        /// The index of the item in the output, from 0.
        output_index: usize,
        /// More of the arguments' JSON text.
        delta: String,
    },
    /// The arguments of a function call are complete.
    #[serde(rename = "response.function_call_arguments.done")]
    ArgumentsDone {
        /// The id of the item.
        item_id: String,
        /// The index of the item in the output, from 0.
        output_index: usize,
        /// The function's name, without its namespace.
        name: String,
        /// The whole arguments as a JSON text.
        arguments: String,
    },
    /// The whole input of a custom tool call, in one piece.
    #[serde(rename = "response.custom_tool_call_input.delta")]
    CustomInputDelta {
        /// The id of the item.
        item_id: String,
        /// The index of the item in the output, from 0.
        output_index: usize,
        /// The input.
        delta: String,
    },
    /// The input of a custom tool call is complete.
    #[serde(rename = "response.custom_tool_call_input.done")]
    CustomInputDone {
        /// The id of the item.
        item_id: String,
        /// The index of the item in the output, from 0.
        output_index: usize,
        /// The whole input.
        input: String,
    },
    /// An output item is complete.
    #[serde(rename = "response.output_item.done")]
    ItemDone {
        /// The index of the item in the output, from 0.
        output_index: usize,
        /// The whole item.
        item: OutputItem,
    },
    /// The response is complete. This is a last event.
    #[serde(rename = "response.completed")]
    Completed {
        /// The final response.
        response: Box<Response>,
    },
    /// A token limit or a cancellation ended the response. This is a last event.
    #[serde(rename = "response.incomplete")]
    Incomplete {
        /// The final response.
        response: Box<Response>,
    },
    /// The response failed. This is a last event.
    #[serde(rename = "response.failed")]
    Failed {
        /// The final response, with the reason in its `error`.
        response: Box<Response>,
    },
}

impl EventKind {
    /// Returns the name of the event in the stream.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            EventKind::Created { .. } => "response.created",
            EventKind::Queued { .. } => "response.queued",
            EventKind::InProgress { .. } => "response.in_progress",
            EventKind::ItemAdded { .. } => "response.output_item.added",
            EventKind::PartAdded { .. } => "response.content_part.added",
            EventKind::TextDelta { .. } => "response.output_text.delta",
            EventKind::TextDone { .. } => "response.output_text.done",
            EventKind::ReasoningDelta { .. } => "response.reasoning_text.delta",
            EventKind::ReasoningDone { .. } => "response.reasoning_text.done",
            EventKind::PartDone { .. } => "response.content_part.done",
            EventKind::ArgumentsDelta { .. } => "response.function_call_arguments.delta",
            EventKind::ArgumentsDone { .. } => "response.function_call_arguments.done",
            EventKind::CustomInputDelta { .. } => "response.custom_tool_call_input.delta",
            EventKind::CustomInputDone { .. } => "response.custom_tool_call_input.done",
            EventKind::ItemDone { .. } => "response.output_item.done",
            EventKind::Completed { .. } => "response.completed",
            EventKind::Incomplete { .. } => "response.incomplete",
            EventKind::Failed { .. } => "response.failed",
        }
    }
}
