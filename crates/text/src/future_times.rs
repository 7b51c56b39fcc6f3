//! Finds the time in the future that a text names: "tomorrow at 9", "in 20 minutes", "am Freitag".
//!
//! Times are in UTC, as Lar knows no time zone of a user. A day without a time of day begins at midnight,
//! and "today" is in the afternoon.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use crate::days::Day;
use crate::languages::Language;

const SOURCE: &str = include_str!("future_times.toml");
/// The milliseconds of the units.
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The hours of "tonight" and "at noon".
const TONIGHT_HOUR: i64 = 19;
/// The hour of "today" without a time of day. After it, "today" is in an hour.
const TODAY_HOUR: i64 = 17;
const NOON_HOUR: i64 = 12;
/// The fewest characters of a weekday's name in Latin letters. Shorter ones also mean other things.
const WEEKDAY_CHARS_MIN: usize = 4;
/// The most words that are removed between a time and the text.
const JOINTS_MAX: usize = 3;

/// A time in the future that a text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FutureTime {
    /// The time in milliseconds since 1970, later than the time of the text.
    pub millis: i64,
    /// The text without the words for the time.
    pub rest: String,
}

/// Returns the time that a text names, seen from `now`, in milliseconds since 1970. `None` if it names none.
#[must_use]
pub fn future_time(text: &str, now: i64) -> Option<FutureTime> {
    let patterns = PATTERNS.as_ref()?;
    let mut rest = text.to_owned();
    let delay = patterns.delay(&rest);
    let millis = if let Some((at, delay)) = delay {
        blank(&mut rest, &at);
        now.checked_add(delay)?
    } else {
        let today = Day::of_millis(now);
        let day = patterns.day(&rest, today);
        if let Some((at, _, _)) = &day {
            blank(&mut rest, at);
        }
        let clock = patterns.clock(&rest);
        if let Some((at, _)) = &clock {
            blank(&mut rest, at);
        }
        let evening = day.as_ref().is_some_and(|(_, _, is_evening)| *is_evening);
        let minutes = match &clock {
            Some((_, minutes)) if evening && *minutes < NOON_HOUR * 60 => minutes + NOON_HOUR * 60,
            Some((_, minutes)) => *minutes,
            None if evening => TONIGHT_HOUR * 60,
            None => 0,
        };
        let of_day = |day: Day| day.0 * DAY_MS + minutes * MINUTE_MS;
        match (day, clock) {
            (Some((_, day, false)), None) if day == today => {
                let end = day.0 * DAY_MS + TODAY_HOUR * HOUR_MS;
                if end > now { end } else { now + HOUR_MS }
            }
            (Some((_, day, _)), _) => of_day(day),
            (None, Some(_)) if of_day(today) > now => of_day(today),
            (None, Some(_)) => of_day(today.plus(1)),
            (None, None) => return None,
        }
    };
    (millis > now).then(|| FutureTime { millis, rest: tidied(&rest, patterns) })
}

/// Replaces a range by blanks.
fn blank(text: &mut String, at: &Range<usize>) {
    text.replace_range(at.clone(), &" ".repeat(at.len()));
}

/// Removes the words that joined a text and its time, and doubled blanks.
fn tidied(rest: &str, patterns: &Patterns) -> String {
    let joined = rest.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_mark = |letter: char| letter.is_whitespace() || ",:;.-–—，、：".contains(letter);
    let mut text = joined.trim_matches(is_mark);
    for _ in 0..JOINTS_MAX {
        let Some(found) = patterns.joint.find(text).filter(|found| found.end() < text.len()) else { break };
        text = text[found.end()..].trim_start_matches(is_mark);
    }
    text.to_owned()
}

/// The patterns of all languages.
struct Patterns {
    delays: Vec<(Regex, i64)>,
    half_hour: Regex,
    numbers: HashMap<String, i64>,
    /// Days by their distance from today, longest words first.
    days: Vec<(Regex, i64)>,
    tonight: Regex,
    next_week: Regex,
    weekdays: Vec<(Regex, i64)>,
    months: Vec<(Regex, i64)>,
    date: Regex,
    clocks: Vec<Regex>,
    noon: Regex,
    afternoon: Regex,
    joint: Regex,
}

static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(Patterns::read);

impl Patterns {
    fn read() -> Option<Self> {
        let table: toml::Table = SOURCE.parse().ok()?;
        let list = |key: &str| -> Vec<String> {
            let text = table.get(key).and_then(toml::Value::as_str).unwrap_or_default();
            text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
        };
        let any = |key: &str| alternatives(&list(key));
        let mut numbers = HashMap::new();
        for (key, number) in [("one", 1), ("two", 2), ("three", 3)] {
            list(key).into_iter().for_each(|word| _ = numbers.insert(word, number));
        }
        let number =
            format!(r"(?P<n>\d{{1,4}}|{})", alternatives(&numbers.keys().cloned().collect::<Vec<_>>()));
        let (before, after) = (any("before"), any("after"));
        let mut delays = Vec::new();
        for (key, unit) in
            [("minutes", MINUTE_MS), ("hours", HOUR_MS), ("days", DAY_MS), ("weeks", 7 * DAY_MS)]
        {
            let unit_words = any(key);
            for pattern in [
                format!(r"{before}\s*{number}\s*(?:个|個)?{unit_words}"),
                format!(r"{number}\s*(?:个|個)?{unit_words}\s*{after}"),
            ] {
                delays.push((regex(&pattern)?, unit));
            }
        }
        let preposition = any("prepositions");
        let day = |key: &str| regex(&any(key));
        let of_data = |names: fn(&crate::languages::TimeWords) -> &[Vec<&'static str>], at: usize| {
            let words = Language::ALL.into_iter().filter_map(|language| names(&language.data().time).get(at));
            let is_long = |word: &&&str| !word.is_ascii() || word.len() >= WEEKDAY_CHARS_MIN;
            words.flatten().filter(is_long).map(|word| (*word).to_owned()).collect::<Vec<_>>()
        };
        let weekdays = (0_i64..7).map(|weekday| {
            let at = usize::try_from(weekday).ok()?;
            let words = alternatives(&of_data(|time| &time.weekdays, at));
            Some((regex(&format!(r"(?:{preposition}\s+)*{words}"))?, weekday))
        });
        let months = (1_i64..=12).map(|month| {
            let at = usize::try_from(month - 1).ok()?;
            let words = alternatives(&of_data(|time| &time.months, at));
            let day = r"(?P<d>\d{1,2})(?:st|nd|rd|th|er|\.|º)?";
            let of = r"(?:\s+(?:of|de|di))?";
            let pattern = format!(
                r"(?:{preposition}\s+)*(?:{day}{of}\s+{words}|{words}\s+(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?\b)"
            );
            Some((regex(&pattern)?, month))
        });
        let hour = r"(?P<h>\d{1,2})(?:(?:[:.h]|点|點|時|时|시\s?)(?P<m>\d{2})(?:分|분)?)?";
        let (at, oclock) = (any("at"), any("oclock"));
        let half = format!(r"(?:\s*(?:{}|{}))?", any("afternoon"), any("forenoon"));
        let required = format!(r"\s*(?:{}|{}|{oclock})", any("afternoon"), any("forenoon"));
        // "9h" is the hour 9, and "9h30" half past.
        let clocks = [
            format!(r"(?:{at}\s*)?(?P<h>\d{{1,2}})h(?P<m>\d{{2}})?\b{half}"),
            format!(r"{at}\s*{hour}(?:\s*{oclock})?{half}"),
            format!(r"{hour}{required}{half}"),
            r"(?P<h>\d{1,2}):(?P<m>\d{2})".to_owned(),
        ];
        Some(Self {
            delays,
            half_hour: day("half_hour")?,
            numbers,
            days: vec![(day("after_tomorrow")?, 2), (day("tomorrow")?, 1), (day("today")?, 0)],
            tonight: day("tonight")?,
            next_week: day("next_week")?,
            weekdays: weekdays.collect::<Option<_>>()?,
            months: months.collect::<Option<_>>()?,
            date: regex(
                &[
                    r"(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})",
                    r"(?P<d2>\d{1,2})\.(?P<m2>\d{1,2})\.(?:(?P<y2>\d{4}))?",
                    r"(?P<m3>\d{1,2})\s?[月월]\s?(?P<d3>\d{1,2})\s?[日号號일]",
                ]
                .join("|"),
            )?,
            clocks: clocks.iter().map(|pattern| regex(pattern)).collect::<Option<_>>()?,
            noon: day("noon")?,
            afternoon: regex(&any("afternoon"))?,
            joint: Regex::new(&format!(r"(?i)^(?:{})", alternatives(&list("joints")))).ok()?,
        })
    }

    /// Returns a delay from now in milliseconds.
    fn delay(&self, text: &str) -> Option<(Range<usize>, i64)> {
        if let Some(found) = self.half_hour.find(text) {
            return Some((found.range(), 30 * MINUTE_MS));
        }
        self.delays.iter().find_map(|(pattern, unit)| {
            let found = pattern.captures(text)?;
            let number = found.name("n")?.as_str().to_lowercase();
            let number = number.parse().ok().or_else(|| self.numbers.get(&number).copied())?;
            Some((found.get(0)?.range(), number * unit)).filter(|_| number > 0)
        })
    }

    /// Returns the day that a text names, and whether it is its evening.
    fn day(&self, text: &str, today: Day) -> Option<(Range<usize>, Day, bool)> {
        if let Some(found) = self.tonight.find(text) {
            return Some((found.range(), today, true));
        }
        if let Some((at, day)) = self.date(text, today) {
            return Some((at, day, false));
        }
        if let Some(found) = self.next_week.find(text) {
            return Some((found.range(), today.plus(7 - today.weekday()), false));
        }
        let relative =
            self.days.iter().find_map(|(word, by)| Some((word.find(text)?.range(), today.plus(*by))));
        let weekday = || {
            self.weekdays.iter().find_map(|(word, weekday)| {
                let by = (weekday - today.weekday() - 1).rem_euclid(7) + 1;
                Some((word.find(text)?.range(), today.plus(by)))
            })
        };
        relative.or_else(weekday).map(|(at, day)| (at, day, false))
    }

    /// Returns a date, the next one if it names no year.
    fn date(&self, text: &str, today: Day) -> Option<(Range<usize>, Day)> {
        let this_year = today.date().0;
        let next = |month: i64, day: i64, year: Option<i64>| match year {
            Some(year) => Day::of_date(year, month, day),
            None => [this_year, this_year + 1]
                .into_iter()
                .filter_map(|year| Day::of_date(year, month, day))
                .find(|day| *day >= today),
        };
        if let Some(found) = self.date.captures(text) {
            let number = |names: [&str; 3]| {
                names.iter().find_map(|name| found.name(name)).and_then(|digits| digits.as_str().parse().ok())
            };
            let (month, day) = (number(["m", "m2", "m3"])?, number(["d", "d2", "d3"])?);
            return Some((found.get(0)?.range(), next(month, day, number(["y", "y2", "y2"]))?));
        }
        self.months.iter().find_map(|(pattern, month)| {
            let found = pattern.captures(text)?;
            let day = found.name("d").or(found.name("d2"))?.as_str().parse().ok()?;
            Some((found.get(0)?.range(), next(*month, day, None)?))
        })
    }

    /// Returns the minutes since midnight of a time of day.
    fn clock(&self, text: &str) -> Option<(Range<usize>, i64)> {
        if let Some(found) = self.noon.find(text) {
            return Some((found.range(), NOON_HOUR * 60));
        }
        self.clocks.iter().find_map(|pattern| {
            let found = pattern.captures(text)?;
            let number = |name: &str| found.name(name).and_then(|digits| digits.as_str().parse::<i64>().ok());
            let (hour, minute) = (number("h")?, number("m").unwrap_or(0));
            let is_afternoon = self.afternoon.is_match(found.get(0)?.as_str());
            let hour = if is_afternoon && hour < NOON_HOUR { hour + NOON_HOUR } else { hour };
            Some((found.get(0)?.range(), hour * 60 + minute)).filter(|_| hour < 24 && minute < 60)
        })
    }
}

/// Returns a pattern of one of some words, each whole in scripts with blanks.
fn alternatives(words: &[String]) -> String {
    let mut words: Vec<&String> = words.iter().collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let bound = |word: &&String| {
        let start =
            if word.starts_with(is_joined) || !word.starts_with(char::is_alphanumeric) { "" } else { r"\b" };
        let end =
            if word.ends_with(is_joined) || !word.ends_with(char::is_alphanumeric) { "" } else { r"\b" };
        format!("{start}{}{end}", regex::escape(word))
    };
    format!("(?:{})", words.iter().map(bound).collect::<Vec<_>>().join("|"))
}

/// Returns whether a letter is of a script that joins words.
fn is_joined(letter: char) -> bool {
    matches!(letter, '\u{e00}'..='\u{e7f}' | '\u{1100}'..='\u{11ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

fn regex(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("(?i){pattern}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 30 November 2026, 10:15.
    const NOW: i64 = 1_796_033_700_000;

    fn named(text: &str) -> Option<(String, String)> {
        let FutureTime { millis, rest } = future_time(text, NOW)?;
        let (_, month, day) = Day::of_millis(millis).date();
        let minutes = millis.rem_euclid(DAY_MS) / MINUTE_MS;
        Some((format!("{day}.{month}. {}:{:02}", minutes / 60, minutes % 60), rest))
    }

    #[test]
    fn times_in_many_languages_are_found() {
        for (text, time, rest) in [
            ("tomorrow at 9 to call the bank", "1.12. 9:00", "call the bank"),
            ("to call the bank tomorrow at 9:30", "1.12. 9:30", "call the bank"),
            ("in 20 minutes to check the oven", "30.11. 10:35", "check the oven"),
            ("in an hour to leave", "30.11. 11:15", "leave"),
            ("on Friday that the rent is due", "4.12. 0:00", "the rent is due"),
            ("tonight at 8 to water the plants", "30.11. 20:00", "water the plants"),
            ("at 3 pm to stretch", "30.11. 15:00", "stretch"),
            ("at 9 to stretch", "1.12. 9:00", "stretch"),
            ("on 12 March to renew the pass", "12.3. 0:00", "renew the pass"),
            ("morgen um 9 Uhr, die Bank anzurufen", "1.12. 9:00", "die Bank anzurufen"),
            ("in zwei Stunden an den Ofen", "30.11. 12:15", "den Ofen"),
            ("am Freitag daran, die Miete zu zahlen", "4.12. 0:00", "die Miete zu zahlen"),
            ("demain à 9h d'appeler la banque", "1.12. 9:00", "appeler la banque"),
            ("mañana a las 9 que llame al banco", "1.12. 9:00", "llame al banco"),
            ("amanhã às 9 de ligar para o banco", "1.12. 9:00", "ligar para o banco"),
            ("domani alle 9 di chiamare la banca", "1.12. 9:00", "chiamare la banca"),
            ("jutro o 9, żebym zadzwonił do banku", "1.12. 9:00", "zadzwonił do banku"),
            ("завтра в 9 позвонить в банк", "1.12. 9:00", "позвонить в банк"),
            ("yarın saat 9'da bankayı aramayı", "1.12. 9:00", "'da bankayı aramayı"),
            ("明天上午9点给银行打电话", "1.12. 9:00", "给银行打电话"),
            ("明日の9時に銀行に電話する", "1.12. 9:00", "の に銀行に電話する"),
            ("내일 오후 3시에 은행에 전화", "1.12. 15:00", "은행에 전화"),
        ] {
            assert_eq!(named(text), Some((time.into(), rest.into())), "{text}");
        }
    }

    #[test]
    fn texts_without_a_time_name_none() {
        for text in ["to call the bank", "what my dentist's name is", "die Bank anzurufen", "de appeler", ""]
        {
            assert_eq!(named(text), None, "{text}");
        }
    }
}
