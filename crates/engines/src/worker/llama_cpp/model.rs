//! A model: its weights, mapped or read, and what it says of itself.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::NonNull;

use super::{Context, ContextOptions, Vocab, sys};

/// Longer texts of the metadata are not read.
const METADATA_BYTES_MAX: usize = 16 << 10;

/// How to load a model.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::worker) struct ModelOptions {
    /// Only the vocabulary, no weights.
    pub(in crate::worker) vocabulary_only: bool,
    /// Layers on GPUs; `None` is as many as llama.cpp puts there by itself.
    pub(in crate::worker) gpu_layers: Option<u32>,
}

/// A loaded model.
#[derive(Debug)]
pub(in crate::worker) struct Model(NonNull<sys::llama_model>);

impl Model {
    /// Loads a GGUF file; `None` when llama.cpp cannot.
    pub(in crate::worker) fn load(path: &Path, options: ModelOptions) -> Option<Self> {
        let path = CString::new(path.as_os_str().as_bytes()).ok()?;
        // SAFETY: returns a plain struct.
        let mut params = unsafe { sys::llama_model_default_params() };
        params.vocab_only = options.vocabulary_only;
        if let Some(layers) = options.gpu_layers {
            params.n_gpu_layers = super::int(layers);
        }
        // SAFETY: the path is a C string that outlives the call; the defaults' pointers are null.
        NonNull::new(unsafe { sys::llama_model_load_from_file(path.as_ptr(), params) }).map(Self)
    }

    pub(super) fn as_ptr(&self) -> *mut sys::llama_model {
        self.0.as_ptr()
    }

    pub(in crate::worker) fn vocab(&self) -> Vocab<'_> {
        // SAFETY: the model is alive, and the vocabulary is part of it.
        Vocab::new(unsafe { sys::llama_model_get_vocab(self.as_ptr()) })
    }

    /// Whether it keeps a state that cannot forget a part of what was read.
    pub(in crate::worker) fn is_recurrent(&self) -> bool {
        // SAFETY: the model is alive.
        unsafe { sys::llama_model_is_recurrent(self.as_ptr()) || sys::llama_model_is_hybrid(self.as_ptr()) }
    }

    /// Whether texts go through an encoder (and there is no decoder to generate with).
    pub(in crate::worker) fn only_encodes(&self) -> bool {
        // SAFETY: the model is alive.
        unsafe { sys::llama_model_has_encoder(self.as_ptr()) && !sys::llama_model_has_decoder(self.as_ptr()) }
    }

    /// Numbers in an embedding.
    pub(in crate::worker) fn embedding_size(&self) -> usize {
        // SAFETY: the model is alive.
        usize::try_from(unsafe { sys::llama_model_n_embd_out(self.as_ptr()) }).unwrap_or(0)
    }

    /// Scores that a pair of texts gets, where the model ranks; one at least.
    pub(in crate::worker) fn classes(&self) -> usize {
        // SAFETY: the model is alive, and the caller has seen that it ranks.
        (unsafe { sys::llama_model_n_cls_out(self.as_ptr()) } as usize).max(1)
    }

    /// A text of its metadata.
    pub(in crate::worker) fn metadata(&self, key: &str) -> Option<String> {
        let key = CString::new(key).ok()?;
        let mut text = vec![0u8; METADATA_BYTES_MAX];
        // SAFETY: writes at most `text.len()` bytes, a null byte among them.
        let length = unsafe {
            sys::llama_model_meta_val_str(self.as_ptr(), key.as_ptr(), text.as_mut_ptr().cast(), text.len())
        };
        let length = usize::try_from(length).ok().filter(|length| *length < text.len())?;
        text.truncate(length);
        String::from_utf8(text).ok()
    }

    /// A context; `None` when there is no memory for it or the model cannot be run so.
    pub(in crate::worker) fn context(&self, options: ContextOptions) -> Option<Context<'_>> {
        Context::new(self, options)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: made by llama.cpp, owned here; nothing that borrows it is left.
        unsafe { sys::llama_model_free(self.as_ptr()) }
    }
}
