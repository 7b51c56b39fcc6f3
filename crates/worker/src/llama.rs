//! Loads the worker's model and selects its backend: a vocabulary alone, a model that generates, or one that
//! computes embeddings or scores.

use super::autotune;
use super::backend::Backend;
use super::draft::Drafter;
use super::embed::{self, Embedder};
use super::generate::Generator;
use super::llama_cpp::{Context, ContextOptions, Interrupt, Model, ModelOptions, Vocab};
use super::tokenize::Tokenizer;
use lar_base::Bytes;
use lar_inference::protocol::{CacheType, Compute, Load, TuningResult};

pub(super) fn build() -> String {
    "llama.cpp (embedded)".into()
}

/// Loads the model and runs `work` with its backend.
pub(super) fn with_backend(
    load: &Load,
    interrupt: Interrupt,
    work: impl for<'model> FnOnce(&mut dyn Backend, LoadReport<'model>) -> Result<(), String>,
) -> Result<(), String> {
    let path = load.path();
    // Opened instead of checked with `stat`, which a confined process may not call.
    if let Err(error) = std::fs::File::open(path) {
        return Err(match error.kind() {
            std::io::ErrorKind::NotFound => "the file does not exist".into(),
            _ => format!("the file cannot be opened: {error}"),
        });
    }
    let options = match load {
        Load::Vocabulary { .. } | Load::Encoder(_) => {
            ModelOptions { vocabulary_only: true, gpu_layers: Some(0) }
        }
        Load::Model { compute, .. } | Load::Embedder { compute, .. } => options_of(compute),
    };
    let limit = load.memory_bytes_max().map_or_else(String::new, |bytes| {
        format!(" (the worker's limit is {} besides the mapped file)", Bytes(bytes))
    });
    let model = Model::load(path, options).ok_or_else(|| {
        format!(
            "llama.cpp cannot load it: it is corrupt or incomplete, of an unknown architecture, or larger \
             than memory{limit}"
        )
    })?;
    match load {
        Load::Vocabulary { .. } => {
            let tokenizer = Some(Tokenizer::new(model.vocab()));
            let loaded = LoadReport { tokenizer, ..LoadReport::default() };
            work(&mut VocabularyOnly { vocab: model.vocab() }, loaded)
        }
        Load::Encoder(_) => Err("llama.cpp does not support this kind of model".into()),
        Load::Model { sequences, context_tokens, compute, tuning, draft, .. } => {
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
            let mut context = Context::new(&model, options).ok_or_else(|| {
                format!("not enough memory for {sequences} contexts of {context_tokens} tokens{limit}")
            })?;
            let tuned = match tuning.as_ref().filter(|tuning| tuning.known.is_none()) {
                None => None,
                Some(tuning) => {
                    let tuned = autotune::tune(&mut context, compute, tuning, model.vocab().len());
                    Some(tuned.map_err(|error| format!("the model cannot compute: {error}"))?)
                }
            };
            let small = draft.as_deref().and_then(|path| Model::load(path, options_of(compute)));
            let drafter = match (draft, &small) {
                (None, _) => None,
                (Some(_), None) => Some(Err("llama.cpp cannot load it".to_owned())),
                (Some(_), Some(small)) => Some(Drafter::new(small, &model, compute, *context_tokens)),
            };
            let (drafter, draft_refused) = match drafter {
                None => (None, None),
                Some(Ok(drafter)) => (Some(drafter), None),
                Some(Err(reason)) => (None, Some(reason)),
            };
            let mut generator = Generator::new(&model, context, interrupt, load, tuned, drafter);
            work(&mut generator, LoadReport { tuned, draft_refused, tokenizer: None })
        }
        Load::Embedder { tokens_max, compute, .. } => {
            let options = ContextOptions {
                sequences: embed::SEQUENCES,
                // All texts of a batch share it.
                context_tokens: tokens_max.max(&compute.batch_tokens).div_ceil(embed::SEQUENCES),
                batch_tokens: (*tokens_max).max(compute.batch_tokens),
                threads: compute.threads,
                threads_batch: compute.threads_batch,
                flash_attention: compute.flash_attention,
                cache_type: CacheType::F16,
                embeddings: true,
                interrupt,
            };
            let context = Context::new(&model, options)
                .ok_or_else(|| format!("not enough memory for texts of {tokens_max} tokens{limit}"))?;
            work(&mut Embedder::new(&model, context, load)?, LoadReport::default())
        }
    }
}

/// The results of a load other than the model itself.
#[derive(Default)]
pub(super) struct LoadReport<'model> {
    pub(super) tuned: Option<TuningResult>,
    /// The reason why the draft model is not used.
    pub(super) draft_refused: Option<String>,
    /// The tokenizer for prompts, if only the vocabulary was loaded.
    pub(super) tokenizer: Option<Tokenizer<'model>>,
}

fn options_of(compute: &Compute) -> ModelOptions {
    ModelOptions { vocabulary_only: false, gpu_layers: compute.gpu_layers }
}

struct VocabularyOnly<'model> {
    vocab: Vocab<'model>,
}

impl Backend for VocabularyOnly<'_> {
    fn vocab(&self) -> Vocab<'_> {
        self.vocab
    }
}
