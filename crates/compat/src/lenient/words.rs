//! Rewrites serde's type errors, which use Rust's names for types, with JSON's names.

/// Rewrites serde's description of a mismatch as "must be …". Other descriptions only lose their position.
#[must_use]
pub fn in_plain_words(reason: &str) -> String {
    let reason = reason.split(" at line ").next().unwrap_or(reason);
    let mismatch = ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .any(|start| reason.starts_with(start));
    match reason.rsplit_once(", expected ").filter(|_| mismatch) {
        Some((_, expected)) => format!("must be {}", needed(expected)),
        None => match reason.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
        {
            Some((_, known)) => format!("must be {}", known.replace('`', "")),
            None => reason.to_owned(),
        },
    }
}

/// Describes an integer between two bounds.
pub(super) fn integer(low: i128, high: i128) -> String {
    format!("an integer between {low} and {high}")
}

fn needed(expected: &str) -> String {
    match expected {
        "a string" | "string" | "str" | "a borrowed string" => "a string".into(),
        "a sequence" => "an array".into(),
        "a map" => "an object".into(),
        "f32" | "f64" => "a number".into(),
        "u8" => integer(0, u8::MAX.into()),
        "u16" => integer(0, u16::MAX.into()),
        "u32" => integer(0, u32::MAX.into()),
        "u64" | "usize" => integer(0, u64::MAX.into()),
        "i8" => integer(i8::MIN.into(), i8::MAX.into()),
        "i16" => integer(i16::MIN.into(), i16::MAX.into()),
        "i32" => integer(i32::MIN.into(), i32::MAX.into()),
        "i64" | "isize" => integer(i64::MIN.into(), i64::MAX.into()),
        "unit" => "null".into(),
        expected if expected.starts_with("struct ") || expected.starts_with("internally tagged enum ") => {
            "an object".into()
        }
        expected => expected.strip_prefix("must be ").unwrap_or(expected).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rust_type_is_left() {
        let cases = [
            ("invalid value: integer `-1`, expected u32", "must be an integer between 0 and 4294967295"),
            (
                "invalid type: string \"a, expected b\", expected i64 at line 1 column 2",
                "must be an integer between -9223372036854775808 and 9223372036854775807",
            ),
            (
                "invalid type: floating point `1e30`, expected usize",
                "must be an integer between 0 and 18446744073709551615",
            ),
            ("invalid type: map, expected a sequence", "must be an array"),
            ("invalid type: null, expected struct NewMessage", "must be an object"),
            ("unknown variant `x`, expected one of `a`, `b`", "must be one of a, b"),
            ("must be a string", "must be a string"),
            ("premature end", "premature end"),
        ];
        for (reason, expected) in cases {
            assert_eq!(in_plain_words(reason), expected);
        }
    }
}
