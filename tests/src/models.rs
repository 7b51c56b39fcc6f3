//! Where the real parts are.

use std::path::{Path, PathBuf};

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The `lar` program of this profile.
///
/// # Panics
/// When it was not built: `cargo build --release -p lar`.
#[must_use]
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.ancestors().find(|path| path.join("lar").is_file());
    folder.map(|folder| folder.join("lar")).expect("the lar program is built: cargo build --release -p lar")
}

/// The directory with the starter models.
///
/// # Panics
/// When they were not fetched: `make models`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests are told of their models by the environment")]
pub fn models_dir() -> PathBuf {
    let named = std::env::var_os("LAR_TEST_MODELS").map(PathBuf::from);
    let directory = named.unwrap_or_else(|| root().join(".build/models"));
    assert!(directory.join("manifests").is_dir(), "the starter models are there: make models");
    directory.canonicalize().expect("the directory can be found")
}

/// The starter chat model's GGUF file.
#[must_use]
pub fn chat_model() -> PathBuf {
    models_dir().join("blobs").join("sha256-b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
}

/// A file of the starter embedder, by its role in the manifest: `weights`, `tokenizer` or `config`.
///
/// # Panics
/// When there is no such file.
#[must_use]
pub fn embedder_file(role: &str) -> PathBuf {
    let manifest = models_dir().join("manifests/all-minilm-l6-v2.json");
    let text = std::fs::read_to_string(&manifest).expect("the embedder is installed");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("manifests are JSON");
    let files = manifest["files"].as_array().expect("it lists its files");
    let file = files.iter().find(|file| file["role"] == role).expect("it has a file of this role");
    models_dir().join("blobs").join(format!("sha256-{}", file["sha256"].as_str().expect("it has a digest")))
}

/// llama.cpp's own server.
///
/// # Panics
/// When it was not built: `make llama-server`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests are told of a llama-server by the environment")]
pub fn llama_server() -> PathBuf {
    let named = std::env::var_os("LAR_TEST_LLAMA_SERVER").map(PathBuf::from);
    let program = named.unwrap_or_else(|| root().join(".build/llama-server/llama-server"));
    program.canonicalize().expect("llama-server is built: make llama-server")
}
