//! Normalizes JSON values that models and loosely typed clients write.

use serde_json::Value;

/// A bound below 2^53, up to which an f64 represents every integer exactly.
const WHOLE_MAX: f64 = 9e15;

/// Removes null members and turns numbers such as `5.0` into integers, at every depth.
pub fn normalize_values(arguments: &mut Value) {
    match arguments {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(normalize_values);
        }
        Value::Array(items) => items.iter_mut().for_each(normalize_values),
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|value| number.is_f64() && value.fract() == 0.0 && value.abs() < WHOLE_MAX);
            if let Some(whole) = whole {
                *number = (whole as i64).into();
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nulls_are_dropped_and_whole_floats_become_integers() {
        let mut arguments = json!({ "limit": 5.0, "tags": null, "score": 0.5, "kinds": ["fact"], "deep": [{ "n": -2.0, "x": null }] });
        normalize_values(&mut arguments);
        assert_eq!(arguments, json!({ "limit": 5, "score": 0.5, "kinds": ["fact"], "deep": [{ "n": -2 }] }));
    }
}
