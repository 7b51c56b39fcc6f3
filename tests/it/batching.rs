//! Sequences in a batch of the embedded engine: shared prefixes, speculative decoding, context shift, and
//! cancels during long steps.

use futures_util::StreamExt as _;
use lar_base::KeyId;
use lar_engines::driver::Driver;
use lar_engines::embedded::{Embedded, EmbeddedOptions};
use lar_inference::protocol::{CacheType, Compute};
use lar_inference::{Event, FinishReason, GenerationRequest, Prompt, Sampling};
use lar_tests::{chat_model, engine_options, load_engine};

async fn tokens(driver: &Embedded, text: &str) -> Vec<u32> {
    match driver.prepare(Prompt::Text(text.into())).await.unwrap().prompt {
        Prompt::Tokens(tokens) => tokens,
        other => panic!("{other:?}"),
    }
}

fn greedy(tokens_max: u32) -> Sampling {
    Sampling { temperature: Some(0.0), tokens_max, ..Sampling::default() }
}

/// The outcome of a generation.
#[derive(Debug, Default)]
struct GenerationResult {
    text: String,
    tokens: u32,
    cached_tokens: u32,
    drafted: u32,
    accepted: u32,
    end: Option<Event>,
}

async fn run(
    driver: &Embedded,
    prompt: Vec<u32>,
    sampling: Sampling,
    cache_of: Option<KeyId>,
) -> GenerationResult {
    let job = GenerationRequest { prompt: Prompt::Tokens(prompt), sampling, caller: None, cache_of };
    let mut generation = driver.generate(job).unwrap();
    let mut result = GenerationResult::default();
    while let Some(event) = generation.events.next().await {
        match event {
            Event::Prefilled { cached_tokens } => result.cached_tokens = cached_tokens,
            Event::Delta { text, tokens, .. } => {
                result.text.push_str(&text);
                result.tokens += tokens;
            }
            Event::Speculated { tokens, accepted } => (result.drafted, result.accepted) = (tokens, accepted),
            end => result.end = Some(end),
        }
    }
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn speculated_tokens_change_no_answer() {
    let texts = [
        "one, two, three, one, two, three, one, two, three, one,",
        "fn add(a: i32, b: i32) -> i32 { a + b }\nfn sub(a: i32, b: i32) -> i32 { a - b }\nfn mul(",
        "The capital of France is Paris. The capital of Spain is Madrid. The capital of",
        "Once upon a time there was a little owl who",
        "{\"name\": \"Ada\", \"age\": 36}\n{\"name\": \"Bob\", \"age\": 41}\n{\"name\":",
    ];
    let plain = Compute { speculate: false, ..Compute::with_threads(2) };
    let without = load_engine(EmbeddedOptions { compute: plain, ..engine_options(1, 1024) }).await;
    let with = load_engine(engine_options(1, 1024)).await;
    let mut accepted = 0;
    for text in texts {
        let prompt = tokens(&with, text).await;
        let (a, b) = (
            run(&without, prompt.clone(), greedy(96), None).await,
            run(&with, prompt, greedy(96), None).await,
        );
        assert_eq!((&a.text, a.tokens, &a.end), (&b.text, b.tokens, &b.end), "{text}");
        assert_eq!(a.drafted, 0);
        assert!(b.accepted <= b.drafted);
        accepted += b.accepted;
    }
    assert!(accepted > 0, "some drafted tokens of repeated text are accepted");
    // Sampled answers too: each token is drawn with the same random numbers.
    let sampling = Sampling { temperature: Some(0.9), seed: 7, tokens_max: 64, ..Sampling::default() };
    let prompt = tokens(&with, texts[0]).await;
    let drawn = run(&with, prompt.clone(), sampling.clone(), None).await;
    assert_eq!(drawn.text, run(&without, prompt.clone(), sampling, None).await.text);
    // A stop text within drafted tokens ends the answer there, and leaves a clean sequence for the next
    // prompt.
    let stopped = Sampling { stop: vec!["three".into()], ..greedy(64) };
    let (a, b) = (
        run(&with, prompt.clone(), stopped.clone(), None).await,
        run(&without, prompt.clone(), stopped, None).await,
    );
    assert_eq!((a.text, a.end), (b.text, b.end));
    let (a, b) =
        (run(&with, prompt.clone(), greedy(40), None).await, run(&without, prompt, greedy(40), None).await);
    assert_eq!(a.text, b.text);
    with.unload().await;
    without.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_model_changes_no_answer() {
    // The model is its own draft model: the only one here with its vocabulary, and it drafts what it would
    // answer.
    let draft = EmbeddedOptions { draft: Some(chat_model()), ..engine_options(1, 1024) };
    let (with, without) = (load_engine(draft).await, load_engine(engine_options(1, 1024)).await);
    let mut accepted = 0;
    for text in ["Once upon a time there was a little owl who", "The capital of France is"] {
        let prompt = tokens(&with, text).await;
        for sampling in [greedy(48), Sampling { temperature: Some(0.8), seed: 3, ..greedy(48) }] {
            let (a, b) = (
                run(&without, prompt.clone(), sampling.clone(), None).await,
                run(&with, prompt.clone(), sampling, None).await,
            );
            assert_eq!((&a.text, a.tokens, &a.end), (&b.text, b.tokens, &b.end), "{text}");
            accepted += b.accepted;
        }
    }
    assert!(accepted > 0, "some drafted tokens are accepted");
    with.unload().await;
    without.unload().await;
    // A draft model that cannot be used, here an empty file, is left out.
    let other = tempfile::NamedTempFile::new().unwrap();
    let driver =
        load_engine(EmbeddedOptions { draft: Some(other.path().to_owned()), ..engine_options(1, 512) }).await;
    let prompt = tokens(&driver, "One, two,").await;
    assert_eq!(run(&driver, prompt, greedy(4), None).await.tokens, 4);
    driver.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_shared_by_concurrent_requests_is_prefilled_once() {
    let driver = load_engine(engine_options(4, 2048)).await;
    let story = tokens(&driver, &"The owl flew over the quiet river and saw a small boat. ".repeat(40)).await;
    let key = Some(KeyId::new());
    let mut asked = Vec::new();
    for number in 0..4u32 {
        let more = tokens(&driver, &format!(" Then came the number {number} and")).await;
        let prompt = [story.clone(), more].concat();
        let driver = driver.clone();
        asked.push(async move { run(&driver, prompt, greedy(8), key).await });
    }
    let results = futures_util::future::join_all(asked).await;
    let mut cached: Vec<usize> = results.iter().map(|result| result.cached_tokens as usize).collect();
    cached.sort_unstable();
    assert_eq!(cached[0], 0, "one request reads the prefix");
    assert!(cached[1] >= story.len() - 2, "the others reuse it: {cached:?} of {}", story.len());
    // Each answer equals that of the same request alone.
    let fresh = load_engine(engine_options(1, 2048)).await;
    for (number, result) in results.iter().enumerate() {
        let more = tokens(&fresh, &format!(" Then came the number {number} and")).await;
        let alone = run(&fresh, [story.clone(), more].concat(), greedy(8), Some(KeyId::new())).await;
        assert_eq!(result.text, alone.text);
    }
    // Other keys share nothing, not even a prompt that is being read at the same time.
    let strangers = [KeyId::new(), KeyId::new()].map(|key| run(&driver, story.clone(), greedy(2), Some(key)));
    let strangers = futures_util::future::join_all(strangers).await;
    assert_eq!(strangers.iter().map(|result| result.cached_tokens).collect::<Vec<_>>(), [0, 0]);
    fresh.unload().await;
    driver.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_shifts_only_on_request() {
    let driver = load_engine(engine_options(1, 256)).await;
    let prompt = tokens(&driver, "Count: one, two, three, four, five, six, seven,").await;
    let sampling = Sampling { ignore_eos: true, ..greedy(600) };
    let result = run(&driver, prompt.clone(), sampling.clone(), None).await;
    assert_eq!(result.end, Some(Event::Finished(FinishReason::Length)));
    assert_eq!(result.tokens as usize, 256 - prompt.len(), "the answer ends when the context is full");
    let shifting = Sampling { shift_keep: Some(8), ..sampling };
    let result = run(&driver, prompt.clone(), shifting.clone(), None).await;
    assert_eq!((result.tokens, result.end), (600, Some(Event::Finished(FinishReason::Length))));
    // A KV cache that was computed with tokens that were shifted out is not reused.
    let again = run(&driver, prompt.clone(), Sampling { tokens_max: 2, ..shifting.clone() }, None).await;
    assert_eq!(again.cached_tokens, 0);
    // A `shift_keep` beyond the context keeps half of the context.
    let most =
        run(&driver, prompt, Sampling { shift_keep: Some(u32::MAX), tokens_max: 300, ..shifting }, None);
    assert_eq!(most.await.tokens, 300);
    driver.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_during_a_long_step_loses_nothing_of_other_answers() {
    let driver = load_engine(engine_options(2, 2048)).await;
    let story = tokens(&driver, &"A train left the old station in the early morning rain. ".repeat(60)).await;
    let alone = run(&driver, story.clone(), greedy(8), Some(KeyId::new())).await;
    for _ in 0..2 {
        let (kept, stopped) = (Some(KeyId::new()), Some(KeyId::new()));
        let job = GenerationRequest {
            prompt: Prompt::Tokens(story.clone()),
            sampling: greedy(8),
            caller: None,
            cache_of: stopped,
        };
        let mut generation = driver.generate(job).unwrap();
        let other = tokio::spawn({
            let (driver, story) = (driver.clone(), story.clone());
            async move { run(&driver, story, greedy(8), kept).await }
        });
        generation.stop.cancel();
        let mut end = None;
        while let Some(event) = generation.events.next().await {
            end = Some(event);
        }
        assert!(matches!(end, Some(Event::Cancelled)), "{end:?}");
        let result = other.await.unwrap();
        assert_eq!((result.text, result.end), (alone.text.clone(), alone.end.clone()));
    }
    assert_eq!(driver.worker_active(), Some(0));
    driver.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kv_caches_can_be_quantized() {
    let prompt = "The capital of France is Paris. The capital of Spain is Madrid. The capital of Italy is";
    for cache_type in [CacheType::Q8, CacheType::Q4] {
        let compute = Compute { cache_type, flash_attention: Some(true), ..Compute::with_threads(2) };
        let driver = load_engine(EmbeddedOptions { compute, ..engine_options(2, 1024) }).await;
        let prompt = tokens(&driver, prompt).await;
        let result = run(&driver, prompt, greedy(3), None).await;
        if cache_type == CacheType::Q8 {
            assert!(result.text.starts_with(" Rome"), "{result:?}");
        }
        assert_eq!(result.end, Some(Event::Finished(FinishReason::Length)), "{cache_type:?}");
        driver.unload().await;
    }
}
