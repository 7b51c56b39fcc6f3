//! GGUF files that other programs already hold: found, described and used where they are, unchanged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Folders below a program's own that are searched; the hub cache is five deep.
const DEPTH_MAX: usize = 8;
/// Files looked at, so that a link to a whole disk ends.
const FILES_MAX: usize = 100_000;

/// Where other programs keep their models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Ollama's `models` folders.
    pub ollama: Vec<PathBuf>,
    /// LM Studio's.
    pub lm_studio: Vec<PathBuf>,
    /// The Hugging Face cache's `hub` folders.
    pub hugging_face: Vec<PathBuf>,
}

impl Places {
    /// The places where these programs keep models by default, for a person with this home directory.
    #[must_use]
    pub fn below(home: &Path) -> Self {
        Self {
            ollama: vec![home.join(".ollama/models"), "/usr/share/ollama/.ollama/models".into()],
            lm_studio: vec![home.join(".lmstudio/models"), home.join(".cache/lm-studio/models")],
            hugging_face: vec![home.join(".cache/huggingface/hub")],
        }
    }
}

/// A model file that another program holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which program, for people.
    pub program: &'static str,
    /// The name that program has for it.
    pub name: String,
    /// Where the file is.
    pub path: PathBuf,
    /// Its digest, where the program knows it.
    pub sha256: Option<String>,
}

/// Every GGUF model that the programs hold, each file once.
pub(crate) fn search(places: &Places) -> Vec<Found> {
    let mut found: BTreeMap<PathBuf, Found> = BTreeMap::new();
    let all = places.ollama.iter().flat_map(|root| ollama(root));
    let all = all.chain(places.lm_studio.iter().flat_map(|root| gguf_files("LM Studio", root)));
    let all = all.chain(places.hugging_face.iter().flat_map(|root| gguf_files("Hugging Face cache", root)));
    for model in all {
        let real = model.path.canonicalize().unwrap_or_else(|_| model.path.clone());
        found.entry(real).or_insert(model);
    }
    found.into_values().collect()
}

/// Ollama keeps manifests (`manifests/HOST/NAMESPACE/NAME/TAG`) that name blobs by digest.
fn ollama(root: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    for path in files(&root.join("manifests")) {
        let Ok(text) = std::fs::read(&path) else { continue };
        let Ok(manifest) = serde_json::from_slice::<Value>(&text) else { continue };
        let layers = manifest["layers"].as_array().into_iter().flatten();
        let mut models = layers.filter(|layer| layer["mediaType"] == "application/vnd.ollama.image.model");
        let digest = models
            .next()
            .and_then(|layer| layer["digest"].as_str())
            .and_then(|text| text.strip_prefix("sha256:"));
        let Some(digest) =
            digest.filter(|text| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()))
        else {
            continue;
        };
        let part = |path: Option<&Path>| {
            path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let (name, tag) = (part(path.parent()), part(Some(&path)));
        let name = if tag == "latest" { name } else { format!("{name}-{tag}") };
        let blob = root.join("blobs").join(format!("sha256-{digest}"));
        if blob.is_file() {
            found.push(Found { program: "Ollama", name, path: blob, sha256: Some(digest.to_owned()) });
        }
    }
    found
}

fn gguf_files(program: &'static str, root: &Path) -> Vec<Found> {
    let gguf =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    // Later parts of a model in several files are read through the first.
    let first_part = |name: &str| name.rsplit_once("-of-").is_none_or(|(start, _)| start.ends_with("-00001"));
    files(root)
        .into_iter()
        .filter(gguf)
        .filter_map(|path| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            let vision = name.to_ascii_lowercase().starts_with("mmproj");
            (first_part(name.trim_end_matches(".gguf")) && !vision).then_some(Found {
                program,
                name,
                path,
                sha256: None,
            })
        })
        .collect()
}

fn files(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![(root.to_owned(), 0)]);
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // Followed: the hub cache is made of links.
            match std::fs::metadata(&path) {
                Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => folders.push((path, depth + 1)),
                Ok(kind) if kind.is_file() && found.len() < FILES_MAX => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}
