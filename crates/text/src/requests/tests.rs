use super::*;

const MESSAGES: &str = include_str!("../../../../benches/data/intents.tsv");
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

/// Returns the name that the tables give an intent, and its text.
fn described(intent: &MemoryIntent) -> (&'static str, &str) {
    match intent {
        MemoryIntent::Remember(text) => ("remember", text),
        MemoryIntent::Correct(text) => ("correct", text),
        MemoryIntent::Forget { what, all: false } => ("forget", what.as_deref().unwrap_or_default()),
        MemoryIntent::Forget { what, all: true } => ("forget_all", what.as_deref().unwrap_or_default()),
        MemoryIntent::List { what } => ("list", what.as_deref().unwrap_or_default()),
        MemoryIntent::Statement { text, lasting: false } => ("statement", text),
        MemoryIntent::Statement { text, lasting: true } => ("lasting", text),
    }
}

/// The quality gate: almost no false requests (precision) and few missed ones (recall).
#[test]
fn parse_intents_finds_requests_and_nothing_else() {
    let (mut correct, mut detected, mut requested) = (0, 0, 0);
    for row in MESSAGES.lines().filter(|row| !row.starts_with('#')) {
        let mut columns = row.split('\t');
        let (label, message) = (columns.next().unwrap(), columns.next().unwrap());
        let expected = columns.next().unwrap_or_default();
        let intents = parse_intents(message);
        let request = intents.iter().find(|intent| !matches!(intent, MemoryIntent::Statement { .. }));
        let is_correct = match (label, request) {
            ("remember", Some(MemoryIntent::Remember(what))) => what == expected,
            ("forget", Some(MemoryIntent::Forget { what, .. })) => {
                what.as_deref().unwrap_or_default() == expected
            }
            ("list", Some(MemoryIntent::List { what })) => what.as_deref().unwrap_or_default() == expected,
            _ => false,
        };
        if is_correct != matches!(label, "remember" | "forget" | "list") || is_correct != request.is_some() {
            println!("{label}: {message} → {request:?}");
        }
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
        for row in cases.lines().filter(|row| !row.starts_with('#') && !row.is_empty()) {
            let mut columns = row.split('\t');
            let (label, message) = (columns.next().unwrap(), columns.next().unwrap().replace("\\n", "\n"));
            let expected = columns.next().unwrap_or_default();
            let intents = parse_intents(&message);
            let is_statement = |intent: &&MemoryIntent| matches!(intent, MemoryIntent::Statement { .. });
            let requests: Vec<_> =
                intents.iter().filter(|intent| !is_statement(intent)).map(described).collect();
            let statements: Vec<_> = intents.iter().filter(is_statement).map(described).collect();
            let is_right = match label {
                "nothing" => requests.is_empty(),
                "silent" => intents.is_empty(),
                "statement" | "lasting" => requests.is_empty() && statements.contains(&(label, expected)),
                _ => requests == [(label, expected)],
            };
            if !is_right {
                failures.push(format!("{language}: {label}: {message:?} → {intents:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}
