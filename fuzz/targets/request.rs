//! Fuzzes the decoders of request bodies of the compatible APIs.

#![no_main]

use lar_base::TaskId;
use lar_compat::ollama::embed::EmbedPath;
use lar_compat::openai::{chat_completions, completions, embeddings, rerank, responses};
use lar_compat::{anthropic, llama_cpp, ollama};

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let _ = chat_completions::decode(body, TaskId::new());
    let _ = completions::decode(body, TaskId::new());
    let _ = embeddings::decode(body);
    let _ = responses::decode(body, TaskId::new());
    let _ = rerank::decode(body);
    let _ = anthropic::decode(body, TaskId::new());
    let _ = anthropic::decode_count(body);
    let _ = ollama::chat::decode(body, TaskId::new());
    let _ = ollama::generate::decode(body, TaskId::new());
    let _ = ollama::embed::decode(body, EmbedPath::Embed);
    for is_infill in [false, true] {
        if let Ok(undecoded) = llama_cpp::UndecodedCompletion::read(body, is_infill) {
            let _ = undecoded.decode(TaskId::new());
        }
    }
});
