//! Measures on labelled chat messages how many requests to the memory are understood.
//!
//! `cargo run -p lar-text --example chat_calibration -- FILE...` reads JSON Lines with the fields `lang`,
//! `message` and `want`, and prints each wrong message and the figures per language. A request counts if its
//! kind is right, and what is stored holds all texts of `contains` and none of `omits`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use lar_text::requests::{MemoryIntent, parse_intents};

/// Counts of one language.
#[derive(Default)]
struct Counts {
    requests: usize,
    understood: usize,
    nothing: usize,
    falsely_requested: usize,
    falsely_stated: usize,
}

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        eprintln!("Skipped: name the files to measure.");
    }
    for file in files {
        match std::fs::read_to_string(&file) {
            Ok(text) => measure(&file, &text),
            Err(error) => eprintln!("Skipped {file}: {error}"),
        }
    }
}

fn measure(file: &str, text: &str) {
    let mut languages: BTreeMap<String, Counts> = BTreeMap::new();
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let Some(item) = parse_json(line) else {
            eprintln!("{file}: not JSON: {line}");
            continue;
        };
        let message = item.get("message").text();
        let intents = parse_intents(message);
        let counts = languages.entry(item.get("lang").text().to_owned()).or_default();
        for want in item.get("want").items() {
            let kind = want.get("do").text();
            let is_right = is_done(want, &intents);
            if kind == "nothing" {
                counts.nothing += 1;
                counts.falsely_requested += usize::from(!is_right);
                counts.falsely_stated += usize::from(intents.iter().any(is_statement));
            } else {
                counts.requests += 1;
                counts.understood += usize::from(is_right);
            }
            let (right, all) = kinds.entry(kind.to_owned()).or_default();
            *right += usize::from(is_right);
            *all += 1;
            if !is_right {
                println!("{}: {kind} {message:?}\n    {intents:?}", item.get("id").text());
            }
        }
    }
    println!("\n{file}");
    for (language, counts) in &languages {
        println!(
            "{language}: {}/{} requests, {} false requests and {} statements in {} messages without one",
            counts.understood,
            counts.requests,
            counts.falsely_requested,
            counts.falsely_stated,
            counts.nothing
        );
    }
    for (kind, (right, all)) in &kinds {
        println!("{kind}: {right}/{all}");
    }
    let sum = |count: fn(&Counts) -> usize, is_needed: &dyn Fn(&str) -> bool| {
        languages.iter().filter(|(code, _)| is_needed(code)).map(|(_, counts)| count(counts)).sum::<usize>()
    };
    let is_english = |code: &str| code == "en";
    println!(
        "English {}/{}, others {}/{}, false requests {}/{}, messages with a statement {}",
        sum(|c| c.understood, &is_english),
        sum(|c| c.requests, &is_english),
        sum(|c| c.understood, &|code| code != "en"),
        sum(|c| c.requests, &|code| code != "en"),
        sum(|c| c.falsely_requested, &|_| true),
        sum(|c| c.nothing, &|_| true),
        sum(|c| c.falsely_stated, &|_| true)
    );
}

fn is_statement(intent: &MemoryIntent) -> bool {
    matches!(intent, MemoryIntent::Statement { .. })
}

/// Returns whether the intents contain what a label wants.
fn is_done(want: &Json, intents: &[MemoryIntent]) -> bool {
    let holds = |text: &str| {
        let text = text.to_lowercase();
        let has = |part: &Json| text.contains(&part.text().to_lowercase());
        want.get("contains").items().iter().all(has) && !want.get("omits").items().iter().any(has)
    };
    match want.get("do").text() {
        "store" | "refuse" => intents.iter().any(|intent| match intent {
            MemoryIntent::Remember(text) | MemoryIntent::Correct { text, .. } => holds(text),
            _ => false,
        }),
        "replace" => {
            intents.iter().any(|intent| matches!(intent, MemoryIntent::Correct { text, .. } if holds(text)))
        }
        "suggest" => intents.iter().any(is_statement) && intents.iter().all(is_statement),
        "forget" => intents.iter().any(|intent| matches!(intent, MemoryIntent::Forget { .. })),
        "list" => intents.iter().any(|intent| matches!(intent, MemoryIntent::List { .. })),
        _ => intents.iter().all(is_statement),
    }
}

/// A JSON value, as far as labels need it.
enum Json {
    Null,
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn get(&self, name: &str) -> &Json {
        let Self::Object(fields) = self else { return &Self::Null };
        fields.iter().find(|(field, _)| field == name).map_or(&Self::Null, |(_, value)| value)
    }

    fn text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }

    fn items(&self) -> &[Json] {
        if let Self::List(items) = self { items } else { &[] }
    }
}

fn parse_json(text: &str) -> Option<Json> {
    parse_value(&mut text.chars().peekable())
}

fn parse_value(rest: &mut Peekable<Chars<'_>>) -> Option<Json> {
    skip_blanks(rest);
    match rest.peek()? {
        '"' => parse_text(rest).map(Json::Text),
        '[' => {
            let mut items = Vec::new();
            rest.next();
            loop {
                skip_blanks(rest);
                match rest.peek()? {
                    ']' => {
                        rest.next();
                        return Some(Json::List(items));
                    }
                    ',' => {
                        rest.next();
                    }
                    _ => items.push(parse_value(rest)?),
                }
            }
        }
        '{' => {
            let mut fields = Vec::new();
            rest.next();
            loop {
                skip_blanks(rest);
                match rest.peek()? {
                    '}' => {
                        rest.next();
                        return Some(Json::Object(fields));
                    }
                    ',' => {
                        rest.next();
                    }
                    _ => {
                        let name = parse_text(rest)?;
                        skip_blanks(rest);
                        rest.next_if_eq(&':')?;
                        fields.push((name, parse_value(rest)?));
                    }
                }
            }
        }
        _ => {
            while rest.next_if(|letter| letter.is_alphanumeric() || "+-.".contains(*letter)).is_some() {}
            Some(Json::Null)
        }
    }
}

fn parse_text(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    rest.next_if_eq(&'"')?;
    let mut units: Vec<u16> = Vec::new();
    loop {
        let letter = match rest.next()? {
            '"' => return String::from_utf16(&units).ok(),
            '\\' => match rest.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'u' => {
                    let digits: String = (0..4).filter_map(|_| rest.next()).collect();
                    units.push(u16::from_str_radix(&digits, 16).ok()?);
                    continue;
                }
                other => other,
            },
            letter => letter,
        };
        units.extend(letter.encode_utf16(&mut [0; 2]).iter());
    }
}

fn skip_blanks(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|letter| letter.is_whitespace()).is_some() {}
}
