//! The `context` of generate: the conversation so far, which the server does not store.
//!
//! Clients send back the `context` of a response without reading it. Here it is the conversation as JSON, with one
//! number per byte. At Ollama it is token ids, so the `context` of another server is rejected.

use lar_base::Problem;
use lar_base::json::to_json;
use lar_inference::ChatMessage;

use super::input::MESSAGES_MAX;

/// Encodes a conversation and the answer to it as the `context` of a response.
pub(super) fn encode(messages: &[ChatMessage], answer: &str) -> Vec<u32> {
    let messages = messages.iter().map(|message| (message.role.as_str(), message.content.as_str()));
    let messages: Vec<(&str, &str)> = messages.chain([("assistant", answer)]).collect();
    to_json(&messages).into_bytes().into_iter().map(u32::from).collect()
}

/// Decodes the `context` of an earlier response.
///
/// # Errors
/// If this server did not make it.
pub(super) fn decode(context: &[u32]) -> Result<Vec<ChatMessage>, Problem> {
    let bytes: Option<Vec<u8>> = context.iter().map(|byte| u8::try_from(*byte).ok()).collect();
    let messages: Option<Vec<(String, String)>> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let messages = messages.filter(|messages| {
        messages.len() <= MESSAGES_MAX
            && messages.iter().all(|(role, _)| matches!(role.as_str(), "system" | "user" | "assistant"))
    });
    let messages = messages.ok_or_else(|| {
        Problem::invalid("context", "must be the `context` of an earlier response of this server")
    })?;
    Ok(messages.into_iter().map(|(role, content)| ChatMessage::new(role, content)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_context_is_decoded_and_another_one_refused() {
        let messages = [ChatMessage::new("user", "Grüße")];
        let expected = [ChatMessage::new("user", "Grüße"), ChatMessage::new("assistant", "x")];
        assert_eq!(decode(&encode(&messages, "x")).unwrap(), expected);
        for other in [&[128_009, 3, 7][..], &[1, 2, 3], &encode(&[ChatMessage::new("tool", "")], "x")] {
            assert!(decode(other).is_err(), "{other:?}");
        }
    }
}
