//! The bodies of OpenAI's requests.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| lar_server::decoders::openai(body));
