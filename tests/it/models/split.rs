//! Models split into several files: every file counts and is verified, and files of other programs are found.

use std::path::{Path, PathBuf};

use lar_tests::{chat_model, split_gguf};
use serde_json::{Value, json};

use super::{lar, lar_with};

/// Weights of the starter model.
const PARAMETERS: u64 = 134_515_008;

fn size(paths: &[PathBuf]) -> u64 {
    paths.iter().map(|path| std::fs::metadata(path).unwrap().len()).sum()
}

fn listed(home: &Path) -> Value {
    let (ok, listed) = lar(home, &["models", "list", "--json"]);
    assert!(ok, "{listed}");
    serde_json::from_str(&listed).unwrap()
}

#[test]
fn every_file_of_a_pulled_model_counts_and_is_verified() {
    let home = tempfile::tempdir().unwrap();
    let parts = split_gguf(&chat_model(), home.path(), "Cut-Model-Q4_1", 3);
    let (ok, output) = lar(home.path(), &["models", "pull", &parts[1].display().to_string()]);
    assert!(
        !ok && output.contains("it is file 2 of 3; use the first file: Cut-Model-Q4_1-00001-of-00003.gguf"),
        "{output}"
    );
    let (ok, output) = lar(home.path(), &["models", "pull", &parts[0].display().to_string()]);
    assert!(ok && output.contains("Installed cut-model."), "{output}");
    let found = listed(home.path());
    let facts = ["name", "parameters", "size_bytes", "aliases"].map(|field| found[0][field].clone());
    assert_eq!(
        facts,
        [json!("cut-model"), json!(PARAMETERS), json!(size(&parts)), json!(["default", "small"])]
    );
    let weights = &found[0]["memory"]["weights_bytes"];
    assert_eq!(*weights, json!(size(&parts)), "the estimate of its memory counts all files");

    let (ok, output) = lar(home.path(), &["ask", "Say hello.", "--max-tokens", "16", "--temperature", "0"]);
    assert!(ok, "the model can be loaded: {output}");
    assert!(lar(home.path(), &["models", "verify", "cut-model"]).0);
    let manifest = std::fs::read(home.path().join("data/models/manifests/cut-model.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let roles: Vec<&Value> = manifest["files"].as_array().unwrap().iter().map(|file| &file["role"]).collect();
    assert_eq!(roles, ["weights", "weights_part", "weights_part"]);
    let second = manifest["files"][1]["sha256"].as_str().unwrap();
    let blob = home.path().join("data/models/blobs").join(format!("sha256-{second}"));
    let mut bytes = std::fs::read(&blob).unwrap();
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let (ok, output) = lar(home.path(), &["models", "verify", "cut-model"]);
    assert!(!ok && output.contains(&format!("sha256-{second}")), "{output}");

    assert!(lar(home.path(), &["models", "rm", "cut-model"]).0);
    for folder in ["blobs", "split"] {
        let left = std::fs::read_dir(home.path().join("data/models").join(folder)).unwrap().count();
        assert_eq!(left, 0, "{folder}");
    }
    std::fs::remove_file(&parts[2]).unwrap();
    let (ok, output) = lar(home.path(), &["models", "pull", &parts[0].display().to_string()]);
    assert!(!ok && output.contains("Cut-Model-Q4_1-00003-of-00003.gguf"), "{output}");
    assert_eq!(listed(home.path()), json!([]));
}

#[test]
fn split_models_of_other_programs_are_adopted_where_their_settings_say() {
    let home = tempfile::tempdir().unwrap();
    let at = |path: &str| home.path().join(path);
    // LM Studio's own settings name its folder; an environment variable names the Hugging Face cache.
    let (studio, hub) = (at("disk/studio/someone/repo"), at("disk/hf/hub/models--a--b"));
    for folder in [&studio, &hub.join("blobs"), &hub.join("snapshots/1234"), &at(".lmstudio"), &at("made")] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let settings = json!({ "downloadsFolder": at("disk/studio") }).to_string();
    std::fs::write(at(".lmstudio/settings.json"), settings).unwrap();
    let parts = split_gguf(&chat_model(), &studio, "Studio-Model-Q4_1", 2);
    for (number, part) in split_gguf(&chat_model(), &at("made"), "Hub-Model-Q4_1", 2).iter().enumerate() {
        let blob = hub.join("blobs").join(format!("{number}"));
        std::fs::rename(part, &blob).unwrap();
        let link = hub.join("snapshots/1234").join(part.file_name().unwrap());
        std::os::unix::fs::symlink(Path::new("../../blobs").join(number.to_string()), link).unwrap();
    }
    let environment = [("HF_HOME", at("disk/hf")), ("OLLAMA_MODELS", at("disk/ollama"))];
    let environment: Vec<(&str, &Path)> =
        environment.iter().map(|(name, path)| (*name, path.as_path())).collect();
    let blobs = at("disk/ollama/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let digest = chat_model().file_name().unwrap().to_string_lossy().into_owned();
    std::os::unix::fs::symlink(chat_model(), blobs.join(&digest)).unwrap();
    let manifest = at("disk/ollama/manifests/registry.ollama.ai/library/moved/latest");
    std::fs::create_dir_all(manifest.parent().unwrap()).unwrap();
    let layer =
        json!({ "mediaType": "application/vnd.ollama.image.model", "digest": digest.replace('-', ":") });
    std::fs::write(manifest, json!({ "layers": [layer] }).to_string()).unwrap();

    let (ok, output) = lar_with(home.path(), &environment, &["models", "adopt"]);
    assert!(ok, "{output}");
    let found = listed(home.path());
    let mut facts: Vec<(String, u64, u64)> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|model| {
            let number = |field: &str| model[field].as_u64().unwrap();
            (model["name"].as_str().unwrap().to_owned(), number("parameters"), number("size_bytes"))
        })
        .collect();
    facts.sort();
    let whole = std::fs::metadata(chat_model()).unwrap().len();
    let expected = [("hub-model", size(&parts)), ("moved", whole), ("studio-model", size(&parts))];
    assert_eq!(facts, expected.map(|(name, size)| (name.to_owned(), PARAMETERS, size)));
    assert!(lar_with(home.path(), &environment, &["models", "adopt"]).1.contains("No new models"));

    // A manifest of an older Lar, with only the first file, is repaired.
    let path = at("data/models/manifests/studio-model.json");
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    manifest["files"].as_array_mut().unwrap().truncate(1);
    std::fs::write(&path, manifest.to_string()).unwrap();
    assert!(lar_with(home.path(), &environment, &["models", "adopt"]).1.contains("studio-model"));
    let sizes =
        listed(home.path()).as_array().unwrap().iter().map(|model| model["size_bytes"].as_u64()).max();
    assert_eq!(sizes.flatten(), Some(size(&parts)));

    let changed = &parts[1];
    let mut bytes = std::fs::read(changed).unwrap();
    let last = bytes.len() - 40;
    bytes[last] ^= 1;
    std::fs::write(changed, bytes).unwrap();
    let (ok, output) = lar(home.path(), &["models", "verify", "studio-model"]);
    assert!(!ok && output.contains("Studio-Model-Q4_1-00002-of-00002.gguf"), "{output}");
    let (ok, output) = lar(
        home.path(),
        &["ask", "--model", "hub-model", "Say hello.", "--max-tokens", "16", "--temperature", "0"],
    );
    assert!(ok, "the model can be loaded: {output}");
}
