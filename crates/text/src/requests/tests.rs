//! Tests of the intents of messages, with cases in every language.

use proptest::prelude::*;

use super::*;

const MESSAGES: &str = include_str!("../../../../benches/data/intents.tsv");
/// Messages in many voices. Columns: what the message asks for, the message, a part of the text.
const VOICES: &str = include_str!("cases/voices.tsv");
/// The same for requests in free words.
const FREE: &str = include_str!("cases/free.tsv");
/// The cases of each language. Columns: what the message asks for, the message, the text of the request.
const CASES: &[(&str, &str)] = &[
    ("en", include_str!("cases/en.tsv")),
    ("de", include_str!("cases/de.tsv")),
    ("fr", include_str!("cases/fr.tsv")),
    ("es", include_str!("cases/es.tsv")),
    ("pt", include_str!("cases/pt.tsv")),
    ("it", include_str!("cases/it.tsv")),
    ("nl", include_str!("cases/nl.tsv")),
    ("pl", include_str!("cases/pl.tsv")),
    ("ru", include_str!("cases/ru.tsv")),
    ("tr", include_str!("cases/tr.tsv")),
    ("sv", include_str!("cases/sv.tsv")),
    ("zh", include_str!("cases/zh.tsv")),
    ("ja", include_str!("cases/ja.tsv")),
    ("ko", include_str!("cases/ko.tsv")),
    ("hi", include_str!("cases/hi.tsv")),
    ("th", include_str!("cases/th.tsv")),
];

/// A row of a table: what the message asks for, the message, and a text.
struct Row<'a> {
    label: &'a str,
    message: String,
    text: &'a str,
}

fn rows(table: &str) -> impl Iterator<Item = Row<'_>> {
    table.lines().filter(|row| !row.starts_with('#') && !row.is_empty()).map(|row| {
        let mut columns = row.split('\t');
        let (label, message) = (columns.next().unwrap(), columns.next().unwrap().replace("\\n", "\n"));
        Row { label, message, text: columns.next().unwrap_or_default() }
    })
}

fn is_statement(intent: &MemoryIntent) -> bool {
    matches!(intent, MemoryIntent::Statement { .. })
}

/// Returns whether an intent is a statement with this text that reports a change.
fn reports(intent: &MemoryIntent, stated: &str) -> bool {
    let MemoryIntent::Statement { text, change: Some(_), .. } = intent else { return false };
    stated.is_empty() || stated == text
}

/// Returns the name that the tables give an intent, and its text.
fn described(intent: &MemoryIntent) -> (&'static str, &str) {
    match intent {
        MemoryIntent::Remember(text) => ("remember", text),
        MemoryIntent::Correct { text, .. } => ("correct", text),
        MemoryIntent::Forget { what, all: false, .. } => ("forget", what.as_deref().unwrap_or_default()),
        MemoryIntent::Forget { what, all: true, .. } => ("forget_all", what.as_deref().unwrap_or_default()),
        MemoryIntent::ForgetNamed { subjects, all: false, .. } => ("forget", &subjects[0]),
        MemoryIntent::ForgetNamed { subjects, all: true, .. } => ("forget_all", &subjects[0]),
        MemoryIntent::List { what } => ("list", what.as_deref().unwrap_or_default()),
        MemoryIntent::Remind { text, topic: None } => ("remind", text),
        MemoryIntent::Remind { topic: Some(topic), .. } => ("remind_when", topic),
        MemoryIntent::Statement { text, lasting: false, .. } => ("statement", text),
        MemoryIntent::Statement { text, lasting: true, .. } => ("lasting", text),
    }
}

/// The quality gate: almost no false requests (precision) and few missed ones (recall).
#[test]
fn parse_intents_finds_requests_and_nothing_else() {
    let (mut correct, mut detected, mut requested) = (0, 0, 0);
    for Row { label, message, text } in rows(MESSAGES) {
        let intents = parse_intents(&message);
        let request = intents.iter().find(|intent| !is_statement(intent));
        let is_correct = request.is_some_and(|request| {
            let (kind, found) = described(request);
            kind.trim_end_matches("_all") == label && found == text
        });
        correct += u32::from(is_correct);
        detected += u32::from(request.is_some());
        requested += u32::from(matches!(label, "remember" | "forget" | "list"));
    }
    let precision = f64::from(correct) / f64::from(detected);
    let recall = f64::from(correct) / f64::from(requested);
    assert!(precision >= 0.95 && recall >= 0.8, "precision {precision:.3}, recall {recall:.3}");
}

#[test]
fn the_cases_of_each_language_are_understood() {
    let mut failures = Vec::new();
    for (language, cases) in CASES {
        let (mut requests, mut others) = (0, 0);
        for Row { label, message, text } in rows(cases) {
            let intents = parse_intents(&message);
            let asked: Vec<_> =
                intents.iter().filter(|intent| !is_statement(intent)).map(described).collect();
            let stated: Vec<_> =
                intents.iter().filter(|intent| is_statement(intent)).map(described).collect();
            let is_right = match label {
                "nothing" => asked.is_empty(),
                "silent" => intents.is_empty(),
                "statement" | "lasting" => asked.is_empty() && stated.contains(&(label, text)),
                "change" => asked.is_empty() && intents.iter().any(|intent| reports(intent, text)),
                "unchanged" => asked.is_empty() && !intents.iter().any(|intent| reports(intent, "")),
                _ => asked == [(label, text)],
            };
            let is_request =
                !matches!(label, "nothing" | "silent" | "statement" | "lasting" | "change" | "unchanged");
            *if is_request { &mut requests } else { &mut others } += 1;
            if !is_right {
                failures.push(format!("{language}: {label}: {message:?} → {intents:?}"));
            }
        }
        assert!(requests >= 12 && others >= 12, "{language}: {requests} requests and {others} others");
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn requests_in_many_voices_are_understood() {
    let mut failures = Vec::new();
    for Row { label, message, text } in rows(VOICES).chain(rows(FREE)) {
        let intents = parse_intents(&message);
        let holds = |intent: &MemoryIntent| {
            let (kind, found) = described(intent);
            kind.trim_end_matches("_all") == label && found.contains(text)
        };
        let is_right = match label {
            "nothing" => intents.iter().all(is_statement),
            "statement" => !intents.is_empty() && intents.iter().all(is_statement),
            _ => intents.iter().any(holds),
        };
        if !is_right {
            failures.push(format!("{label}: {message:?} → {intents:?}"));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn each_fact_of_a_list_is_remembered() {
    let message = "Please remember the following about me:\n- I'm left-handed\n- I live in York\n\nThanks!";
    assert_eq!(
        parse_intents(message),
        [MemoryIntent::Remember("I'm left-handed".into()), MemoryIntent::Remember("I live in York".into()),]
    );
}

#[test]
fn decomposed_letters_are_understood() {
    let message = "Retiens que je pre\u{301}fe\u{300}re le the\u{301}";
    assert_eq!(parse_intents(message), [MemoryIntent::Remember("je préfère le thé".into())]);
}

/// A message of phrases, marks and arbitrary text.
fn message() -> impl Strategy<Value = String> {
    let phrases = prop::sample::select(vec![
        "remember that ",
        "please ",
        "no, ",
        "forget everything about ",
        "what do you know about ",
        "I live in ",
        "\n\n",
        "\n",
        "```",
        "\"",
        "“",
        "»",
        "'",
        "> ",
        ": ",
        "? ",
        ". ",
        "Dear Tom,\n",
        "Regards,\nTom",
        "İ",
        "ß",
        "记住",
        "忘掉",
        "。",
        "覚えて",
        "기억해줘",
        "запомни ",
        "vergiss ",
        "unutma",
        "😅",
        "e\u{301}",
        "\u{1}",
        "1. ",
        "From: a@b\n",
        "Here is ",
        "translate ",
        "You are a ",
    ]);
    prop::collection::vec(prop_oneof![3 => phrases.prop_map(str::to_owned), 1 => "\\PC{0,12}"], 0..16)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_text_can_be_parsed(message in message()) {
        let _ = parse_intents(&message);
        let mut end = 0;
        for at in crate::own_words::own_words(&message) {
            prop_assert!(at.start >= end && at.start < at.end && message.get(at.clone()).is_some());
            end = at.end;
        }
    }

    #[test]
    fn text_in_a_fence_asks_for_nothing(message in message()) {
        let fenced = format!("```\n{}\n```", message.replace("```", ""));
        prop_assert_eq!(parse_intents(&fenced), []);
    }
}
