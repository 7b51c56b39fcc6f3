//! The speeds in `GET /lar/v1/catalog/recommended` before and after the first model was loaded and measured.

use lar_tests::{Lar, chat_model};
use serde_json::{Value, json};

use super::lar;

/// The largest rounding error of a speed that is computed from two speeds with one decimal.
const TOLERANCE: f64 = 0.2;
/// Larger models on the list are mixtures of experts, which read only a part of their weights for a token, or
/// too slow to tell apart.
const DENSE_BYTES_MAX: f64 = 6e9;
/// The most that a model reads per second, relative to a measured model: half of the measured time may be
/// overhead; see `lar_catalog`.
const RATE_RATIO_MAX: f64 = 2.0;

fn number(row: &Value, field: &str) -> f64 {
    row[field].as_f64().unwrap()
}

/// Checks the speed of a model against a measured one: it reads at least as many bytes per second, but not
/// many more, and a larger model has at most as many tokens per second.
fn check_against(row: &Value, measured_bytes: f64, measured: f64) {
    let (size, speed) = (number(row, "size_bytes"), number(row, "tokens_per_second"));
    let same_bytes = measured * measured_bytes / size;
    assert!(speed >= same_bytes - TOLERANCE, "at least {same_bytes}: {row}");
    assert!(speed <= RATE_RATIO_MAX * same_bytes + TOLERANCE, "at most twice {same_bytes}: {row}");
    assert!(size < measured_bytes || speed <= measured + TOLERANCE, "at most {measured}: {row}");
    assert_eq!(row["speed"], "estimated", "{row}");
}

/// Checks that no model is faster than a smaller one. The rows are sorted by size.
fn check_falls_with_the_size(rows: &[Value]) {
    let dense = rows.iter().filter(|row| number(row, "size_bytes") <= DENSE_BYTES_MAX);
    let speeds: Vec<f64> = dense.map(|row| number(row, "tokens_per_second")).collect();
    assert!(speeds.len() > 3 && speeds.is_sorted_by(|a, b| a >= b), "{speeds:?}");
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
    let smallest_bytes = chat_model().metadata().unwrap().len() as f64;
    let after = recommended();
    for row in after.iter().filter(|row| number(row, "size_bytes") <= DENSE_BYTES_MAX) {
        check_against(row, smallest_bytes, smallest);
    }
    for rows in [&before, &after] {
        check_falls_with_the_size(rows);
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
fn the_first_load_of_a_listed_model_corrects_its_speed_and_those_of_larger_ones() {
    const NAME: &str = "qwen2.5-coder-0.5b-instruct";
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
    let (size, measured) = (number(&after, "size_bytes"), number(&after, "tokens_per_second"));
    let larger = rows.iter().filter(|row| row["name"] != NAME);
    for row in larger.filter(|row| number(row, "size_bytes") <= DENSE_BYTES_MAX) {
        check_against(row, size, measured);
    }
    check_falls_with_the_size(&rows);

    let shown: Value = serde_json::from_str(&run(&["models", "show", NAME, "--json"])).unwrap();
    assert_eq!(after["memory_bytes"], shown["memory_bytes"], "the memory that it takes once loaded");
}
