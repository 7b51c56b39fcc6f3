//! Short statements: their words, and the relation of a new one to a known one.

mod compare;
mod english;
mod parse;

pub use self::compare::{DecisionRule, Relation, SimilarityThresholds, compare};
pub use self::parse::{ParsedText, is_single_sentence, is_title};
