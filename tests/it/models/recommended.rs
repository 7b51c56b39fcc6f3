//! The speeds in `GET /lar/v1/catalog/recommended` before and after the first model was loaded and measured.

use lar_tests::{Lar, chat_model};
use serde_json::{Value, json};

use super::lar;

/// The largest rounding error of a speed that is computed from two speeds with one decimal.
const TOLERANCE: f64 = 0.2;
/// Larger models on the list are mixtures of experts, which read only a part of their weights for a token, or
/// too slow to tell apart.
const DENSE_BYTES_MAX: f64 = 6e9;

fn number(row: &Value, field: &str) -> f64 {
    row[field].as_f64().unwrap()
}

/// Whether two speeds are equal within [`TOLERANCE`].
fn is_about(speed: f64, expected: f64) -> bool {
    (speed - expected).abs() <= TOLERANCE
}

#[test]
fn the_first_load_of_the_smallest_model_bounds_the_speeds_of_larger_ones() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("lar.toml"), "[engines]\ncontext_tokens_max = 512\n").unwrap();
    let lar = Lar::start_measuring_on(directory.path());
    let recommended = || {
        let listed = lar.get("/lar/v1/catalog/recommended").json();
        listed["data"].as_array().unwrap().clone()
    };
    let before = recommended();
    assert!(before.iter().all(|row| row["speed"] == "estimated"), "{before:?}");

    let ask = json!({ "model": "default", "prompt": "One, two,", "max_tokens": 2 });
    assert_eq!(lar.post("/v1/completions", &ask).status, 200);
    let smallest = lar.until("the measurement of the model's speed", |lar| {
        let models = lar.get("/lar/v1/catalog/models").json();
        models["data"].as_array()?.iter().find_map(|model| model["tokens_per_second"].as_f64())
    });
    let bytes_per_second = smallest * chat_model().metadata().unwrap().len() as f64;
    let after = recommended();
    for (before, after) in before.iter().zip(&after) {
        let size = number(after, "size_bytes");
        if size > DENSE_BYTES_MAX {
            continue;
        }
        let expected = number(before, "tokens_per_second").max(bytes_per_second / size).min(smallest);
        assert!(
            is_about(number(after, "tokens_per_second"), expected),
            "{expected}: {after}, before: {before}, the smallest: {smallest}"
        );
        assert_eq!(after["speed"], "estimated", "{after}");
    }

    // `lar doctor` names the largest model that the page recommends.
    let doctor = String::from_utf8(lar.cli(&["doctor"]).stdout).unwrap();
    match after.iter().rev().find(|row| row["recommended"] == true) {
        Some(best) => {
            assert!(
                doctor.contains(&format!("{} fits this machine", best["name"].as_str().unwrap())),
                "{doctor}"
            );
        }
        None => assert!(!doctor.contains("better model"), "{doctor}"),
    }
}

#[test]
fn the_first_load_of_a_listed_model_corrects_its_speed_and_those_of_similar_size() {
    const NAME: &str = "qwen2.5-coder-0.5b-instruct";
    /// See `SIMILAR_RATIO_MAX` of `lar_catalog`.
    const SIMILAR_RATIO_MAX: f64 = 3.0;
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let (ok, output) = lar(home.path(), arguments);
        assert!(ok, "{arguments:?}: {output}");
        output
    };
    let recommended = || -> Vec<Value> { serde_json::from_str(&run(&["models", "pull", "--json"])).unwrap() };
    let listed =
        |rows: &[Value]| rows.iter().find(|row| row["name"] == NAME).cloned().expect("it is on the list");
    // The small test model, under the name of a listed one.
    run(&["models", "pull", &chat_model().display().to_string(), "--name", NAME]);
    let before = listed(&recommended());
    assert_eq!((&before["speed"], &before["installed"]), (&json!("estimated"), &json!(true)));

    run(&["ask", "Say hello.", "--max-tokens", "4", "--temperature", "0"]);
    let rows = recommended();
    let after = listed(&rows);
    assert_eq!(after["speed"], "measured", "{after}");
    let bytes_per_second = number(&after, "tokens_per_second") * number(&after, "size_bytes");
    let similar: Vec<&Value> = rows
        .iter()
        .filter(|row| row["name"] != NAME)
        .filter(|row| number(row, "size_bytes") <= SIMILAR_RATIO_MAX * number(&after, "size_bytes"))
        .collect();
    assert!(!similar.is_empty());
    for row in similar {
        let expected = bytes_per_second / number(row, "size_bytes");
        assert!(is_about(number(row, "tokens_per_second"), expected), "{expected}: {row}, measured: {after}");
        assert_eq!(row["speed"], "estimated", "{row}");
    }
}
