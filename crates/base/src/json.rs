//! Serialization of the values that Lar sends or stores.

use serde::Serialize;
use serde_json::Value;

/// Why serialization cannot fail: serde_json refuses only maps with non-text keys, and errors of a type's own
/// `Serialize`. Lar's wire types have neither, and numbers that JSON cannot express become null.
const INFALLIBLE: &str = "wire types have text keys and derive `Serialize`";

/// Serializes a value of a wire type as JSON in one line. Numbers that JSON cannot express become null.
///
/// # Panics
/// If the type has maps whose keys are not text, or a failing `Serialize` of its own. Wire types have neither.
#[must_use]
pub fn to_json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect(INFALLIBLE)
}

/// Converts a value of a wire type to a JSON value, like [`to_json`].
///
/// # Panics
/// As [`to_json`] does.
#[must_use]
pub fn to_value(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect(INFALLIBLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_cannot_express_become_null() {
        assert_eq!(to_json(&[1.5, f32::NAN, f32::INFINITY]), "[1.5,null,null]");
        assert_eq!(to_value([f32::NEG_INFINITY]), serde_json::json!([null]));
    }
}
