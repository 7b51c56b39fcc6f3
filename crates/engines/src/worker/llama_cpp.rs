//! llama.cpp's C interface made safe: what this worker needs of it and nothing more.
//!
//! Each type owns what llama.cpp made for it and frees it; lifetimes keep a model alive for as long as its
//! contexts and vocabulary are used. Tokens are `u32` here; llama.cpp's -1 for "there is none" is `None`.
//! The `unsafe` of the embedded engine is in this folder.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

mod context;
mod model;
mod sampler;
mod vocab;

pub(super) use context::{Context, ContextOptions, DecodeError, Interrupt};
pub(super) use model::{Model, ModelOptions};
pub(super) use sampler::{Chain, Link};
pub(super) use vocab::Vocab;

use llama_cpp_sys_2 as sys;

/// Starts the library and quietens its log: what is worth telling comes back as errors.
pub(super) fn start() {
    unsafe extern "C" fn ignore(
        _: sys::ggml_log_level,
        _: *const std::ffi::c_char,
        _: *mut std::ffi::c_void,
    ) {
    }
    // SAFETY: the callback takes what llama.cpp gives it and touches none of it; both calls are made once,
    // before any other, by the thread that computes.
    unsafe {
        sys::llama_log_set(Some(ignore), std::ptr::null_mut());
        sys::llama_backend_init();
    }
}

/// llama.cpp's number for a token, position or count.
fn int(value: impl TryInto<i32>) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}
