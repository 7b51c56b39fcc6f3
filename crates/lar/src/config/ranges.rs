//! The smallest and the largest value of each setting that is a whole number.
//!
//! [`check`] runs before the settings are deserialized. So a number that does not fit its Rust type gets an
//! error with the allowed range, too.

use anyhow::ensure;
use toml::{Table, Value};

use super::dotted_keys::find;

/// The maximum number of digits of a number that an error repeats.
const DIGITS_NAMED_MAX: usize = 40;
/// The longest time in seconds: 136 years.
const SECONDS_MAX: u64 = 1 << 32;

/// Each setting with its smallest and its largest value.
pub(super) const RANGES: &[(&str, u64, u64)] = &[
    ("engines.concurrency", 1, 256),
    ("engines.context_tokens_max", 128, 1 << 22),
    ("engines.keep_alive_s", 0, SECONDS_MAX),
    ("engines.threads", 1, 1024),
    ("engines.gpu_layers", 0, 10_000),
    ("limits.connections", 1, 1_000_000),
    ("limits.connections_per_address", 1, 1_000_000),
    ("limits.requests_per_minute", 0, u32::MAX as u64),
    ("limits.queue_len_max", 1, 1_000_000),
    ("limits.batch_wait_max_s", 0, SECONDS_MAX),
    ("limits.slot_hold_max_s", 0, SECONDS_MAX),
    ("limits.shutdown_grace_s", 0, SECONDS_MAX),
];

/// Checks that each number is in its range. Deserialization rejects values that are not numbers.
///
/// # Errors
/// If a number is out of its range; the message names the setting and the range.
pub(super) fn check(settings: &Table) -> anyhow::Result<()> {
    for (key, low, high) in RANGES {
        let Some(value) = find(settings, key).and_then(digits) else { continue };
        let fits = value.parse::<u64>().is_ok_and(|number| (*low..=*high).contains(&number));
        ensure!(fits, "`{key}` must be between {low} and {high}, got {value:.DIGITS_NAMED_MAX$}");
    }
    Ok(())
}

/// Returns the digits of a whole number. A number that does not fit into a TOML integer is a string.
fn digits(value: &Value) -> Option<String> {
    match value {
        Value::Integer(number) => Some(number.to_string()),
        Value::String(text) => {
            let number = text.strip_prefix(['-', '+']).unwrap_or(text);
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.clone())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::SETTINGS;

    #[test]
    fn every_whole_number_has_a_range() {
        let mut ranges: Vec<&str> = RANGES.iter().map(|(key, ..)| *key).collect();
        let numbers = SETTINGS.iter().filter(|setting| setting.kind == "integer");
        let mut numbers: Vec<&str> = numbers.map(|setting| setting.key).collect();
        ranges.sort_unstable();
        numbers.sort_unstable();
        assert_eq!(ranges, numbers);
    }

    #[test]
    fn an_error_about_a_number_of_any_length_has_the_allowed_range() {
        let refused = |text: &str| check(&text.parse().unwrap()).unwrap_err().to_string();
        let of = |value: &str| refused(&format!("[limits]\nshutdown_grace_s = {value}"));
        let range = "`limits.shutdown_grace_s` must be between 0 and 4294967296, got ";
        for value in ["-1", "4294967297", "9223372036854775807"] {
            assert_eq!(of(value), format!("{range}{value}"));
            assert_eq!(of(&format!("\"{value}\"")), format!("{range}{value}"));
        }
        assert_eq!(of("\"18446744073709551615\""), format!("{range}18446744073709551615"));
        let long = "9".repeat(1000);
        assert_eq!(of(&format!("\"{long}\"")), format!("{range}{}", &long[..DIGITS_NAMED_MAX]));
        for text in ["limits.shutdown_grace_s = 4294967296", "limits.shutdown_grace_s = \"many\"", ""] {
            assert!(check(&text.parse().unwrap()).is_ok(), "{text}");
        }
    }
}
