//! What a field must be, in JSON's words: serde describes a mismatch in Rust's.

/// Says in JSON's words what serde's description of a mismatch means: "must be …", or the description as it is.
pub(crate) fn in_plain_words(reason: &str) -> String {
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

/// A whole number between two bounds.
pub(super) fn whole_number(low: i128, high: i128) -> String {
    format!("a whole number from {low} to {high}")
}

fn needed(expected: &str) -> String {
    match expected {
        "a string" | "string" | "str" | "a borrowed string" => "a string".into(),
        "a sequence" => "an array".into(),
        "a map" => "an object".into(),
        "a boolean" => "true or false".into(),
        "f32" | "f64" => "a number".into(),
        "u8" => whole_number(0, u8::MAX.into()),
        "u16" => whole_number(0, u16::MAX.into()),
        "u32" => whole_number(0, u32::MAX.into()),
        "u64" | "usize" => whole_number(0, u64::MAX.into()),
        "i8" => whole_number(i8::MIN.into(), i8::MAX.into()),
        "i16" => whole_number(i16::MIN.into(), i16::MAX.into()),
        "i32" => whole_number(i32::MIN.into(), i32::MAX.into()),
        "i64" | "isize" => whole_number(i64::MIN.into(), i64::MAX.into()),
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
            ("invalid value: integer `-1`, expected u32", "must be a whole number from 0 to 4294967295"),
            (
                "invalid type: string \"a, expected b\", expected i64 at line 1 column 2",
                "must be a whole number from -9223372036854775808 to 9223372036854775807",
            ),
            (
                "invalid type: floating point `1e30`, expected usize",
                "must be a whole number from 0 to 18446744073709551615",
            ),
            ("invalid type: map, expected a sequence", "must be an array"),
            ("invalid type: null, expected struct NewMessage", "must be an object"),
            ("unknown variant `x`, expected one of `a`, `b`", "must be one of a, b"),
            ("must be a text", "must be a text"),
            ("premature end", "premature end"),
        ];
        for (reason, expected) in cases {
            assert_eq!(in_plain_words(reason), expected);
        }
    }
}
