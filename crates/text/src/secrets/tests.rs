//! Tests of the secret scan on whole texts.

use proptest::prelude::Strategy as _;

use super::*;

/// Returns the text that a case stands for, and the same text redacted. `⟦ ⟧` encloses a secret; quotes
/// around a secret are redacted with it.
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

#[test]
fn siblings_of_known_misses_are_redacted_and_those_of_false_alarms_are_not() {
    let stated = list(include_str!("cases/siblings/stated.toml"), "stated");
    let programs = include_str!("cases/siblings/programs.toml");
    let near = [
        list(programs, "near"),
        list(include_str!("cases/siblings/numbers.toml"), "near"),
        list(include_str!("cases/siblings/talk.toml"), "near"),
    ];
    let near = near.concat();
    assert!(near.iter().all(|text| !text.contains('⟦')));
    assert_redacted(&[stated, list(programs, "machine"), near].concat());
}

#[test]
fn hidden_characters_and_wide_letters_hide_no_secret() {
    let texts = [
        ("The pass\u{200b}word is hun\u{200b}ter2!", "The pass\u{200b}word is [redacted]"),
        ("Ｔｈｅ ｐａｓｓｗｏｒｄ ｉｓ ｈｕｎｔｅｒ２！ ok", "Ｔｈｅ ｐａｓｓｗｏｒｄ ｉｓ [redacted] ok"),
        // One character of the original becomes many, and two secrets meet within it.
        ("login=DB_PASSWORD=“aaﷺ=é", "login=DB_PASSWORD=[redacted]"),
    ];
    for (text, expected) in texts {
        assert_eq!(redact(text, &find(text)), expected);
    }
}

#[test]
fn the_missed_secrets_of_the_review_are_found() {
    let azure = "q83nYv+T0k7c1Zs9bXw5/4mPd2eGf6hJtRuLoViAxCyBnDqWzEsFrKgMpHa0I1jUQ==";
    let texts = [
        format!("AccountName=kiste;AccountKey={azure};EndpointSuffix=core.windows.net"),
        "STRIPE_WEBHOOK_SECRET=whsec_q8Xz1Lm0Vb7Kp3Rt9Zy2Wn4Dc6Fh".into(),
        "7215144283:AAmPhgWXvC3vLnqaJs_hupeKm-iJ81uyPgd".into(),
        format!("lar_{}", "0a1b2c3d".repeat(8)),
        "amqps://svc:Tr4ube!x@mq.intern:5671/vhost".into(),
        "# .env\nDB_HOST=db\nDB_PASSWORD=kirsche\nDEBUG=0".into(),
        "docker run -e MYSQL_ROOT_PASSWORD=Zp4quelle mysql".into(),
        "admin / Qx!48zPl".into(),
        "wifi password at mum's: kartoffelsalat".into(),
        "pass: bluewhale_7".into(),
        "bank PIN 4829".into(),
        "the code for the front door is 2580#".into(),
        "Das Passwort fürs Schulportal lautet Dino_Saurier8".into(),
        "我的密码是 hunter2".into(),
        "ribbon velvet orbit kitten frame lemon copper window tide walnut ridge spike".into(),
        "pw: Kx9!rt".into(),
        "password Sunflower-92".into(),
        "PIN 4829".into(),
        "cvv 313".into(),
        "my password's hunter22".into(),
        "my new password will be Blue$Moon7".into(),
        "https://bob:pw@intern.example/x".into(),
    ];
    for text in texts {
        assert!(has_secret(&text), "{text}");
    }
    for text in
        ["password: ********", "IMEI 356938035643809", "card 4242 4242 4242 4242", "date.secret = 8545"]
    {
        assert_eq!(find(text), [], "{text}");
    }
}

#[test]
fn rules_are_named_in_words_that_a_person_understands() {
    let rule = |text: &str| find(text).first().map(|secret| secret.rule.clone()).unwrap_or_default();
    let rules = [
        ("wifi password at mum's: kartoffelsalat", "wifi password"),
        ("DB_PASSWORD=kirsche", "database password"),
        ("card 4539 1488 0343 6467", "card number"),
        ("IBAN DE44 5001 0517 5407 3249 31", "IBAN"),
        ("7215144283:AAmPhgWXvC3vLnqaJs_hupeKm-iJ81uyPgd", "Telegram bot token"),
        ("the code for the front door is 2580#", "door code"),
        ("bank PIN 4829", "bank PIN"),
        ("ribbon velvet orbit kitten frame lemon copper window tide walnut ridge spike", "seed phrase"),
    ];
    for (text, expected) in rules {
        assert_eq!(rule(text), expected, "{text}");
    }
}

/// Pieces of texts that the rules look at, and pieces of more than one byte that their indices could cut.
const PIECES: &[&str] = &[
    "password",
    "Passwort",
    "mot de passe",
    "hasło",
    "пароль",
    "密码",
    "パスワード",
    "비밀번호",
    "पासवर्ड",
    "รหัสผ่าน",
    "şifre",
    "PIN",
    "code",
    "door",
    "wifi",
    "WLAN",
    "safe",
    "login",
    "is",
    "lautet",
    "=",
    ":",
    "：",
    "->",
    "→",
    "—",
    "-",
    "(",
    ")",
    "\"",
    "'",
    "“",
    "”",
    "「",
    "」",
    "`",
    "*",
    "#",
    "/",
    "\\",
    ",",
    ".",
    "!",
    "?",
    "。",
    "؟",
    " ",
    "  ",
    "\n",
    "\t",
    "\r\n",
    "\u{a0}",
    "\u{200b}",
    "\u{ad}",
    "é",
    "ß",
    "İ",
    "ﬁ",
    "ﷺ",
    "Ａ",
    "１",
    "🔑",
    "👩‍💻",
    "नमस्ते",
    "ที่",
    "hunter2",
    "Kx9!rt",
    "4829",
    "2580#",
    "3-9-2-5",
    "six",
    "sieben",
    "四",
    "https://",
    "bob:pw@host",
    "user:p@ss",
    "sk-",
    "ghp_",
    "AKIA",
    "eyJ",
    "lar_",
    "a1B2c3D4e5F6g7H8i9J0",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----END ",
    "PuTTY-User-Key-File-3",
    "DB_PASSWORD=",
    "<password>",
    "</",
    "--token ",
    "curl -u ",
    "echo ",
    " | sudo -S",
    "Cookie: a=b;",
    "Bearer ",
    "identified by ",
    "machine x login y password ",
    "db:5432:a:b:",
    "WIFI:T:WPA;P:",
    "otpauth://totp/x?secret=",
    "DE44",
    "5001 0517",
    "4539 1488 0343 6467",
    "ribbon velvet orbit",
    "wallet",
    "2FA",
    "JBSW Y3DP EHPK 3PXQ",
    "all lowercase",
    "right",
    "links",
    "opens with",
    "lockbox",
    "alarm off",
    "star",
    "raute",
    "八文字以上",
    "six times the",
    "viermal",
    "my mail + ",
    "parola d'ordine",
    "${DB_PASSWORD:?",
    "を押す",
    "12",
    "{",
    "}",
    "$",
    "${",
    "%",
    "&",
    ";",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_text_is_scanned_and_its_matches_are_apart(
        pieces in proptest::collection::vec(proptest::prelude::prop_oneof![
            6 => proptest::sample::select(PIECES).prop_map(str::to_owned),
            1 => "\\PC{0,4}",
        ], 0..24)
    ) {
        let text = pieces.concat();
        let found = find(&text);
        let mut end = 0;
        for secret in &found {
            assert!(secret.at.start >= end && secret.at.end > secret.at.start, "{text:?} {found:?}");
            assert!(text.get(secret.at.clone()).is_some(), "{text:?} {found:?}");
            end = secret.at.end;
        }
        assert!(redact(&text, &found).matches(REDACTED).count() >= found.len());
    }
}

/// Texts of one piece repeated, which would take quadratic time if a rule read on from each piece.
const RUNS: &[&str] = &[
    ":",
    "=",
    "1",
    "a://",
    "a://b:",
    "@",
    "password ",
    "password: ",
    "password=",
    "pin ",
    "pin a b c d e f g h i j k ",
    "-",
    "- ",
    "'",
    "\"",
    "token: ",
    "curl ",
    "curl -u ",
    "sk-",
    "eyJ.",
    "-----BEGIN RSA PRIVATE KEY-----",
    "ribbon, ",
    "1#",
    "door 1# ",
    "door opens with ",
    "wifi wifi: ",
    "密码是",
    "パスワードは",
    "비밀번호 ",
    "1-2-3 ",
    "safe left ",
    "alarm ",
    "cookie: a=b; ",
    "<password>",
    "DB_PASSWORD ",
    "--password ",
    "admin / ",
    "a@b.c ",
    "login ",
    "DE89 ",
    "machine x login y password ",
    "eins zwei ",
    "all lowercase ",
    "http://",
    "echo a | sudo -S ",
    "WIFI:P:",
    "lockbox ",
    "lockbox by the meter ",
    "alarm off ",
    "star 1111 ",
    "1111 and then the star ",
    "my mail + ",
    "wifi a / ",
    "password i.e. ",
    "parola d'ordine: ",
    "password, all lowercase, ",
    "six times the ",
    "8 then ",
    "phone: ",
    "1111 を押す",
    "1111 を開ける ",
    "4539 1488 0343 6467 12 ",
    "CVC 123 4000 0000 ",
    "${A_PASSWORD:?a",
];

/// Returns the seconds that a scan takes, the least of three.
#[expect(clippy::disallowed_methods, reason = "the test measures its own time")]
fn seconds(text: &str) -> f64 {
    let times = (0..3).map(|_| {
        let start = std::time::Instant::now();
        std::hint::black_box(find(text));
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

#[test]
fn the_time_of_a_scan_is_linear_in_the_length_of_any_text() {
    // Eight times the text takes eight times the time, or 64 times if it were quadratic. Another process may
    // take the processor meanwhile, so one of several measurements must show it.
    let is_linear = |run: &str| {
        let [short, long] = [16 << 10, 128 << 10].map(|bytes: usize| seconds(&run.repeat(bytes / run.len())));
        long < short * 30.0
    };
    for run in RUNS {
        assert!((0..8).any(|_| is_linear(run)), "{run:?}");
    }
}
