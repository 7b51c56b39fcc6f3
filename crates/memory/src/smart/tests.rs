//! The rules on the labeled pairs of the repository: nothing that is still true is hidden or lost.

use lar_text::statements::{Relation, Statement};
use serde::Deserialize;

/// Pairs aimed at the rules, pairs of other voices, and those that models are calibrated with.
const SETS: [&str; 6] = [
    include_str!("../../../../benches/data/memory/aimed/pairs.jsonl"),
    include_str!("../../../../benches/data/memory/ward/pairs.jsonl"),
    include_str!("../../../../benches/data/memory/platform/pairs.jsonl"),
    include_str!("../../../../benches/data/memory/choir/pairs.jsonl"),
    include_str!("../../calibration/designer.jsonl"),
    include_str!("../../calibration/workshop.jsonl"),
];

#[derive(Deserialize)]
struct Pair {
    first: String,
    second: String,
    want: String,
}

#[test]
fn no_true_memory_of_the_labeled_pairs_is_hidden() {
    let lines = SETS.iter().flat_map(|set| set.lines());
    let pairs: Vec<Pair> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(pairs.len(), 790);
    for Pair { first, second, want } in pairs {
        let (relation, rule) = Statement::of(&first).compare(&Statement::of(&second), None);
        let is_kept = match relation {
            Relation::Replaces => want == "replaces",
            Relation::Same => want == "same",
            Relation::More => matches!(want.as_str(), "same" | "adds"),
            Relation::MayReplace | Relation::Contradicts | Relation::Other => true,
        };
        assert!(is_kept, "{want}, {relation:?} by {rule:?}: {first} | {second}");
    }
}
