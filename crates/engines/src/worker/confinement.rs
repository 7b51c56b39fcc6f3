//! What a worker needs of the machine: its model's files, and a GPU's devices where one computes.

use std::path::{Path, PathBuf};

use lar_base::Bytes;
use lar_sandbox::{Confinement, Profile};

use crate::protocol::Load;

/// A worker that holds only a vocabulary may take this much memory: a hostile template is stopped there.
const VOCABULARY_MEMORY_MAX: Bytes = Bytes(2 << 30);

/// What the worker of this model may do.
pub(super) fn of(load: &Load) -> Confinement {
    let mut read = match load {
        Load::Vocabulary { path } | Load::Embedder { path, .. } => parts(path),
        Load::Model { path, draft, .. } => {
            parts(path).into_iter().chain(draft.as_deref().map(parts).unwrap_or_default()).collect()
        }
        Load::Encoder(load) => {
            let files = [&load.weights, &load.tokenizer, &load.config];
            files.into_iter().chain(&load.pooling).cloned().collect()
        }
    };
    let memory_max = match load {
        Load::Vocabulary { .. } => Some(VOCABULARY_MEMORY_MAX),
        Load::Model { .. } | Load::Embedder { .. } | Load::Encoder(_) => load.memory_bytes_max().map(Bytes),
    };
    let computes_on_gpu = cfg!(feature = "gpu") && matches!(load, Load::Model { .. } | Load::Embedder { .. });
    if !computes_on_gpu {
        return Confinement { profile: Profile::Processor, read, memory_max, ..Confinement::default() };
    }
    let graphics = lar_sandbox::graphics();
    read.extend(graphics.read);
    // Drivers map more than they use, so that a limit on memory would stop them.
    Confinement { profile: Profile::Graphics, read, write: graphics.write, ..Confinement::default() }
}

/// Gives up what only loading needed.
pub(super) fn finish_loading(profile: Profile) -> Result<(), String> {
    lar_sandbox::finish_loading(profile).map_err(|missing| missing.to_string())
}

/// A model's file, or all of one that was split: `NAME-00001-of-00003.gguf` and the others beside it.
pub(crate) fn parts(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let whole = name.rsplit_once("-of-").and_then(|(first, _)| first.rsplit_once('-'));
    let Some((stem, _)) = whole else { return vec![path.to_owned()] };
    let folder = path.parent().and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten();
    let beside = folder.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(stem)));
    beside.map(|entry| entry.path()).collect()
}
