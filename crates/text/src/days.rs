//! Days of the proleptic Gregorian calendar, without a time and without a zone.

use crate::languages::Language;

/// The days of 400 years, after which the calendar repeats.
const CYCLE_DAYS: i64 = 146_097;
/// The days from 1 March of the year 0 to 1 January 1970.
const EPOCH: i64 = 719_468;
/// The milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// The most days between a day and 1970: about 27,000 years.
const DAYS_MAX: i64 = 10_000_000;

/// A day, as the number of days since 1 January 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    /// Returns the day in UTC of a time in milliseconds since 1970.
    #[must_use]
    pub const fn of_millis(millis: i64) -> Self {
        Self(millis.div_euclid(DAY_MS))
    }

    /// Returns the day of a date, with the month from 1 to 12; `None` if there is no such date.
    #[must_use]
    pub fn of_date(year: i64, month: i64, day: i64) -> Option<Self> {
        let is_near =
            (-20_000..20_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
        let found = is_near.then(|| Self::count(year, month, day))?;
        (found.date() == (year, month, day)).then_some(found)
    }

    /// Returns the year, the month from 1 to 12, and the day of the month.
    #[must_use]
    pub fn date(self) -> (i64, i64, i64) {
        let days = self.0.clamp(-DAYS_MAX, DAYS_MAX) + EPOCH;
        let (cycle, day) = (days.div_euclid(CYCLE_DAYS), days.rem_euclid(CYCLE_DAYS));
        // Years that start in March, so that a leap day is the last day of its year.
        let year = (day - day / 1_460 + day / 36_524 - day / (CYCLE_DAYS - 1)) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        (cycle * 400 + year + i64::from(month <= 2), month, day_of_month)
    }

    /// Counts the days to a date. A day beyond the end of its month is in the next one.
    fn count(year: i64, month: i64, day: i64) -> Self {
        let year = year - i64::from(month <= 2);
        let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = (month + 9) % 12;
        let day_of_year = (153 * from_march + 2) / 5 + day - 1;
        Self(cycle * CYCLE_DAYS + year * 365 + year / 4 - year / 100 + day_of_year - EPOCH)
    }

    /// Returns the first day of a month, which may be below 1 or above 12 and then is in another year.
    #[must_use]
    pub fn of_month(year: i64, month: i64) -> Self {
        Self::count(year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1, 1)
    }

    /// Returns the day of the week: 0 is Monday and 6 is Sunday.
    #[must_use]
    pub const fn weekday(self) -> i64 {
        (self.0 + 3).rem_euclid(7)
    }

    /// Returns the day this many days later.
    #[must_use]
    pub const fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Names the weekday and the date, such as `tuesday 30 may 2023`, as far as the language's words are known.
    #[must_use]
    pub fn in_words(self, language: Language) -> String {
        let (year, month, day) = self.date();
        if matches!(language, Language::Japanese | Language::Chinese) {
            return format!("{year}年{month}月{day}日");
        }
        if language == Language::Korean {
            return format!("{year}년 {month}월 {day}일");
        }
        let time = &language.data().time;
        let name = |names: &[Vec<&'static str>], at: i64| {
            let forms = usize::try_from(at).ok().and_then(|at| names.get(at));
            forms.and_then(|forms| forms.first()).copied().unwrap_or_default()
        };
        let (weekday, month) = (name(&time.weekdays, self.weekday()), name(&time.months, month - 1));
        format!("{weekday} {day} {month} {year}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_have_dates() {
        for (days, date, weekday) in [
            (0, (1970, 1, 1), 3),
            (19_507, (2023, 5, 30), 1),
            (11_016, (2000, 2, 29), 1),
            (-1, (1969, 12, 31), 2),
            (-719_468, (0, 3, 1), 2),
        ] {
            assert_eq!((Day(days).date(), Day(days).weekday()), (date, weekday), "{days}");
            assert_eq!(Day::of_date(date.0, date.1, date.2), Some(Day(days)));
        }
        for (year, month, day) in [(2023, 2, 29), (2023, 13, 1), (2023, 4, 31), (2023, 0, 1), (1 << 40, 1, 1)]
        {
            assert_eq!(Day::of_date(year, month, day), None);
        }
        assert_eq!(Day::of_month(2023, 14).date(), (2024, 2, 1));
        assert_eq!(Day::of_month(2023, 0).date(), (2022, 12, 1));
        assert_eq!(Day::of_millis(-1), Day(-1));
    }

    #[test]
    fn days_are_named_in_many_languages() {
        let named = |language| Day(19_507).in_words(language);
        assert_eq!(named(Language::English), "tuesday 30 may 2023");
        assert_eq!(named(Language::German), "dienstag 30 mai 2023");
        assert_eq!(named(Language::Chinese), "2023年5月30日");
        assert_eq!(named(Language::Arabic), " 30  2023", "its months are not known");
    }

    proptest! {
        #[test]
        fn every_day_has_one_date(days in -1_000_000_i64..1_000_000) {
            let (year, month, day) = Day(days).date();
            prop_assert_eq!(Day::of_date(year, month, day), Some(Day(days)));
            prop_assert!(Day(days + 1).date() > (year, month, day));
        }
    }
}
