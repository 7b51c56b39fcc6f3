//! Loads what a worker is to hold and says what it can do with it: a vocabulary alone, or a model that
//! generates.

use super::cache::Prompt;
use super::generate::Generator;
use super::llama_cpp::{self, ContextOptions, Interrupt, Model, ModelOptions, Vocab};
use super::{Backend, Progress};
use crate::driver::Sampling;
use crate::protocol::Load;

pub(super) fn build() -> String {
    "llama.cpp (embedded)".into()
}

/// Loads what is asked for and runs `work` with it.
pub(super) fn with_backend(
    load: &Load,
    interrupt: Interrupt,
    work: impl FnOnce(&mut dyn Backend) -> Result<(), String>,
) -> Result<(), String> {
    llama_cpp::start();
    let (path, options) = match load {
        Load::Vocabulary { path } => (path, ModelOptions { vocabulary_only: true, gpu_layers: Some(0) }),
        Load::Model { path, compute, .. } => {
            (path, ModelOptions { vocabulary_only: false, gpu_layers: compute.gpu_layers })
        }
    };
    if !path.is_file() {
        return Err("the file is not there".into());
    }
    let model = Model::load(path, options).ok_or(
        "llama.cpp cannot read it: corrupt, cut short, of an unknown architecture, or larger than memory",
    )?;
    match load {
        Load::Vocabulary { .. } => work(&mut VocabularyOnly { vocab: model.vocab() }),
        Load::Model { sequences, context_tokens, compute, .. } => {
            let options = ContextOptions {
                sequences: *sequences,
                context_tokens: *context_tokens,
                batch_tokens: compute.batch_tokens,
                threads: compute.threads,
                threads_batch: compute.threads_batch,
                flash_attention: compute.flash_attention,
                cache_type: compute.cache_type,
                embeddings: false,
                interrupt: interrupt.clone(),
            };
            let context = model
                .context(options)
                .ok_or_else(|| format!("no memory for {sequences} contexts of {context_tokens} tokens"))?;
            work(&mut Generator::new(&model, context, interrupt, load))
        }
    }
}

struct VocabularyOnly<'model> {
    vocab: Vocab<'model>,
}

impl Backend for VocabularyOnly<'_> {
    fn vocab(&self) -> Vocab<'_> {
        self.vocab
    }

    fn start(&mut self, _: u64, _: Prompt, _: Sampling) -> Result<(), String> {
        Err("this worker holds only a vocabulary".into())
    }
    fn credit(&mut self, _: u64, _: u32) {}
    fn cancel(&mut self, _: u64) -> bool {
        false
    }
    fn active(&self) -> u32 {
        0
    }
    fn has_work(&self) -> bool {
        false
    }
    fn step(&mut self, _: &mut dyn FnMut(u64, Progress)) {}
}
