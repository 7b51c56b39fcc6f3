//! What embedding and ranking models make of texts.

/// Vectors for texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// One unit-length vector per text, in order.
    pub vectors: Vec<Vec<f32>>,
    /// How long each vector was as the model computed it.
    pub lengths: Vec<f64>,
    /// Tokens read in all.
    pub tokens: u64,
    /// Texts that were longer than the model reads and were cut.
    pub truncated: Vec<usize>,
}

/// How well texts answer a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// One per text, in order; more is better, 0 to 1.
    pub scores: Vec<f32>,
    /// Tokens read in all.
    pub tokens: u64,
    /// Texts that were longer than the model reads and were cut.
    pub truncated: Vec<usize>,
}

impl Ranking {
    /// The score of a pair from what a model's classes say: of one, its logistic function, as
    /// sentence-transformers' cross-encoders have it; of several, which are probabilities, the first.
    #[must_use]
    pub fn score(classes: &[f32]) -> f32 {
        match classes {
            [] => 0.0,
            [logit] => 1.0 / (1.0 + (-logit).exp()),
            [first, ..] => *first,
        }
    }
}
