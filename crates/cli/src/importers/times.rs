//! Times as other programs write them.
//!
//! A time without a zone is read as UTC, and a day alone as its midnight in UTC. The day that a person wrote
//! stays the same, since Lar names days in UTC. Importing on a machine in another zone gives the same memory.

use lar_base::Timestamp;

/// Parses a time, or returns `None`.
///
/// Accepts RFC 3339 with or without a zone, days such as `2026-01-16`, `2026/01/16` and `16.01.2026`, and the
/// link `[[2026-01-16]]`. A day with slashes in another order is ambiguous, so it is not accepted.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim().trim_matches(['"', '\'']).trim();
    let text = text.strip_prefix("[[").and_then(|text| text.strip_suffix("]]")).unwrap_or(text).trim();
    let (day, clock) = match text.split_once([' ', 'T']) {
        Some((day, clock)) => (day, Some(clock.trim())),
        None => (text, None),
    };
    let day = iso_day(day)?;
    let Some(clock) = clock.filter(|clock| !clock.is_empty()) else { return Timestamp::parse_lenient(&day) };
    let zoned = clock.strip_suffix("UTC").or_else(|| clock.strip_suffix("GMT")).map(str::trim_end);
    let clock = zoned.map_or_else(|| clock.to_owned(), |clock| format!("{clock}Z"));
    // `9:05` is the time `09:05`.
    let clock = if clock.find(':') == Some(1) { format!("0{clock}") } else { clock };
    Timestamp::parse_lenient(&format!("{day}T{clock}"))
}

/// Creates a time from seconds since 1970, as JSON exports have them.
pub(super) fn from_seconds(seconds: f64) -> Option<Timestamp> {
    let millis = (seconds * 1000.0).round();
    (millis.is_finite() && millis.abs() < 1e15).then(|| Timestamp::from_millis(millis as i64))
}

/// Returns a day as `2026-01-16`.
fn iso_day(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split(['-', '/', '.']).collect();
    let [first, month, last] = parts.as_slice() else { return None };
    let is_number = |part: &str, digits: usize| {
        (1..=digits).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (year, day) = match first.len() {
        4 => (first, last),
        _ if text.contains('.') => (last, first),
        _ => return None,
    };
    let is_day = year.len() == 4 && is_number(year, 4) && is_number(month, 2) && is_number(day, 2);
    is_day.then(|| format!("{year}-{month:0>2}-{day:0>2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        parse(text).map(|time| time.to_string())
    }

    #[test]
    fn days_are_midnight_in_utc() {
        for text in [
            "2026-01-16",
            " \"2026-01-16\" ",
            "'2026-01-16'",
            "[[2026-01-16]]",
            "2026/01/16",
            "2026/1/16",
            "16.01.2026",
            "16.1.2026",
            "2026-01-16 00:00",
        ] {
            assert_eq!(read(text).as_deref(), Some("2026-01-16T00:00:00.000Z"), "{text}");
        }
    }

    #[test]
    fn times_without_a_zone_are_utc() {
        for text in [
            "2026-01-16T09:05",
            "2026-01-16 09:05",
            "2026-01-16 9:05",
            "2026-01-16 09:05:00",
            "2026-01-16 09:05:00 UTC",
            "2026-01-16T09:05:00Z",
            "2026-01-16T10:05:00+01:00",
            "2026-01-16 01:05:00-08:00",
            "16.01.2026 09:05",
        ] {
            assert_eq!(read(text).as_deref(), Some("2026-01-16T09:05:00.000Z"), "{text}");
        }
        assert_eq!(read("2025-06-01T10:00:00.123456-07:00").as_deref(), Some("2025-06-01T17:00:00.123Z"));
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in ["", "soon", "01/16/2026", "16/01/2026", "2026", "2026-01", "2026-13-01", "1.5", "a-b-c"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn seconds_since_1970_are_times() {
        assert_eq!(from_seconds(1_717_236_000.25).unwrap().to_string(), "2024-06-01T10:00:00.250Z");
        assert_eq!((from_seconds(f64::NAN), from_seconds(1e300)), (None, None));
    }
}
