//! A model: its weights, mapped or read, and its metadata.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::NonNull;

use super::{Vocab, sys};

/// The longest metadata text that is read, in bytes.
const METADATA_BYTES_MAX: usize = 16 << 10;

/// Options for loading a model.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ModelOptions {
    /// Whether to load only the vocabulary, without weights.
    pub(crate) vocabulary_only: bool,
    /// The number of layers on GPUs; `None` lets llama.cpp choose.
    pub(crate) gpu_layers: Option<u32>,
}

/// A loaded model.
#[derive(Debug)]
pub(crate) struct Model(NonNull<sys::llama_model>);

impl Model {
    /// Loads a GGUF file; `None` if llama.cpp cannot.
    pub(crate) fn load(path: &Path, options: ModelOptions) -> Option<Self> {
        let path = CString::new(path.as_os_str().as_bytes()).ok()?;
        // SAFETY: returns a plain struct.
        let mut params = unsafe { sys::llama_model_default_params() };
        params.vocab_only = options.vocabulary_only;
        if let Some(layers) = options.gpu_layers {
            params.n_gpu_layers = super::int(layers);
        }
        // SAFETY: the path is a C string that outlives the call; the pointers of the default parameters are
        // null.
        NonNull::new(unsafe { sys::llama_model_load_from_file(path.as_ptr(), params) }).map(Self)
    }

    pub(super) fn as_ptr(&self) -> *mut sys::llama_model {
        self.0.as_ptr()
    }

    pub(crate) fn vocab(&self) -> Vocab<'_> {
        // SAFETY: the model is alive, and the vocabulary is part of it.
        Vocab::new(unsafe { sys::llama_model_get_vocab(self.as_ptr()) })
    }

    /// Returns whether the model has a recurrent state, from which no part of the text can be removed.
    pub(crate) fn is_recurrent(&self) -> bool {
        // SAFETY: the model is alive.
        unsafe { sys::llama_model_is_recurrent(self.as_ptr()) || sys::llama_model_is_hybrid(self.as_ptr()) }
    }

    /// Returns whether the model has an encoder and no decoder.
    pub(crate) fn only_encodes(&self) -> bool {
        // SAFETY: the model is alive.
        unsafe { sys::llama_model_has_encoder(self.as_ptr()) && !sys::llama_model_has_decoder(self.as_ptr()) }
    }

    /// Returns the size of an embedding.
    pub(crate) fn embedding_size(&self) -> usize {
        // SAFETY: the model is alive.
        usize::try_from(unsafe { sys::llama_model_n_embd_out(self.as_ptr()) }).unwrap_or(0)
    }

    /// Returns the number of scores of a pair of texts if the model ranks; at least one.
    pub(crate) fn classes(&self) -> usize {
        // SAFETY: the model is alive, and the caller has checked that it ranks.
        (unsafe { sys::llama_model_n_cls_out(self.as_ptr()) } as usize).max(1)
    }

    /// Returns a text of the metadata.
    pub(crate) fn metadata(&self, key: &str) -> Option<String> {
        let key = CString::new(key).ok()?;
        let mut text = vec![0u8; METADATA_BYTES_MAX];
        // SAFETY: writes at most `text.len()` bytes, including a null byte.
        let length = unsafe {
            sys::llama_model_meta_val_str(self.as_ptr(), key.as_ptr(), text.as_mut_ptr().cast(), text.len())
        };
        let length = usize::try_from(length).ok().filter(|length| *length < text.len())?;
        text.truncate(length);
        String::from_utf8(text).ok()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: allocated by llama.cpp and owned here; no borrow of it is left.
        unsafe { sys::llama_model_free(self.as_ptr()) }
    }
}
