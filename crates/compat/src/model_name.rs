//! The names of models in requests.

/// The suffix of a model's name that means `X-Lar-Memory: remember`, or `recall` if the key may not write memories.
pub const MEMORY_SUFFIX: &str = "+memory";

/// Returns a model's name without the memory suffix.
#[must_use]
pub fn plain_name(model: &str) -> &str {
    model.strip_suffix(MEMORY_SUFFIX).unwrap_or(model)
}

/// Returns the model that a request names, or `default` for an absent or blank name.
pub(crate) fn model_or(named: Option<String>, default: &str) -> String {
    named.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| default.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_model_gets_the_default_one() {
        for named in [None, Some(String::new()), Some(" ".into())] {
            assert_eq!(model_or(named, "default"), "default");
        }
        assert_eq!(model_or(Some("m".into()), "default"), "m");
    }
}
