//! The syntax of the names of models and aliases.

/// The maximum length of a name. Names are used in paths and on the command line.
pub(crate) const NAME_CHARS_MAX: usize = 128;

/// A text that is not a valid name, cut to [`NAME_CHARS_MAX`] characters.
#[derive(Debug)]
pub(crate) struct InvalidName(pub(crate) String);

/// Returns whether a name is valid.
pub(crate) fn is_valid(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    first && name.len() <= NAME_CHARS_MAX && name.chars().all(fine)
}

/// Checks that a name is valid.
///
/// # Errors
/// [`InvalidName`], which becomes [`Error::Name`](crate::Error::Name).
pub(crate) fn check(name: &str) -> Result<(), InvalidName> {
    if is_valid(name) { Ok(()) } else { Err(InvalidName(name.chars().take(NAME_CHARS_MAX).collect())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_a_path_and_not_hidden() {
        for name in ["a", "0", "qwen3-4b", "Model_1.5", &"x".repeat(128)] {
            check(name).unwrap();
        }
        for name in ["", "../x", "a/b", ".hidden", "a b", "a\0", &"x".repeat(129)] {
            assert!(check(name).is_err(), "{name:?}");
        }
    }
}
