//! The syntax of the names of models and aliases.

/// The maximum length of a name. Names are used in paths and on the command line.
pub(crate) const NAME_CHARS_MAX: usize = 128;

/// Returns whether a name is valid.
pub(crate) fn is_valid(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    first && name.len() <= NAME_CHARS_MAX && name.chars().all(fine)
}
