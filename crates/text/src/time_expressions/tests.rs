//! Times in questions of several languages, as seen on a Wednesday.

use proptest::prelude::*;

use super::*;

/// A Wednesday.
const TODAY: (i64, i64, i64) = (2023, 11, 15);

/// Returns the ranges as their first and last days.
fn days_in(text: &str) -> String {
    let today = Day::of_date(TODAY.0, TODAY.1, TODAY.2).unwrap();
    let show = |day: Day| {
        let (year, month, day) = day.date();
        format!("{year}-{month:02}-{day:02}")
    };
    let ranges = time_expressions(text, today).into_iter().map(|range| {
        let last = range.end.plus(-1);
        if range.start == last { show(last) } else { format!("{} to {}", show(range.start), show(last)) }
    });
    ranges.collect::<Vec<_>>().join(", ")
}

#[test]
fn english_times_are_found() {
    for (text, days) in [
        ("What did Anna do in May 2023?", "2023-05-01 to 2023-05-31"),
        ("What happened on 3 June?", "2023-06-03"),
        ("What happened on June 3rd, 2021?", "2021-06-03"),
        ("Who called on the 24th of December?", "2022-12-24"),
        ("Where was I in May?", "2023-05-01 to 2023-05-31"),
        ("Where was I in December?", "2022-12-01 to 2022-12-31"),
        ("What did we eat yesterday?", "2023-11-14"),
        ("the day before yesterday", "2023-11-13"),
        ("What is on tomorrow?", "2023-11-16"),
        ("What did she say last week?", "2023-11-06 to 2023-11-12"),
        ("this month", "2023-11-01 to 2023-11-30"),
        ("Which trips did we make last year?", "2022-01-01 to 2022-12-31"),
        ("What did I cook last weekend?", "2023-11-11 to 2023-11-12"),
        ("What did he say on Monday?", "2023-11-13"),
        ("What did he say last Wednesday?", "2023-11-08"),
        ("What is planned for next Friday?", "2023-11-17"),
        ("What did I read three days ago?", "2023-11-12"),
        ("Who visited a month ago?", "2023-10-01 to 2023-10-31"),
        ("Who visited two weeks ago?", "2023-10-29 to 2023-11-04"),
        ("What did I do in the last 3 days?", "2023-11-12 to 2023-11-15"),
        ("last May", "2023-05-01 to 2023-05-31"),
        ("last November", "2022-11-01 to 2022-11-30"),
        ("next May", "2024-05-01 to 2024-05-31"),
        ("Where did I live in 2019?", "2019-01-01 to 2019-12-31"),
        ("What happened on 2023-05-30?", "2023-05-30"),
        ("What happened on 30.5.2023?", "2023-05-30"),
        ("What happened on 3/4/2023?", "2023-04-03, 2023-03-04"),
        ("between May 2022 and June 2022", "2022-05-01 to 2022-05-31, 2022-06-01 to 2022-06-30"),
    ] {
        assert_eq!(days_in(text), days, "{text}");
    }
}

#[test]
fn times_of_other_languages_are_found() {
    for (text, days) in [
        ("Was hat Anna am 3. Juni gemacht?", "2023-06-03"),
        ("Was habe ich vor drei Tagen gelesen?", "2023-11-12"),
        ("Wo waren wir letzte Woche?", "2023-11-06 to 2023-11-12"),
        ("Wo waren wir im Mai 2022?", "2022-05-01 to 2022-05-31"),
        ("gestern", "2023-11-14"),
        ("Qu'est-ce que j'ai fait la semaine dernière ?", "2023-11-06 to 2023-11-12"),
        ("Qui est venu il y a trois jours ?", "2023-11-12"),
        ("¿Qué hice el 3 de junio de 2022?", "2022-06-03"),
        ("¿Qué hicimos la semana pasada?", "2023-11-06 to 2023-11-12"),
        ("Che cosa ho fatto tre giorni fa?", "2023-11-12"),
        ("O que fizemos em maio de 2021?", "2021-05-01 to 2021-05-31"),
        ("Wat heb ik drie dagen geleden gedaan?", "2023-11-12"),
        ("Vad gjorde jag förra veckan?", "2023-11-06 to 2023-11-12"),
        ("Что я делал на прошлой неделе?", "2023-11-06 to 2023-11-12"),
        ("Где мы были 3 июня 2022 года?", "2022-06-03"),
        ("Co robiłem w zeszłym tygodniu?", "2023-11-06 to 2023-11-12"),
        ("昨日何を食べましたか？", "2023-11-14"),
        ("2022年5月3日に何がありましたか", "2022-05-03"),
        ("我上周做了什么？", "2023-11-06 to 2023-11-12"),
        ("어제는 뭐 했어?", "2023-11-14"),
        ("เมื่อวานฉันกินอะไร", "2023-11-14"),
    ] {
        assert_eq!(days_in(text), days, "{text}");
    }
}

#[test]
fn other_texts_are_about_no_time() {
    for text in [
        "",
        "May I ask what my cat is called?",
        "When did June move to Porto?",
        "What does March Inc. sell?",
        "Which port does Postgres use, 5433?",
        "Is the second plan better than the last one?",
        "version 10.2.3",
        "Wann hat Anna Geburtstag?",
        "elle a trois ans",
        "a day in the life",
    ] {
        assert_eq!(days_in(text), "", "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>(), today in -100_000_i64..100_000) {
        for range in time_expressions(&text, Day(today)) {
            prop_assert!(range.start < range.end);
        }
    }

    #[test]
    fn any_words_are_read(words in proptest::collection::vec("last|next|this|week|may|june|3|31|9999|2023|ago|year|days|on|monday", 1..8)) {
        for range in time_expressions(&words.join(" "), Day(19_676)) {
            prop_assert!(range.start < range.end);
        }
    }
}
