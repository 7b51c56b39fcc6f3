//! The model that `default` refers to after `lar models pull --starter`, wherever an earlier pull ended.

use lar_tests::generated_models::{POOLING_MEAN, gguf_embedder};
use lar_tests::{chat_model, split_gguf};
use serde_json::{Value, json};

use super::lar;

/// The name of the model that `default` refers to.
fn default_model(home: &std::path::Path) -> Value {
    let (ok, listed) = lar(home, &["models", "list", "--json"]);
    assert!(ok, "{listed}");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let is_default = |model: &&Value| model["aliases"].as_array().unwrap().contains(&json!("default"));
    listed.as_array().unwrap().iter().find(is_default).unwrap()["name"].clone()
}

#[test]
fn default_moves_to_the_better_model_wherever_an_earlier_pull_ended() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let (ok, output) = lar(home.path(), arguments);
        assert!(ok, "{arguments:?}: {output}");
        output
    };
    // The state after a pull that ended before it moved `default`: both models are installed, the smallest
    // one first.
    run(&["models", "pull", &chat_model().display().to_string(), "--name", "smallest"]);
    run(&["models", "pull", &gguf_embedder(home.path(), POOLING_MEAN).display().to_string()]);
    let better = split_gguf(&chat_model(), home.path(), "Better-Model-Q4_1", 2);
    run(&["models", "pull", &better[0].display().to_string()]);
    assert_eq!(default_model(home.path()), "smallest");
    let output = run(&["models", "pull", "--starter"]);
    assert!(output.contains("better-model is already installed."), "{output}");
    assert_eq!(default_model(home.path()), "better-model");

    // A model that the user chose stays the default; `--minimal` changes nothing.
    let chosen = split_gguf(&chat_model(), home.path(), "Chosen-Model-Q4_1", 3);
    run(&["models", "pull", &chosen[0].display().to_string()]);
    run(&["alias", "set", "default", "chosen-model"]);
    run(&["models", "pull", "--starter"]);
    assert_eq!(default_model(home.path()), "chosen-model");
    run(&["models", "pull", "--starter", "--minimal"]);
    assert_eq!(default_model(home.path()), "chosen-model");
}
