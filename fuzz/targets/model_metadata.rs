//! Fuzzes the parsers of GGUF and safetensors headers.

#![no_main]

use std::io::Cursor;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let size = bytes.len() as u64;
    let _ = lar_catalog::gguf::parse(Cursor::new(bytes), size);
    let _ = lar_catalog::safetensors::parse(&mut Cursor::new(bytes), size);
});
