//! The paths of the programs and models that tests use.

use std::path::{Path, PathBuf};

/// Returns the folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the path of the `lar` program of this profile.
///
/// # Panics
/// If it was not built: `cargo build --release -p lar`.
#[must_use]
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.ancestors().find(|path| path.join("lar").is_file());
    folder
        .map(|folder| folder.join("lar"))
        .expect("the lar program exists; build it with: cargo build --release -p lar")
}

/// Returns the directory with the starter models.
///
/// # Panics
/// If they were not downloaded: `make models`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the environment names the models of the tests")]
pub fn models_dir() -> PathBuf {
    let named = std::env::var_os("LAR_TEST_MODELS").map(PathBuf::from);
    let directory = named.unwrap_or_else(|| root().join(".build/models"));
    assert!(directory.join("manifests").is_dir(), "the starter models are missing: run make models");
    directory.canonicalize().expect("the directory exists")
}

/// Returns the path of the GGUF file of the starter chat model.
#[must_use]
pub fn chat_model() -> PathBuf {
    models_dir().join("blobs").join("sha256-b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
}

/// Returns the path of a file of the starter embedder by its role in the manifest: `weights`, `tokenizer` or
/// `config`.
///
/// # Panics
/// If there is no such file.
#[must_use]
pub fn embedder_file(role: &str) -> PathBuf {
    let manifest = models_dir().join("manifests/all-minilm-l6-v2.json");
    let text = std::fs::read_to_string(&manifest).expect("the embedder is installed");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("manifests are JSON");
    let files = manifest["files"].as_array().expect("the manifest lists files");
    let file = files.iter().find(|file| file["role"] == role).expect("the manifest has a file of this role");
    let digest = file["sha256"].as_str().expect("the file has a digest");
    models_dir().join("blobs").join(format!("sha256-{digest}"))
}

/// Returns the path of llama.cpp's server.
///
/// # Panics
/// If it was not built: `make llama-server`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the environment may name a llama-server")]
pub fn llama_server() -> PathBuf {
    let named = std::env::var_os("LAR_TEST_LLAMA_SERVER").map(PathBuf::from);
    let program = named.unwrap_or_else(|| root().join(".build/llama-server/llama-server"));
    program.canonicalize().expect("llama-server exists; build it with: make llama-server")
}
