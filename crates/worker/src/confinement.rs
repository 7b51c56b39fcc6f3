//! The confinement of a worker: it may read its model's files, and access GPU devices if it computes on one.

use lar_base::Bytes;
use lar_sandbox::{Confinement, Profile};

use lar_inference::protocol::Load;

/// The memory limit of a worker with only a vocabulary, which stops a hostile template.
const VOCABULARY_MEMORY_MAX: Bytes = Bytes(2 << 30);

/// Returns the confinement of a worker for this model.
pub(super) fn of(load: &Load) -> Confinement {
    let mut read = match load {
        Load::Vocabulary { files, .. } | Load::Model { files, .. } | Load::Embedder { files, .. } => {
            files.clone()
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
        return Confinement { profile: Profile::Cpu, read, memory_max, ..Confinement::default() };
    }
    let graphics = lar_sandbox::find_gpu_files();
    read.extend(graphics.read);
    // GPU drivers map more memory than they use, so there is no memory limit.
    Confinement { profile: Profile::Gpu, read, write: graphics.write, ..Confinement::default() }
}

/// Gives up the rights that only loading needs.
pub(super) fn finish_loading(profile: Profile) -> Result<(), String> {
    lar_sandbox::finish_loading(profile).map_err(|missing| missing.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn only_the_named_model_files_are_readable() {
        let named = ["/m/a-00001-of-00002.gguf", "/m/a-00002-of-00002.gguf"].map(PathBuf::from);
        let load = Load::Vocabulary { path: named[0].clone(), files: named.to_vec() };
        let Confinement { profile, read, list, execute, write, .. } = of(&load);
        assert_eq!((profile, read), (Profile::Cpu, named.to_vec()));
        assert!(list.is_empty() && execute.is_empty() && write.is_empty());
    }
}
