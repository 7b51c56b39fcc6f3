//! `/v1/messages`: Anthropic's API for unmodified clients.
//!
//! Requests become the same tasks as those of OpenAI's API. [`lar_compat::anthropic`] decodes them and
//! encodes the responses.

pub(crate) mod count_tokens;
pub(crate) mod messages;
