//! GGUF files that other programs already hold: found, described and used where they are, unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::split::SplitName;

/// Folders below a program's own that are searched; the hub cache is five deep.
const DEPTH_MAX: usize = 8;
/// Files looked at, so that a link to a whole disk ends.
const FILES_MAX: usize = 100_000;

/// Where other programs keep their models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFolders {
    /// Ollama's `models` folders.
    pub ollama: Vec<PathBuf>,
    /// LM Studio's.
    pub lm_studio: Vec<PathBuf>,
    /// The Hugging Face cache's `hub` folders.
    pub hugging_face: Vec<PathBuf>,
}

/// What a person's environment says of other programs' folders: the variables that those programs read themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFolderSettings {
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `OLLAMA_MODELS`.
    pub ollama_models: Option<PathBuf>,
    /// `HF_HUB_CACHE`, or `HUGGINGFACE_HUB_CACHE`, its older name.
    pub hf_hub_cache: Option<PathBuf>,
    /// `HF_HOME`.
    pub hf_home: Option<PathBuf>,
    /// `XDG_CACHE_HOME`.
    pub xdg_cache_home: Option<PathBuf>,
}

impl ModelFolders {
    /// Where these programs keep models: the folders that the environment and LM Studio's own settings name, and those that
    /// the programs use by default.
    #[must_use]
    pub fn of(settings: &ModelFolderSettings) -> Self {
        let ModelFolderSettings { home, ollama_models, hf_hub_cache, hf_home, xdg_cache_home } = settings;
        let below = |path: &str| home.as_ref().map(|home| home.join(path));
        let ollama = [ollama_models.clone(), below(".ollama/models"), Some(OLLAMA_SERVICE.into())];
        let hugging_face = [
            hf_hub_cache.clone(),
            hf_home.as_ref().map(|folder| folder.join("hub")),
            xdg_cache_home.as_ref().map(|folder| folder.join("huggingface/hub")),
            below(".cache/huggingface/hub"),
        ];
        let lm_studio: Vec<PathBuf> = home.as_deref().map(lm_studio_folders).unwrap_or_default();
        Self {
            ollama: each_once(ollama.into_iter().flatten()),
            lm_studio: each_once(lm_studio.into_iter()),
            hugging_face: each_once(hugging_face.into_iter().flatten()),
        }
    }
}

/// The home of the user that Ollama's installer makes for its service.
const OLLAMA_SERVICE: &str = "/usr/share/ollama/.ollama/models";

/// LM Studio's homes: the one that its pointer file names and the two that it uses by default; of each the folder that its
/// settings name, and `models`.
fn lm_studio_folders(home: &Path) -> Vec<PathBuf> {
    let pointer = std::fs::read_to_string(home.join(".lmstudio-home-pointer")).ok();
    let pointed = pointer.map(|text| PathBuf::from(text.trim())).filter(|path| path.is_absolute());
    let homes = pointed.into_iter().chain([home.join(".lmstudio"), home.join(".cache/lm-studio")]);
    homes
        .flat_map(|home| {
            let settings = std::fs::read(home.join("settings.json")).unwrap_or_default();
            let settings: Value = serde_json::from_slice(&settings).unwrap_or_default();
            let chosen = settings["downloadsFolder"].as_str().map(PathBuf::from);
            chosen.filter(|path| path.is_absolute()).into_iter().chain([home.join("models")])
        })
        .collect()
}

fn each_once(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    paths.filter(|path| seen.insert(path.clone())).collect()
}

/// A model file that another program holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptableModel {
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
pub(crate) fn search(places: &ModelFolders) -> Vec<AdoptableModel> {
    let mut found: BTreeMap<PathBuf, AdoptableModel> = BTreeMap::new();
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
fn ollama(root: &Path) -> Vec<AdoptableModel> {
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
            found.push(AdoptableModel {
                program: "Ollama",
                name,
                path: blob,
                sha256: Some(digest.to_owned()),
            });
        }
    }
    found
}

fn gguf_files(program: &'static str, root: &Path) -> Vec<AdoptableModel> {
    let gguf =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    // Further parts of a model in several files are found through its first.
    let is_first = |name: &str| SplitName::parse(name).is_none_or(|name| name.number == 1);
    files(root)
        .into_iter()
        .filter(gguf)
        .filter_map(|path| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            let vision = name.to_ascii_lowercase().starts_with("mmproj");
            (is_first(&name) && !vision).then_some(AdoptableModel { program, name, path, sha256: None })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_the_environment_and_settings_name_are_searched() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        std::fs::create_dir_all(at(".lmstudio")).unwrap();
        std::fs::create_dir_all(at("moved")).unwrap();
        std::fs::write(at(".lmstudio-home-pointer"), format!("{}\n", at("moved").display())).unwrap();
        std::fs::write(at("moved/settings.json"), r#"{"downloadsFolder":"/big/lm"}"#).unwrap();
        std::fs::write(at(".lmstudio/settings.json"), "not JSON").unwrap();
        let settings = ModelFolderSettings {
            home: Some(home.path().into()),
            ollama_models: Some("/big/ollama".into()),
            hf_hub_cache: Some("/big/hub".into()),
            hf_home: Some("/big/hf".into()),
            xdg_cache_home: Some(at(".cache")),
        };
        let expected = ModelFolders {
            ollama: vec!["/big/ollama".into(), at(".ollama/models"), OLLAMA_SERVICE.into()],
            lm_studio: vec![
                "/big/lm".into(),
                at("moved/models"),
                at(".lmstudio/models"),
                at(".cache/lm-studio/models"),
            ],
            hugging_face: vec!["/big/hub".into(), "/big/hf/hub".into(), at(".cache/huggingface/hub")],
        };
        assert_eq!(ModelFolders::of(&settings), expected);
    }
}
