//! The check of a number that a request sets, in the APIs that reject numbers out of range.

use lar_base::Problem;

/// Checks that a number is finite and between `low` and `high`, both included.
///
/// # Errors
/// If it is not. The error names `field`, the bounds and the number.
pub fn in_range(field: &str, value: Option<f32>, low: f32, high: f32) -> Result<Option<f32>, Problem> {
    match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(Problem::invalid(field, format!("must be between {low} and {high}, got {value}")))
        }
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused_by_name() {
        for number in [None, Some(0.0), Some(0.5), Some(2.0)] {
            assert_eq!(in_range("temperature", number, 0.0, 2.0).unwrap(), number);
        }
        for number in [-0.1, 2.5, f32::INFINITY, f32::NAN] {
            let refused = in_range("temperature", Some(number), 0.0, 2.0).unwrap_err();
            assert_eq!(refused.detail, format!("`temperature` must be between 0 and 2, got {number}"));
        }
    }
}
