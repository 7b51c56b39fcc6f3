//! Finds the days that a question is about: "in May 2023", "last week", "am 3. Juni", "昨天".
//!
//! A time that names no year is the last one that is not in the future. The words are in the files of the
//! languages. Only the question's language and English count; a question of a few words may be in any.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::days::Day;
use crate::languages::{Language, detect};

/// The most ranges of a text.
const RANGES_MAX: usize = 8;
/// The most words of a question that may be in any language.
const SHORT_WORDS_MAX: usize = 3;
/// The years that a number of four digits may mean.
const YEARS: Range<i64> = 1900..2100;
/// The words before a year or an English month that stands alone.
const PREPOSITIONS: &[&str] = &[
    "in", "of", "during", "since", "until", "till", "by", "from", "early", "mid", "late", "end", "im",
    "seit", "en", "de", "depuis", "desde", "nel", "del", "dal", "em", "i", "sinds", "sedan", "siden", "w",
    "od", "v", "în", "din", "в", "с", "у", "vuonna", "jahr", "année", "año", "anno", "ano", "year", "год",
    "году", "roku", "roce", "το",
];
/// The words that may stand inside a date.
const FILLERS: &[&str] = &["of", "the", "de", "di", "del", "do", "den", "a", "d", "ten"];

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimeUnit {
    Day,
    Week,
    Weekend,
    Month,
    Year,
}

/// The meaning of a word for times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Month(i64),
    Weekday(i64),
    Number(i64),
    Unit(TimeUnit),
    /// A day relative to today.
    Relative(i64),
    /// A unit relative to the current one, in one word, such as last year.
    RelativeUnit(TimeUnit, i64),
    /// Last (−1), this (0) or next (1).
    Order(i64),
    Ago,
    AgoBefore,
}

/// Returns the days that a text is about, in the order of the text. `today` is the day of the question.
#[must_use]
pub fn time_expressions(text: &str, today: Day) -> Vec<Range<Day>> {
    let lower = text.to_lowercase().replace('’', "'");
    let mut found = numeric_dates(&lower, today);
    let words: Vec<&str> = lower
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '-')))
        .filter(|word| !word.is_empty())
        .collect();
    let main = detect(text).main();
    let mut languages = vec![main, Language::English];
    if words.len() <= SHORT_WORDS_MAX {
        languages.extend(Language::ALL);
    }
    for language in languages {
        let parsed = TimeParser::new(&words, language, today).parse();
        if !parsed.is_empty() {
            found.extend(parsed);
            break;
        }
    }
    if matches!(main, Language::Thai | Language::Japanese | Language::Chinese | Language::Korean) {
        found.extend(unspaced(&lower, main, today));
    }
    found.truncate(RANGES_MAX);
    found
}

/// Returns whether a word of any language names a time, a unit of time or a number.
#[must_use]
pub fn is_time_word(word: &str) -> bool {
    let lower = word.to_lowercase();
    let is_number = lower.chars().all(|letter| letter.is_ascii_digit() || ".:/-".contains(letter));
    is_number || MEANINGS.iter().any(|known| known.contains_key(lower.as_str()))
}

/// Finds dates in digits, such as 2023-05-30, 30.5.2023 and 2023年5月30日. With slashes, both orders are
/// possible.
fn numeric_dates(text: &str, today: Day) -> Vec<Range<Day>> {
    static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let iso = r"\b(?<y>\d{4})[-/](?<m>\d{1,2})(?:[-/](?<d>\d{1,2}))?\b";
        let european = r"\b(?<d2>\d{1,2})\.\s?(?<m2>\d{1,2})\.\s?(?<y2>\d{4})\b";
        let slashes = r"\b(?<a>\d{1,2})/(?<b>\d{1,2})/(?<y3>\d{4})\b";
        let eastern =
            r"(?:(?<y4>\d{4})\s?[年년]\s?)?(?<m4>\d{1,2})\s?[月월](?:\s?(?<d4>\d{1,2})\s?[日号號일])?";
        Regex::new(&format!("{iso}|{european}|{slashes}|{eastern}")).ok()
    });
    let mut found = Vec::new();
    for date in DATE.iter().flat_map(|date| date.captures_iter(text)) {
        let number = |name| date.name(name).and_then(|digits| digits.as_str().parse::<i64>().ok());
        let dates =
            [("y", "m", "d"), ("y2", "m2", "d2"), ("y3", "b", "a"), ("y3", "a", "b"), ("y4", "m4", "d4")];
        let mut ranges: Vec<Range<Day>> = dates
            .into_iter()
            .filter_map(|(year, month, day)| {
                let month = number(month)?;
                let year = number(year).unwrap_or_else(|| last_year_with(month, number(day), today));
                if !YEARS.contains(&year) {
                    return None;
                }
                match number(day) {
                    Some(day) => Day::of_date(year, month, day).map(one_day),
                    None => (1..=12).contains(&month).then(|| month_of(year, month)),
                }
            })
            .collect();
        ranges.dedup();
        found.append(&mut ranges);
    }
    found
}

/// Finds the words for times of a language that writes them together with other words.
fn unspaced(text: &str, language: Language, today: Day) -> Vec<Range<Day>> {
    let words = MEANINGS[language as usize].iter();
    let mut found: Vec<(&str, Meaning)> =
        words.filter(|(word, _)| text.contains(**word)).map(|(word, meaning)| (*word, *meaning)).collect();
    // Of overlapping words such as 昨天 and 前天, the longest counts.
    found.sort_by_key(|(word, _)| (std::cmp::Reverse(word.len()), *word));
    let mut rest = text.to_owned();
    let mut ranges = Vec::new();
    for (word, meaning) in found {
        if !rest.contains(word) {
            continue;
        }
        rest = rest.replace(word, " ");
        match meaning {
            Meaning::Relative(days) => ranges.push(one_day(today.plus(days))),
            Meaning::RelativeUnit(unit, by) => ranges.push(unit_of(unit, by, today)),
            Meaning::Month(month) => ranges.push(month_of(last_year_with(month, None, today), month)),
            _ => {}
        }
    }
    ranges
}

/// Reads the words of a text from left to right.
struct TimeParser<'a> {
    words: &'a [&'a str],
    meanings: Vec<Option<Meaning>>,
    language: Language,
    today: Day,
}

impl<'a> TimeParser<'a> {
    fn new(words: &'a [&'a str], language: Language, today: Day) -> Self {
        let known = &MEANINGS[language as usize];
        let meaning = |word: &&str| number_of(word).map(Meaning::Number).or_else(|| known.get(word).copied());
        Self { words, meanings: words.iter().map(meaning).collect(), language, today }
    }

    fn parse(&self) -> Vec<Range<Day>> {
        let (mut found, mut at) = (Vec::new(), 0);
        while at < self.words.len() {
            match self.expression(at) {
                Some((range, end)) => {
                    found.push(range);
                    at = end;
                }
                None => at += 1,
            }
        }
        found
    }

    /// Reads the expression that starts with a word. Returns its days and the position after it.
    fn expression(&self, at: usize) -> Option<(Range<Day>, usize)> {
        self.date(at).or_else(|| self.ago(at)).or_else(|| self.ordered(at)).or_else(|| match self.at(at)? {
            Meaning::Relative(days) => {
                let before = at.checked_sub(1).and_then(|before| self.words.get(before)).copied();
                let further = match (before, days) {
                    (Some("before"), -1) => -2,
                    (Some("after"), 1) => 2,
                    _ => days,
                };
                Some((one_day(self.today.plus(further)), at + 1))
            }
            Meaning::RelativeUnit(unit, by) => Some((unit_of(unit, by, self.today), at + 1)),
            // The last one: today's weekday is the one a week ago.
            Meaning::Weekday(weekday) => Some((one_day(self.weekday(weekday, -1)), at + 1)),
            Meaning::Number(year) if YEARS.contains(&year) && self.is_after_preposition(at) => {
                Some((month_of(year, 1).start..month_of(year + 1, 1).start, at + 1))
            }
            _ => None,
        })
    }

    /// Reads a day and a month in either order, or a month, each maybe with a year.
    fn date(&self, at: usize) -> Option<(Range<Day>, usize)> {
        let (day, month, end) = match (self.at(at)?, self.at_after_fillers(at + 1)) {
            (Meaning::Number(day), Some((Meaning::Month(month), end))) if day <= 31 => {
                (Some(day), month, end)
            }
            (Meaning::Month(month), Some((Meaning::Number(day), end))) if day <= 31 => {
                (Some(day), month, end)
            }
            (Meaning::Month(month), next) => {
                let is_year = matches!(next, Some((Meaning::Number(year), _)) if YEARS.contains(&year));
                let is_ambiguous = self.language == Language::English && !self.is_after_preposition(at);
                if is_ambiguous && !is_year {
                    return None;
                }
                (None, month, at + 1)
            }
            _ => return None,
        };
        let year = match self.at_after_fillers(end) {
            Some((Meaning::Number(year), end)) if YEARS.contains(&year) => Some((year, end)),
            _ => None,
        };
        let (year, end) = year.unwrap_or_else(|| (last_year_with(month, day, self.today), end));
        match day {
            Some(day) => Some((one_day(Day::of_date(year, month, day)?), end)),
            None => Some((month_of(year, month), end)),
        }
    }

    /// Reads "three days ago" or "vor drei Tagen".
    fn ago(&self, at: usize) -> Option<(Range<Day>, usize)> {
        let is_before = self.at(at)? == Meaning::AgoBefore;
        let (number, end) = if is_before { self.at_after_fillers(at + 1)? } else { (self.at(at)?, at + 1) };
        let (Meaning::Number(number), Some(Meaning::Unit(unit))) = (number, self.at(end)) else {
            return None;
        };
        let end = match is_before {
            true => end + 1,
            false if self.at(end + 1) == Some(Meaning::Ago) => end + 2,
            false => return None,
        };
        let today = self.today;
        let range = match unit {
            TimeUnit::Day => one_day(today.plus(-number)),
            // "Two weeks ago" may be a few days earlier or later.
            TimeUnit::Week | TimeUnit::Weekend => today.plus(-7 * number - 3)..today.plus(-7 * number + 4),
            TimeUnit::Month | TimeUnit::Year => unit_of(unit, -number, today),
        };
        Some((range, end))
    }

    /// Reads "last week", "la semaine dernière", "the last three days" or "next Monday".
    fn ordered(&self, at: usize) -> Option<(Range<Day>, usize)> {
        let (one, other) = (self.at(at)?, self.at(at + 1)?);
        let today = self.today;
        let range = match (one, other) {
            (Meaning::Order(by), Meaning::Unit(unit)) | (Meaning::Unit(unit), Meaning::Order(by)) => {
                unit_of(unit, by, today)
            }
            (Meaning::Order(by), Meaning::Weekday(day)) | (Meaning::Weekday(day), Meaning::Order(by)) => {
                one_day(self.weekday(day, if by == 0 { 1 } else { by }))
            }
            (Meaning::Order(by), Meaning::Month(month)) | (Meaning::Month(month), Meaning::Order(by)) => {
                let year = last_year_with(month, None, today);
                let is_current = today.date().1 == month;
                let year = match by {
                    0 => today.date().0,
                    1.. => year + 1,
                    _ => year - i64::from(is_current),
                };
                month_of(year, month)
            }
            (Meaning::Order(-1), Meaning::Number(number)) => {
                let Some(Meaning::Unit(unit)) = self.at(at + 2) else { return None };
                let days = match unit {
                    TimeUnit::Day => number,
                    TimeUnit::Week | TimeUnit::Weekend => 7 * number,
                    TimeUnit::Month => 31 * number,
                    TimeUnit::Year => 366 * number,
                };
                return Some((today.plus(-days)..today.plus(1), at + 3));
            }
            _ => return None,
        };
        Some((range, at + 2))
    }

    fn at(&self, at: usize) -> Option<Meaning> {
        self.meanings.get(at).copied().flatten()
    }

    /// Returns the meaning at a position after up to two fillers, and the position after it.
    fn at_after_fillers(&self, at: usize) -> Option<(Meaning, usize)> {
        let is_filler = |at: &usize| self.words.get(*at).is_some_and(|word| FILLERS.contains(word));
        let skipped = (at..at + 2).take_while(is_filler).count();
        self.at(at + skipped).map(|meaning| (meaning, at + skipped + 1))
    }

    fn is_after_preposition(&self, at: usize) -> bool {
        at.checked_sub(1).is_some_and(|before| PREPOSITIONS.contains(&self.words[before]))
    }

    /// Returns the last such weekday before today, or the next one after it.
    fn weekday(&self, weekday: i64, by: i64) -> Day {
        let back = (self.today.weekday() - weekday - 1).rem_euclid(7) + 1;
        if by < 0 {
            self.today.plus(-back)
        } else {
            self.today.plus((7 - back) + if back == 7 { 7 } else { 0 })
        }
    }
}

/// Reads a number of up to four digits, maybe with an English or French ending.
fn number_of(word: &str) -> Option<i64> {
    let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let is_number = matches!(&word[end..], "" | "st" | "nd" | "rd" | "th" | "er" | "º") && end <= 4;
    if is_number { word[..end].parse().ok() } else { None }
}

fn one_day(day: Day) -> Range<Day> {
    day..day.plus(1)
}

fn month_of(year: i64, month: i64) -> Range<Day> {
    Day::of_month(year, month)..Day::of_month(year, month + 1)
}

/// Returns the last year in which a month or a day of it is not in the future.
fn last_year_with(month: i64, day: Option<i64>, today: Day) -> i64 {
    let (year, this_month, this_day) = today.date();
    let is_future = (month, day.unwrap_or(1)) > (this_month, if day.is_some() { this_day } else { 1 });
    year - i64::from(is_future)
}

/// Returns the day, week, weekend, month or year that is `by` after the current one.
fn unit_of(unit: TimeUnit, by: i64, today: Day) -> Range<Day> {
    let (year, month, _) = today.date();
    let monday = today.plus(-today.weekday() + 7 * by);
    match unit {
        TimeUnit::Day => one_day(today.plus(by)),
        TimeUnit::Week => monday..monday.plus(7),
        TimeUnit::Weekend => monday.plus(5)..monday.plus(7),
        TimeUnit::Month => month_of(year, month + by),
        TimeUnit::Year => Day::of_month(year + by, 1)..Day::of_month(year + by + 1, 1),
    }
}

/// The meanings of each language's words.
static MEANINGS: LazyLock<Vec<HashMap<&'static str, Meaning>>> =
    LazyLock::new(|| Language::ALL.into_iter().map(meanings_of).collect());

fn meanings_of(language: Language) -> HashMap<&'static str, Meaning> {
    let time = &language.data().time;
    let named = [
        ("day", Meaning::Unit(TimeUnit::Day)),
        ("week", Meaning::Unit(TimeUnit::Week)),
        ("weekend", Meaning::Unit(TimeUnit::Weekend)),
        ("month", Meaning::Unit(TimeUnit::Month)),
        ("year", Meaning::Unit(TimeUnit::Year)),
        ("last", Meaning::Order(-1)),
        ("this", Meaning::Order(0)),
        ("next", Meaning::Order(1)),
        ("ago", Meaning::Ago),
        ("ago_before", Meaning::AgoBefore),
        ("last_week", Meaning::RelativeUnit(TimeUnit::Week, -1)),
        ("this_week", Meaning::RelativeUnit(TimeUnit::Week, 0)),
        ("last_month", Meaning::RelativeUnit(TimeUnit::Month, -1)),
        ("this_month", Meaning::RelativeUnit(TimeUnit::Month, 0)),
        ("last_year", Meaning::RelativeUnit(TimeUnit::Year, -1)),
        ("this_year", Meaning::RelativeUnit(TimeUnit::Year, 0)),
        ("today", Meaning::Relative(0)),
        ("yesterday", Meaning::Relative(-1)),
        ("before_yesterday", Meaning::Relative(-2)),
        ("tomorrow", Meaning::Relative(1)),
    ];
    let mut meanings = HashMap::new();
    let numbered = [
        (&time.numbers, Meaning::Number as fn(i64) -> Meaning, 1),
        (&time.weekdays, Meaning::Weekday, 0),
        (&time.months, Meaning::Month, 1),
    ];
    for (lists, meaning, first) in numbered {
        for (number, forms) in (first..).zip(lists) {
            forms.iter().for_each(|form| _ = meanings.insert(*form, meaning(number)));
        }
    }
    for (name, meaning) in named {
        let forms = time.words.get(name).into_iter().flatten();
        forms.for_each(|form| _ = meanings.insert(*form, meaning));
    }
    meanings
}

#[cfg(test)]
mod tests;
