//! A context: the sequences of a model, and the step that computes them.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::spread::Spread;
use super::{Model, int, sys};
use lar_inference::protocol::CacheType;

/// Requests the interruption of a context's current step. Clones share the request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    is_requested: AtomicBool,
    /// Whether the current step may be interrupted.
    allowed: AtomicBool,
}

impl Interrupt {
    pub(crate) fn request(&self) {
        self.0.is_requested.store(true, Ordering::Release);
    }

    /// Clears the request.
    pub(crate) fn clear(&self) {
        self.0.is_requested.store(false, Ordering::Release);
    }

    pub(crate) fn allow(&self, allowed: bool) {
        self.0.allowed.store(allowed, Ordering::Release);
    }

    /// Tells llama.cpp, between the operations of a step, whether to abort it.
    unsafe extern "C" fn should_abort(flags: *mut c_void) -> bool {
        // SAFETY: the pointer is to the flags that the context owns a share of.
        let flags = unsafe { &*flags.cast::<Flags>() };
        flags.allowed.load(Ordering::Acquire) && flags.is_requested.load(Ordering::Acquire)
    }
}

/// Options for a context.
#[derive(Debug, Clone)]
pub(crate) struct ContextOptions {
    /// The number of sequences that can decode at the same time, at least 1.
    pub(crate) sequences: u32,
    /// The size of the KV cache of each sequence, in tokens.
    pub(crate) context_tokens: u32,
    /// The most tokens in one batch, which is also one piece for the hardware.
    pub(crate) batch_tokens: u32,
    /// The number of threads that decode.
    pub(crate) threads: u32,
    /// The number of threads that prefill.
    pub(crate) threads_batch: u32,
    /// Whether to use flash attention; `None` lets llama.cpp choose.
    pub(crate) flash_attention: Option<bool>,
    /// The number format of the KV cache.
    pub(crate) cache_type: CacheType,
    /// Whether to compute embeddings, pooled as the model defines, instead of logits.
    pub(crate) embeddings: bool,
    /// The switch that another thread uses to abort a step.
    pub(crate) interrupt: Interrupt,
}

/// The reason why a step failed. Unless the variant says otherwise, the sequences of its batch may contain a
/// part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// [`Interrupt::request`] was called.
    #[error("the step was interrupted")]
    Interrupted,
    /// The context has no free memory. The sequences are unchanged.
    #[error("the context has no room for the batch")]
    NoRoom,
    /// Another error, with llama.cpp's number.
    #[error("llama.cpp could not decode ({0})")]
    Failed(i32),
}

/// The sequences of one model.
#[derive(Debug)]
pub(crate) struct Context<'model> {
    context: NonNull<sys::llama_context>,
    vocabulary: usize,
    embedding: usize,
    /// Owned here while llama.cpp may call back with it.
    _interrupt: Interrupt,
    batch: Batch,
    /// The threads that decode and prefill.
    threads: [u32; 2],
    spread: Option<Spread>,
    model: PhantomData<&'model Model>,
}

/// The tokens of a step, in llama.cpp's layout.
#[derive(Debug, Default)]
struct Batch {
    tokens: Vec<i32>,
    positions: Vec<i32>,
    sequences: Vec<i32>,
    outputs: Vec<i8>,
}

impl<'model> Context<'model> {
    /// Makes a context; `None` if there is not enough memory or the model does not support the options.
    pub(crate) fn new(model: &'model Model, options: ContextOptions) -> Option<Self> {
        // SAFETY: returns a plain struct.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = options.context_tokens.saturating_mul(options.sequences);
        params.n_seq_max = options.sequences;
        params.n_batch = options.batch_tokens;
        params.n_ubatch = options.batch_tokens;
        params.n_threads = int(options.threads);
        params.n_threads_batch = int(options.threads_batch);
        params.flash_attn_type = match options.flash_attention {
            None => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
            Some(true) => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            Some(false) => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
        };
        let kept = match options.cache_type {
            CacheType::F16 => sys::GGML_TYPE_F16,
            CacheType::Q8 => sys::GGML_TYPE_Q8_0,
            CacheType::Q4 => sys::GGML_TYPE_Q4_0,
        };
        (params.type_k, params.type_v) = (kept, kept);
        params.embeddings = options.embeddings;
        // Texts of different lengths share one context; each generation has its own.
        params.kv_unified = options.embeddings;
        params.no_perf = true;
        params.abort_callback = Some(Interrupt::should_abort);
        params.abort_callback_data = Arc::as_ptr(&options.interrupt.0).cast_mut().cast();
        // SAFETY: the model outlives the context by `'model`; the callback's data is owned by the context.
        let context = NonNull::new(unsafe { sys::llama_init_from_model(model.as_ptr(), params) })?;
        Some(Self {
            context,
            vocabulary: model.vocab().len() as usize,
            embedding: model.embedding_size(),
            _interrupt: options.interrupt,
            batch: Batch::default(),
            threads: [options.threads, options.threads_batch],
            spread: Spread::new(),
            model: PhantomData,
        })
    }

    /// Sets the threads that decode and prefill, from the next step on.
    pub(crate) fn set_threads(&mut self, single: u32, batch: u32) {
        self.threads = [single, batch];
        // SAFETY: the context is alive and computes nothing.
        unsafe { sys::llama_set_n_threads(self.context.as_ptr(), int(single), int(batch)) };
    }

    fn memory(&self) -> sys::llama_memory_t {
        // SAFETY: the context is alive; the returned memory is part of it, or null if it has none.
        unsafe { sys::llama_get_memory(self.context.as_ptr()) }
    }

    pub(crate) fn batch_clear(&mut self) {
        let Batch { tokens, positions, sequences, outputs } = &mut self.batch;
        tokens.clear();
        positions.clear();
        sequences.clear();
        outputs.clear();
    }

    /// Adds a token to the next step and returns its index in the batch.
    pub(crate) fn batch_add(&mut self, token: u32, position: usize, sequence: i32, output: bool) -> usize {
        self.batch.tokens.push(int(token));
        self.batch.positions.push(int(position));
        self.batch.sequences.push(sequence);
        self.batch.outputs.push(i8::from(output));
        self.batch.tokens.len() - 1
    }

    pub(crate) fn batch_len(&self) -> usize {
        self.batch.tokens.len()
    }

    /// Computes the batch.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub(crate) fn decode(&mut self) -> Result<(), DecodeError> {
        match self.run(sys::llama_decode) {
            0 => Ok(()),
            1 => Err(DecodeError::NoRoom),
            2 => Err(DecodeError::Interrupted),
            other => Err(DecodeError::Failed(other)),
        }
    }

    /// Computes the batch with an encoder, which leaves nothing in the context.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub(crate) fn encode(&mut self) -> Result<(), DecodeError> {
        match self.run(sys::llama_encode) {
            0 => Ok(()),
            other => Err(DecodeError::Failed(other)),
        }
    }

    fn run(
        &mut self,
        function: unsafe extern "C" fn(*mut sys::llama_context, sys::llama_batch) -> i32,
    ) -> i32 {
        let Batch { tokens, positions, sequences, outputs } = &mut self.batch;
        let mut counts = vec![1; tokens.len()];
        let mut lists: Vec<*mut i32> = sequences.iter_mut().map(std::ptr::from_mut).collect();
        let batch = sys::llama_batch {
            n_tokens: int(tokens.len()),
            token: tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: positions.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: lists.as_mut_ptr(),
            logits: outputs.as_mut_ptr(),
        };
        if let Some(spread) = &mut self.spread {
            spread.before_step(self.threads[usize::from(tokens.len() > 1)]);
        }
        // SAFETY: every array has `n_tokens` items and outlives the call, and each list has one item;
        // llama.cpp checks the tokens, positions and sequences.
        unsafe { function(self.context.as_ptr(), batch) }
    }

    /// Returns the logits at an output of the last batch, one number per token of the vocabulary; empty if
    /// there are none.
    pub(crate) fn logits(&self, index: usize) -> &[f32] {
        // SAFETY: llama.cpp checks the index and returns null if it is not an output. The result has one
        // number per token of the vocabulary and is valid until the next step, which needs `&mut self`.
        unsafe {
            let logits = sys::llama_get_logits_ith(self.context.as_ptr(), int(index));
            slice(logits, self.vocabulary)
        }
    }

    /// Returns the pooled vector of a sequence of the last batch, or its scores if the model ranks.
    pub(crate) fn embedding(&self, sequence: i32, scores: Option<usize>) -> &[f32] {
        // SAFETY: null for a sequence that was not in the batch. Otherwise the result has the model's
        // embedding size, or with rank pooling one number per class of the model.
        unsafe {
            let vector = sys::llama_get_embeddings_seq(self.context.as_ptr(), sequence);
            slice(vector, scores.unwrap_or(self.embedding))
        }
    }

    /// Returns whether the model scores pairs of texts instead of computing embeddings.
    pub(crate) fn ranks(&self) -> bool {
        self.pooling() == sys::LLAMA_POOLING_TYPE_RANK
    }

    /// Returns whether a text gets one vector.
    pub(crate) fn pools(&self) -> bool {
        self.pooling() != sys::LLAMA_POOLING_TYPE_NONE
    }

    fn pooling(&self) -> sys::llama_pooling_type {
        // SAFETY: the context is alive.
        unsafe { sys::llama_pooling_type(self.context.as_ptr()) }
    }

    /// Removes the tokens of a sequence from a position on. Returns whether that was possible.
    pub(crate) fn forget(&mut self, sequence: i32, from: usize) -> bool {
        // SAFETY: the context is alive and has a memory; llama.cpp checks the sequence.
        unsafe { sys::llama_memory_seq_rm(self.memory(), sequence, int(from), -1) }
    }

    /// Removes the tokens of all sequences.
    pub(crate) fn forget_all(&mut self) {
        let memory = self.memory();
        if !memory.is_null() {
            // SAFETY: the context is alive and has a memory.
            unsafe { sys::llama_memory_clear(memory, false) };
        }
    }

    /// Removes a range of tokens and shifts the following ones into its place. Returns whether that was
    /// possible.
    pub(crate) fn cut(&mut self, sequence: i32, piece: std::ops::Range<usize>) -> bool {
        let (from, to) = (int(piece.start), int(piece.end));
        // SAFETY: the context is alive and has a memory; the positions are occupied.
        unsafe {
            if !sys::llama_memory_can_shift(self.memory())
                || !sys::llama_memory_seq_rm(self.memory(), sequence, from, to)
            {
                return false;
            }
            sys::llama_memory_seq_add(self.memory(), sequence, to, -1, from - to);
        }
        true
    }

    /// Returns the bytes that the state of a sequence needs in host memory.
    pub(crate) fn state_size(&self, sequence: i32) -> usize {
        // SAFETY: the context is alive.
        unsafe { sys::llama_state_seq_get_size(self.context.as_ptr(), sequence) }
    }

    /// Copies the state of a sequence.
    pub(crate) fn state(&self, sequence: i32) -> Option<Vec<u8>> {
        let mut state = vec![0; self.state_size(sequence)];
        // SAFETY: writes at most `state.len()` bytes.
        let written = unsafe {
            let (context, room) = (self.context.as_ptr(), state.len());
            sys::llama_state_seq_get_data(context, state.as_mut_ptr(), room, sequence)
        };
        (written > 0 && written <= state.len()).then(|| {
            state.truncate(written);
            state
        })
    }

    /// Replaces the content of a sequence with a state that this context returned.
    pub(crate) fn restore(&mut self, state: &[u8], sequence: i32) -> bool {
        // SAFETY: reads at most `state.len()` bytes, which a context of the same model wrote.
        let read = unsafe {
            let context = self.context.as_ptr();
            sys::llama_state_seq_set_data(context, state.as_ptr(), state.len(), sequence)
        };
        read > 0
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: allocated by llama.cpp and owned here; no borrow of it is left.
        unsafe { sys::llama_free(self.context.as_ptr()) }
    }
}

/// Makes a slice of llama.cpp's numbers; empty for a null pointer.
///
/// # Safety
/// `start` is null, or has `length` numbers that nothing writes for as long as the slice lives.
unsafe fn slice<'a>(start: *const f32, length: usize) -> &'a [f32] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: the caller guarantees it.
    unsafe { std::slice::from_raw_parts(start, length) }
}
