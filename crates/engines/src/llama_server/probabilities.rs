//! Parses the logprobs in a llama-server's events: before the samplers, or after them if the request asks for
//! that.

use serde::Deserialize;

use lar_inference::{Candidate, TokenLogprobs};

/// The chosen tokens in an event of `/v1/chat/completions`.
#[derive(Deserialize)]
pub(super) struct ChosenList {
    pub(super) content: Vec<Chosen>,
}

/// A chosen token and its most likely alternatives.
#[derive(Deserialize)]
pub(super) struct Chosen {
    #[serde(flatten)]
    chosen: LikelyToken,
    #[serde(default, alias = "top_probs")]
    top_logprobs: Vec<LikelyToken>,
}

impl From<Chosen> for TokenLogprobs {
    fn from(Chosen { chosen, top_logprobs }: Chosen) -> Self {
        Self { chosen: chosen.0, top: top_logprobs.into_iter().map(|token| token.0).collect() }
    }
}

/// A token with its logprob.
#[derive(Deserialize)]
#[serde(try_from = "SentToken")]
struct LikelyToken(Candidate);

/// A token as the server sends it.
#[derive(Deserialize)]
struct SentToken {
    id: u32,
    bytes: Vec<u8>,
    /// The natural logarithm of the probability before the samplers.
    logprob: Option<f32>,
    /// The probability after the samplers.
    prob: Option<f32>,
}

impl TryFrom<SentToken> for LikelyToken {
    type Error = &'static str;

    fn try_from(SentToken { id, bytes, logprob, prob }: SentToken) -> Result<Self, Self::Error> {
        let logprob = logprob.or(prob.map(f32::ln)).ok_or("a token has neither `logprob` nor `prob`")?;
        Ok(Self(Candidate { id, bytes, logprob }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(sent: Value) -> Result<TokenLogprobs, String> {
        serde_json::from_value::<Chosen>(sent).map(Into::into).map_err(|error| error.to_string())
    }

    fn candidate(id: u32, text: &str, logprob: f32) -> Candidate {
        Candidate { id, bytes: text.into(), logprob }
    }

    #[test]
    fn probabilities_are_read_before_and_after_the_samplers() {
        let before = json!({
            "id": 5, "token": "a", "bytes": [97], "logprob": -0.5,
            "top_logprobs": [
                { "id": 5, "token": "a", "bytes": [97], "logprob": -0.5 },
                { "id": 6, "token": "b", "bytes": [98], "logprob": -2 },
            ],
        });
        let top = vec![candidate(5, "a", -0.5), candidate(6, "b", -2.0)];
        assert_eq!(read(before), Ok(TokenLogprobs { chosen: candidate(5, "a", -0.5), top }));
        let after = json!({
            "id": 5, "token": "a", "bytes": [97], "prob": 1.0,
            "top_probs": [
                { "id": 5, "token": "a", "bytes": [97], "prob": 1.0 },
                { "id": 6, "token": "b", "bytes": [98], "prob": 0 },
            ],
        });
        let top = vec![candidate(5, "a", 0.0), candidate(6, "b", f32::NEG_INFINITY)];
        assert_eq!(read(after), Ok(TokenLogprobs { chosen: candidate(5, "a", 0.0), top }));
    }

    #[test]
    fn a_token_without_a_probability_is_an_error() {
        for sent in [
            json!({ "id": 5, "bytes": [97] }),
            json!({ "id": 5, "bytes": [97], "logprob": null, "prob": null }),
            json!({ "id": 5, "bytes": [97], "logprob": -0.5, "top_logprobs": [{ "id": 6, "bytes": [98] }] }),
            json!({ "id": 5, "bytes": [97], "prob": 0.5, "top_probs": [{ "id": 6, "bytes": [98] }] }),
        ] {
            assert_eq!(read(sent), Err("a token has neither `logprob` nor `prob`".to_owned()));
        }
    }
}
