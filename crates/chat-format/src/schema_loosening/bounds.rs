//! Converts numeric bounds to bounds that a grammar can express.
//!
//! llguidance reads a bound as a double. It computes an integer range in 64 bits, and any other range from
//! the digits that Rust prints for the double. Up to 2^53 this is the original bound. Beyond that it may
//! become another number, or a panic. Such a bound is therefore passed on only if it stays the same, as an
//! inclusive integer. Otherwise the nearest looser number that stays the same replaces it, or it is dropped.
//! The result never excludes a number that the schema allows.
//!
//! Verified in llguidance 1.9.1: `compile_numeric` in `json/schema.rs`, `normalize_integer_bounds`,
//! `rx_int_range` and `rx_float_range` in `json/numeric.rs`.

use serde_json::{Map, Value};

use super::keywords::kind;

/// Up to here, doubles represent every whole number and its neighbors.
const EXACT_MAX: u64 = 1 << 53;
/// The number 2^63. A larger double becomes the largest 64-bit integer; negating -2^63 panics.
const INTEGER_END: f64 = 9_223_372_036_854_775_808.0;
/// The largest double below 10^18. llguidance extends a range without its other end up to nines with as many
/// digits, and nineteen nines are not a 64-bit integer.
const OPEN_MAX: i64 = 999_999_999_999_999_872;
/// Larger doubles are treated as this one.
const DOUBLE_MAX: f64 = 1e30;

/// How much of a bound is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loss {
    None,
    /// Only numbers beyond 2^53 are allowed in addition, which almost never occur.
    Little,
    /// The bound excluded most numbers.
    Most,
}

/// The bounds of one schema.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Bounds {
    /// The keywords and values that the grammar enforces.
    pub(super) kept: Vec<(&'static str, Value)>,
    /// The keywords whose bounds changed.
    pub(super) lost: Vec<(&'static str, Loss)>,
}

/// Returns whether a keyword is a numeric bound.
pub(super) fn is_bound(keyword: &str) -> bool {
    End::ALL.iter().any(|end| keyword == end.inclusive() || keyword == end.exclusive())
}

/// Returns whether the grammar represents every whole number of a `const` or `enum` exactly.
pub(super) fn is_exact_constant(value: &Value) -> bool {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), Some(double)) => whole != i64::MIN && double as i64 == whole,
            (None, Some(double)) => double.abs() < INTEGER_END,
            (_, None) => false,
        },
        Value::Array(items) => items.iter().all(is_exact_constant),
        Value::Object(members) => members.values().all(is_exact_constant),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

impl Bounds {
    pub(super) fn of(fields: &Map<String, Value>) -> Self {
        let range = AcceptedRange { only_integers: has_only_integers(fields), is_open: false };
        let is_open = |other: End| Self::of_end(fields, other, range).kept.is_empty();
        let mut bounds =
            Self::of_end(fields, End::Lower, AcceptedRange { is_open: is_open(End::Upper), ..range });
        let upper = Self::of_end(fields, End::Upper, AcceptedRange { is_open: is_open(End::Lower), ..range });
        bounds.kept.extend(upper.kept);
        bounds.lost.extend(upper.lost);
        bounds
    }

    /// Converts the bounds at one end: a number, which a flag may exclude (draft 4), and an excluded number.
    fn of_end(fields: &Map<String, Value>, end: End, range: AcceptedRange) -> Self {
        let of = |keyword: &str| fields.get(keyword).filter(|value| !value.is_null());
        let (inclusive, exclusive) = (of(end.inclusive()), of(end.exclusive()));
        let is_excluded = exclusive == Some(&Value::Bool(true));
        let mut bounds = Self::default();
        if let Some(value) = inclusive {
            if is_small(value, is_excluded) {
                bounds.kept.push((end.inclusive(), value.clone()));
                bounds.kept.extend(is_excluded.then(|| (end.exclusive(), Value::Bool(true))));
            } else {
                bounds.add_large(end, end.inclusive(), value, is_excluded, range);
            }
        }
        if let Some(value) = exclusive.filter(|value| !value.is_boolean()) {
            if is_small(value, true) {
                bounds.kept.push((end.exclusive(), value.clone()));
            } else {
                bounds.add_large(end, end.exclusive(), value, true, range);
            }
        }
        bounds
    }

    /// Adds a bound beyond 2^53.
    fn add_large(
        &mut self,
        end: End,
        keyword: &'static str,
        value: &Value,
        is_excluded: bool,
        range: AcceptedRange,
    ) {
        let Some((bound, is_written)) = whole(value) else { return self.lost.push((keyword, Loss::Most)) };
        // For whole numbers, the inclusive bound is one below the excluded one.
        let is_stepped = is_excluded && is_written && range.only_integers;
        let bound = end.mirrored(bound) - i128::from(is_stepped);
        let nearest = nearest_above(bound, is_written, end, range);
        let loss = match nearest {
            Some(nearest) if is_written && i128::from(nearest) == bound && is_excluded == is_stepped => {
                Loss::None
            }
            Some(_) => Loss::Little,
            None if bound >= 0 => Loss::Little,
            None => Loss::Most,
        };
        if loss != Loss::None {
            self.lost.push((keyword, loss));
        }
        let Some(nearest) = nearest else { return };
        let nearest = if end == End::Lower { -nearest } else { nearest };
        match self.kept.iter_mut().find(|(kept, _)| *kept == end.inclusive()) {
            Some((_, kept)) if !end.is_within(nearest, kept) => {}
            Some((_, kept)) => *kept = nearest.into(),
            None => self.kept.push((end.inclusive(), nearest.into())),
        }
    }
}

/// An end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Lower,
    Upper,
}

impl End {
    const ALL: [Self; 2] = [Self::Lower, Self::Upper];

    const fn inclusive(self) -> &'static str {
        match self {
            Self::Lower => "minimum",
            Self::Upper => "maximum",
        }
    }

    const fn exclusive(self) -> &'static str {
        match self {
            Self::Lower => "exclusiveMinimum",
            Self::Upper => "exclusiveMaximum",
        }
    }

    /// Negates a lower bound, so that it can be treated as an upper one.
    const fn mirrored(self, number: i128) -> i128 {
        match self {
            Self::Lower => -number,
            Self::Upper => number,
        }
    }

    /// Returns whether a bound is at least as strict as another.
    fn is_within(self, bound: i64, other: &Value) -> bool {
        let (bound, other) = (bound as f64, other.as_f64());
        match self {
            Self::Lower => other.is_none_or(|other| bound >= other),
            Self::Upper => other.is_none_or(|other| bound <= other),
        }
    }
}

/// The numbers that a schema accepts.
#[derive(Debug, Clone, Copy)]
struct AcceptedRange {
    only_integers: bool,
    /// Whether the range has no other end.
    is_open: bool,
}

/// Returns whether a double represents a bound exactly, and for an excluded bound also the next whole number.
fn is_small(value: &Value, is_excluded: bool) -> bool {
    match value.as_i64() {
        Some(whole) => whole.unsigned_abs() <= EXACT_MAX - u64::from(is_excluded),
        None => value.as_f64().is_some_and(|double| double.abs() < EXACT_MAX as f64),
    }
}

/// Returns a large bound as a whole number, and whether it is exact: a double stands for all numbers that
/// round to it.
fn whole(value: &Value) -> Option<(i128, bool)> {
    let integer = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    match integer {
        Some(integer) => Some((integer, true)),
        None => value.as_f64().map(|double| (double.clamp(-DOUBLE_MAX, DOUBLE_MAX) as i128, false)),
    }
}

/// Returns the smallest number at or above an upper bound that llguidance represents exactly.
fn nearest_above(bound: i128, is_written: bool, end: End, range: AcceptedRange) -> Option<i64> {
    let mut double = bound as f64;
    if !is_written || (double as i128) < bound {
        double = double.next_up();
    }
    if double >= INTEGER_END {
        // The double of the largest integer is too large by one and is converted back to that integer.
        let is_reached = range.only_integers && end == End::Upper && bound <= i128::from(i64::MAX);
        return is_reached.then_some(i64::MAX);
    }
    if double <= -INTEGER_END {
        return None;
    }
    let nearest = double as i64;
    let is_too_far = range.is_open && nearest < -OPEN_MAX;
    if range.only_integers {
        return Some(if is_too_far { -OPEN_MAX } else { nearest });
    }
    // Rust prints the fewest digits that identify the double, followed by zeros.
    (!is_too_far && double.to_string() == nearest.to_string()).then_some(nearest)
}

/// Returns whether all numbers that match the schema's types are whole.
fn has_only_integers(fields: &Map<String, Value>) -> bool {
    let kinds = match fields.get("type") {
        Some(Value::Array(kinds)) => kinds.as_slice(),
        Some(kind) => std::slice::from_ref(kind),
        None => &[],
    };
    let mut kinds = kinds.iter().filter_map(Value::as_str).map(kind);
    let mut has_integer = false;
    let all_known = kinds.all(|kind| {
        has_integer |= kind == Some("integer");
        kind.is_some_and(|kind| kind != "number")
    });
    has_integer && all_known
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TWO_53: i64 = 1 << 53;

    /// Returns the kept bounds of a schema, and the lost ones.
    fn of(schema: &Value) -> (Value, Vec<(&'static str, Loss)>) {
        let Bounds { kept, lost } = Bounds::of(schema.as_object().unwrap());
        let kept: Map<_, _> = kept.into_iter().map(|(keyword, value)| (keyword.to_owned(), value)).collect();
        (Value::Object(kept), lost)
    }

    #[test]
    fn bounds_that_a_double_represents_are_kept() {
        for (bounds, kept) in [
            (json!({ "minimum": -3, "maximum": 0.5 }), None),
            (json!({ "minimum": 1, "exclusiveMinimum": true, "exclusiveMaximum": TWO_53 - 1 }), None),
            (json!({ "minimum": -TWO_53, "maximum": TWO_53 }), None),
            (json!({ "maximum": 10_000_000_000_000_000_i64 }), None),
            (json!({ "minimum": -1_000_000_000_000_000_000_i64 }), None),
            (json!({ "minimum": 0, "maximum": i64::MAX }), None),
            (json!({ "minimum": TWO_53 + 2, "maximum": i64::MAX - 1023 }), None),
            (json!({ "minimum": 2_000_000_000_000_000_000_i64, "maximum": i64::MAX }), None),
            (
                json!({ "minimum": null, "maximum": 1, "exclusiveMaximum": false }),
                Some(json!({ "maximum": 1 })),
            ),
            (json!({ "exclusiveMaximum": 1_u64 << 63 }), Some(json!({ "maximum": i64::MAX }))),
            (json!({ "exclusiveMaximum": TWO_53 }), Some(json!({ "maximum": TWO_53 - 1 }))),
            (
                json!({ "maximum": TWO_53 + 3, "exclusiveMaximum": true }),
                Some(json!({ "maximum": TWO_53 + 2 })),
            ),
            (
                json!({ "maximum": 7, "exclusiveMaximum": TWO_53 + 3, "minimum": 1, "exclusiveMinimum": -TWO_53 - 3 }),
                Some(json!({ "maximum": 7, "minimum": 1 })),
            ),
        ] {
            let kept = kept.unwrap_or_else(|| bounds.clone());
            let mut schema = bounds;
            schema["type"] = json!(["integer", "null"]);
            assert_eq!(of(&schema), (kept, Vec::new()), "{schema}");
        }
    }

    #[test]
    fn other_bounds_are_loosened_or_dropped() {
        use Loss::{Little, Most};
        for (kind, keyword, bound, kept, loss) in [
            ("integer", "maximum", json!(TWO_53 + 1), Some(TWO_53 + 2), Little),
            ("integer", "minimum", json!(TWO_53 + 1), Some(TWO_53), Little),
            ("integer", "exclusiveMinimum", json!(TWO_53), Some(TWO_53), Little),
            ("integer", "maximum", json!(i64::MAX - 1), Some(i64::MAX), Little),
            ("integer", "minimum", json!(i64::MIN), None, Little),
            ("integer", "minimum", json!(i64::MIN + 1), None, Little),
            ("integer", "maximum", json!(u64::MAX), None, Little),
            ("integer", "maximum", json!(1e60), None, Little),
            ("integer", "maximum", json!(1e16), Some(10_000_000_000_000_002), Little),
            ("integer", "minimum", json!(5_000_000_000_000_000_000_i64), Some(OPEN_MAX), Little),
            ("integer", "maximum", json!(-5_000_000_000_000_000_000_i64), Some(-OPEN_MAX), Little),
            ("integer", "minimum", json!(1_u64 << 63), None, Most),
            ("integer", "maximum", json!(i64::MIN), None, Most),
            ("integer", "maximum", json!(-1e60), None, Most),
            ("integer", "maximum", json!("3"), None, Most),
            ("number", "maximum", json!(i64::MAX), None, Little),
            ("any", "maximum", json!(i64::MAX), None, Little),
            ("number", "exclusiveMaximum", json!(10_i64.pow(16)), Some(10_i64.pow(16)), Little),
            // Rust prints its double as 1152921504606847000.
            ("number", "maximum", json!(1_i64 << 60), None, Little),
            ("number", "minimum", json!(1_i64 << 60), None, Most),
        ] {
            let inclusive = if keyword.ends_with("aximum") { "maximum" } else { "minimum" };
            let kept = kept.map_or_else(|| json!({}), |kept| json!({ inclusive: kept }));
            let schema = json!({ "type": kind, keyword: bound });
            assert_eq!(of(&schema), (kept, vec![(keyword, loss)]), "{schema}");
        }
    }

    #[test]
    fn inexact_constants_are_rejected() {
        for exact in [json!(1), json!(0.5), json!(TWO_53 + 2), json!([{ "a": i64::MAX }]), json!("a")] {
            assert!(is_exact_constant(&exact), "{exact}");
        }
        for other in [json!(TWO_53 + 1), json!(i64::MIN), json!([{ "a": u64::MAX }]), json!(1e60)] {
            assert!(!is_exact_constant(&other), "{other}");
        }
    }
}
