//! Prompts that are far too long, or made to take long: they are refused or counted in time that grows with their
//! length, nobody else waits for them, and they end when their caller leaves.

use std::fs;
use std::path::Path;

use futures_util::StreamExt as _;
use lar_base::Instant;
use lar_egress::Egress;
use lar_engines::Error;
use lar_engines::driver::{Chat, ChatMessage, Driver, Event, GenerationRequest, Prompt, Sampling};
use lar_engines::embedded::ConfinementPolicy;
use lar_engines::llama_server::{LlamaServer, LlamaServerOptions};
use lar_tests::vocabulary::Vocabulary;
use lar_tests::{Lar, chat_model, llama_server, program};
use serde_json::json;

use crate::special_tokens::embedded;

const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' }}";
/// The attacks that are known; one more with each file.
const ATTACKS: usize = 51;
/// Of each attack.
const ATTACK_BYTES: usize = 3 << 20;
/// How much longer than English an attack may take. One whose time grew with the square of its length would take thousands of times
/// as long.
const SLOWER_MAX: u32 = 200;

/// The texts in `tests/attack/prompts`, by name.
fn attacks() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("attack/prompts");
    let mut attacks = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            attacks.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    attacks.sort();
    attacks
}

fn repeated(text: &str, bytes: usize) -> String {
    text.repeat(bytes.div_ceil(text.len()))
}

fn user_prompt(text: &str) -> Prompt {
    Prompt::Chat(Chat::from(vec![ChatMessage::new("user", text)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn attacks_are_counted_in_linear_time_and_make_no_special_tokens() {
    let vocabulary = Vocabulary::of(&chat_model()).special();
    let driver = embedded(chat_model(), CHATML, 200_000);
    let marks = |tokens: &[u32]| tokens.iter().filter(|token| vocabulary.contains_key(token)).count();
    let attacks = attacks();
    assert_eq!(attacks.len(), ATTACKS);
    let plain = &attacks.iter().find(|(name, _)| name == "english").unwrap().1;
    let started_at = Instant::now();
    let _ = driver.prepare(user_prompt(&repeated(plain, ATTACK_BYTES))).await;
    let usual = started_at.elapsed();
    for (name, text) in attacks {
        let prepared = driver.prepare(user_prompt(&repeated(&text, 20_000))).await.unwrap();
        let Prompt::Tokens(tokens) = prepared.prompt else { panic!("{name}") };
        assert_eq!(marks(&tokens), 3, "{name}: the template's own");

        let long = repeated(&text, ATTACK_BYTES);
        let started_at = Instant::now();
        let refused = driver.prepare(user_prompt(&long)).await;
        let taken = started_at.elapsed();
        match refused {
            Err(Error::PromptTooLong { tokens_at_least, context_tokens: 200_000 }) => {
                assert!(tokens_at_least > 200_000, "{name}: {tokens_at_least}");
            }
            // Long runs of blanks or dashes are one token.
            Ok(prepared) => assert!(prepared.tokens.unwrap() <= 200_000, "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
        assert!(taken < usual * SLOWER_MAX, "{name}: {taken:?}, English takes {usual:?}");
    }
    driver.unload().await;
}

/// llama.cpp's own count of the same, in one go.
#[tokio::test(flavor = "multi_thread")]
async fn slices_make_the_tokens_that_the_whole_makes() {
    /// The driver of a llama-server sends no more in one go; Lar's own engine cuts this some times.
    const WHOLE_BYTES: usize = 60_000;
    let ours = embedded(chat_model(), CHATML, 200_000);
    let theirs = LlamaServer::new(
        LlamaServerOptions::Managed {
            launcher: lar_tests::program(),
            confinement: lar_engines::embedded::ConfinementPolicy::BestEffort,
            program: llama_server(),
            model: chat_model(),
            concurrency: 1,
            context_tokens: 512,
            threads: 1,
        },
        Egress::new().unwrap(),
    );
    let english =
        "It was late, and nobody (not even \"she\") knew why; 1,024 of them had gone.\n\nThen   came\tmore: ";
    let code = "    fn main() { let x = vec![1, 2]; } // <|not a mark|> a->b\n";
    let raw = "<|im_start|>user\nHi there<|im_end|>\n";
    // What has words is cut between them, at any length.
    for text in [english, code, raw, "caf\u{e9} na\u{ef}ve "] {
        let whole = Prompt::Text(repeated(text, WHOLE_BYTES));
        assert_eq!(ours.count(&whole).await.unwrap(), theirs.count(&whole).await.unwrap(), "{text}");
    }
    for (name, text) in attacks() {
        let short = Prompt::Text(repeated(&text, 8_000));
        assert_eq!(ours.count(&short).await.unwrap(), theirs.count(&short).await.unwrap(), "{name}");
        // Elsewhere one token for each cut may differ.
        let long = Prompt::Text(repeated(&text, WHOLE_BYTES));
        let (ours, theirs) = (ours.count(&long).await.unwrap(), theirs.count(&long).await.unwrap());
        assert!(ours.abs_diff(theirs) <= WHOLE_BYTES / (8 << 10), "{name}: {ours} and {theirs}");
    }
    theirs.unload().await;
    ours.unload().await;
}

fn chat(lar: &Lar, text: &str) -> lar_tests::Answer {
    let messages = json!([{ "role": "user", "content": text }]);
    lar.post("/v1/chat/completions", &json!({ "model": "default", "messages": messages, "max_tokens": 1 }))
}

fn count_head(lar: &Lar, body: &str) -> String {
    format!(
        "POST /v1/messages/count_tokens HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        lar.address,
        Lar::KEY,
        body.len()
    )
}

/// Hundredths of a second of the processor that a process took.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    number(11) + number(12)
}

#[test]
fn long_prompts_are_refused_with_numbers_nobody_waits_for_them_and_they_end_with_their_callers() {
    let lar = Lar::start();
    assert_eq!(chat(&lar, "hello").status, 200);
    let refused = chat(&lar, &"<|im_end|>".repeat(1_000_000));
    assert_eq!(refused.status, 400, "{}", refused.body);
    let error = refused.json()["error"].clone();
    assert_eq!(error["code"], "context_length_exceeded", "{error}");
    let message = error["message"].as_str().unwrap();
    let numbers = message.contains("tokens > 4095 maximum; counting stopped there");
    assert!(numbers && message.contains("4096 tokens"), "{message}");

    // Counting reads all of a prompt: four of them, and somebody else.
    let body =
        json!({ "model": "default", "messages": [{ "role": "user", "content": "ab ".repeat(4 << 20) }] });
    let body = body.to_string();
    let head = count_head(&lar, &body);
    let connections: Vec<_> = (0..4).map(|_| lar.open(&head, body.as_bytes())).collect();
    let workers = lar.workers();
    let busy = |workers: &[u32]| workers.iter().map(|pid| cpu_ticks(*pid)).sum::<u64>();
    let before = busy(&workers);
    lar.until("the workers count", |_| (busy(&workers) > before + 20).then_some(()));
    assert_eq!(chat(&lar, "hello").status, 200);
    let is_answered = |connection: &std::net::TcpStream| {
        connection.set_nonblocking(true).unwrap();
        connection.peek(&mut [0]).is_ok()
    };
    assert!(!connections.iter().all(is_answered), "the other one waited for all of them");
    drop(connections);
    // They stand still for longer than a slice takes, and long before they could have counted all.
    let left = busy(&workers);
    let (mut last, mut since) = (left, Instant::now());
    let ticks = lar.until("the workers have stopped counting", |_| {
        let now = busy(&workers);
        if std::mem::replace(&mut last, now) != now {
            since = Instant::now();
        }
        (since.elapsed() >= std::time::Duration::from_millis(500)).then_some(now - left)
    });
    assert!(ticks < 200, "{ticks} hundredths of a second were computed for nobody");
    let one = lar.raw(&count_head(&lar, "{}"), b"{}");
    assert_eq!(one.status, 400);
    assert_eq!(chat(&lar, "hello").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_takes_too_long_ends_and_takes_nobody_along() {
    let slow = "{% if messages[0].content|length > 1000 %}{% for a in range(90000) %}{% for b in range(9) %}\
                {% set x = messages[0].content|replace('a', 'bb')|upper|lower|replace('b', 'a') %}\
                {% endfor %}{% endfor %}{% endif %}{{ messages[0].content }}";
    let driver = embedded(chat_model(), slow, 200_000);
    assert_eq!(driver.count(&user_prompt("hello")).await.unwrap(), 1);
    let long = user_prompt(&"a".repeat(1 << 20));
    let (refused, bystanders) = futures_util::future::join(
        driver.prepare(long),
        futures_util::future::join_all((0..20).map(|_| async { driver.count(&user_prompt("hello")).await })),
    )
    .await;
    match refused {
        Err(Error::Template(reason)) => assert_eq!(reason, "it takes too long"),
        other => panic!("{other:?}"),
    }
    assert!(bystanders.iter().all(|count| *count == Ok(1)), "{bystanders:?}");
    assert_eq!(driver.count(&user_prompt("hello")).await.unwrap(), 1);
    driver.unload().await;
}

/// What a worker does that a hostile file has taken over, and what the server says of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_sends_what_it_may_not_is_killed() {
    for (mode, reason) in [
        ("flood", "it sent more than it had credit for"),
        ("long", "it sent a longer answer than was asked for"),
        ("prefill", "it reported prefill that it cannot have done"),
        ("unasked", "it reported prefill that it cannot have done"),
        ("large", "it sent a frame of"),
        ("words", "it sent a frame of"),
    ] {
        let options = lar_engines::embedded::EmbeddedOptions {
            program: program().with_file_name("hostile_worker"),
            path: mode.into(),
            ability: lar_engines::driver::Ability::Generate,
            template: None,
            concurrency: 1,
            context_tokens: 2048,
            compute: lar_engines::protocol::Compute::with_threads(1),
            tuning: None,
            draft: None,
            cache: lar_base::Bytes::mib(0),
            memory_max: None,
            confinement: ConfinementPolicy::BestEffort,
        };
        let driver = lar_engines::embedded::Embedded::new(options);
        driver.load().await.unwrap();
        let reports_prefill = mode == "prefill";
        let sampling = Sampling { tokens_max: 1_000, reports_prefill, ..Sampling::default() };
        let job =
            GenerationRequest { prompt: Prompt::Tokens(vec![1]), sampling, caller: None, cache_of: None };
        let mut generation = driver.generate(job).unwrap();
        if mode == "flood" {
            // Nobody takes the answer: it waits in a bounded queue.
            driver.wait_for_death().await;
        }
        let mut deltas = 0;
        let mut last = None;
        while let Some(event) = generation.events.next().await {
            deltas += u32::from(matches!(event, Event::Delta { .. }));
            last = Some(event);
        }
        let died = driver.wait_for_death().await;
        assert!(died.contains(reason), "{mode}: {died}");
        assert!(deltas < 1_100, "{mode}: {deltas}");
        if mode != "flood" {
            assert!(
                matches!(&last, Some(Event::Failed(Error::Failed(message))) if message.contains(reason)),
                "{last:?}"
            );
        }
    }
}
