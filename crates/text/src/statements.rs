//! Short statements: their words, and the relation of a new one to a known one.

mod compare;
mod containment;
mod english;
mod entries;
mod parse;
mod settings;
mod written;

pub use self::compare::{DecisionRule, Relation, SimilarityThresholds, Statement};
pub use self::containment::{contains_text, extends_text};
pub(crate) use self::parse::is_title;
