//! Tests of the secret scan on whole texts.

use super::*;

/// Returns the text that a case stands for, and the same text redacted. `⟦ ⟧` encloses a secret; quotes around
/// a secret are redacted with it.
fn case(marked: &str) -> (String, String) {
    let text: String = marked.chars().filter(|c| !matches!(c, '⟦' | '⟧')).collect();
    let mut redacted = String::new();
    let mut rest = marked;
    while let Some((before, after)) = rest.split_once('⟦') {
        let (_, after) = after.split_once('⟧').unwrap();
        redacted.push_str(before);
        redacted.push_str(REDACTED);
        rest = after;
    }
    redacted.push_str(rest);
    (text, without_quotes(redacted))
}

/// Returns a text without the quotes around what was redacted. Whether they are redacted too does not matter.
fn without_quotes(mut redacted: String) -> String {
    for (open, close) in [("\"", "\""), ("'", "'"), ("“", "”"), ("「", "」")] {
        redacted = redacted.replace(&format!("{open}{REDACTED}{close}"), REDACTED);
    }
    redacted
}

/// Returns a list of texts of a file of cases.
fn list(source: &str, name: &str) -> Vec<String> {
    let table: toml::Table = toml::from_str(source).unwrap();
    table[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Asserts that the marked secrets of texts, and nothing else, are redacted.
fn assert_redacted(marked: &[String]) {
    let wrong: Vec<String> = marked
        .iter()
        .filter_map(|marked| {
            let (text, expected) = case(marked);
            let redacted = without_quotes(redact(&text, &find(&text)));
            (redacted != expected).then(|| format!("{text:?}\n  gives {redacted:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), marked.len(), wrong.join("\n"));
}

/// Asserts that a language has enough cases, and that the scan treats them as marked.
fn assert_language(source: &str) {
    let (stated, near) = (list(source, "stated"), list(source, "near"));
    assert!(stated.len() >= 8 && near.len() >= 8);
    let wrong: Vec<&String> = near.iter().filter(|text| text.contains('⟦')).collect();
    assert_eq!(wrong, Vec::<&String>::new());
    assert_redacted(&[stated, near].concat());
}

macro_rules! languages {
    ($($name:ident: $file:literal,)*) => {$(
        #[test]
        fn $name() {
            assert_language(include_str!($file));
        }
    )*};
}

languages! {
    secrets_stated_in_english_are_redacted: "cases/en.toml",
    secrets_stated_in_german_are_redacted: "cases/de.toml",
    secrets_stated_in_french_are_redacted: "cases/fr.toml",
    secrets_stated_in_spanish_are_redacted: "cases/es.toml",
    secrets_stated_in_portuguese_are_redacted: "cases/pt.toml",
    secrets_stated_in_italian_are_redacted: "cases/it.toml",
    secrets_stated_in_dutch_are_redacted: "cases/nl.toml",
    secrets_stated_in_polish_are_redacted: "cases/pl.toml",
    secrets_stated_in_russian_are_redacted: "cases/ru.toml",
    secrets_stated_in_ukrainian_are_redacted: "cases/uk.toml",
    secrets_stated_in_turkish_are_redacted: "cases/tr.toml",
    secrets_stated_in_chinese_are_redacted: "cases/zh.toml",
    secrets_stated_in_japanese_are_redacted: "cases/ja.toml",
    secrets_stated_in_korean_are_redacted: "cases/ko.toml",
    secrets_stated_in_hindi_are_redacted: "cases/hi.toml",
    secrets_stated_in_thai_are_redacted: "cases/th.toml",
}

#[test]
fn secrets_of_programs_are_redacted() {
    let source = include_str!("cases/machine.toml");
    assert_redacted(&list(source, "machine"));
    assert_redacted(&list(source, "near"));
}
