//! How the embedded engine shares its time and its sequences among keys: prompts that are read, answers that are paused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use lar_base::{Bytes, KeyId};
use lar_engines::driver::{Ability, Driver, Event, FinishReason, Generation, Job, Prompt, Sampling};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_engines::protocol::Compute;
use lar_tests::{chat_model, program};
use tokio::task::JoinHandle;

async fn loaded(concurrency: u32, cache: Bytes) -> Arc<Embedded> {
    let driver = Arc::new(Embedded::new(EmbeddedOptions {
        program: program(),
        path: chat_model(),
        template: None,
        ability: Ability::Generate,
        concurrency,
        context_tokens: 4096,
        compute: Compute::with_threads(2),
        tuning: None,
        draft: None,
        cache,
        memory_max: None,
        confinement: ConfinementPolicy::BestEffort,
    }));
    driver.load().await.unwrap();
    driver
}

/// A job of so many tokens, none of which ends it. Nothing that others read is known to it.
async fn start(driver: &Embedded, caller: KeyId, text: &str, tokens_max: u32) -> Generation {
    let prompt = driver.prepare(Prompt::Text(text.into())).await.unwrap().prompt;
    let sampling = Sampling { temperature: Some(0.0), ignore_eos: true, tokens_max, ..Sampling::default() };
    let job = Job { prompt, sampling, caller: Some(caller), cache_of: Some(KeyId::new()) };
    driver.generate(job).unwrap()
}

/// A job that is under way, and how many tokens of it have come.
struct Running {
    tokens: Arc<AtomicU32>,
    end: JoinHandle<(String, Option<Event>)>,
}

impl Running {
    fn follow(mut generation: Generation) -> Self {
        let tokens = Arc::new(AtomicU32::new(0));
        let count = tokens.clone();
        let end = tokio::spawn(async move {
            let (mut all, mut prefilled) = (String::new(), 0);
            while let Some(event) = generation.events.next().await {
                match event {
                    Event::Delta { text, tokens, .. } => {
                        all.push_str(&text);
                        count.fetch_add(tokens, Ordering::Relaxed);
                    }
                    Event::Prefilled { .. } => prefilled += 1,
                    Event::Guessed { .. } => {}
                    end => {
                        assert_eq!(prefilled, 1, "a prompt is said to be read once");
                        return (all, Some(end));
                    }
                }
            }
            (all, None)
        });
        Self { tokens, end }
    }

    fn tokens(&self) -> u32 {
        self.tokens.load(Ordering::Relaxed)
    }

    async fn until_tokens(&self, tokens: u32) {
        while self.tokens() < tokens {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn whole(self) -> String {
        let (text, end) = self.end.await.unwrap();
        assert_eq!(end, Some(Event::Finished(FinishReason::Length)));
        text
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_paused_for_anothers_goes_on_where_it_was() {
    const LONG: u32 = 260;
    let text = "Count: one, two, three, four, five, six, seven, eight, nine, ten, eleven,";
    for cache in [Bytes::mib(256), Bytes(0)] {
        let driver = loaded(2, cache).await;
        let [ana, bea] = [KeyId::new(), KeyId::new()];
        let alone = Running::follow(start(&driver, ana, text, LONG).await).whole().await;
        let mut long = Vec::new();
        for _ in 0..2 {
            long.push(Running::follow(start(&driver, ana, text, LONG).await));
        }
        for one in &long {
            one.until_tokens(4).await;
        }
        // Both sequences are Ana's; one of hers waits while Bea's answer is written.
        let short = Running::follow(start(&driver, bea, "The capital of France is", 8).await);
        short.whole().await;
        let done: Vec<u32> = long.iter().map(Running::tokens).collect();
        assert!(done.iter().all(|tokens| *tokens < LONG), "they were not waited for: {done:?}");
        for one in long {
            // What is computed beside others is rounded differently, which shows some hundred tokens later.
            let whole = one.whole().await;
            assert_eq!(whole[..alone.len() / 2], alone[..alone.len() / 2], "with {cache} of host memory");
        }
        assert_eq!(driver.worker_active(), Some(0));
        driver.unload().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paused_can_be_stopped_and_nobody_waits_for_an_answer_that_is_not_read() {
    let driver = loaded(1, Bytes::mib(256)).await;
    let [ana, bea] = [KeyId::new(), KeyId::new()];
    // Nobody takes its tokens: it stands still once its credit is used up.
    let mut unread = start(&driver, ana, "Count: one, two, three,", 2000).await;
    let short = Running::follow(start(&driver, bea, "The capital of France is", 8).await);
    short.whole().await;
    let own = Running::follow(start(&driver, ana, "The capital of Spain is", 8).await);
    own.whole().await;
    // It goes on once it is read.
    let mut tokens = 0;
    while tokens < 300 {
        match unread.events.next().await {
            Some(Event::Delta { tokens: more, .. }) => tokens += more,
            Some(Event::Prefilled { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    // Left alone again, and stopped while it is paused.
    Running::follow(start(&driver, bea, "The capital of Italy is", 8).await).whole().await;
    unread.stop.cancel();
    let mut end = None;
    while let Some(event) = unread.events.next().await {
        end = Some(event);
    }
    assert_eq!(end, Some(Event::Cancelled));
    assert_eq!(driver.worker_active(), Some(0));
    driver.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_does_not_wait_for_the_documents_of_another_key() {
    let driver = loaded(4, Bytes::mib(256)).await;
    let [ana, bea] = [KeyId::new(), KeyId::new()];
    let document = "A train left the old station in the early morning rain. ".repeat(250);
    let mut documents = Vec::new();
    for _ in 0..3 {
        documents.push(Running::follow(start(&driver, ana, &document, 1).await));
    }
    let questions = [(bea, "The capital of France is"), (ana, "The capital of Spain is")];
    for (key, question) in questions {
        Running::follow(start(&driver, key, question, 4).await).whole().await;
    }
    let read: Vec<u32> = documents.iter().map(Running::tokens).collect();
    assert_eq!(read, [0; 3], "none of the documents is read yet");
    for one in documents {
        one.whole().await;
    }
    driver.unload().await;
}
