//! The encoder computes the same vectors as candle's own BERT, with the real model and with generated ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{bert, xlm_roberta};
use lar_base::{Bytes, KeyId};
use lar_engines::driver::{Ability, Driver};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_engines::encoder::{Encoder, EncoderOptions};
use lar_inference::Embeddings;
use lar_inference::protocol::Compute;
use lar_tests::generated_models::{POOLING_MEAN, cross_encoder, gguf_embedder};
use lar_tests::{ProcessMemory, embedder_file, program};
use tokenizers::Tokenizer;

fn options() -> EncoderOptions {
    EncoderOptions {
        program: program(),
        memory_max: Some(Bytes::mib(1500)),
        confinement: ConfinementPolicy::BestEffort,
        ranks: false,
        weights: embedder_file("weights"),
        tokenizer: embedder_file("tokenizer"),
        config: embedder_file("config"),
        pooling: None,
        tokens_max: 256,
        threads: 2,
    }
}

async fn embed(options: EncoderOptions, texts: &[String]) -> Embeddings {
    let encoder = Encoder::new(options);
    encoder.load().await.unwrap();
    encoder.embed(texts.to_vec(), None).await.unwrap()
}

fn texts() -> Vec<String> {
    let long = "The quick brown fox jumps over the lazy dog near the bank of the river. ".repeat(40);
    let mut texts = vec![
        "a cat".to_owned(),
        String::new(),
        "Wie wird das Wetter morgen in Zürich?".into(),
        "🦉 emoji, \u{202e} and 漢字".into(),
        long,
    ];
    texts.extend((1..40).map(|words| vec!["memory"; words].join(" ")));
    texts
}

fn ids(tokenizer: &Path, text: &str, tokens_max: usize) -> Tensor {
    let mut tokenizer = Tokenizer::from_file(tokenizer).unwrap();
    let truncation = tokenizers::TruncationParams { max_length: tokens_max, ..Default::default() };
    tokenizer.with_truncation(Some(truncation)).unwrap();
    tokenizer.with_padding(None);
    let ids = tokenizer.encode(text, true).unwrap().get_ids().to_vec();
    Tensor::new(ids.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_equal_those_of_candle() {
    let found = embed(options(), &texts()).await;
    let config = std::fs::read_to_string(embedder_file("config")).unwrap();
    let config: bert::Config = serde_json::from_str(&config).unwrap();
    let weights = std::fs::read(embedder_file("weights")).unwrap();
    let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu).unwrap();
    let model = bert::BertModel::load(weights, &config).unwrap();
    for ((text, vector), own) in texts().iter().zip(&found.vectors).zip(&found.lengths) {
        let ids = ids(&embedder_file("tokenizer"), text, 256);
        let states = model.forward(&ids, &ids.zeros_like().unwrap(), None).unwrap();
        let mean: Vec<f32> = states.mean(1).unwrap().squeeze(0).unwrap().to_vec1().unwrap();
        assert!(cosine(vector, &mean) >= 0.99999, "{text}: {}", cosine(vector, &mean));
        let length: f32 = vector.iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
        let of_mean = mean.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        assert!((own / of_mean - 1.0).abs() < 1e-4, "{text}: {own}, {of_mean}");
    }
    assert_eq!(found.truncated, [4], "only the long text is truncated");
    // Golden values, recorded when they first equaled candle's.
    for (value, golden) in found.vectors[0].iter().zip([0.061_733_7, 0.041_459_8, 0.008_763_3]) {
        assert!((value - golden).abs() < 1e-5, "{:?}", &found.vectors[0][..3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batched_requests_get_their_own_vectors() {
    let encoder = std::sync::Arc::new(Encoder::new(options()));
    encoder.load().await.unwrap();
    let alone = encoder.embed(texts(), Some(KeyId::new())).await.unwrap().vectors;
    let key = KeyId::new();
    let many: Vec<_> = texts()
        .into_iter()
        .map(|text| {
            let encoder = encoder.clone();
            tokio::spawn(async move { encoder.embed(vec![text], Some(key)).await.unwrap() })
        })
        .collect();
    for (asked, alone) in many.into_iter().zip(&alone) {
        assert!(cosine(&asked.await.unwrap().vectors[0], alone) >= 0.99999);
    }
    let again = encoder.embed(vec!["a cat".into()], Some(key)).await.unwrap();
    assert_eq!(
        (again.vectors[0].len(), again.tokens),
        (384, 4),
        "a cached vector has its tokens counted all the same"
    );
    encoder.unload().await;
    assert!(encoder.embed(vec!["a cat".into()], None).await.is_err());
    encoder.load().await.unwrap();
    assert!(encoder.embed(vec!["a cat".into()], None).await.is_ok());
}

/// Writes a small model with pseudo-random weights of this type into `folder`. Returns the options that load
/// it.
fn made_up(folder: &Path, prefix: &str, config: &serde_json::Value, dtype: DType) -> EncoderOptions {
    let number = |name: &str| usize::try_from(config[name].as_u64().unwrap()).unwrap();
    let (hidden, inner, words) = (number("hidden_size"), number("intermediate_size"), number("vocab_size"));
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("embeddings.word_embeddings.weight".into(), vec![words, hidden]),
        ("embeddings.position_embeddings.weight".into(), vec![number("max_position_embeddings"), hidden]),
        ("embeddings.token_type_embeddings.weight".into(), vec![number("type_vocab_size"), hidden]),
        ("embeddings.LayerNorm.weight".into(), vec![hidden]),
        ("embeddings.LayerNorm.bias".into(), vec![hidden]),
    ];
    for layer in 0..number("num_hidden_layers") {
        let mut pair = |name: &str, shape: &[usize]| {
            shapes.push((format!("encoder.layer.{layer}.{name}.weight"), shape.to_vec()));
            shapes.push((format!("encoder.layer.{layer}.{name}.bias"), shape[..1].to_vec()));
        };
        for part in ["query", "key", "value"] {
            pair(&format!("attention.self.{part}"), &[hidden, hidden]);
        }
        pair("attention.output.dense", &[hidden, hidden]);
        pair("attention.output.LayerNorm", &[hidden]);
        pair("intermediate.dense", &[inner, hidden]);
        pair("output.dense", &[hidden, inner]);
        pair("output.LayerNorm", &[hidden]);
    }
    let mut seed = 7u32;
    let tensors: HashMap<String, Tensor> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let count = shape.iter().product::<usize>();
            let values: Vec<f32> = (0..count)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
                })
                .collect();
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            (format!("{prefix}{name}"), tensor)
        })
        .collect();
    candle_core::safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    EncoderOptions {
        weights: folder.join("model.safetensors"),
        config: folder.join("config.json"),
        tokens_max: 60,
        ..options()
    }
}

fn config(kind: &str, more: &serde_json::Value) -> serde_json::Value {
    let mut config = serde_json::json!({
        "model_type": kind, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 100, "vocab_size": 30522, "max_position_embeddings": 64, "type_vocab_size": 2,
        "hidden_act": "gelu", "layer_norm_eps": 1e-5, "pad_token_id": 1, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0, "initializer_range": 0.02, "position_embedding_type": "absolute",
        "use_cache": false, "classifier_dropout": null,
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn other_weight_types_and_activations_equal_those_of_candle() {
    let none = serde_json::json!({});
    for (kind, more, dtype) in [
        ("xlm-roberta", &none, DType::F32),
        ("xlm-roberta", &none, DType::F16),
        ("bert", &serde_json::json!({ "hidden_act": "gelu_new", "pad_token_id": 0 }), DType::BF16),
        ("bert", &serde_json::json!({ "hidden_act": "relu", "pad_token_id": 0 }), DType::F32),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = config(kind, more);
        let mut options =
            made_up(folder.path(), if kind == "bert" { "bert." } else { "roberta." }, &config, dtype);
        let pooling = folder.path().join("pooling.json");
        std::fs::write(&pooling, r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#)
            .unwrap();
        options.pooling = Some(pooling);
        let found = embed(options.clone(), &texts()).await;
        let weights = std::fs::read(&options.weights).unwrap();
        let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu).unwrap();
        for (text, vector) in texts().iter().zip(&found.vectors) {
            let ids = ids(&options.tokenizer, text, 60);
            let zeros = ids.zeros_like().unwrap();
            let states = if kind == "bert" {
                // candle's name for `gelu_new`.
                let config = config.to_string().replace("gelu_new", "geluapproximate");
                let config: bert::Config = serde_json::from_str(&config).unwrap();
                bert::BertModel::load(weights.clone(), &config).unwrap().forward(&ids, &zeros, None).unwrap()
            } else {
                let config: xlm_roberta::Config = serde_json::from_value(config.clone()).unwrap();
                let model = xlm_roberta::XLMRobertaModel::new(&config, weights.pp("roberta")).unwrap();
                let mask = ids.ones_like().unwrap();
                model.forward(&ids, &mask, &zeros, None, None, None).unwrap()
            };
            let first: Vec<f32> = states.get(0).unwrap().get(0).unwrap().to_vec1().unwrap();
            assert!(cosine(vector, &first) >= 0.99999, "{kind} {dtype:?} {text}: {}", cosine(vector, &first));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unsupported_models_are_refused_with_the_supported_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let refused = async |options: EncoderOptions| Encoder::new(options).load().await.unwrap_err().to_string();
    let write = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let with = |config: PathBuf| EncoderOptions { config, ..options() };
    let message = refused(with(write("a", r#"{"model_type": "nomic_bert"}"#))).await;
    assert!(message.contains("`nomic_bert`") && message.contains("bert, roberta, xlm-roberta"), "{message}");
    assert!(refused(with(write("b", "{}"))).await.contains("architecture is ``"));
    assert!(refused(with(write("c", r#"{"model_type": "bert"}"#))).await.contains("hidden_size"));
    let real = std::fs::read_to_string(embedder_file("config")).unwrap();
    let wide = real.replace("\"intermediate_size\": 1536", "\"intermediate_size\": 1537");
    assert!(refused(with(write("d", &wide))).await.contains("has the shape [1536], not [1537]"));
    let act = real.replace("\"gelu\"", "\"swiglu\"");
    assert!(refused(with(write("e", &act))).await.contains("`swiglu`"));
    let cut = std::fs::read(embedder_file("weights")).unwrap()[..5_000_000].to_vec();
    let weights = folder.path().join("cut.safetensors");
    std::fs::write(&weights, cut).unwrap();
    assert!(!refused(EncoderOptions { weights, ..options() }).await.is_empty());
    let pooling = Some(write("f", r#"{"pooling_mode_max_tokens": true}"#));
    assert!(refused(EncoderOptions { pooling, ..options() }).await.contains("neither"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_megabytes_takes_little_memory_and_is_reported_as_truncated() {
    let encoder = Encoder::new(options());
    encoder.load().await.unwrap();
    let (long, huge) = ("an owl ".repeat(400), "an owl ".repeat(2_000_000));
    let found = encoder.embed(vec![long, huge.clone(), huge], None).await.unwrap();
    assert_eq!((found.tokens, found.truncated), (3 * 256, vec![0, 1, 2]));
    for vector in &found.vectors[1..] {
        assert!(cosine(vector, &found.vectors[0]) >= 0.99999);
    }
    let peak = ProcessMemory::of(encoder.worker_pid().unwrap()).unwrap().peak;
    // The weights take 87 MB, and as much again repacked for the CPU.
    assert!(peak < 320 << 20, "{peak} bytes");
}

/// The model lowercases its input, so the letters of a special token are its text in lower case, which is no
/// special token.
#[tokio::test(flavor = "multi_thread")]
async fn special_tokens_in_texts_are_plain_text() {
    let texts = ["a [SEP] cat", "a [CLS] cat [MASK]", "[PAD]"].map(str::to_owned);
    let small = texts.clone().map(|text| text.to_lowercase());
    let (marked, letters) = (embed(options(), &texts).await, embed(options(), &small).await);
    assert_eq!(marked.tokens, letters.tokens);
    for ((marked, letters), text) in marked.vectors.iter().zip(&letters.vectors).zip(&texts) {
        assert!(cosine(marked, letters) >= 0.99999, "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (weights, config) = cross_encoder(folder.path());
    let ranker = Encoder::new(EncoderOptions { ranks: true, weights, config, ..options() });
    ranker.load().await.unwrap();
    let rank = async |query: &str, text: &str| {
        let found = ranker.rank(query.into(), vec![text.into()]).await.unwrap();
        (found.tokens, found.scores)
    };
    assert_eq!(rank("a [SEP] cat", "an owl").await, rank("a [sep] cat", "an owl").await);
    assert_eq!(rank("a cat", "an [SEP] owl").await, rank("a cat", "an [sep] owl").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gguf_embedder_reads_endless_words_and_spaces_in_slices() {
    let folder = tempfile::tempdir().unwrap();
    let driver = Embedded::new(EmbeddedOptions {
        program: program(),
        path: gguf_embedder(folder.path(), POOLING_MEAN),
        template: None,
        ability: Ability::Embed,
        concurrency: 16,
        context_tokens: 256,
        compute: Compute::with_threads(2),
        tuning: None,
        draft: None,
        cache: Bytes(0),
        memory_max: Some(Bytes::mib(1500)),
        confinement: ConfinementPolicy::BestEffort,
    });
    driver.load().await.unwrap();
    let pid = driver.worker_pid();
    let long = [" ", "a", "\u{e9}"].map(|text| text.repeat(500_000));
    let found = driver.embed(long.to_vec(), None).await.unwrap();
    assert_eq!(found.truncated, [0, 1, 2]);
    // A text that is cut between words gives the same tokens as the whole text.
    let words = vec!["responsibilities ".repeat(200), "an [SEP] owl".into()];
    let (sliced, whole) = (driver.embed(words.clone(), None).await.unwrap(), embed(options(), &words).await);
    assert_eq!((sliced.tokens, sliced.truncated), (whole.tokens, whole.truncated));
    for (sliced, whole) in sliced.vectors.iter().zip(&whole.vectors) {
        assert!(cosine(sliced, whole) >= 0.9999);
    }
    for (sliced, whole) in sliced.lengths.iter().zip(&whole.lengths) {
        assert!((sliced / whole - 1.0).abs() < 0.01, "{sliced}, {whole}");
    }
    assert_eq!(driver.worker_pid(), pid, "the worker was not restarted");
    driver.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_worker_fails_its_requests_and_can_be_started_again() {
    let encoder = Encoder::new(options());
    encoder.load().await.unwrap();
    let pid = encoder.worker_pid().unwrap();
    let many: Vec<String> = (0..2000).map(|count| format!("passage {count} ").repeat(60)).collect();
    let asked = encoder.embed(many, None);
    let killed = async {
        std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        encoder.wait_for_death().await
    };
    let (answer, reason) = futures_util::join!(asked, killed);
    assert!(answer.unwrap_err().to_string().contains("signal: 9"));
    assert!(reason.contains("signal: 9"), "{reason}");
    assert!(encoder.embed(vec!["an owl".into()], None).await.is_err());
    encoder.load().await.unwrap();
    assert_eq!(encoder.embed(vec!["an owl".into()], None).await.unwrap().vectors[0].len(), 384);
}
