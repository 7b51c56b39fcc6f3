//! One suite for every driver that generates text, with the real programs and the real model: the embedded
//! engine and `llama-server`.

use std::sync::Arc;

use futures_util::StreamExt as _;
use lar_base::KeyId;
use lar_egress::Egress;
use lar_engines::driver::{Ability, Driver, Generation};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_engines::llama_server::{LlamaServer, LlamaServerOptions};
use lar_inference::ChatTemplate;
use lar_inference::Error;
use lar_inference::protocol::Compute;
use lar_inference::{
    Candidate, Chat, ChatMessage, Constraint, Event, FinishReason, GenerationRequest, Prompt, Sampling,
};
use lar_tests::{chat_model, llama_server, program};

fn embedded(concurrency: u32) -> Embedded {
    Embedded::new(embedded_options(concurrency))
}

fn embedded_options(concurrency: u32) -> EmbeddedOptions {
    let source = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{{ '<|im_start|>assistant\n' }}";
    EmbeddedOptions {
        program: program(),
        path: chat_model(),
        template: Some(ChatTemplate {
            source: source.into(),
            start: "<|im_start|>".into(),
            end: "<|im_end|>".into(),
        }),
        ability: Ability::Generate,
        concurrency,
        context_tokens: 2048,
        compute: Compute::with_threads(2),
        tuning: None,
        draft: None,
        cache: lar_base::Bytes::mib(64),
        memory_max: None,
        confinement: ConfinementPolicy::BestEffort,
    }
}

fn managed(concurrency: u32) -> LlamaServer {
    let options = LlamaServerOptions::Managed {
        launcher: lar_tests::program(),
        confinement: ConfinementPolicy::BestEffort,
        program: llama_server(),
        model: chat_model(),
        concurrency,
        context_tokens: 2048,
        threads: 2,
    };
    LlamaServer::new(options, Egress::new().unwrap())
}

fn drivers() -> [Arc<dyn Driver>; 2] {
    [Arc::new(embedded(4)), Arc::new(managed(4))]
}

async fn job(driver: &dyn Driver, text: &str, sampling: Sampling) -> GenerationRequest {
    GenerationRequest {
        prompt: driver.prepare(Prompt::Text(text.into())).await.unwrap().prompt,
        sampling,
        caller: None,
        cache_of: None,
    }
}

async fn finish(generation: Generation) -> (String, u32, Event) {
    let (text, tokens, end, _) = finish_counted(generation).await;
    (text, tokens, end)
}

/// The text, the token count and the end of an answer, and the tokens of its prompt if the engine reports
/// them.
async fn finish_counted(mut generation: Generation) -> (String, u32, Event, Option<u32>) {
    let (mut text, mut tokens, mut counted) = (String::new(), 0, None);
    while let Some(event) = generation.events.next().await {
        match event {
            Event::Delta { text: more, tokens: count, .. } => {
                text.push_str(&more);
                tokens += count;
            }
            Event::Prefilling { .. } | Event::Prefilled { .. } | Event::Speculated { .. } => {}
            Event::Counted { tokens } => counted = Some(tokens),
            end => {
                assert!(generation.events.next().await.is_none(), "nothing follows the terminal event");
                return (text, tokens, end, counted);
            }
        }
    }
    panic!("the engine ended without a terminal event");
}

fn greedy(tokens_max: u32) -> Sampling {
    Sampling { temperature: Some(0.0), tokens_max, ..Sampling::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_answers_equal_single_ones() {
    for driver in drivers() {
        driver.load().await.unwrap();
        let texts = ["The capital of France is", "One two three four", "Once upon a time", "def main():"];
        let mut alone = Vec::new();
        for text in texts {
            let (answer, tokens, end) =
                finish(driver.generate(job(&*driver, text, greedy(16)).await).unwrap()).await;
            assert_eq!((tokens, end), (16, Event::Finished(FinishReason::Length)), "{text}");
            alone.push(answer);
        }
        let mut together = Vec::new();
        for text in texts {
            together.push(finish(driver.generate(job(&*driver, text, greedy(16)).await).unwrap()));
        }
        let together = futures_util::future::join_all(together).await;
        for ((answer, _, end), alone) in together.into_iter().zip(alone) {
            // Batching changes rounding, so long answers may diverge; their beginnings do not.
            assert_eq!(end, Event::Finished(FinishReason::Length), "{answer}");
            assert_eq!(
                answer.chars().take(12).collect::<String>(),
                alone.chars().take(12).collect::<String>()
            );
        }
        driver.unload().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_answer_a_chat_alike() {
    let chat = Prompt::Chat(vec![ChatMessage::new("user", "Name the capital of France.")].into());
    let mut answers = Vec::new();
    for driver in drivers() {
        driver.load().await.unwrap();
        let count = driver.count(&chat).await.unwrap();
        let prepared = driver.prepare(chat.clone()).await.unwrap();
        let job =
            GenerationRequest { prompt: prepared.prompt, sampling: greedy(16), caller: None, cache_of: None };
        let (answer, tokens, end, counted) = finish_counted(driver.generate(job).unwrap()).await;
        assert_eq!(prepared.tokens.or(counted.map(|tokens| tokens as usize)), Some(count));
        assert!(tokens > 3 && matches!(end, Event::Finished(_)), "{tokens} {end:?}");
        answers.push((answer, tokens, end));
        driver.unload().await;
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_llama_server_become_distinct_errors() {
    let driver = managed(1);
    driver.load().await.unwrap();
    let job = GenerationRequest {
        prompt: Prompt::Text("word ".repeat(3000)),
        sampling: greedy(1),
        caller: None,
        cache_of: None,
    };
    let end = finish(driver.generate(job).unwrap()).await.2;
    assert!(matches!(end, Event::Failed(Error::ContextTooLong(_))), "{end:?}");
    let job = GenerationRequest {
        prompt: Prompt::Text("word".into()),
        sampling: greedy(1),
        caller: None,
        cache_of: None,
    };
    assert_eq!(finish(driver.generate(job).unwrap()).await.2, Event::Finished(FinishReason::Length));
    driver.unload().await;
    let unloadable = LlamaServerOptions::Managed {
        launcher: lar_tests::program(),
        confinement: ConfinementPolicy::BestEffort,
        program: llama_server(),
        model: "/no/such/model.gguf".into(),
        concurrency: 1,
        context_tokens: 128,
        threads: 1,
    };
    let error = LlamaServer::new(unloadable, Egress::new().unwrap()).load().await.unwrap_err().to_string();
    assert!(error.contains("llama-server ended"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_counted_without_loading_weights() {
    for driver in drivers() {
        let chat = Prompt::Chat(vec![ChatMessage::new("user", "Hello")].into());
        let tokens = driver.count(&chat).await.unwrap();
        assert!((5..60).contains(&tokens), "{tokens}");
        let prepared = driver.prepare(chat).await.unwrap();
        assert!(prepared.tokens.is_none_or(|counted| counted == tokens));
        let long = Prompt::Text("word ".repeat(1000));
        let prepared = driver.prepare(long.clone()).await.unwrap();
        assert_eq!(
            prepared.tokens,
            Some(driver.count(&long).await.unwrap()),
            "a prompt that may not fit is counted"
        );
        driver.unload().await;
    }
    let driver = embedded(1);
    driver.prepare(Prompt::Text("hello".into())).await.unwrap();
    assert_eq!(driver.worker_pid(), None, "counting loads no weights");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_repeats_an_answer_and_a_stop_text_ends_it() {
    for driver in drivers() {
        driver.load().await.unwrap();
        let hot = Sampling { temperature: Some(1.5), seed: 42, tokens_max: 12, ..Sampling::default() };
        let mut answers = Vec::new();
        for _ in 0..2 {
            answers.push(
                finish(driver.generate(job(&*driver, "Birds are", hot.clone()).await).unwrap()).await.0,
            );
        }
        assert_eq!(answers[0], answers[1]);
        let text = "Once upon a time there was";
        let (whole, _, end) = finish(driver.generate(job(&*driver, text, greedy(24)).await).unwrap()).await;
        assert_eq!(end, Event::Finished(FinishReason::Length), "{whole}");
        // A stop text that spans two tokens: the end of one word and the start of the next.
        let space = whole[8..].find(' ').unwrap() + 8;
        let stop = whole[space - 2..space + 2].to_owned();
        let sampling = Sampling { stop: vec!["never".into(), stop.clone()], ..greedy(24) };
        let (cut, _, end) = finish(driver.generate(job(&*driver, text, sampling).await).unwrap()).await;
        assert_eq!(
            (Some(cut.as_str()), end),
            (whole.split(&stop).next(), Event::Finished(FinishReason::StopText(1)))
        );
        driver.unload().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn post_sampling_probabilities_sum_to_one() {
    for driver in drivers() {
        driver.load().await.unwrap();
        let sampling = Sampling {
            temperature: Some(1.0),
            top_k: Some(3),
            top_p: Some(1.0),
            min_p: Some(0.0),
            seed: 7,
            tokens_max: 8,
            logprobs: Some(5),
            post_sampling: true,
            ..Sampling::default()
        };
        let job = job(&*driver, "One two three four", sampling).await;
        let mut generation = driver.generate(job).unwrap();
        let mut checked_tokens = 0;
        while let Some(event) = generation.events.next().await {
            let Event::Delta { logprobs, .. } = event else { continue };
            for token in logprobs {
                let sum: f32 = token.top.iter().map(|candidate| candidate.logprob.exp()).sum();
                assert!(token.top.len() == 3 && (sum - 1.0).abs() < 1e-3, "{token:?}");
                let chosen = (token.chosen.id, token.chosen.logprob);
                let is_chosen = |candidate: &Candidate| (candidate.id, candidate.logprob) == chosen;
                assert!(token.top.iter().any(is_chosen), "{token:?}");
                checked_tokens += 1;
            }
        }
        assert!(checked_tokens > 0, "{}", driver.engine().name);
        driver.unload().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assistant_prefill_is_continued() {
    for driver in drivers() {
        driver.load().await.unwrap();
        let answer = async |prefill: &str| {
            let messages = vec![ChatMessage::new("user", "Name the days of the week.")];
            let chat = Chat { assistant_prefill: prefill.into(), ..Chat::from(messages) };
            let prompt = driver.prepare(Prompt::Chat(chat)).await.unwrap().prompt;
            let job = GenerationRequest { prompt, sampling: greedy(24), caller: None, cache_of: None };
            finish(driver.generate(job).unwrap()).await.0
        };
        let whole = answer("").await;
        let middle = whole[whole.len() / 2..].find(' ').unwrap() + whole.len() / 2;
        let rest = answer(&whole[..middle]).await;
        let beginning: String = whole[middle..].chars().take(12).collect();
        assert!(rest.starts_with(&beginning), "{whole:?}: {rest:?}");
        driver.unload().await;
    }
}

/// Whether a test cancels an answer at this event. `None` cancels it right after the request.
type CancelAt = Option<fn(&Event) -> bool>;

const FIRST_PREFILL_REPORT: CancelAt = Some(|event| matches!(event, Event::Prefilling { .. }));
const FIRST_TOKEN: CancelAt = Some(|event| matches!(event, Event::Delta { tokens: 1.., .. }));

/// How long a cancel takes is measured by `make bench`.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_can_be_cancelled_in_prefill_and_in_decode() {
    // The embedded engine reads the long prompt in hundreds of steps, nearly all of which follow the first
    // report.
    let compute = Compute { batch_tokens: 8, ..Compute::with_threads(2) };
    let embedded = Embedded::new(EmbeddedOptions { compute, ..embedded_options(4) });
    let drivers: [Arc<dyn Driver>; 2] = [Arc::new(embedded), Arc::new(managed(4))];
    let (long, short) = ("word ".repeat(1800), "Once upon a time".to_owned());
    let sampling =
        Sampling { tokens_max: 2000, ignore_eos: true, reports_prefill: true, ..Sampling::default() };
    for driver in drivers {
        driver.load().await.unwrap();
        for (when, prompt, cancel_at) in [
            ("at the request", &long, None),
            ("in prefill", &long, FIRST_PREFILL_REPORT),
            ("at the request", &short, None),
            ("in decode", &short, FIRST_TOKEN),
        ] {
            let mut generation = driver.generate(job(&*driver, prompt, sampling.clone()).await).unwrap();
            if let Some(is_reached) = cancel_at {
                loop {
                    let event = generation.events.next().await.expect("an answer ends with a terminal event");
                    if is_reached(&event) {
                        break;
                    }
                    assert!(!event.is_terminal(), "{when}: the answer ended before: {event:?}");
                }
            }
            generation.stop.cancel();
            let (text, _, end) = finish(generation).await;
            assert_eq!(end, Event::Cancelled, "{when}");
            assert!(*prompt != long || text.is_empty(), "{when}: the prompt was read to its end: {text}");
        }
        driver.unload().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_has_no_active_sequence_after_a_cancel() {
    let driver = embedded(2);
    driver.load().await.unwrap();
    let job = job(&driver, &"word ".repeat(1800), greedy(8)).await;
    for _ in 0..20 {
        let generation = driver.generate(job.clone()).unwrap();
        generation.stop.cancel();
        assert_eq!(finish(generation).await.2, Event::Cancelled);
        assert_eq!(driver.worker_active(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_fails_its_own_answers_only() {
    let (driver, other) = (embedded(2), embedded(1));
    driver.load().await.unwrap();
    other.load().await.unwrap();
    let running = driver.generate(job(&driver, "Once upon a time", greedy(2000)).await).unwrap();
    let unharmed = other.generate(job(&other, "Once upon a time", greedy(8)).await).unwrap();
    let pid = driver.worker_pid().unwrap();
    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    let (_, _, end) = finish(running).await;
    assert!(matches!(&end, Event::Failed(error) if error.to_string().contains("SIGKILL")), "{end:?}");
    assert_eq!(finish(unharmed).await.2, Event::Finished(FinishReason::Length));
    driver.wait_for_death().await;
    assert!(driver.generate(job(&driver, "x", greedy(1)).await).is_err());
    driver.load().await.unwrap();
    assert_eq!(finish(driver.generate(job(&driver, "x", greedy(1)).await).unwrap()).await.1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_memory_fails_its_answers_and_can_be_loaded_again() {
    let driver = embedded(2);
    driver.load().await.unwrap();
    let running = driver.generate(job(&driver, "Once upon a time", greedy(1900)).await).unwrap();
    let pid = i32::try_from(driver.worker_pid().unwrap()).unwrap();
    let none = rustix::process::Rlimit { current: Some(1), maximum: Some(1) };
    rustix::process::prlimit(rustix::process::Pid::from_raw(pid), rustix::process::Resource::Data, none)
        .unwrap();
    // Reading the vocabulary for a grammar takes memory, which the worker no longer gets.
    let sampling = Sampling { constraint: Some(Constraint::JsonObject), ..greedy(100) };
    let starved = driver.generate(job(&driver, "Some JSON:", sampling).await).unwrap();
    for generation in [starved, running] {
        let (_, _, end) = finish(generation).await;
        let Event::Failed(error) = &end else { panic!("{end:?}") };
        assert!(error.to_string().contains("memory"), "{error}");
    }
    driver.wait_for_death().await;
    driver.load().await.unwrap();
    assert_eq!(finish(driver.generate(job(&driver, "x", greedy(1)).await).unwrap()).await.1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_loaded_gives_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.gguf");
    std::fs::write(&path, b"GGUF nonsense").unwrap();
    for (program, path, expected) in [
        (program(), path, "llama.cpp cannot load it"),
        (program(), "/no/such/file".into(), "the file does not exist"),
        ("/no/such/program".into(), chat_model(), "cannot be started"),
    ] {
        let options = EmbeddedOptions {
            program,
            path,
            template: None,
            ability: Ability::Generate,
            concurrency: 1,
            context_tokens: 128,
            compute: Compute::with_threads(1),
            tuning: None,
            draft: None,
            cache: lar_base::Bytes(0),
            memory_max: None,
            confinement: ConfinementPolicy::BestEffort,
        };
        let error = Embedded::new(options).load().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// The number of cached tokens of the prompt, and the answer.
async fn run_cached(driver: &Embedded, prompt: &[u32], cache_of: Option<KeyId>) -> (u32, String) {
    let job = GenerationRequest {
        prompt: Prompt::Tokens(prompt.to_vec()),
        sampling: greedy(8),
        caller: None,
        cache_of,
    };
    let mut generation = driver.generate(job).unwrap();
    let (mut answer, mut cached) = (String::new(), None);
    while let Some(event) = generation.events.next().await {
        match event {
            Event::Prefilled { cached_tokens } => cached = Some(cached_tokens),
            Event::Delta { text, .. } => answer.push_str(&text),
            Event::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
    (cached.expect("the prompt was read"), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_prompt_is_prefilled_again_only_for_other_keys() {
    let driver = embedded(1);
    driver.load().await.unwrap();
    let tokens = async |text: &str| match driver.prepare(Prompt::Text(text.into())).await.unwrap().prompt {
        Prompt::Tokens(tokens) => tokens,
        other => panic!("{other:?}"),
    };
    let story = tokens(&"The owl flew over the quiet river and saw a small boat. ".repeat(20)).await;
    let other = tokens(&"A train left the old station in the early morning rain. ".repeat(20)).await;
    let (me, you) = (Some(KeyId::new()), Some(KeyId::new()));

    let (cold, answer) = run_cached(&driver, &story, me).await;
    assert_eq!(cold, 0);
    let (warm, again) = run_cached(&driver, &story, me).await;
    assert_eq!((warm as usize, again), (story.len() - 1, answer.clone()));
    assert_eq!(
        run_cached(&driver, &story, you).await,
        (0, answer.clone()),
        "another key starts from nothing"
    );

    // Another prompt takes the only slot; the evicted KV cache is restored from host memory.
    assert_eq!(run_cached(&driver, &other, me).await.0, 0);
    let longer = [story.clone(), tokens(" The next day").await].concat();
    let (back, _) = run_cached(&driver, &longer, me).await;
    assert!(back as usize >= story.len() - 1, "{back} of {}", story.len());
    driver.unload().await;

    let cold = embedded(1);
    cold.load().await.unwrap();
    assert_eq!(run_cached(&cold, &story, None).await, (0, answer), "the prefix cache changes no answer");
    cold.unload().await;
}
