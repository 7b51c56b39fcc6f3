//! The only module that reads the system clocks. All other code takes an [`Instant`] or a [`Timestamp`].
//!
//! The two types are never mixed: an [`Instant`] measures durations within one process, a [`Timestamp`] is
//! stored or shown. Schedulers are pure functions of an [`Instant`] that their caller reads here.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A point on this process's monotonic clock, in nanoseconds since its first reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// Reads the monotonic clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn now() -> Self {
        static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
        let now = std::time::Instant::now();
        let origin = *ORIGIN.get_or_init(|| now);
        Self(u64::try_from(now.saturating_duration_since(origin).as_nanos()).unwrap_or(u64::MAX))
    }

    /// Creates an instant `millis` milliseconds after the origin, for scripted scenarios and simulators.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Returns the whole milliseconds since the origin.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns this instant moved `by` into the future, saturating.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Returns the time since this instant.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Self::now().since(self)
    }
}

/// A wall-clock time in milliseconds since the Unix epoch, displayed as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Reads the wall clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_millisecond())
    }

    /// Returns the milliseconds since the Unix epoch, as stored.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns this time moved `by` into the past, saturating.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Returns the whole seconds since the Unix epoch, as in OpenAI's `created` field.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Creates a time from milliseconds since the Unix epoch; the inverse of [`Timestamp::as_millis`].
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Parses a time as other programs write it, or returns `None`.
    ///
    /// Accepts RFC 3339, the same without a zone (read as UTC), and a date alone (midnight UTC).
    #[must_use]
    pub fn parse_lenient(text: &str) -> Option<Self> {
        let text = text.trim();
        let without_zone = || {
            let time: jiff::civil::DateTime = text.parse().ok()?;
            let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            Some(Self(time.timestamp().as_millisecond()))
        };
        text.parse().ok().or_else(without_zone)
    }

    /// Returns this time moved `by` into the future, saturating.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Formats the UTC date in words, such as `Tuesday 30 May 2023`.
    ///
    /// Empty for times outside the range that [`jiff::Timestamp`] supports.
    #[must_use]
    pub fn day_in_words(self) -> String {
        let time = jiff::Timestamp::from_millisecond(self.0);
        time.map(|time| time.strftime("%A %-d %B %Y").to_string()).unwrap_or_default()
    }

    /// Formats the UTC time by a `strftime` format, or returns `None` if the format is invalid.
    #[must_use]
    pub fn strftime(self, format: &str) -> Option<String> {
        let time = jiff::Timestamp::from_millisecond(self.0).ok()?;
        jiff::fmt::strtime::format(format, &time.to_zoned(jiff::tz::TimeZone::UTC)).ok()
    }

    /// Returns the UTC date as `YYYY-MM-DD`, the key for daily usage totals.
    #[must_use]
    pub fn day(self) -> String {
        self.to_string().chars().take(10).collect()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        let time: jiff::Timestamp = text.parse()?;
        Ok(Self(time.as_millisecond()))
    }
}

/// Converts a file's time. Times before 1970 become the start of 1970.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_lenient_reads_times_of_other_programs() {
        let read = |text| Timestamp::parse_lenient(text).map(|time| time.to_string());
        let expected = Some("2025-06-01T10:00:00.000Z".to_owned());
        for text in [
            "2025-06-01T10:00:00Z",
            "2025-06-01T12:00:00+02:00",
            "2025-06-01T10:00:00",
            "2025-06-01 10:00:00",
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert_eq!(read(" 2025-06-01 "), Some("2025-06-01T00:00:00.000Z".to_owned()));
        for text in ["", "yesterday", "2025-13-01", "1717236000"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339_in_utc() {
        let time = Timestamp::from_millis(1_700_000_000_123);
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!(time.day(), "2023-11-14");
        assert_eq!(time.day_in_words(), "Tuesday 14 November 2023");
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(time.strftime("%d %b %Y, %H:%M"), Some("14 Nov 2023, 22:13".into()));
        assert_eq!(time.strftime("%"), None);
    }

    #[test]
    fn instants_never_go_backwards() {
        let first = Instant::now();
        assert!(Instant::now() >= first);
        assert_eq!(first.since(first.after(Duration::from_secs(1))), Duration::ZERO);
    }
}
