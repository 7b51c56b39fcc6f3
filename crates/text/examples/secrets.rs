//! Measures the secret scan on labelled texts: `cargo run --release -p lar-text --example secrets FILE.jsonl…`.
//!
//! A line is an object with the strings `id`, `lang`, `text` and `made`: `machine`, `told` or `none`. The
//! example prints each missed secret and each false alarm, the share of secrets found by kind, and the time.
//! With `--all` it prints what it found in every text.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use lar_text::secrets;

fn main() -> io::Result<()> {
    let (options, paths): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|one| one.starts_with("--"));
    let mut out = io::stdout().lock();
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for path in paths {
        let text = std::fs::read_to_string(path)?;
        for line in text.split('\n').filter(|line| !line.trim().is_empty()) {
            let field = |name: &str| field(line, name).unwrap_or_default();
            let (made, text) = (field("made"), field("text"));
            let found = secrets::find(&text);
            let (all, hit) = counts.entry(made.clone()).or_default();
            *all += 1;
            *hit += usize::from(!found.is_empty());
            let is_wrong = (made == "none") != found.is_empty();
            if is_wrong || !options.is_empty() {
                let rules: Vec<&str> = found.iter().map(|secret| secret.rule.as_str()).collect();
                let mark = if is_wrong { "WRONG" } else { "ok" };
                let redacted = secrets::redact(&text, &found);
                writeln!(
                    out,
                    "{mark} {made} {} {} {rules:?}\n    {text:?}\n    {redacted:?}",
                    field("id"),
                    field("lang")
                )?;
            }
        }
    }
    for (made, (all, hit)) in counts {
        writeln!(out, "{made}: {hit} of {all} with a secret")?;
    }
    Ok(())
}

/// Returns the string of a field of a JSON object.
fn field(object: &str, name: &str) -> Option<String> {
    let start = object.find(&format!("\"{name}\":"))? + name.len() + 3;
    let mut chars = object[start..].trim_start().strip_prefix('"')?.chars();
    let mut units: Vec<u16> = Vec::new();
    let mut buffer = [0; 2];
    loop {
        match chars.next()? {
            '"' => return Some(String::from_utf16_lossy(&units)),
            '\\' => match chars.next()? {
                'n' => units.push(u16::from(b'\n')),
                't' => units.push(u16::from(b'\t')),
                'r' => units.push(u16::from(b'\r')),
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).ok()?);
                }
                other => units.extend_from_slice(other.encode_utf16(&mut buffer)),
            },
            other => units.extend_from_slice(other.encode_utf16(&mut buffer)),
        }
    }
}
