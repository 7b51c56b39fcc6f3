//! The forward pass of BERT and related models (Devlin et al. 2019; RoBERTa, Liu et al. 2019).
//!
//! The texts of a batch are concatenated without padding: linear layers see one matrix of all tokens, and
//! attention sees each text alone. Query, key and value are one product.

use std::path::Path;

use serde::Deserialize;

use super::files::{CONFIG_BYTES_MAX, read_text};
use super::kernels::{self, Activation, Matrix};
use super::weights::{Tensor, Weights};

/// The fields of `config.json` that the encoder uses.
#[derive(Debug, Clone, Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default = "epsilon")]
    layer_norm_eps: f32,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default)]
    pad_token_id: usize,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    #[serde(default)]
    id2label: std::collections::BTreeMap<String, serde_json::Value>,
}

impl Head {
    /// Loads BERT's pooler and classifier, or RoBERTa's own head.
    fn load(weights: &Weights, config: &Config) -> Result<Self, String> {
        let (hidden, labels) = (config.hidden_size, config.id2label.len().max(1));
        let bert = config.model_type == "bert";
        let dense = if bert {
            (
                weights.tensor("pooler.dense.weight", &[hidden, hidden])?,
                weights.tensor("pooler.dense.bias", &[hidden])?,
            )
        } else {
            (
                weights.tensor_outside("classifier.dense.weight", &[hidden, hidden])?,
                weights.tensor_outside("classifier.dense.bias", &[hidden])?,
            )
        };
        let output = if bert { "classifier" } else { "classifier.out_proj" };
        let output = (
            weights.tensor_outside(&format!("{output}.weight"), &[labels, hidden])?,
            weights.tensor_outside(&format!("{output}.bias"), &[labels])?,
        );
        Ok(Self {
            dense: (kernels::transpose(&dense.0, hidden), dense.1),
            output: (kernels::transpose(&output.0, hidden), output.1),
            labels,
        })
    }
}

fn two() -> usize {
    2
}
fn epsilon() -> f32 {
    1e-12
}
fn gelu() -> String {
    "gelu".into()
}
fn absolute() -> String {
    "absolute".into()
}

/// The supported architectures.
pub(super) const ARCHITECTURES: &[&str] = &["bert", "roberta", "xlm-roberta", "camembert"];

/// A loaded model.
pub(super) struct Bert {
    hidden: usize,
    heads: usize,
    intermediate: usize,
    vocabulary: usize,
    positions: usize,
    /// RoBERTa's positions start after its padding token.
    first_position: usize,
    epsilon: f32,
    activation: Activation,
    word_embeddings: Tensor,
    position_embeddings: Tensor,
    /// Of a single text or the first of a pair, and of the second of a pair.
    type_embeddings: [Vec<f32>; 2],
    norm: (Tensor, Tensor),
    layers: Vec<Layer>,
    /// The classifier that scores pairs, in models that rank.
    head: Option<Head>,
}

/// The classifier of a cross-encoder, on the first token: `output(tanh(dense(state)))`.
struct Head {
    dense: (Vec<f32>, Tensor),
    output: (Vec<f32>, Tensor),
    labels: usize,
}

/// A text of a batch, or a concatenated pair of texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct EncoderInput<'a> {
    pub(super) ids: &'a [u32],
    /// The start of the second text of a pair; the length for a single text.
    pub(super) second: usize,
}

struct Layer {
    /// Query, key and value next to each other: `[hidden, 3 · hidden]`.
    qkv: Vec<f32>,
    qkv_bias: Vec<f32>,
    output: (Vec<f32>, Tensor),
    output_norm: (Tensor, Tensor),
    up: (Vec<f32>, Tensor),
    down: (Vec<f32>, Tensor),
    down_norm: (Tensor, Tensor),
}

/// Buffers for a forward pass, reused between passes.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    hidden: Vec<f32>,
    qkv: Vec<f32>,
    scores: Vec<f32>,
    mixed: Vec<f32>,
    projected: Vec<f32>,
    inner: Vec<f32>,
}

impl Bert {
    /// Maps the weights and checks that they match the configuration. With `ranks`, a classifier is required.
    pub(super) fn load(config: &Path, weights: &Path, ranks: bool) -> Result<Self, String> {
        let text = read_text(config, CONFIG_BYTES_MAX)?;
        let kind: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let architecture = kind["model_type"].as_str().unwrap_or_default();
        if !ARCHITECTURES.contains(&architecture) {
            let known = ARCHITECTURES.join(", ");
            return Err(format!("its architecture is `{architecture}`; this encoder supports {known}"));
        }
        let config: Config =
            serde_json::from_value(kind).map_err(|error| format!("its config.json is invalid: {error}"))?;
        if config.position_embedding_type != "absolute" {
            return Err(format!(
                "its position embeddings are `{}`; only `absolute` is supported",
                config.position_embedding_type
            ));
        }
        let hidden = config.hidden_size;
        if config.num_attention_heads == 0 || !hidden.is_multiple_of(config.num_attention_heads) {
            return Err("its width is not a multiple of its number of attention heads".into());
        }
        let activation = match config.hidden_act.as_str() {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            other => return Err(format!("its activation `{other}` is not gelu, gelu_new or relu")),
        };
        let weights = Weights::open(
            weights,
            &["", "bert.", "roberta.", "model."],
            "embeddings.word_embeddings.weight",
        )?;
        let pair = |name: &str, shape: &[usize]| {
            let bias = weights.tensor(&format!("{name}.bias"), &shape[..1])?;
            Ok::<_, String>((weights.tensor(&format!("{name}.weight"), shape)?, bias))
        };
        let dense = |name: &str, shape: &[usize]| {
            let (weight, bias) = pair(name, shape)?;
            Ok::<_, String>((kernels::transpose(&weight, shape[1]), bias))
        };
        let layer = |index: usize| {
            let name = |rest: &str| format!("encoder.layer.{index}.{rest}");
            let mut qkv = Vec::with_capacity(3 * hidden * hidden);
            let mut qkv_bias = Vec::with_capacity(3 * hidden);
            for part in ["query", "key", "value"] {
                let (weight, bias) = pair(&name(&format!("attention.self.{part}")), &[hidden, hidden])?;
                qkv.extend_from_slice(&weight);
                qkv_bias.extend_from_slice(&bias);
            }
            Ok::<_, String>(Layer {
                qkv: kernels::transpose(&qkv, hidden),
                qkv_bias,
                output: dense(&name("attention.output.dense"), &[hidden, hidden])?,
                output_norm: pair(&name("attention.output.LayerNorm"), &[hidden])?,
                up: dense(&name("intermediate.dense"), &[config.intermediate_size, hidden])?,
                down: dense(&name("output.dense"), &[hidden, config.intermediate_size])?,
                down_norm: pair(&name("output.LayerNorm"), &[hidden])?,
            })
        };
        let type_embeddings = config.type_vocab_size;
        let type_embeddings = match type_embeddings {
            0 => [vec![0.0; hidden], vec![0.0; hidden]],
            _ => {
                let all =
                    weights.tensor("embeddings.token_type_embeddings.weight", &[type_embeddings, hidden])?;
                let second = if type_embeddings > 1 { hidden } else { 0 };
                [all[..hidden].to_vec(), all[second..second + hidden].to_vec()]
            }
        };
        let head = if ranks { Some(Head::load(&weights, &config)?) } else { None };
        let positions = config.max_position_embeddings;
        Ok(Self {
            hidden,
            heads: config.num_attention_heads,
            intermediate: config.intermediate_size,
            vocabulary: config.vocab_size,
            positions,
            first_position: if config.model_type == "bert" { 0 } else { config.pad_token_id + 1 },
            epsilon: config.layer_norm_eps,
            activation,
            word_embeddings: weights
                .tensor("embeddings.word_embeddings.weight", &[config.vocab_size, hidden])?,
            position_embeddings: weights
                .tensor("embeddings.position_embeddings.weight", &[positions, hidden])?,
            type_embeddings,
            head,
            norm: pair("embeddings.LayerNorm", &[hidden])?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_, _>>()?,
        })
    }

    /// Returns the size of an embedding.
    pub(super) fn width(&self) -> usize {
        self.hidden
    }

    /// Returns the most tokens of a text.
    pub(super) fn tokens_max(&self) -> usize {
        self.positions - self.first_position.min(self.positions)
    }

    /// Computes the classifier's scores from the concatenated states of the texts' first tokens: `[texts,
    /// labels]`; empty without a classifier.
    pub(super) fn scores(&self, states: &[f32]) -> Vec<f32> {
        let Some(Head { dense, output, labels }) = &self.head else { return Vec::new() };
        let texts = states.len() / self.hidden;
        let mut inner = vec![0.0; states.len()];
        kernels::linear(&mut inner, states, &dense.0, self.hidden);
        kernels::add_bias(&mut inner, &dense.1);
        inner.iter_mut().for_each(|value| *value = value.tanh());
        let mut scores = vec![0.0; texts * labels];
        kernels::linear(&mut scores, &inner, &output.0, self.hidden);
        kernels::add_bias(&mut scores, &output.1);
        scores
    }

    /// Returns the number of scores of a pair.
    pub(super) fn labels(&self) -> usize {
        self.head.as_ref().map_or(0, |head| head.labels)
    }

    /// Computes the last layer's output for every token of the concatenated texts: `[tokens, width]`. No text
    /// may be longer than [`Bert::tokens_max`].
    pub(super) fn forward<'a>(&self, texts: &[EncoderInput<'_>], scratch: &'a mut Scratch) -> &'a [f32] {
        let hidden = self.hidden;
        let tokens: usize = texts.iter().map(|text| text.ids.len()).sum();
        let Scratch { hidden: state, qkv, scores, mixed, projected, inner } = scratch;
        state.clear();
        for text in texts {
            for (position, token) in text.ids.iter().enumerate() {
                let kind = &self.type_embeddings[usize::from(position >= text.second)];
                let word = (*token as usize).min(self.vocabulary - 1) * hidden;
                let position = (self.first_position + position).min(self.positions - 1) * hidden;
                let begin = state.len();
                state.extend_from_slice(&self.word_embeddings[word..word + hidden]);
                kernels::add(&mut state[begin..], &self.position_embeddings[position..position + hidden]);
                kernels::add(&mut state[begin..], kind);
            }
        }
        kernels::norm(state, (&self.norm.0, &self.norm.1), self.epsilon);
        qkv.resize(tokens * 3 * hidden, 0.0);
        mixed.resize(tokens * hidden, 0.0);
        projected.resize(tokens * hidden, 0.0);
        inner.resize(tokens * self.intermediate, 0.0);
        for layer in &self.layers {
            kernels::linear(qkv, state, &layer.qkv, hidden);
            kernels::add_bias(qkv, &layer.qkv_bias);
            self.attend(texts, qkv, scores, mixed);
            kernels::linear(projected, mixed, &layer.output.0, hidden);
            let norm = (&*layer.output_norm.0, &*layer.output_norm.1);
            kernels::add_and_norm(projected, &layer.output.1, state, norm, self.epsilon);
            kernels::linear(inner, projected, &layer.up.0, hidden);
            kernels::activate(inner, &layer.up.1, self.activation);
            kernels::linear(state, inner, &layer.down.0, self.intermediate);
            let norm = (&*layer.down_norm.0, &*layer.down_norm.1);
            kernels::add_and_norm(state, &layer.down.1, projected, norm, self.epsilon);
        }
        state
    }

    /// Computes the attention of every text to itself, head by head.
    fn attend(&self, texts: &[EncoderInput<'_>], qkv: &[f32], scores: &mut Vec<f32>, mixed: &mut [f32]) {
        let (hidden, width) = (self.hidden, self.hidden / self.heads);
        let stride = 3 * hidden;
        let scale = 1.0 / (width as f32).sqrt();
        let mut begin = 0;
        for text in texts {
            let length = text.ids.len();
            let rows = &qkv[begin * stride..(begin + length) * stride];
            let out = &mut mixed[begin * hidden..(begin + length) * hidden];
            scores.resize(length * length, 0.0);
            for head in 0..self.heads {
                let (query, key, value) = (
                    &rows[head * width..],
                    &rows[hidden + head * width..],
                    &rows[2 * hidden + head * width..],
                );
                let mut product =
                    Matrix { values: scores, rows: length, columns: length, row_stride: length };
                kernels::multiply(&mut product, (query, stride, 1), (key, 1, stride), width, scale);
                kernels::softmax(scores, length);
                let values = &mut out[head * width..];
                let mut product = Matrix { values, rows: length, columns: width, row_stride: hidden };
                kernels::multiply(&mut product, (scores, length, 1), (value, stride, 1), length, 1.0);
            }
            begin += length;
        }
    }
}
