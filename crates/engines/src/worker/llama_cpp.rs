//! llama.cpp's C interface made safe: what this worker needs of it and nothing more.
//!
//! Each type owns what llama.cpp made for it and frees it; lifetimes keep a model alive for as long as its
//! contexts and vocabulary are used. Tokens are `u32` here; llama.cpp's -1 for "there is none" is `None`.
//! The `unsafe` of the embedded engine is in this folder.

#![expect(unsafe_code, reason = "listed in xtask/tests/house.rs")]

mod context;
mod model;
mod sampler;
mod spread;
mod vocab;

pub(super) use context::{Context, ContextOptions, DecodeError, Interrupt};
pub(super) use model::{Model, ModelOptions};
pub(super) use sampler::{CandidatesAfter, Chain, Link};
pub(super) use vocab::{TokenKind, Vocab};

use llama_cpp_sys_2 as sys;

/// Starts the library and quietens its log: what is worth telling comes back as errors.
///
/// # Errors
/// When this build computes with libraries beside it and none of them is there.
pub(super) fn start() -> Result<(), String> {
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
    }
    #[cfg(feature = "portable")]
    portable::load()?;
    // SAFETY: as above.
    unsafe { sys::llama_backend_init() };
    Ok(())
}

/// A build for many machines carries llama.cpp's code for each kind of processor in a library of its own; the
/// best that this processor can run is loaded.
#[cfg(feature = "portable")]
mod portable {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStringExt as _;

    use super::sys;

    /// Where the libraries lie, beside the program.
    const FOLDER: &str = "lib";

    pub(super) fn load() -> Result<(), String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let folder = program.with_file_name(FOLDER);
        let path =
            CString::new(folder.clone().into_os_string().into_vec()).map_err(|error| error.to_string())?;
        // SAFETY: the path ends with a zero and lives through the call, which comes before any other use of
        // the library's registry.
        let devices = unsafe {
            sys::ggml_backend_load_all_from_path(path.as_ptr());
            sys::ggml_backend_dev_count()
        };
        if devices == 0 {
            return Err(format!("no libggml-cpu-*.so for this processor is in {}", folder.display()));
        }
        Ok(())
    }
}

/// llama.cpp's number for a token, position or count.
fn int(value: impl TryInto<i32>) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}
