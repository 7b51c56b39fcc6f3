//! Finds GGUF files of other programs, which Lar reads in place and never changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lar_base::files::{KEY_BYTES_MAX, TEXT_BYTES_MAX, read_small, read_small_text};
use serde_json::Value;

use crate::split::SplitName;

/// The maximum depth of the search below a program's folder. The hub cache is five folders deep.
const DEPTH_MAX: usize = 8;
/// The maximum number of files in a search, so that a link to a whole disk does not stall it.
const FILES_MAX: usize = 100_000;

/// The folders in which other programs store their models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFolders {
    /// Folders in the layout of Ollama's `models` folder, with manifests and blobs.
    pub ollama: Vec<PathBuf>,
    /// Folders below which LM Studio stores GGUF files.
    pub lm_studio: Vec<PathBuf>,
    /// The `hub` folders of the Hugging Face cache.
    pub hugging_face: Vec<PathBuf>,
}

/// The environment variables from which other programs take their folders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFolderSettings {
    /// The home directory (`HOME`), which has every program's default folder.
    pub home: Option<PathBuf>,
    /// The `models` folder of Ollama (`OLLAMA_MODELS`); `None` for the default ones.
    pub ollama_models: Option<PathBuf>,
    /// The hub cache of Hugging Face (`HF_HUB_CACHE`, or `HUGGINGFACE_HUB_CACHE`, its older name).
    pub hf_hub_cache: Option<PathBuf>,
    /// The folder of Hugging Face's programs (`HF_HOME`), in which `hub` is the cache.
    pub hf_home: Option<PathBuf>,
    /// The user's cache folder (`XDG_CACHE_HOME`), in which `huggingface/hub` is the cache.
    pub xdg_cache_home: Option<PathBuf>,
}

impl ModelFolders {
    /// Returns the folders that the environment and LM Studio's settings name, and the programs' default
    /// folders.
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

/// The models folder of the user that Ollama's installer creates for its service.
const OLLAMA_SERVICE: &str = "/usr/share/ollama/.ollama/models";

/// Returns LM Studio's model folders.
///
/// Its home is the one that its pointer file names, or one of two defaults. In each home, models are in the
/// folder that the settings name and in `models`.
fn lm_studio_folders(home: &Path) -> Vec<PathBuf> {
    let pointer = read_small_text(&home.join(".lmstudio-home-pointer"), KEY_BYTES_MAX).ok();
    let pointed = pointer.map(|text| PathBuf::from(text.trim())).filter(|path| path.is_absolute());
    let homes = pointed.into_iter().chain([home.join(".lmstudio"), home.join(".cache/lm-studio")]);
    homes
        .flat_map(|home| {
            let settings = read_small(&home.join("settings.json"), TEXT_BYTES_MAX).unwrap_or_default();
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

/// A model file of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptableModel {
    /// The program's name, to show to users.
    pub program: &'static str,
    /// The name that the program shows for the model; Lar's name is derived from it.
    pub name: String,
    /// The path of the GGUF file, which stays in the program's folder.
    pub path: PathBuf,
    /// The file's digest, if the program has it.
    pub sha256: Option<String>,
}

/// Finds every GGUF model of the programs; a file with several paths appears once.
pub(crate) fn search(folders: &ModelFolders) -> Vec<AdoptableModel> {
    let mut found: BTreeMap<PathBuf, AdoptableModel> = BTreeMap::new();
    let all = folders.ollama.iter().flat_map(|root| ollama(root));
    let all = all.chain(folders.lm_studio.iter().flat_map(|root| gguf_files("LM Studio", root)));
    let all = all.chain(folders.hugging_face.iter().flat_map(|root| gguf_files("Hugging Face cache", root)));
    for model in all {
        let real = model.path.canonicalize().unwrap_or_else(|_| model.path.clone());
        found.entry(real).or_insert(model);
    }
    found.into_values().collect()
}

/// Finds the models of Ollama, whose manifests (`manifests/HOST/NAMESPACE/NAME/TAG`) name blobs by digest.
fn ollama(root: &Path) -> Vec<AdoptableModel> {
    let mut found = Vec::new();
    for path in files(&root.join("manifests")) {
        let Ok(text) = read_small(&path, TEXT_BYTES_MAX) else { continue };
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
    // A split model is adopted through its first file.
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
            // Follows links, because the hub cache consists of them.
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
