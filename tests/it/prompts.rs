//! Prompts that are far too long, or crafted to be slow: they are refused or counted in linear time, no other
//! caller waits for them, and their work ends when their caller disconnects.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use lar_base::Instant;
use lar_egress::Egress;
use lar_engines::driver::Driver;
use lar_engines::embedded::ConfinementPolicy;
use lar_engines::llama_server::{LlamaServer, LlamaServerOptions};
use lar_inference::Error;
use lar_inference::{Chat, ChatMessage, Event, GenerationRequest, Prompt, Sampling};
use lar_tests::vocabulary::Vocabulary;
use lar_tests::{Lar, chat_model, llama_server, program};
use serde_json::json;

use crate::special_tokens::embedded;

const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' }}";
/// The number of attacks: one in each file.
const ATTACKS: usize = 51;
/// The size of each attack.
const ATTACK_BYTES: usize = 3 << 20;
/// The most times as long as English that an attack may take. If its time grew with the square of its length, it
/// would take thousands of times as long.
const SLOWER_MAX: u32 = 200;
/// A time that every attack may take, so that a short stall of the machine fails no test. Quadratic time
/// would exceed it.
const ALLOWED_MIN: Duration = Duration::from_secs(60);

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
        assert_eq!(marks(&tokens), 3, "{name}: only the template's own");

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
        assert!(taken < (usual * SLOWER_MAX).max(ALLOWED_MIN), "{name}: {taken:?}, English takes {usual:?}");
    }
    driver.unload().await;
}

/// Compares the counts with those of llama.cpp, which gets each text in one piece.
#[tokio::test(flavor = "multi_thread")]
async fn counting_in_slices_equals_counting_in_one_piece() {
    /// The most that the driver of a llama-server sends in one piece. Lar's own engine cuts it into several
    /// slices.
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
    // A text with words is cut between words, so it has the same tokens at any length.
    for text in [english, code, raw, "caf\u{e9} na\u{ef}ve "] {
        let whole = Prompt::Text(repeated(text, WHOLE_BYTES));
        assert_eq!(ours.count(&whole).await.unwrap(), theirs.count(&whole).await.unwrap(), "{text}");
    }
    for (name, text) in attacks() {
        let short = Prompt::Text(repeated(&text, 8_000));
        assert_eq!(ours.count(&short).await.unwrap(), theirs.count(&short).await.unwrap(), "{name}");
        // In any other text, each cut may change the count by one token.
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

/// The CPU time that a process has used, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    number(11) + number(12)
}

#[test]
fn long_prompts_are_refused_block_no_other_caller_and_end_with_their_callers() {
    let lar = Lar::start();
    assert_eq!(chat(&lar, "hello").status, 200);
    let refused = chat(&lar, &"<|im_end|>".repeat(1_000_000));
    assert_eq!(refused.status, 400, "{}", refused.body);
    let error = refused.json()["error"].clone();
    assert_eq!(error["code"], "context_length_exceeded", "{error}");
    let message = error["message"].as_str().unwrap();
    let numbers = message.contains("tokens > 4095 maximum; counting stopped there");
    assert!(numbers && message.contains("4096 tokens"), "{message}");

    // Counting reads all of a prompt: here one to its end, then four and a chat beside them.
    let body =
        json!({ "model": "default", "messages": [{ "role": "user", "content": "ab ".repeat(4 << 20) }] });
    let body = body.to_string();
    let head = count_head(&lar, &body);
    let workers = lar.workers();
    let total_ticks = || workers.iter().map(|pid| cpu_ticks(*pid)).sum::<u64>();
    let count_one = || {
        let before = total_ticks();
        assert_eq!(lar.raw(&head, body.as_bytes()).status, 200);
        total_ticks() - before
    };
    let ticks_of_one = count_one();
    let before = total_ticks();
    let connections: Vec<_> = (0..4).map(|_| lar.open(&head, body.as_bytes())).collect();
    lar.until("the start of counting", |_| (total_ticks() > before + ticks_of_one / 8).then_some(()));
    assert_eq!(chat(&lar, "hello").status, 200);
    let is_answered = |connection: &std::net::TcpStream| {
        connection.set_nonblocking(true).unwrap();
        connection.peek(&mut [0]).is_ok()
    };
    assert!(!connections.iter().all(is_answered), "the chat waited for all of them");
    drop(connections);
    // The prompts of a key are counted in order. If those four were still counted to their ends, four times
    // as much work would come before this one.
    let ticks = count_one();
    assert!(ticks < 3 * ticks_of_one, "{ticks} ticks for one prompt, which alone took {ticks_of_one}");
    let one = lar.raw(&count_head(&lar, "{}"), b"{}");
    assert_eq!(one.status, 400);
    assert_eq!(chat(&lar, "hello").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_takes_too_long_is_stopped_and_fails_no_other_prompt() {
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

/// Protocol violations of a worker that a hostile model file has taken over, with the reason that the server
/// gives.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_breaks_the_protocol_is_killed() {
    for (mode, reason) in [
        ("flood", "it sent more events than it had credit for"),
        ("long", "it sent a longer answer than requested"),
        ("prefill", "it reported impossible prefill progress"),
        ("unasked", "it reported impossible prefill progress"),
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
            compute: lar_inference::protocol::Compute::with_threads(1),
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
            // Nobody reads the answer: it waits in a bounded queue.
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
