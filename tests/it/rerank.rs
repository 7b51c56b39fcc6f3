//! Embeddings and rankings: Lar's own encoder and llama.cpp agree, on models generated from the starter
//! embedder.

use std::path::Path;

use lar_base::{Bytes, KeyId};
use lar_engines::driver::{Ability, Driver};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_engines::encoder::{Encoder, EncoderOptions};
use lar_inference::protocol::Compute;
use lar_tests::generated_models::{POOLING_CLS, POOLING_MEAN, POOLING_RANK, cross_encoder, gguf_embedder};
use lar_tests::{Lar, embedder_file, program};
use serde_json::json;

const QUERY: &str = "Where do owls sleep?";
const TEXTS: [&str; 4] = [
    "Owls roost in hollow trees during the day.",
    "The stock market closed higher on Friday.",
    "Wie wird das Wetter morgen?",
    "A train left the old station in the early morning rain, and nobody saw it go.",
];

fn texts() -> Vec<String> {
    TEXTS.map(ToOwned::to_owned).to_vec()
}

fn gguf(path: &Path, ability: Ability) -> Embedded {
    Embedded::new(EmbeddedOptions {
        program: program(),
        path: path.to_owned(),
        template: None,
        ability,
        concurrency: 16,
        context_tokens: 256,
        compute: Compute::with_threads(2),
        tuning: None,
        draft: None,
        cache: Bytes(0),
        memory_max: Some(Bytes::mib(1500)),
        confinement: ConfinementPolicy::BestEffort,
    })
}

fn encoder(weights: &Path, config: &Path, ranks: bool) -> Encoder {
    Encoder::new(EncoderOptions {
        program: program(),
        memory_max: Some(Bytes::mib(1500)),
        confinement: ConfinementPolicy::BestEffort,
        ranks,
        weights: weights.to_owned(),
        tokenizer: embedder_file("tokenizer"),
        config: config.to_owned(),
        pooling: None,
        tokens_max: 256,
        threads: 2,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gguf_embedder_makes_the_vectors_of_the_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf_embedder(folder.path(), POOLING_MEAN);
    let (ours, theirs) =
        (encoder(&embedder_file("weights"), &embedder_file("config"), false), gguf(&path, Ability::Embed));
    ours.load().await.unwrap();
    theirs.load().await.unwrap();
    let mut asked = texts();
    asked.push("memory ".repeat(600));
    asked.extend((0..60).map(|count| format!("text number {count}")));
    let (a, b) =
        (ours.embed(asked.clone(), None).await.unwrap(), theirs.embed(asked.clone(), None).await.unwrap());
    assert_eq!((a.tokens, &a.truncated), (b.tokens, &b.truncated));
    for ((a, b), text) in a.vectors.iter().zip(&b.vectors).zip(&asked) {
        let cosine: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.9999, "{text}: {cosine}");
    }
    // Concurrent requests share batches and get their own vectors.
    let one = |text: String| async { theirs.embed(vec![text], None).await.unwrap().vectors.remove(0) };
    let many = futures_util::future::join_all(asked.iter().cloned().map(one)).await;
    for (vector, expected) in many.iter().zip(&b.vectors) {
        let cosine: f32 = vector.iter().zip(expected).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.9999, "{cosine}");
    }
    assert!(theirs.rank(QUERY.into(), texts()).await.unwrap_err().to_string().contains("cannot rank"));
    assert!(theirs.embed(vec![], None).await.unwrap().vectors.is_empty());
    theirs.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gguf_embedder_pools_as_its_file_says_and_caches_vectors_per_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf_embedder(folder.path(), POOLING_CLS);
    let pooling = folder.path().join("pooling.json");
    std::fs::write(&pooling, r#"{"pooling_mode_cls_token": true}"#).unwrap();
    let first = EncoderOptions {
        program: program(),
        memory_max: Some(Bytes::mib(1500)),
        confinement: ConfinementPolicy::BestEffort,
        ranks: false,
        weights: embedder_file("weights"),
        tokenizer: embedder_file("tokenizer"),
        config: embedder_file("config"),
        pooling: Some(pooling),
        tokens_max: 256,
        threads: 2,
    };
    let (ours, theirs) = (Encoder::new(first), gguf(&path, Ability::Embed));
    ours.load().await.unwrap();
    theirs.load().await.unwrap();
    let (key, other) = (KeyId::new(), KeyId::new());
    let a = ours.embed(vec![QUERY.into()], None).await.unwrap();
    let b = theirs.embed(vec![QUERY.into()], Some(key)).await.unwrap();
    let cosine: f32 = a.vectors[0].iter().zip(&b.vectors[0]).map(|(a, b)| a * b).sum();
    assert!(cosine > 0.9999, "{cosine}");
    // While the worker is frozen, only cached vectors can come. The other key's request is made first, so a
    // cached vector would end it first.
    let pid = theirs.worker_pid().unwrap().to_string();
    std::process::Command::new("kill").args(["-STOP", &pid]).status().unwrap();
    let mut uncached = std::pin::pin!(theirs.embed(vec![QUERY.into()], Some(other)));
    let cached = theirs.embed(vec![QUERY.into()], Some(key));
    let cached = tokio::select! {
        biased;
        vector = &mut uncached => panic!("another key got a cached vector: {vector:?}"),
        vector = cached => vector.unwrap(),
    };
    assert_eq!(cached.vectors, b.vectors);
    std::process::Command::new("kill").args(["-CONT", &pid]).status().unwrap();
    let computed = uncached.await.unwrap();
    let cosine: f32 = computed.vectors[0].iter().zip(&b.vectors[0]).map(|(a, b)| a * b).sum();
    assert!(cosine > 0.9999, "{cosine}");
    theirs.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gguf_reranker_scores_as_the_cross_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf_embedder(folder.path(), POOLING_RANK);
    let (weights, config) = cross_encoder(folder.path());
    let (ours, theirs) = (encoder(&weights, &config, true), gguf(&path, Ability::Rank));
    ours.load().await.unwrap();
    theirs.load().await.unwrap();
    let (a, b) =
        (ours.rank(QUERY.into(), texts()).await.unwrap(), theirs.rank(QUERY.into(), texts()).await.unwrap());
    assert_eq!(a.tokens, b.tokens);
    let apart: Vec<f32> = a.scores.iter().zip(&b.scores).map(|(a, b)| (a - b).abs()).collect();
    assert!(apart.iter().all(|apart| *apart < 1e-3), "{:?} {:?}", a.scores, b.scores);
    assert!(a.scores.iter().all(|score| (0.0..=1.0).contains(score)));
    assert!(a.scores.windows(2).any(|pair| (pair[0] - pair[1]).abs() > 1e-3), "{:?}", a.scores);
    // A query that leaves no room for a text is truncated, so every pair with it is reported as truncated.
    let long = "memory ".repeat(600);
    let (a, b) = (ours.rank(long.clone(), texts()).await.unwrap(), theirs.rank(long, texts()).await.unwrap());
    assert_eq!((a.truncated.len(), b.truncated.len()), (TEXTS.len(), TEXTS.len()));
    let error = ours.embed(texts(), None).await.unwrap_err().to_string();
    assert!(error.contains("make embeddings"), "{error}");
    theirs.unload().await;
}

#[test]
fn a_reranker_is_pulled_and_ranks_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let path = gguf_embedder(folder.path(), POOLING_RANK);
    let lar = Lar::start_without_models();
    let none = lar.post("/v1/rerank", &json!({ "query": QUERY, "documents": TEXTS }));
    assert_eq!(none.status, 404, "{}", none.body);
    for text in TEXTS {
        assert_eq!(lar.post("/lar/v1/memories", &json!({ "content": text })).status, 201);
    }
    let none = lar.post("/lar/v1/memories/search", &json!({ "query": "owls", "rerank": true }));
    assert_eq!((none.status, &none.json()["code"]), (503, &json!("COMPONENT_UNAVAILABLE")), "{}", none.body);
    let pulled = lar.cli(&["models", "pull", &path.display().to_string(), "--name", "made"]);
    assert!(pulled.status.success(), "{pulled:?}");
    let body = json!({ "model": "default-rerank", "query": QUERY, "documents": [TEXTS[0], { "text": TEXTS[1] }, TEXTS[2]],
        "top_n": 2, "return_documents": true });
    let answer = lar.post("/v1/rerank", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let ranking = answer.json();
    let results = ranking["results"].as_array().unwrap();
    assert_eq!((results.len(), &ranking["model"]), (2, &json!("made")));
    assert!(results[0]["relevance_score"].as_f64() >= results[1]["relevance_score"].as_f64());
    let index = results[0]["index"].as_u64().unwrap() as usize;
    assert_eq!(results[0]["document"]["text"], TEXTS[index]);
    assert!(ranking["usage"]["total_tokens"].as_u64().unwrap() > 20);
    for (body, field) in [
        (json!({ "query": "", "documents": ["a"] }), "query"),
        (json!({ "query": "q", "documents": [] }), "documents"),
        (json!({ "query": "q", "documents": ["a"], "top_n": 0 }), "top_n"),
        (json!({ "query": "q", "documents": [1] }), "documents"),
    ] {
        let answer = lar.post("/v1/rerank", &body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.body.contains(field), "{}", answer.body);
    }
    let chat = json!({ "model": "made", "messages": [{ "role": "user", "content": "Hello" }] });
    let answer = lar.post("/v1/chat/completions", &chat);
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("ranks texts"), "{}", answer.body);
    memories_are_reranked(&lar);
    let task = json!({ "workload": "rerank", "query": QUERY, "input": TEXTS, "detached": true });
    let task = lar.post("/lar/v1/tasks", &task).json()["task_id"].as_str().unwrap().to_owned();
    let events = lar.get(&format!("/lar/v1/tasks/{task}/stream")).events();
    let scores = events.iter().find(|(name, _)| name == "scores").map(|(_, data)| data["data"].clone());
    assert_eq!(scores.unwrap().as_array().unwrap().len(), 4);
}

/// Asserts that memories come in the order in which the reranker ranks their texts.
fn memories_are_reranked(lar: &Lar) {
    let query = "owls, the market, the station";
    let all =
        lar.post("/v1/rerank", &json!({ "query": query, "documents": TEXTS, "return_documents": true }));
    let all = all.json();
    let found = lar.post("/lar/v1/memories/search", &json!({ "query": query, "rerank": true })).json();
    let found = found["results"].as_array().unwrap();
    assert_eq!(found.len(), 3, "without an embedder keyword search finds these: {found:?}");
    let order: Vec<&str> = found.iter().map(|hit| hit["content"].as_str().unwrap()).collect();
    let ranked = all["results"].as_array().unwrap().iter();
    let expected_order: Vec<&str> = ranked
        .map(|one| one["document"]["text"].as_str().unwrap())
        .filter(|text| order.contains(text))
        .collect();
    assert_eq!(order, expected_order, "{all}");
    let first = all["results"].as_array().unwrap().iter().find(|one| one["document"]["text"] == order[0]);
    let given = first.unwrap()["relevance_score"].as_f64().unwrap();
    let relevance = found[0]["parts"]["relevance"].as_f64().unwrap();
    assert!((relevance - given).abs() < 1e-3, "{relevance} {given}");
    let plain = lar.post("/lar/v1/memories/search", &json!({ "query": query })).json();
    assert_eq!(plain["results"][0]["parts"].get("relevance"), None);
}
