//! Tests of the comparison of entries: settings, measurements, and entries that limit others.

use super::*;

fn relation(known: &str, incoming: &str) -> Option<Relation> {
    Some(Entries::of(known)?.compare(&Entries::of(incoming)?)?.0)
}

#[test]
fn entries_are_compared_by_key() {
    let cases = [
        ("LOG_LEVEL=info in prod", "LOG_LEVEL=warn in prod", Some(Relation::Replaces)),
        ("LOG_LEVEL=info in prod", "LOG_LEVEL=warn in staging", Some(Relation::Other)),
        ("vpn.endpoint=vpn1.example.org", "vpn.endpoint=vpn2.example.org", Some(Relation::MayReplace)),
        ("read.timeout=30", "write.timeout=30", None),
        ("PORT=1\nHOST=a", "PORT=2", Some(Relation::MayReplace)),
        ("PORT=1", "PORT=1\nHOST=a", Some(Relation::More)),
        ("[prod]\nport = 1", "[test]\nport = 2", None),
        ("| port | 3000 |", "| port | 3001 |", Some(Relation::MayReplace)),
        (
            "| app | port |\n|---|---|\n| web | 3000 |",
            "| app | port |\n|---|---|\n| web | 3001 |",
            Some(Relation::Replaces),
        ),
        ("| Anna | size |\n|---|---|\n| shoes | 38 |", "| Ben | size |\n|---|---|\n| shoes | 43 |", None),
        ("- [ ] renew the passport", "- [x] renew the passport", Some(Relation::Replaces)),
        ("- [x] water the plants", "- [ ] water the plants", Some(Relation::MayReplace)),
        ("# prod\n## limits\nmax_conn=20", "# staging\n## limits\nmax_conn=5", None),
        ("```ini a.ini\nthreads = 8\n```", "```ini b.ini\nthreads = 16\n```", None),
        ("AllowedIPs = 10.8.0.2/32", "AllowedIPs = 10.8.0.3/32", Some(Relation::MayReplace)),
        ("export PATH=\"$PATH:/opt/a\"", "export PATH=\"$PATH:/opt/b\"", Some(Relation::MayReplace)),
        ("HbA1c: 7.1", "HbA1c: 6.8", Some(Relation::MayReplace)),
        ("max_size=512MB", "max_size=1024MB", Some(Relation::Replaces)),
        ("\"name\": \"a\",\n\"port\": 80", "\"name\": \"b\",\n\"port\": 81", Some(Relation::Other)),
        ("TODO: renew the passport", "DONE: renew the passport", Some(Relation::Replaces)),
        ("on-call this week: Samir", "on-call this week: Ivana", Some(Relation::MayReplace)),
        ("dad's birthday: 7.8.", "dad's birthday: 8.7.", Some(Relation::MayReplace)),
        ("Allergies: penicillin, cat hair", "Allergies: penicillin", Some(Relation::MayReplace)),
        ("Allergies: penicillin", "Allergies: penicillin, cat hair", Some(Relation::More)),
        ("Allergies: penicillin", "Allergies:  Penicillin", Some(Relation::Same)),
        ("Note: buy milk", "Note: call the plumber", None),
        ("Tom: we should use another database", "Tom: I like it here in fact", None),
        ("\"port\": 80,", "\"port\": 81,", Some(Relation::Replaces)),
    ];
    for (known, incoming, expected) in cases {
        assert_eq!(relation(known, incoming), expected, "{known} | {incoming}");
    }
}

#[test]
fn doses_and_measurements_never_replace_each_other() {
    let table = |head: &str, row: &str| format!("| {head} |\n|---|---|\n| {row} |");
    let pairs = [
        ("dose=5mg", "dose=10mg"),
        ("dose=5", "dose=10"),
        ("max_dose=5", "max_dose=10"),
        ("lisinopril_dose=5 mg", "lisinopril_dose=10 mg"),
        ("timeout=5 mg", "timeout=10 mg"),
        ("blood_sugar: 5.6", "blood_sugar: 7.1"),
        ("blood.sugar.limit: 5.6", "blood.sugar.limit: 7.1"),
        ("bloodSugar: 5.6", "bloodSugar: 7.1"),
        ("weight=70kg", "weight=71kg"),
        ("weight=70", "weight=71"),
        ("body_temp=37.2", "body_temp=38.9"),
        ("sleep=7h", "sleep=8h"),
        ("score=3", "score=4"),
        ("goals_messi=3", "goals_messi=4"),
        ("odometer=12000", "odometer=12500"),
        ("cpu_usage=80%", "cpu_usage=20%"),
        ("blutzucker_max=5.6", "blutzucker_max=7.1"),
        ("glycemie_max=5.6", "glycemie_max=7.1"),
        ("presion_max=120", "presion_max=130"),
        ("dawka_max=5", "dawka_max=10"),
        ("\"血糖 max\": 5.6,", "\"血糖 max\": 7.1,"),
        ("\"доза max\": 5,", "\"доза max\": 10,"),
        ("\"혈압 max\": 120,", "\"혈압 max\": 130,"),
        ("[Mia's blood]\nlimit = 5", "[Mia's blood]\nlimit = 6"),
        ("monday_limit=5", "monday_limit=6"),
        ("page=1999", "page=2001"),
        ("Max=3", "Max=4"),
        ("alarm=on", "alarm=off"),
    ];
    let tables = [
        ("drug | dose", "aspirin | 5mg", "aspirin | 10mg"),
        ("drug | limit", "aspirin | 5", "aspirin | 10"),
        ("Medikament | Limit", "Aspirin | 5", "Aspirin | 10"),
        ("app | port", "Blutdruck | 120", "Blutdruck | 130"),
        ("day | limit", "first | 5", "first | 10"),
        ("name | size", "shoes | 38", "shoes | 39"),
        ("team | goals", "Ajax | 3", "Ajax | 4"),
    ];
    let tables = tables.map(|(head, known, new)| (table(head, known), table(head, new)));
    let pairs = pairs.map(|(known, new)| (known.to_owned(), new.to_owned()));
    for (known, incoming) in pairs.into_iter().chain(tables) {
        assert_eq!(relation(&known, &incoming), Some(Relation::MayReplace), "{known} | {incoming}");
    }
}

#[test]
fn technical_values_replace_each_other() {
    for (known, incoming) in [
        ("read.timeout=30s", "read.timeout=500ms"),
        ("timeout=5m", "timeout=10m"),
        ("heap=4G", "heap=8G"),
        ("cache_size: 10%", "cache_size: 20%"),
        ("font.px: 12px", "font.px: 14px"),
        ("max_size=512 MB", "max_size=1024 MB"),
        ("port=8080 # web", "port=8081 # web"),
        ("feature.new_checkout=true", "feature.new_checkout=false"),
        ("maxRetries: 3", "maxRetries: 5"),
    ] {
        assert_eq!(relation(known, incoming), Some(Relation::Replaces), "{known} | {incoming}");
    }
}

#[test]
fn entries_that_limit_others_are_links() {
    for (known, incoming) in [
        ("alarm=off while we are away", "alarm=off"),
        ("alarm=off", "alarm=off while we are away"),
        ("alarm: off while we are away", "alarm: off"),
        ("Alarm: off\nwhen: we are away", "Alarm: off"),
        ("Alarm: off", "Alarm: off\nwhen: we are away"),
        ("Alarm: aus", "Alarm: aus\nBedingung: Urlaub"),
        ("my allergies: penicillin", "my allergies: penicillin, only as a child"),
        ("ihre Allergien: Penicillin", "ihre Allergien: Penicillin, außer Amoxicillin"),
        ("mes médicaments: ibuprofène", "mes médicaments: ibuprofène, 5 mg"),
        ("过敏: 青霉素", "过敏: 青霉素, 除了阿莫西林"),
    ] {
        assert_eq!(relation(known, incoming), Some(Relation::MayReplace), "{known} | {incoming}");
    }
}
