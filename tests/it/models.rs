//! Models on disk: pulling, adopting, verifying, and what must not be half-registered.

mod footprint;
mod pieces;
mod recommended;
mod split;
mod starter;
mod threads;

use std::path::Path;

use lar_tests::chat_model;
use lar_tests::offline::{command_at_home, outcome};
use serde_json::{Value, json};

/// A client command on a data directory of its own, with its own models directory and home.
fn lar(home: &Path, arguments: &[&str]) -> (bool, String) {
    lar_with(home, &[], arguments)
}

/// The same with further variables in its environment.
fn lar_with(home: &Path, variables: &[(&str, &Path)], arguments: &[&str]) -> (bool, String) {
    outcome(command_at_home(home).envs(variables.iter().copied()).args(arguments))
}

#[test]
fn a_file_is_pulled_verified_shared_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let source = chat_model().display().to_string();
    let (ok, output) = lar(home.path(), &["models", "pull", &source, "--name", "tiny"]);
    assert!(ok && output.contains("Installed tiny."), "{output}");
    let (ok, listed) = lar(home.path(), &["models", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert!(ok);
    let facts = ["name", "architecture", "quantization", "parameters", "aliases", "license"]
        .map(|field| listed[0][field].clone());
    assert_eq!(
        facts,
        [
            json!("tiny"),
            json!("llama"),
            json!("Q4_1"),
            json!(134515008),
            json!(["default", "small"]),
            json!("apache-2.0")
        ]
    );
    assert!(lar(home.path(), &["models", "verify", "tiny"]).0);

    let blobs = home.path().join("data/models/blobs");
    let blob = std::fs::read_dir(&blobs).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let (ok, output) = lar(home.path(), &["models", "verify", "tiny"]);
    assert!(!ok && output.contains("differs"), "{output}");
    let (ok, output) = lar(home.path(), &["models", "rm", "default"]);
    assert!(!ok && output.contains("`default` stands for `tiny`: name the model itself"), "{output}");
    let (ok, output) = lar(home.path(), &["models", "rm", "tiny"]);
    assert!(ok && output.contains("94 MiB are free again"), "{output}");
    assert_eq!(std::fs::read_dir(&blobs).unwrap().count(), 0);
}

#[test]
fn broken_or_unknown_models_are_not_registered() {
    let home = tempfile::tempdir().unwrap();
    let whole = std::fs::read(chat_model()).unwrap();
    let cut = home.path().join("cut.gguf");
    std::fs::write(&cut, &whole[..whole.len() - 1000]).unwrap();
    let noise = home.path().join("noise.gguf");
    std::fs::write(&noise, vec![7; 4096]).unwrap();
    let safetensors = home.path().join("model.safetensors");
    let header = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    std::fs::write(&safetensors, [&(header.len() as u64).to_le_bytes(), &header[..], &[0; 4]].concat())
        .unwrap();
    let cases = [
        (cut.display().to_string(), "it is cut short: 98361432 bytes of 98362432"),
        (
            safetensors.display().to_string(),
            "without the `tokenizer.json` and `config.json` that belong beside it",
        ),
        (noise.display().to_string(), "it is no GGUF file"),
        ("no/such/file.gguf".into(), "is no file"),
        ("ftp://example.org/x.gguf".into(), "names no model source"),
        ("https://127.0.0.1:9/x.gguf".into(), "it is not a public address"),
        ("pip:--index-url=x".into(), "names no model source"),
    ];
    for (source, expected) in cases {
        let (ok, output) = lar(home.path(), &["models", "pull", &source]);
        assert!(!ok && output.contains(expected), "{source}: {output}");
    }
    let (_, listed) = lar(home.path(), &["models", "list", "--json"]);
    assert_eq!(listed.trim(), "[]");
    assert_eq!(std::fs::read_dir(home.path().join("data/models/blobs")).unwrap().count(), 0);
}

#[test]
fn a_pull_that_is_killed_registers_nothing_and_can_be_repeated() {
    let home = tempfile::tempdir().unwrap();
    let source = chat_model().display().to_string();
    for delay_ms in [20u64, 60, 120, 200] {
        let mut child = command_at_home(home.path())
            .args(["models", "pull", &source, "--name", "tiny"])
            .stderr(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        let _ = child.kill();
        child.wait().unwrap();
        for manifest in
            std::fs::read_dir(home.path().join("data/models/manifests")).into_iter().flatten().flatten()
        {
            let text = std::fs::read(manifest.path()).unwrap();
            let model: Value = serde_json::from_slice(&text).expect("a manifest that is there is whole");
            let sha = model["files"][0]["sha256"].as_str().unwrap();
            let blob = home.path().join("data/models/blobs").join(format!("sha256-{sha}"));
            assert_eq!(std::fs::metadata(blob).unwrap().len(), 98_362_432);
        }
    }
    assert!(lar(home.path(), &["models", "pull", &source, "--name", "tiny"]).0);
    assert!(lar(home.path(), &["models", "verify", "tiny"]).0);
}

#[test]
fn files_of_other_programs_are_adopted_in_place() {
    let home = tempfile::tempdir().unwrap();
    let link = |path: std::path::PathBuf| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(chat_model(), &path).unwrap();
    };
    let digest = chat_model().file_name().unwrap().to_string_lossy().into_owned();
    let ollama = home.path().join(".ollama/models");
    std::fs::create_dir_all(ollama.join("blobs")).unwrap();
    std::fs::copy(chat_model(), ollama.join("blobs").join(&digest)).unwrap();
    let manifest = ollama.join("manifests/registry.ollama.ai/library/smollm2/135m");
    std::fs::create_dir_all(manifest.parent().unwrap()).unwrap();
    let layer =
        json!({ "mediaType": "application/vnd.ollama.image.model", "digest": digest.replace('-', ":") });
    std::fs::write(manifest, json!({ "layers": [layer] }).to_string()).unwrap();
    link(home.path().join(".lmstudio/models/someone/repo/Other-Model-Q4_1.gguf"));
    let (ok, output) = lar(home.path(), &["models", "adopt"]);
    assert!(
        ok && output.contains("smollm2-135m") && output.contains("Ollama") && output.contains("other-model"),
        "{output}"
    );
    assert!(lar(home.path(), &["models", "adopt"]).1.contains("Nothing new"), "a second time finds nothing");
    let (ok, output) = lar(home.path(), &["models", "rm", "smollm2-135m"]);
    assert!(ok && output.contains("0 B are free again"), "{output}");
    assert!(ollama.join("blobs").join(&digest).is_file(), "the file stays where it is");
}

#[test]
fn a_model_that_cannot_be_loaded_fails_its_tasks_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    let source = chat_model().display().to_string();
    assert!(lar(home.path(), &["models", "pull", &source, "--name", "tiny"]).0);
    // Its header stays whole, so only loading can find out: the type of a tensor that does not exist.
    let blobs = home.path().join("data/models/blobs");
    let blob = std::fs::read_dir(&blobs).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&blob).unwrap();
    let at = bytes.windows(17).position(|window| window == b"token_embd.weight").unwrap();
    bytes[at..at + 5].copy_from_slice(b"wrong");
    std::fs::write(&blob, bytes).unwrap();
    let (ok, output) = lar(home.path(), &["ask", "hello"]);
    assert!(!ok && (output.contains("could not be loaded") || output.contains("cannot read it")), "{output}");
}

#[test]
fn models_that_came_with_lar_are_there_and_only_read() {
    let home = tempfile::tempdir().unwrap();
    let included = lar_tests::models_dir();
    let variables = [("LAR_INCLUDED_MODELS_DIR", included.as_path())];
    let lar = |arguments: &[&str]| lar_with(home.path(), &variables, arguments);
    let (ok, listed) = lar(&["models", "list"]);
    assert!(ok && listed.contains("all-minilm-l6-v2"), "{listed}");
    assert!(lar(&["remember", "The ferry leaves at six."]).0, "its embedder is used");
    let (ok, output) = lar(&["models", "rm", "all-minilm-l6-v2"]);
    assert!(!ok && output.contains("came with Lar and cannot be removed"), "{output}");
    assert!(lar_tests::embedder_file("weights").is_file());
    let source = chat_model().display().to_string();
    let (ok, output) = lar(&["models", "pull", &source, "--name", "tiny"]);
    assert!(ok, "what is installed is beside it: {output}");
    assert_eq!(std::fs::read_dir(home.path().join("data/models/manifests")).unwrap().count(), 1);
    assert!(lar(&["models", "rm", "tiny"]).0);
}
