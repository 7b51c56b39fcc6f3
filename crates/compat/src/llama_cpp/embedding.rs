//! `POST /embedding`, and `/embeddings` for bodies with `content`: embeddings in llama.cpp's native form.

use lar_base::Problem;
use lar_base::default_models::DEFAULT_EMBEDDING;
use lar_inference::Embeddings;
use serde_json::Value;

use super::wire::{EMBEDDING_FIELDS, LlamaCppEmbedding, LlamaCppEmbeddingRequest};
use crate::fields::read;
use crate::lenient::{self, OutOfRange};
use crate::model_name::model_or;
use crate::openai::embeddings::{Texts, texts};

/// The reason for rejecting token ids.
const NO_TOKENS: &str =
    "has token ids, which are not supported; send strings instead; `/detokenize` converts tokens to a string";
/// The largest absolute value of a vector with [`Norm::Largest`]: a round number below 2^15, as in llama.cpp.
const LARGEST: f64 = 32760.0;

/// The normalization of a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// No normalization: the vector as the model computed it.
    None,
    /// The largest absolute value becomes 32760.
    Largest,
    /// The p-norm becomes 1: 1 is the taxicab norm, 2 the Euclidean norm.
    P(i32),
}

/// A decoded and validated request for embeddings.
#[derive(Debug)]
pub struct LlamaCppEmbeddingInput {
    /// The model's name as it was sent, or the alias of the default embedder.
    pub model: String,
    /// The texts.
    pub texts: Texts,
    /// The normalization of the vectors.
    pub norm: Norm,
    /// Whether a text that is too long is truncated.
    pub truncate: bool,
    /// The fields that have no effect.
    pub ignored: Vec<String>,
}

/// Returns whether a body of `/embeddings` has llama.cpp's form: `content` and no `input`.
///
/// # Errors
/// If the body is not valid JSON.
pub fn has_llama_cpps_form(body: &[u8]) -> Result<bool, Problem> {
    let body = lenient::parse(body)?;
    let has = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
    Ok(has("content") && !has("input"))
}

/// Decodes a request body.
///
/// # Errors
/// [`Code::InvalidParams`](lar_base::Code::InvalidParams) with the field and the reason.
pub fn decode(body: &[u8]) -> Result<LlamaCppEmbeddingInput, Problem> {
    let (body, ignored) = read(body, EMBEDDING_FIELDS)?;
    let wire: LlamaCppEmbeddingRequest = lenient::from_value(&body, OutOfRange::Nearest)?;
    let (field, sent) = match (wire.content, wire.input) {
        (Value::Null, Value::Null) => return Err(Problem::invalid("content", "is missing")),
        (Value::Null, input) => ("input", input),
        (content, _) => ("content", content),
    };
    Ok(LlamaCppEmbeddingInput {
        texts: texts(field, sent, NO_TOKENS)?,
        norm: norm(wire.embd_normalize)?,
        truncate: wire.truncate == Some(true),
        model: model_or(wire.model, DEFAULT_EMBEDDING),
        ignored,
    })
}

/// Reads `embd_normalize`.
fn norm(number: Option<i32>) -> Result<Norm, Problem> {
    match number {
        None => Ok(Norm::P(2)),
        Some(-1) => Ok(Norm::None),
        Some(0) => Ok(Norm::Largest),
        Some(p) if p > 0 => Ok(Norm::P(p)),
        Some(_) => Err(Problem::invalid("embd_normalize", "must be at least -1")),
    }
}

/// Returns the response with the vectors in this normalization.
#[must_use]
pub fn whole(found: &Embeddings, norm: Norm) -> Vec<LlamaCppEmbedding> {
    let computed = found.vectors.iter().zip(&found.lengths);
    let scaled = computed.map(|(vector, length)| scale(vector, *length, norm));
    scaled.enumerate().map(|(index, vector)| LlamaCppEmbedding { index, embedding: [vector] }).collect()
}

/// Normalizes a vector of unit length with another norm.
///
/// `model_length` is the Euclidean norm of the vector as the model computed it. Only [`Norm::None`] needs it,
/// because the other norms do not depend on the vector's length.
fn scale(vector: &[f32], model_length: f64, norm: Norm) -> Vec<f32> {
    let numbers = || vector.iter().map(|number| f64::from(number.abs()));
    let largest = numbers().fold(0.0, f64::max);
    let length = match norm {
        Norm::P(2) => return vector.to_vec(),
        _ if largest == 0.0 => return vector.to_vec(),
        Norm::None => 1.0 / model_length,
        Norm::Largest => largest / LARGEST,
        // Divided by the largest number first, because high powers of small numbers underflow.
        Norm::P(p) => {
            let sum: f64 = numbers().map(|number| (number / largest).powi(p)).sum();
            largest * sum.powf(1.0 / f64::from(p))
        }
    };
    vector.iter().map(|number| (f64::from(*number) / length) as f32).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decoded(body: Value) -> Result<LlamaCppEmbeddingInput, Problem> {
        decode(body.to_string().as_bytes())
    }

    #[test]
    fn vectors_are_normalized_as_requested() {
        let unit = [0.6_f32, -0.8, 0.0];
        let near = |norm: Norm, expected: [f32; 3]| {
            let found = scale(&unit, 5.0, norm);
            let is_near = found.iter().zip(expected).all(|(one, other)| (one - other).abs() <= 1e-3);
            assert!(is_near, "{norm:?}: {found:?}");
        };
        near(Norm::None, [3.0, -4.0, 0.0]);
        near(Norm::P(2), [0.6, -0.8, 0.0]);
        near(Norm::P(1), [0.6 / 1.4, -0.8 / 1.4, 0.0]);
        near(Norm::P(3), [0.6 / 0.899_588_3, -0.8 / 0.899_588_3, 0.0]);
        near(Norm::P(i32::MAX), [0.75, -1.0, 0.0]);
        near(Norm::Largest, [24570.0, -32760.0, 0.0]);
        for norm in [Norm::None, Norm::Largest] {
            assert_eq!(scale(&[0.0, 0.0], 0.0, norm), [0.0, 0.0]);
        }
    }

    #[test]
    fn norms_are_read_from_llama_cpps_numbers() {
        let read = |number: Value| {
            decoded(json!({ "content": "a", "embd_normalize": number })).map(|read| read.norm)
        };
        assert_eq!(decoded(json!({ "content": "a" })).unwrap().norm, Norm::P(2));
        assert_eq!(
            [json!(-1), json!(0), json!(1), json!(2), json!(3.0), json!(1e30)]
                .map(|number| read(number).unwrap()),
            [Norm::None, Norm::Largest, Norm::P(1), Norm::P(2), Norm::P(3), Norm::P(i32::MAX)]
        );
        assert_eq!(read(json!(-2)).unwrap_err().detail, "`embd_normalize` must be at least -1");
    }

    #[test]
    fn texts_come_in_every_form_and_tokens_are_refused() {
        let texts = |body: Value| decoded(body).unwrap().texts.all;
        assert_eq!(texts(json!({ "content": "a" })), ["a"]);
        assert_eq!(texts(json!({ "input": ["a", { "prompt_string": "b" }] })), ["a", "b"]);
        assert_eq!(texts(json!({ "content": ["a"], "input": "b" })), ["a"]);
        for tokens in [json!([1, 2]), json!([[1, 2], [3]]), json!([1, "a"])] {
            let refused = decoded(json!({ "content": tokens })).unwrap_err();
            assert_eq!(refused.detail, format!("`content` {NO_TOKENS}"));
        }
        let refused = |body: Value| decoded(body).unwrap_err().detail;
        assert_eq!(refused(json!({ "content": "" })), "`content` must not be empty");
        assert_eq!(refused(json!({ "content": ["a", ""] })), "`content[1]` must not be empty");
        let no_text = "must be a string, or an object with a `prompt_string` or with text parts as `content`";
        assert_eq!(refused(json!({ "input": { "content": [1] } })), format!("`input` {no_text}"));
        assert_eq!(refused(json!({ "input": ["a", {}] })), format!("`input[1]` {no_text}"));
        let has_form = |body: Value| has_llama_cpps_form(body.to_string().as_bytes()).unwrap();
        assert!(has_form(json!({ "content": "a" })) && has_form(json!({ "content": "a", "input": null })));
        assert!(!has_form(json!({ "input": "a" })) && !has_form(json!({ "content": "a", "input": "b" })));
    }
}
