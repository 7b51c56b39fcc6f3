//! A safe interface to llama.cpp's C functions, limited to those that this worker needs.
//!
//! Each type owns what llama.cpp allocated for it and frees it. Lifetimes keep a model alive while its
//! contexts and vocabulary are in use. Tokens are `u32` here; llama.cpp's -1 for "none" is `None`. The
//! `unsafe` code of the embedded engine is in this folder.

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

/// Initializes the library and silences its log: everything useful is in returned errors.
///
/// # Errors
/// This build has its CPU backends in separate libraries, and none of them was found.
pub(super) fn start() -> Result<(), String> {
    unsafe extern "C" fn ignore(
        _: sys::ggml_log_level,
        _: *const std::ffi::c_char,
        _: *mut std::ffi::c_void,
    ) {
    }
    // SAFETY: the callback ignores its arguments; both calls happen once, before any other call, on the
    // computing thread.
    unsafe {
        sys::llama_log_set(Some(ignore), std::ptr::null_mut());
    }
    #[cfg(feature = "portable")]
    portable::load()?;
    // SAFETY: as above.
    unsafe { sys::llama_backend_init() };
    Ok(())
}

/// A portable build has one library of llama.cpp's code for each kind of CPU. The best one that this CPU can
/// run is loaded.
#[cfg(feature = "portable")]
mod portable {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStringExt as _;

    use super::sys;

    /// The folder of the libraries, beside the program.
    const FOLDER: &str = "lib";

    pub(super) fn load() -> Result<(), String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let folder = program.with_file_name(FOLDER);
        let path =
            CString::new(folder.clone().into_os_string().into_vec()).map_err(|error| error.to_string())?;
        // SAFETY: the path ends with a zero byte and outlives the call, which comes before any other use of
        // the library's registry.
        let devices = unsafe {
            sys::ggml_backend_load_all_from_path(path.as_ptr());
            sys::ggml_backend_dev_count()
        };
        if devices == 0 {
            return Err(format!("no libggml-cpu-*.so in {} runs on this CPU", folder.display()));
        }
        Ok(())
    }
}

/// Converts a token, position or count to llama.cpp's integer.
fn int(value: impl TryInto<i32>) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}
