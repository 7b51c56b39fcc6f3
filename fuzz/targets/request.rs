//! Fuzzes the decoders of request bodies of the compatible APIs.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    lar_server::decoders::openai(body);
    lar_server::decoders::anthropic(body);
    lar_server::decoders::ollama(body);
});
