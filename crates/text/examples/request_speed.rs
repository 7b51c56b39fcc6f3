//! Measures the time to parse plain messages and requests.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a command-line tool that measures time"
)]

use std::time::Instant;

use lar_text::requests::parse_intents;

const ROUNDS: u32 = 200;

fn main() {
    let long =
        "We walked along the river and talked about the weather, the garden and the old house. ".repeat(20);
    let messages = [
        ("short", "What's a good soup for tonight?"),
        (
            "plain",
            "My code does not compile, here is the error. Can you explain what the borrow checker wants from me, and how I would restructure the loop so that the vector is not borrowed twice?",
        ),
        (
            "german",
            "Kannst du mir erklären, warum mein Sauerteig nicht aufgeht? Ich habe ihn gestern Abend angesetzt und über Nacht stehen lassen.",
        ),
        ("chinese", "请问今天晚上做什么汤比较好？家里只有土豆和胡萝卜，还有一点牛肉。"),
        ("long", long.as_str()),
        ("request", "btw remember i use fish, not bash"),
        ("forget", "Please forget everything about Falcon."),
        ("german request", "ach ja und vergiss nicht, dass wir freitags kein Meeting mehr haben 😅"),
    ];
    for (name, message) in messages {
        let first = Instant::now();
        let intents = parse_intents(message).len();
        let first = first.elapsed();
        let start = Instant::now();
        for _ in 0..ROUNDS {
            std::hint::black_box(parse_intents(std::hint::black_box(message)));
        }
        println!(
            "{name}: first {first:?}, then {:?}, {} bytes, {intents} intents",
            start.elapsed() / ROUNDS,
            message.len()
        );
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM")) {
        println!("{line}");
    }
}
