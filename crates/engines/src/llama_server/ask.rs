//! Questions about a `llama-server`'s vocabulary and template, asked of the server itself.

use serde_json::{Value, json};

use super::client::Client;
use super::stream;
use crate::Error;
use crate::dialect::Dialect;
use crate::driver::{TextAnswer, TextQuestion};

/// Answers one question.
///
/// # Errors
/// When the server refuses it, or answers something else.
pub(super) async fn text(
    client: &Client,
    question: TextQuestion,
    dialect: Dialect,
) -> Result<TextAnswer, Error> {
    match question {
        TextQuestion::Tokenize { text, add_special, parse_special } => {
            let body = json!({ "content": text, "add_special": add_special, "parse_special": parse_special });
            let answer = client.post("/tokenize", &body).await?;
            Ok(TextAnswer { tokens: tokens(&answer)?, ..TextAnswer::default() })
        }
        // It tells the pieces of tokens that it makes of a text only; one token at a time has its text.
        TextQuestion::Detokenize { tokens } => {
            let mut pieces = Vec::with_capacity(tokens.len());
            for token in tokens {
                let answer = client.post("/detokenize", &json!({ "tokens": [token] })).await?;
                pieces.push(answer["content"].as_str().unwrap_or_default().as_bytes().to_vec());
            }
            Ok(TextAnswer { pieces, ..TextAnswer::default() })
        }
        TextQuestion::Render(chat) => {
            let body = stream::chat_body(&chat, dialect.knows_tools());
            let answer = client.post("/apply-template", &body).await;
            let answer = answer.map_err(|error| Error::Template(error.to_string()))?;
            let mut text = answer["prompt"].as_str().unwrap_or_default().to_owned();
            dialect.begin(&mut text, &chat);
            Ok(TextAnswer { text, ..TextAnswer::default() })
        }
    }
}

fn tokens(answer: &Value) -> Result<Vec<u32>, Error> {
    serde_json::from_value(answer["tokens"].clone())
        .map_err(|_| Error::Failed("its /tokenize gave no tokens".into()))
}
