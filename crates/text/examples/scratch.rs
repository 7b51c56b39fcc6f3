//! scratch
use lar_text::statements::*;
use std::collections::BTreeMap;
fn main() {
    let t: f32 = std::env::args().nth(1).and_then(|t| t.parse().ok()).unwrap_or(0.4);
    let verbose = std::env::args().nth(2);
    let text = std::fs::read_to_string("/tmp/cal/pairs.tsv").unwrap();
    let mut table: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for line in text.lines() {
        let c: Vec<&str> = line.split('\t').collect();
        let un = |t: &str| t.replace("\\n", "\n").replace("\\\\", "\\");
        let (a, b) = (un(c[4]), un(c[5]));
        let (k, n) = (Statement::of(&a), Statement::of(&b));
        let (r, rule) = if n.has_no_content() {
            (None, DecisionRule::None)
        } else {
            let x = k.compare(&n, Some((c[3].parse().unwrap(), SimilarityThresholds { related: t })));
            (Some(x.0), x.1)
        };
        let name = r.map_or("Reject".to_string(), |r| format!("{r:?}"));
        *table.entry(c[2].to_string()).or_default().entry(name.clone()).or_default() += 1;
        let odd = match (c[2], name.as_str()) {
            ("replaces", "Other" | "Same" | "More" | "Reject" | "Contradicts") => "MISS",
            ("replaces", _) => "",
            (_, "Replaces") => "HIDES",
            ("same", "Same") => "",
            (w, "Same") if w != "same" => "SAME?",
            ("reject", "Reject") => "",
            (_, "Reject") => "REJ?",
            (w, "More") if w != "adds" => "MORE?",
            ("unrelated" | "adds", "MayReplace") => "LINK?",
            _ => "",
        };
        if verbose.as_deref().is_some_and(|v| odd == v) {
            println!(
                "{odd} {} {} {rule:?} {}\n    {}\n    {}",
                c[1],
                c[2],
                c[3],
                a.replace('\n', "⏎"),
                b.replace('\n', "⏎")
            );
        }
    }
    for (w, row) in table {
        println!("{w}: {row:?}");
    }
}
