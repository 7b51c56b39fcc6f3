//! Fuzzes the decoders of worker protocol frames in both directions, as a broken or hostile peer could send
//! them.

#![no_main]

use lar_inference::protocol::{FromWorker, ToWorker, decode, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = decode::<FromWorker>(bytes);
    let _ = decode::<ToWorker>(bytes);
    let mut socket = bytes;
    while let Ok(Some(_)) = read::<FromWorker>(&mut socket) {}
});
