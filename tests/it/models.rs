//! Models on disk: pulling, adopting and verifying them. A broken or killed pull registers nothing.

mod footprint;
mod pieces;
mod recommended;
mod split;
mod starter;
mod threads;

use std::path::Path;

use lar_tests::offline::{command_at_home, outcome};
use lar_tests::{chat_model, until};
use serde_json::{Value, json};

/// The size of the starter chat model's file.
const BYTES: u64 = 98_362_432;

/// Runs a client command with a home, data directory and models directory of its own.
fn lar(home: &Path, arguments: &[&str]) -> (bool, String) {
    lar_with(home, &[], arguments)
}

/// [`lar`] with these environment variables.
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
    assert!(!ok && output.contains("`default` is an alias of `tiny`; use the model's own name"), "{output}");
    let (ok, output) = lar(home.path(), &["models", "rm", "tiny"]);
    assert!(ok && output.contains("freed 94 MiB"), "{output}");
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
        (cut.display().to_string(), "it is truncated: 98361432 of 98362432 bytes"),
        (safetensors.display().to_string(), "without its `tokenizer.json` and `config.json`"),
        (noise.display().to_string(), "it is not a GGUF file"),
        ("no/such/file.gguf".into(), "is neither a file, a folder nor a name"),
        ("ftp://example.org/x.gguf".into(), "is not a model source"),
        ("https://127.0.0.1:9/x.gguf".into(), "it is not a public address"),
        ("pip:--index-url=x".into(), "is not a model source"),
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
fn a_killed_pull_registers_no_incomplete_model_and_can_be_repeated() {
    let home = tempfile::tempdir().unwrap();
    let source = chat_model().display().to_string();
    let models = home.path().join("data/models");
    let files = |folder: &str| std::fs::read_dir(models.join(folder)).into_iter().flatten().flatten();
    let copied_bytes = || {
        let parts = files("partial").filter(|file| file.path().extension().is_some_and(|end| end == "part"));
        parts.filter_map(|part| part.metadata().ok()).map(|part| part.len()).sum::<u64>()
    };
    // A pull that ends before its moment comes is not killed.
    let moments: [(&str, &dyn Fn() -> bool); 5] = [
        ("the start of the process", &|| true),
        ("the creation of the models directory", &|| models.is_dir()),
        ("the copying of the first bytes", &|| copied_bytes() > 0),
        ("the copying of half of the bytes", &|| copied_bytes() > BYTES / 2),
        ("the move of the file to its place", &|| files("blobs").next().is_some()),
    ];
    for (moment, is_reached) in moments {
        let mut child = command_at_home(home.path())
            .args(["models", "pull", &source, "--name", "tiny"])
            .stderr(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        until(moment, || (is_reached() || child.try_wait().unwrap().is_some()).then_some(()));
        let _ = child.kill();
        child.wait().unwrap();
        for manifest in files("manifests") {
            let text = std::fs::read(manifest.path()).unwrap();
            let model: Value = serde_json::from_slice(&text).expect("every manifest is complete");
            let sha = model["files"][0]["sha256"].as_str().unwrap();
            let blob = models.join("blobs").join(format!("sha256-{sha}"));
            assert_eq!(std::fs::metadata(blob).unwrap().len(), BYTES, "{moment}");
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
    assert!(
        lar(home.path(), &["models", "adopt"]).1.contains("No new models"),
        "a second time finds nothing"
    );
    let (ok, output) = lar(home.path(), &["models", "rm", "smollm2-135m"]);
    assert!(ok && output.contains("freed 0 B"), "{output}");
    assert!(ollama.join("blobs").join(&digest).is_file(), "the file stays where it is");
}

#[test]
fn a_model_that_cannot_be_loaded_fails_its_tasks_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    let source = chat_model().display().to_string();
    assert!(lar(home.path(), &["models", "pull", &source, "--name", "tiny"]).0);
    // The header stays valid, so only loading can find that a tensor is missing.
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
fn included_models_are_usable_and_never_changed() {
    let home = tempfile::tempdir().unwrap();
    let included = lar_tests::models_dir();
    let variables = [("LAR_INCLUDED_MODELS_DIR", included.as_path())];
    let lar = |arguments: &[&str]| lar_with(home.path(), &variables, arguments);
    let (ok, listed) = lar(&["models", "list"]);
    assert!(ok && listed.contains("all-minilm-l6-v2"), "{listed}");
    assert!(lar(&["remember", "The ferry leaves at six."]).0, "the included embedder is used");
    let (ok, output) = lar(&["models", "rm", "all-minilm-l6-v2"]);
    assert!(!ok && output.contains("came with Lar and cannot be removed"), "{output}");
    assert!(lar_tests::embedder_file("weights").is_file());
    let source = chat_model().display().to_string();
    let (ok, output) = lar(&["models", "pull", &source, "--name", "tiny"]);
    assert!(ok, "a model can be installed beside the included ones: {output}");
    assert_eq!(std::fs::read_dir(home.path().join("data/models/manifests")).unwrap().count(), 1);
    assert!(lar(&["models", "rm", "tiny"]).0);
}
