//! Conversions of prompts between text and tokens by a model's tokenizer.

use lar_base::{KeyId, Problem};
use lar_compat::{PromptInput, PromptPiece};
use lar_gateway::Gateway;
use lar_inference::{Prompt, TokenizerQuery};

/// The maximum number of tokens in one query for their texts. The longest tokens have some hundred bytes.
const TOKENS_AT_ONCE: usize = 1 << 14;

/// Converts a prompt to the form of the engines: tokenizes texts among tokens.
pub(crate) async fn resolve(
    gateway: &Gateway,
    key: KeyId,
    model: &str,
    prompt: PromptInput,
) -> Result<Prompt, Problem> {
    let pieces = match prompt {
        PromptInput::Text(text) => return Ok(Prompt::Text(text)),
        PromptInput::Tokens(tokens) => return Ok(Prompt::Tokens(tokens)),
        PromptInput::Mixed(pieces) => pieces,
    };
    let mut tokens = Vec::new();
    for (index, piece) in pieces.into_iter().enumerate() {
        match piece {
            PromptPiece::Tokens(some) => tokens.extend(some),
            // As in llama.cpp, the start token is added if the prompt starts with a text.
            PromptPiece::Text(text) => {
                let query = TokenizerQuery::Tokenize { text, add_special: index == 0, parse_special: true };
                tokens.extend(gateway.text_for(key, model, query).await?.tokens);
            }
        }
    }
    Ok(Prompt::Tokens(tokens))
}

/// Converts each prompt to text. `model` is a name without the memory suffix.
///
/// # Errors
/// If the model does not exist, or a token is not in its vocabulary.
pub async fn prompt_texts(
    gateway: &Gateway,
    key: KeyId,
    model: &str,
    prompts: Vec<PromptInput>,
) -> Result<Vec<String>, Problem> {
    let mut texts = Vec::with_capacity(prompts.len());
    for prompt in prompts {
        texts.push(text(gateway, key, model, prompt).await.map_err(crate::request_errors::about_prompt)?);
    }
    Ok(texts)
}

async fn text(gateway: &Gateway, key: KeyId, model: &str, prompt: PromptInput) -> Result<String, Problem> {
    let pieces = match prompt {
        PromptInput::Text(text) => return Ok(text),
        PromptInput::Tokens(tokens) => vec![PromptPiece::Tokens(tokens)],
        PromptInput::Mixed(pieces) => pieces,
    };
    let mut text = Vec::new();
    for piece in pieces {
        match piece {
            PromptPiece::Text(piece) => text.extend(piece.into_bytes()),
            PromptPiece::Tokens(tokens) => {
                text.extend(detokenize(gateway, key, model, &tokens).await?.concat());
            }
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Returns the bytes of each token.
///
/// # Errors
/// If the model does not exist, or a token is not in its vocabulary.
pub async fn detokenize(
    gateway: &Gateway,
    key: KeyId,
    model: &str,
    tokens: &[u32],
) -> Result<Vec<Vec<u8>>, Problem> {
    let mut pieces = Vec::with_capacity(tokens.len());
    for tokens in tokens.chunks(TOKENS_AT_ONCE) {
        let query = TokenizerQuery::Detokenize { tokens: tokens.to_vec() };
        pieces.extend(gateway.text_for(key, model, query).await?.pieces);
    }
    Ok(pieces)
}
