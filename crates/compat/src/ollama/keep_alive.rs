//! The field `keep_alive`: the time that a model stays loaded after its last use.

use std::time::Duration;

use lar_base::Problem;
use serde_json::Value;

/// A time longer than any process runs.
pub const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Reads a number of seconds, or a duration such as `10m` or `1h30m`. A negative value means [`FOREVER`].
///
/// # Errors
/// If the value is neither.
pub(super) fn read(value: Option<&Value>) -> Result<Option<Duration>, Problem> {
    let wrong = || {
        let reason =
            "must be a number of seconds or a duration such as `10m`; a negative value means forever";
        Problem::invalid("keep_alive", reason)
    };
    let seconds = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(seconds)) => seconds.as_f64().ok_or_else(wrong)?,
        Some(Value::String(text)) => seconds(text.trim()).ok_or_else(wrong)?,
        Some(_) => return Err(wrong()),
    };
    if seconds < 0.0 {
        return Ok(Some(FOREVER));
    }
    Ok(Some(Duration::try_from_secs_f64(seconds).map_or(FOREVER, |time| time.min(FOREVER))))
}

/// Parses a duration in Go's format, numbers with units, or a plain number of seconds.
fn seconds(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if let Ok(number) = rest.parse::<f64>() {
        return number.is_finite().then_some(sign * number);
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let letters = unit.find(|character: char| character.is_ascii_digit()).unwrap_or(unit.len());
        sum += number
            * match &unit[..letters] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &unit[letters..];
    }
    (!text.is_empty()).then_some(sign * sum)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_of_seconds_or_a_duration_of_go_is_read() {
        let seconds = |seconds: f64| Some(Duration::from_secs_f64(seconds));
        for (value, expected) in [
            (json!(null), None),
            (json!(0), seconds(0.0)),
            (json!("0"), seconds(0.0)),
            (json!(2.5), seconds(2.5)),
            (json!("30"), seconds(30.0)),
            (json!("10m"), seconds(600.0)),
            (json!(" 1h30m "), seconds(5400.0)),
            (json!("1.5s500ms"), seconds(2.0)),
            (json!(-1), Some(FOREVER)),
            (json!("-1m"), Some(FOREVER)),
            (json!(1e300), Some(FOREVER)),
        ] {
            assert_eq!(read(Some(&value)).unwrap(), expected, "{value}");
        }
        assert_eq!(read(None).unwrap(), None);
        for wrong in [json!(""), json!("soon"), json!("10 m"), json!("5x"), json!(true), json!([1])] {
            assert_eq!(read(Some(&wrong)).unwrap_err().fields[0].field, "keep_alive", "{wrong}");
        }
    }
}
