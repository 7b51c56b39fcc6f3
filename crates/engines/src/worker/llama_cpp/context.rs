//! A context: the sequences that a model reads and writes, and the step that computes them.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::spread::Spread;
use super::{Model, int, sys};
use crate::protocol::CacheType;

/// Asks a context to break off the step that it computes. Clones ask the same.
#[derive(Debug, Clone, Default)]
pub(in crate::worker) struct Interrupt(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    is_requested: AtomicBool,
    /// Whether the present step may be broken off.
    allowed: AtomicBool,
}

impl Interrupt {
    pub(in crate::worker) fn request(&self) {
        self.0.is_requested.store(true, Ordering::Release);
    }

    /// What was asked for is looked after.
    pub(in crate::worker) fn clear(&self) {
        self.0.is_requested.store(false, Ordering::Release);
    }

    pub(in crate::worker) fn allow(&self, allowed: bool) {
        self.0.allowed.store(allowed, Ordering::Release);
    }

    /// Asked by llama.cpp between the operations of a step.
    unsafe extern "C" fn should_abort(flags: *mut c_void) -> bool {
        // SAFETY: points to the flags that the context holds a share of.
        let flags = unsafe { &*flags.cast::<Flags>() };
        flags.allowed.load(Ordering::Acquire) && flags.is_requested.load(Ordering::Acquire)
    }
}

/// What a context is to be.
#[derive(Debug, Clone)]
pub(in crate::worker) struct ContextOptions {
    /// Sequences.
    pub(in crate::worker) sequences: u32,
    /// Tokens of each.
    pub(in crate::worker) context_tokens: u32,
    /// Tokens in one batch at most, and in one piece for the hardware.
    pub(in crate::worker) batch_tokens: u32,
    /// Threads that compute single tokens.
    pub(in crate::worker) threads: u32,
    /// Threads that compute prompts.
    pub(in crate::worker) threads_batch: u32,
    /// Whether attention is computed in one pass without its matrix in memory; `None` lets llama.cpp choose.
    pub(in crate::worker) flash_attention: Option<bool>,
    /// How what was read is kept.
    pub(in crate::worker) cache_type: CacheType,
    /// Makes vectors of texts, pooled as the model says, instead of tokens.
    pub(in crate::worker) embeddings: bool,
    /// Breaks steps off.
    pub(in crate::worker) interrupt: Interrupt,
}

/// Why a step came to nothing. Sequences in its batch may hold a part of it, unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::worker) enum DecodeError {
    /// [`Interrupt::request`] was called.
    #[error("it was broken off")]
    Interrupted,
    /// No memory was left in the context; the sequences are as before.
    #[error("the context has no room for the batch")]
    NoRoom,
    /// Anything else, by llama.cpp's number.
    #[error("llama.cpp could not decode ({0})")]
    Failed(i32),
}

/// Sequences of one model.
#[derive(Debug)]
pub(in crate::worker) struct Context<'model> {
    context: NonNull<sys::llama_context>,
    vocabulary: usize,
    embedding: usize,
    /// Kept while llama.cpp may ask it.
    _interrupt: Interrupt,
    batch: Batch,
    /// Threads for single tokens and for prompts.
    threads: [u32; 2],
    spread: Option<Spread>,
    model: PhantomData<&'model Model>,
}

/// A step's tokens, as llama.cpp wants them.
#[derive(Debug, Default)]
struct Batch {
    tokens: Vec<i32>,
    positions: Vec<i32>,
    sequences: Vec<i32>,
    outputs: Vec<i8>,
}

impl<'model> Context<'model> {
    pub(super) fn new(model: &'model Model, options: ContextOptions) -> Option<Self> {
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
        // Texts of different lengths share one context; answers have one each.
        params.kv_unified = options.embeddings;
        params.no_perf = true;
        params.abort_callback = Some(Interrupt::should_abort);
        params.abort_callback_data = Arc::as_ptr(&options.interrupt.0).cast_mut().cast();
        // SAFETY: the model is alive and outlives the context by `'model`; the callback's data is kept in it.
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

    /// Threads for single tokens and for prompts, from the next step on.
    pub(in crate::worker) fn set_threads(&mut self, single: u32, batch: u32) {
        self.threads = [single, batch];
        // SAFETY: the context is alive and computes nothing.
        unsafe { sys::llama_set_n_threads(self.context.as_ptr(), int(single), int(batch)) };
    }

    fn memory(&self) -> sys::llama_memory_t {
        // SAFETY: the context is alive; what is returned is part of it, null where it has none.
        unsafe { sys::llama_get_memory(self.context.as_ptr()) }
    }

    pub(in crate::worker) fn batch_clear(&mut self) {
        let Batch { tokens, positions, sequences, outputs } = &mut self.batch;
        tokens.clear();
        positions.clear();
        sequences.clear();
        outputs.clear();
    }

    /// Adds a token to the next step and returns its place in it.
    pub(in crate::worker) fn batch_add(
        &mut self,
        token: u32,
        position: usize,
        sequence: i32,
        output: bool,
    ) -> usize {
        self.batch.tokens.push(int(token));
        self.batch.positions.push(int(position));
        self.batch.sequences.push(sequence);
        self.batch.outputs.push(i8::from(output));
        self.batch.tokens.len() - 1
    }

    pub(in crate::worker) fn batch_len(&self) -> usize {
        self.batch.tokens.len()
    }

    /// Computes the batch.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub(in crate::worker) fn decode(&mut self) -> Result<(), DecodeError> {
        match self.run(sys::llama_decode) {
            0 => Ok(()),
            1 => Err(DecodeError::NoRoom),
            2 => Err(DecodeError::Interrupted),
            other => Err(DecodeError::Failed(other)),
        }
    }

    /// Computes the batch with an encoder, which keeps nothing of it.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub(in crate::worker) fn encode(&mut self) -> Result<(), DecodeError> {
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
        // SAFETY: every array has `n_tokens` items and lives through the call, each list one; llama.cpp checks
        // tokens, positions and sequences.
        unsafe { function(self.context.as_ptr(), batch) }
    }

    /// What the model computed for a place of the last batch that was an output, one number per token of the
    /// vocabulary; empty when there is nothing.
    pub(in crate::worker) fn logits(&self, index: usize) -> &[f32] {
        // SAFETY: llama.cpp checks the place and returns null for one that is no output; what it returns has as
        // many numbers as the vocabulary has tokens and stays until the next step, which needs `&mut self`.
        unsafe {
            let logits = sys::llama_get_logits_ith(self.context.as_ptr(), int(index));
            slice(logits, self.vocabulary)
        }
    }

    /// The pooled vector of a sequence of the last batch, or its scores where the model ranks.
    pub(in crate::worker) fn embedding(&self, sequence: i32, scores: Option<usize>) -> &[f32] {
        // SAFETY: null for a sequence that was not in the batch; else the model's embedding size, or with rank
        // pooling as many numbers as the model has classes.
        unsafe {
            let vector = sys::llama_get_embeddings_seq(self.context.as_ptr(), sequence);
            slice(vector, scores.unwrap_or(self.embedding))
        }
    }

    /// Whether the model scores pairs of texts rather than placing texts in a space.
    pub(in crate::worker) fn ranks(&self) -> bool {
        self.pooling() == sys::LLAMA_POOLING_TYPE_RANK
    }

    /// Whether a text has one vector.
    pub(in crate::worker) fn pools(&self) -> bool {
        self.pooling() != sys::LLAMA_POOLING_TYPE_NONE
    }

    fn pooling(&self) -> sys::llama_pooling_type {
        // SAFETY: the context is alive.
        unsafe { sys::llama_pooling_type(self.context.as_ptr()) }
    }

    /// Forgets what a sequence holds from a position on; says whether it could.
    pub(in crate::worker) fn forget(&mut self, sequence: i32, from: usize) -> bool {
        // SAFETY: the context is alive and has a memory; llama.cpp checks the sequence.
        unsafe { sys::llama_memory_seq_rm(self.memory(), sequence, int(from), -1) }
    }

    /// Forgets everything.
    pub(in crate::worker) fn forget_all(&mut self) {
        let memory = self.memory();
        if !memory.is_null() {
            // SAFETY: the context is alive and has a memory.
            unsafe { sys::llama_memory_clear(memory, false) };
        }
    }

    /// Forgets a piece in the middle and moves what follows into its place; says whether it could.
    pub(in crate::worker) fn cut(&mut self, sequence: i32, piece: std::ops::Range<usize>) -> bool {
        let (from, to) = (int(piece.start), int(piece.end));
        // SAFETY: the context is alive and has a memory; the positions were read.
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

    /// Bytes that a sequence's state takes in host memory.
    pub(in crate::worker) fn state_size(&self, sequence: i32) -> usize {
        // SAFETY: the context is alive.
        unsafe { sys::llama_state_seq_get_size(self.context.as_ptr(), sequence) }
    }

    /// A copy of a sequence's state.
    pub(in crate::worker) fn state(&self, sequence: i32) -> Option<Vec<u8>> {
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

    /// Puts a state, which this context gave, into a sequence in place of what that holds.
    pub(in crate::worker) fn restore(&mut self, state: &[u8], sequence: i32) -> bool {
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
        // SAFETY: made by llama.cpp, owned here; nothing that borrows it is left.
        unsafe { sys::llama_free(self.context.as_ptr()) }
    }
}

/// # Safety
/// `start` is null, or has `length` numbers that nothing writes for as long as the slice lives.
unsafe fn slice<'a>(start: *const f32, length: usize) -> &'a [f32] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: as the caller owes.
    unsafe { std::slice::from_raw_parts(start, length) }
}
