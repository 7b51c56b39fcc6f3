//! The title of a conversation whose creator gave it none.

/// The length in characters after which a title is cut.
const TITLE_CHARS_MAX: usize = 60;

/// Returns the title for a conversation that starts with this text: its first line that is not blank.
///
/// A longer line is cut at the end of a word, and gets an ellipsis.
pub(crate) fn title_of(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("Untitled");
    if line.chars().count() <= TITLE_CHARS_MAX {
        return line.to_owned();
    }
    let cut: String = line.chars().take(TITLE_CHARS_MAX).collect();
    let whole = cut.rfind(char::is_whitespace).map_or(cut.as_str(), |space| cut[..space].trim_end());
    format!("{whole}…")
}

#[cfg(test)]
mod tests {
    use super::title_of;

    #[test]
    fn titles_end_at_a_word() {
        assert_eq!(title_of("\n  Hello there \nmore"), "Hello there");
        let long = "What is the difference between a mutex and a semaphore in an operating system?";
        assert_eq!(title_of(long), "What is the difference between a mutex and a semaphore in…");
        assert_eq!(title_of("   "), "Untitled");
    }
}
