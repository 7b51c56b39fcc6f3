//! The results of embedding and reranking models.

/// The embeddings of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// One unit-length vector per text, in order.
    pub vectors: Vec<Vec<f32>>,
    /// The length of each vector as the model computed it.
    pub lengths: Vec<f64>,
    /// The total number of tokens read.
    pub tokens: u64,
    /// The indexes of texts that were longer than the model reads and were truncated.
    pub truncated: Vec<usize>,
}

/// The scores of texts for a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// One score per text, in order, from 0 to 1; higher is better.
    pub scores: Vec<f32>,
    /// The total number of tokens read.
    pub tokens: u64,
    /// The indexes of texts that were longer than the model reads and were truncated.
    pub truncated: Vec<usize>,
}

impl Ranking {
    /// Returns the score of a pair from a model's outputs. A single output is a logit, and its logistic
    /// function is the score, as in sentence-transformers' cross-encoders. Several outputs are probabilities,
    /// and the first is the score.
    #[must_use]
    pub fn score(classes: &[f32]) -> f32 {
        match classes {
            [] => 0.0,
            [logit] => 1.0 / (1.0 + (-logit).exp()),
            [first, ..] => *first,
        }
    }
}
