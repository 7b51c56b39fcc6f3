//! Tests of the decoders with any bytes and any values.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lar_base::TaskId;
use lar_compat::anthropic::{self, Messages};
use lar_compat::llama_cpp::{LlamaCppCompletion, LlamaCppInfill};
use lar_compat::ollama::embed::EmbedPath;
use lar_compat::ollama::{self, OllamaChat, OllamaGenerate};
use lar_compat::openai::chat_completions::ChatCompletions;
use lar_compat::openai::completions::Completions;
use lar_compat::openai::wire::CHAT_FIELDS;
use lar_compat::openai::{embeddings, rerank, responses};
use lar_compat::{Codec, ignored_name};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Any JSON value that is not too large.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,10}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn decode<C: Codec>(body: &[u8]) {
    let _ = C::decode(body, TaskId::new());
}

fn decode_all(body: &[u8]) {
    decode::<ChatCompletions>(body);
    decode::<Completions>(body);
    decode::<Messages>(body);
    decode::<OllamaChat>(body);
    decode::<OllamaGenerate>(body);
    decode::<LlamaCppCompletion>(body);
    decode::<LlamaCppInfill>(body);
    let _ = embeddings::decode(body);
    let _ = rerank::decode(body);
    let _ = responses::decode(body, TaskId::new());
    let _ = anthropic::decode_count(body);
    let _ = ollama::embed::decode(body, EmbedPath::Embed);
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(body in prop::collection::vec(any::<u8>(), 0..256)) {
        decode_all(&body);
    }

    #[test]
    fn any_value_of_any_field_is_decoded_or_refused_by_name(
        at in 0..CHAT_FIELDS.len(),
        value in any_json(),
    ) {
        let name = CHAT_FIELDS[at].name;
        let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] });
        body[name] = value;
        decode_all(body.to_string().as_bytes());
        if let Err(problem) = ChatCompletions::decode(body.to_string().as_bytes(), TaskId::new()) {
            let about = problem.fields.first().map(|field| field.field.clone()).unwrap_or_default();
            let family = about.starts_with(name) || (name.starts_with("max_") && about == "max_tokens");
            prop_assert!(family, "{name}: {problem:?}");
        }
    }

    #[test]
    fn the_name_of_any_ignored_field_fits_a_header(name in ".{0,200}") {
        let ignored = ignored_name(&name);
        let fits = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        prop_assert!(ignored.len() <= 128 && ignored.bytes().all(fits));
        prop_assert_eq!(ignored_name(&ignored), ignored);
    }

    #[test]
    fn decoded_sampling_is_within_bounds(
        temperature in any::<f32>(), top_p in any::<f32>(), seed in any::<i64>(), max in any::<i64>(),
        stop in prop::collection::vec(".{0,8}", 0..40),
    ) {
        let body = json!({
            "model": "m", "messages": [{ "role": "user", "content": "x" }],
            "temperature": temperature, "top_p": top_p, "seed": seed, "max_tokens": max, "stop": stop,
        });
        let body = body.to_string();
        if let Ok(input) = ChatCompletions::decode(body.as_bytes(), TaskId::new()) {
            let sampling = input.request.sampling;
            prop_assert!(sampling.temperature.is_none_or(|value| (0.0..=2.0).contains(&value)));
            prop_assert!(sampling.top_p.is_none_or(|value| (0.0..=1.0).contains(&value)));
            prop_assert!(sampling.stop.len() <= 32 && sampling.stop.iter().all(|text| !text.is_empty()));
            // -1 and numbers beyond 32 bits mean no limit.
            prop_assert!(sampling.tokens_max > 0 || max == -1 || max > i64::from(u32::MAX));
        }
    }
}
