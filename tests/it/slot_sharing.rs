//! How the embedded engine shares its time and its slots among keys: it interleaves prefill and pauses
//! answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use lar_base::{Bytes, KeyId, UserId};
use lar_engines::driver::{Driver, Generation};
use lar_engines::embedded::{Embedded, EmbeddedOptions};
use lar_inference::protocol::{CREDIT, Compute};
use lar_inference::{CallerIds, Event, FinishReason, GenerationRequest, Prompt, Sampling};
use lar_tests::{engine_options, load_engine, until};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The longest wait for an event.
const PATIENCE: Duration = Duration::from_secs(120);

async fn loaded(concurrency: u32, context_tokens: u32, cache: Bytes) -> Arc<Embedded> {
    load_engine(EmbeddedOptions { cache, ..engine_options(concurrency, context_tokens) }).await
}

/// A new key of a new user.
fn somebody() -> CallerIds {
    CallerIds { person: UserId::new(), key: KeyId::new() }
}

/// A request for exactly `tokens_max` tokens. It shares no prefix cache with other requests.
async fn job(driver: &Embedded, caller: CallerIds, text: &str, tokens_max: u32) -> GenerationRequest {
    let prompt = driver.prepare(Prompt::Text(text.into())).await.unwrap().prompt;
    let sampling = Sampling { temperature: Some(0.0), ignore_eos: true, tokens_max, ..Sampling::default() };
    GenerationRequest { prompt, sampling, caller: Some(caller), cache_of: Some(KeyId::new()) }
}

/// A running generation, and the number of its tokens that have come.
struct Running {
    tokens: watch::Receiver<u32>,
    end: JoinHandle<(String, Option<Event>)>,
}

impl Running {
    /// Starts a generation, and calls `ended` at its end.
    fn start(driver: &Embedded, job: GenerationRequest, ended: impl FnOnce() + Send + 'static) -> Self {
        let mut generation = driver.generate(job).unwrap();
        let (count, tokens) = watch::channel(0);
        let end = tokio::spawn(async move {
            let (mut all, mut prefilled) = (String::new(), 0);
            while let Some(event) = generation.events.next().await {
                match event {
                    Event::Delta { text, tokens, .. } => {
                        all.push_str(&text);
                        count.send_modify(|count| *count += tokens);
                    }
                    Event::Prefilled { .. } => prefilled += 1,
                    Event::Speculated { .. } => {}
                    end => {
                        assert_eq!(prefilled, 1, "`Prefilled` comes once");
                        ended();
                        return (all, Some(end));
                    }
                }
            }
            (all, None)
        });
        Self { tokens, end }
    }

    fn tokens(&self) -> u32 {
        *self.tokens.borrow()
    }

    async fn until_tokens(&mut self, tokens: u32) {
        let enough = self.tokens.wait_for(|count| *count >= tokens);
        timeout(PATIENCE, enough).await.expect("more tokens come").expect("it has not ended");
    }

    async fn whole(self) -> String {
        let (text, end) = timeout(PATIENCE, self.end).await.expect("it ends").unwrap();
        assert_eq!(end, Some(Event::Finished(FinishReason::Length)));
        text
    }
}

/// Runs a request to its end and returns the text.
async fn run(driver: &Embedded, job: GenerationRequest) -> String {
    Running::start(driver, job, || {}).whole().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_paused_for_another_key_continues_where_it_was() {
    const LONG: u32 = 260;
    let text = "Count: one, two, three, four, five, six, seven, eight, nine, ten, eleven,";
    for cache in [Bytes::mib(256), Bytes(0)] {
        let driver = loaded(2, 1024, cache).await;
        let [ana, bea] = [somebody(), somebody()];
        let alone = run(&driver, job(&driver, ana, text, LONG / 4).await).await;
        let short = job(&driver, bea, "The capital of France is", 8).await;
        let mut long = Vec::new();
        for _ in 0..2 {
            long.push(Running::start(&driver, job(&driver, ana, text, LONG).await, || {}));
        }
        for one in &mut long {
            one.until_tokens(4).await;
        }
        // Both slots are Ana's; one of her answers is paused for Bea's.
        run(&driver, short).await;
        let done: Vec<u32> = long.iter().map(Running::tokens).collect();
        assert!(done.iter().all(|tokens| *tokens < LONG), "Bea's answer waited for Ana's: {done:?}");
        for one in long {
            // Batching changes rounding, which may change an answer some hundred tokens later.
            let whole = one.whole().await;
            assert!(whole.starts_with(&alone), "with {cache} of host memory: {whole}");
        }
        assert_eq!(driver.worker_active(), Some(0));
        driver.unload().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keys_take_turns_in_a_single_slot() {
    let driver = loaded(1, 256, Bytes::mib(256)).await;
    let [ana, bea] = [somebody(), somebody()];
    // It outgrows its context, so that it cannot be prefilled again.
    let mut endless = job(&driver, ana, "Count: one, two, three,", 100_000).await;
    endless.sampling.shift_keep = Some(4);
    let mut endless = Running::start(&driver, endless, || {});
    endless.until_tokens(300).await;
    run(&driver, job(&driver, bea, "The capital of France is", 8).await).await;
    let before = endless.tokens();
    endless.until_tokens(before + 20).await;
    assert!(!endless.end.is_finished());
    // It is cancelled, whether it is paused or not: the worker keeps nothing of it.
    let other = Running::start(&driver, job(&driver, bea, "The capital of Italy is", 40).await, || {});
    endless.end.abort();
    other.whole().await;
    until("the end of its sequence", || (driver.worker_active() == Some(0)).then_some(()));
    driver.unload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_answers_can_be_cancelled_and_unread_answers_block_nobody() {
    let driver = loaded(1, 4096, Bytes::mib(256)).await;
    let [ana, bea] = [somebody(), somebody()];
    // Nobody reads its tokens: it stops once its credit is used up.
    let mut unread = driver.generate(job(&driver, ana, "Count: one, two, three,", 2000).await).unwrap();
    run(&driver, job(&driver, bea, "The capital of France is", 8).await).await;
    run(&driver, job(&driver, ana, "The capital of Spain is", 8).await).await;
    // It continues once its tokens are read.
    let mut tokens = 0;
    while tokens < 300 {
        match timeout(PATIENCE, unread.events.next()).await.expect("more tokens come") {
            Some(Event::Delta { tokens: more, .. }) => tokens += more,
            Some(Event::Prefilled { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    // Again nobody reads it, and it is cancelled while it is paused.
    run(&driver, job(&driver, bea, "The capital of Italy is", 8).await).await;
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
    let driver = loaded(4, 4096, Bytes::mib(256)).await;
    let [ana, bea] = [somebody(), somebody()];
    let document = "A train left the old station in the early morning rain. ".repeat(100);
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(("document", job(&driver, ana, &document, 1).await));
    }
    // Ana's own question comes after Bea's, and gets a free slot as well.
    for (name, key, question) in
        [("Bea's", bea, "The capital of France is"), ("Ana's", ana, "The capital of Spain is")]
    {
        jobs.push((name, job(&driver, key, question, 2).await));
    }
    let ends: Arc<Mutex<Vec<&str>>> = Arc::default();
    let mut running = Vec::new();
    for (name, job) in jobs {
        let ends = ends.clone();
        running.push(Running::start(&driver, job, move || ends.lock().unwrap().push(name)));
    }
    for one in running {
        one.whole().await;
    }
    let ends = ends.lock().unwrap().clone();
    // The first steps read only documents, as the questions arrive later. Bea's question still ends first,
    // and a document last.
    assert_eq!(ends[0], "Bea's", "{ends:?}");
    assert_eq!(ends.iter().rposition(|end| *end == "document"), Some(4), "{ends:?}");
    driver.unload().await;
}

/// A request that reports its prefill, and the number of tokens of its prompt.
async fn reporting(
    driver: &Embedded,
    caller: CallerIds,
    text: &str,
    tokens_max: u32,
) -> (GenerationRequest, u32) {
    let mut job = job(driver, caller, text, tokens_max).await;
    job.sampling.reports_prefill = true;
    let Prompt::Tokens(tokens) = &job.prompt else { panic!("it is in tokens") };
    let total = tokens.len() as u32;
    (job, total)
}

/// Reads the events of a generation to its end and returns the numbers of its prefill reports. Calls `read`
/// when the prompt is prefilled.
async fn reports(mut generation: Generation, read: impl FnOnce()) -> Vec<u32> {
    let (mut reports, mut read) = (Vec::new(), Some(read));
    while let Some(event) = timeout(PATIENCE, generation.events.next()).await.expect("more events come") {
        match event {
            Event::Prefilling { tokens } => {
                assert!(read.is_some(), "a report came after `Prefilled`");
                reports.push(tokens);
            }
            Event::Prefilled { cached_tokens } => {
                assert_eq!(cached_tokens, 0);
                read.take().expect("`Prefilled` comes once")();
            }
            Event::Delta { .. } | Event::Speculated { .. } => {}
            end => {
                assert_eq!(end, Event::Finished(FinishReason::Length));
                return reports;
            }
        }
    }
    panic!("the generation has no terminal event");
}

#[tokio::test(flavor = "multi_thread")]
async fn prefill_reports_only_grow_even_if_the_prompt_is_paused() {
    let document = "A train left the old station in the early morning rain. ".repeat(120);
    for cache in [Bytes::mib(256), Bytes(0)] {
        let driver = loaded(1, 4096, cache).await;
        let [ana, bea] = [somebody(), somebody()];
        let (long, total) = reporting(&driver, ana, &document, 2).await;
        let own = job(&driver, ana, "The capital of Spain is", 2).await;
        let other = job(&driver, bea, "The capital of France is", 2).await;
        let mut long = driver.generate(long).unwrap();
        let first = timeout(PATIENCE, long.events.next()).await.expect("the first event comes");
        assert_eq!(first, Some(Event::Prefilling { tokens: 0 }), "before anything is computed");
        // Ana has two requests and Bea has none, so the document is paused for Bea's.
        let own = Running::start(&driver, own, || {});
        let ends: Arc<Mutex<Vec<&str>>> = Arc::default();
        let (of_bea, of_ana) = (ends.clone(), ends.clone());
        let other = Running::start(&driver, other, move || of_bea.lock().unwrap().push("Bea's"));
        let reports = reports(long, move || of_ana.lock().unwrap().push("document")).await;
        assert!(reports.len() > 2 && reports.is_sorted_by(|one, next| one < next), "{reports:?}");
        assert!(reports[0] > 0 && reports.last() == Some(&total), "{total}: {reports:?}");
        own.whole().await;
        other.whole().await;
        // Without host memory for its KV cache, it is paused only while little of it is prefilled.
        if cache > Bytes(0) {
            assert_eq!(*ends.lock().unwrap(), ["Bea's", "document"]);
        }
        driver.unload().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_prefill_reports_leave_credit_for_the_answer() {
    let compute = Compute { batch_tokens: 8, speculate: false, ..Compute::with_threads(2) };
    let driver = load_engine(EmbeddedOptions { compute, cache: Bytes(0), ..engine_options(2, 2048) }).await;
    let [ana, bea] = [somebody(), somebody()];
    let document = "A train left the old station in the early morning rain. ".repeat(60);
    let (unread, total) = reporting(&driver, ana, &document, 4).await;
    assert!(total > 8 * (CREDIT + 16), "there is more to report than credit: {total}");
    let after = job(&driver, bea, &document, 4).await;
    let unread = driver.generate(unread).unwrap();
    // The prompt that came first is prefilled first.
    run(&driver, after).await;
    let reports = reports(unread, || {}).await;
    assert!(reports.is_sorted_by(|one, next| one < next), "{reports:?}");
    let summary = (reports.len(), reports.first(), reports.last());
    assert_eq!(summary, (CREDIT as usize / 2 + 1, Some(&0), Some(&total)), "{reports:?}");
    driver.unload().await;
}
