//! Fuzzes the decoders of request bodies of the compatible APIs.

#![no_main]

use lar_base::TaskId;
use lar_compat::Codec;
use lar_compat::anthropic::{self, Messages};
use lar_compat::llama_cpp::{BiasTarget, LlamaCppCompletion, LlamaCppInfill, LlamaCppInput};
use lar_compat::ollama::embed::EmbedPath;
use lar_compat::ollama::{self, OllamaChat, OllamaGenerate};
use lar_compat::openai::chat_completions::ChatCompletions;
use lar_compat::openai::completions::Completions;
use lar_compat::openai::{embeddings, rerank, responses};

fn decode<C: Codec>(body: &[u8]) -> Option<C::Input> {
    C::decode(body, TaskId::new()).ok()
}

/// Sets the biases of a request's tokens. Its texts would need a model.
fn set_logit_bias(mut input: LlamaCppInput) {
    let ids = std::mem::take(&mut input.biases).into_iter().filter_map(|entry| match entry.target {
        BiasTarget::Token(id) => Some((id, entry.bias)),
        BiasTarget::Text(_) => None,
    });
    let _ = input.set_logit_bias(ids);
}

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    decode::<ChatCompletions>(body);
    decode::<Completions>(body);
    decode::<Messages>(body);
    decode::<OllamaChat>(body);
    decode::<OllamaGenerate>(body);
    decode::<LlamaCppCompletion>(body).into_iter().for_each(set_logit_bias);
    decode::<LlamaCppInfill>(body).into_iter().for_each(set_logit_bias);
    let _ = embeddings::decode(body);
    let _ = responses::decode(body, TaskId::new());
    let _ = rerank::decode(body);
    let _ = anthropic::decode_count(body);
    let _ = ollama::embed::decode(body, EmbedPath::Embed);
});
