//! Names of template variables: those that a request may not set, and whether a template reads one.

/// Variable names that a request may not set.
pub const RESERVED: [&str; 10] = [
    "messages",
    "tools",
    "add_generation_prompt",
    "bos_token",
    "eos_token",
    "raise_exception",
    "strftime_now",
    "namespace",
    "range",
    "dict",
];

/// Returns whether a template reads a variable: its name occurs as a word that is neither an attribute nor
/// quoted.
pub(crate) fn reads(source: &str, name: &str) -> bool {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    let not_before = |character: char| part(character) || matches!(character, '.' | '\'' | '"');
    source
        .match_indices(name)
        .any(|(at, _)| !source[..at].ends_with(not_before) && !source[at + name.len()..].starts_with(part))
}
