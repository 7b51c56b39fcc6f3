//! Tests of the decoders with recorded bodies of real clients (`tests/attack/bodies`), intact and damaged.
//!
//! Each body is decoded or rejected with a 4xx error in JSON's words, never with a server error. The bodies
//! for MCP and `/bridge` are tool calls.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lar_base::{Problem, TaskId};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use lar_compat::anthropic::Messages;
use lar_compat::llama_cpp::{LlamaCppCompletion, LlamaCppInfill, LlamaCppInput};
use lar_compat::ollama::{OllamaChat, OllamaGenerate};
use lar_compat::openai::chat_completions::ChatCompletions;
use lar_compat::openai::completions::Completions;
use lar_compat::openai::{embeddings, rerank, responses};
use lar_compat::{Codec as _, anthropic, llama_cpp, ollama};

use crate::{bridge, mcp};

/// A decoder that returns its result as text, so that the results of two bodies can be compared.
type Decode = fn(&[u8]) -> Result<String, Problem>;

fn shown<T: std::fmt::Debug>(decoded: Result<T, Problem>) -> Result<String, Problem> {
    decoded.map(|decoded| format!("{decoded:?}"))
}

/// Decodes a body of llama.cpp's `/completion` or `/infill`. Texts in `logit_bias` would need a model.
fn completion(body: &[u8]) -> Result<LlamaCppInput, Problem> {
    match lar_compat::lenient::parse(body)?.get("input_prefix") {
        Some(_) => LlamaCppInfill::decode(body, id()),
        None => LlamaCppCompletion::decode(body, id()),
    }
}

fn id() -> TaskId {
    "task_0193e4b6a1d27c3f8a5b9d0e1f2a3b4c".parse().unwrap()
}

/// The directories with bodies, and the decoder of each.
const APIS: &[(&str, Decode)] = &[
    ("chat", |body| shown(ChatCompletions::decode(body, id()))),
    ("completions", |body| shown(Completions::decode(body, id()))),
    ("embeddings", |body| shown(embeddings::decode(body))),
    ("rerank", |body| shown(rerank::decode(body))),
    ("responses", |body| shown(responses::decode(body, id()))),
    ("input-tokens", |body| shown(responses::decode_to_count(body, id()))),
    ("llama-completion", |body| shown(completion(body))),
    ("infill", |body| shown(completion(body))),
    ("tokenize", |body| shown(llama_cpp::tokens::decode_text(body))),
    ("detokenize", |body| shown(llama_cpp::tokens::decode_tokens(body))),
    ("apply-template", |body| shown(ChatCompletions::decode(body, id()))),
    ("embedding", |body| shown(llama_cpp::embedding::decode(body))),
    ("messages", |body| shown(Messages::decode(body, id()))),
    ("count-tokens", |body| shown(anthropic::decode_count(body))),
    ("ollama-chat", |body| shown(OllamaChat::decode(body, id()))),
    ("ollama-generate", |body| shown(OllamaGenerate::decode(body, id()))),
    ("ollama-embed", |body| shown(ollama::embed::decode(body, ollama::embed::EmbedPath::Embed))),
    ("ollama-embeddings", |body| shown(ollama::embed::decode(body, ollama::embed::EmbedPath::Embeddings))),
    ("ollama-show", |body| shown(ollama::models::decode_name(body))),
    ("ollama-pull", |body| shown(ollama::models::decode_pull(body))),
    ("ollama-delete", |body| shown(ollama::models::decode_name(body))),
    ("mcp", mcp::check_call),
    ("bridge-search", |body| bridge::check("search", body)),
    ("bridge-ingest", |body| bridge::check("smart_ingest", body)),
    ("bridge-memory", |body| bridge::check("memory", body)),
    ("bridge-promote", |body| bridge::check("promote", body)),
];
/// The number of bodies. A test compares it, so that no body is lost unnoticed.
const BODIES: usize = 124;

struct Body {
    name: String,
    bytes: Vec<u8>,
    decode: Decode,
}

fn bodies() -> Vec<Body> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/attack/bodies");
    let mut bodies = Vec::new();
    for (api, decode) in APIS {
        let files = fs::read_dir(root.join(api)).unwrap().map(|entry| entry.unwrap().path());
        let files: BTreeMap<String, Vec<u8>> =
            files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect();
        assert!(!files.is_empty(), "{api}");
        bodies.extend(files.into_iter().map(|(name, bytes)| Body { name, bytes, decode: *decode }));
    }
    bodies
}

/// Counts the values within a value, including itself.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// Returns the value with number `at` within a value, in the order of [`count`].
fn within<'a>(value: &'a mut Value, at: &mut usize) -> Option<&'a mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| within(item, at)),
        Value::Object(members) => members.values_mut().find_map(|member| within(member, at)),
        _ => None,
    }
}

/// Returns a strategy for values that replace parts of a body.
fn damage() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!("")),
        Just(json!([null])),
        Just(json!({ "type": "unknown" })),
        Just(json!(1e308)),
        Just(json!(8.0)),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ]
}

#[test]
fn bodies_of_real_clients_are_decoded() {
    assert_eq!(bodies().len(), BODIES);
    for body in bodies() {
        let decoded = (body.decode)(&body.bytes);
        assert!(decoded.is_ok(), "{}: {decoded:?}", body.name);
    }
}

#[test]
fn number_spelling_and_nulls_make_no_difference() {
    for body in bodies() {
        let mut plain = lar_compat::lenient::parse(&body.bytes).unwrap();
        // Without a seed, `/completion` and `/infill` use a random one.
        let is_llama_cpp = ["/llama-completion/", "/infill/"].iter().any(|api| body.name.contains(api));
        if is_llama_cpp && plain["seed"].as_i64().is_none_or(|seed| seed < 0) {
            plain["seed"] = 7.into();
        }
        let expected = (body.decode)(plain.to_string().as_bytes()).unwrap();
        let mut rewritten = plain;
        for (name, value) in rewritten.as_object_mut().unwrap() {
            let number = value.as_i64().filter(|number| number.abs() < 1 << 50);
            // A JSON-RPC response repeats the id of its request as it was written.
            if let Some(number) = number.filter(|_| name != "id") {
                *value = json!(number as f64);
            }
        }
        for name in ["stop", "seed", "n", "user", "tools", "temperature", "logprobs", "suffix", "top_n"] {
            rewritten.as_object_mut().unwrap().entry(name).or_insert(Value::Null);
        }
        let mut bytes = b"\xef\xbb\xbf".to_vec();
        bytes.extend(rewritten.to_string().into_bytes());
        assert_eq!((body.decode)(&bytes).unwrap(), expected, "{}", body.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn damaged_bodies_are_decoded_or_refused_without_names_of_rust_types(
        body in any::<Index>(), damages in prop::collection::vec((any::<Index>(), damage()), 1..4),
    ) {
        let bodies = bodies();
        let body = body.get(&bodies);
        let mut value = lar_compat::lenient::parse(&body.bytes).unwrap();
        for (at, damage) in damages {
            let mut at = at.index(count(&value));
            if let Some(value_at) = within(&mut value, &mut at) {
                *value_at = damage;
            }
        }
        if let Err(problem) = (body.decode)(value.to_string().as_bytes()) {
            prop_assert!((400..500).contains(&problem.code.status()), "{problem:?}");
            for word in ["expected ", "u32", "i64", "f32", "struct ", "variant", "usize"] {
                prop_assert!(!problem.detail.contains(word), "{}: {}", body.name, problem.detail);
            }
        }
    }

    #[test]
    fn cut_bodies_are_refused(body in any::<Index>(), at in any::<Index>()) {
        let bodies = bodies();
        let body = body.get(&bodies);
        let cut = at.index(body.bytes.trim_ascii_end().len());
        prop_assert!((body.decode)(&body.bytes[..cut]).is_err());
    }
}
