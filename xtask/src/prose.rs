//! Measures the width of documentation: comments in Rust files, and Markdown.
//!
//! Tables, code blocks and link targets may be as wide as they need to be.

/// The most columns of a line of documentation.
pub const COLUMNS_MAX: usize = 120;

/// Returns the lines of documentation of a Rust file that are too wide, starting at 1.
pub fn wide_doc_lines(text: &str) -> Vec<usize> {
    let mut is_code = false;
    let mut wide = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let Some(doc) = trimmed.strip_prefix("//!").or_else(|| trimmed.strip_prefix("///")) else {
            is_code = false;
            continue;
        };
        if is_too_wide(line, doc.trim_start(), &mut is_code) {
            wide.push(index + 1);
        }
    }
    wide
}

/// Returns the lines of a Markdown file that are too wide, starting at 1.
pub fn wide_markdown_lines(text: &str) -> Vec<usize> {
    let mut is_code = false;
    let lines = text.lines().enumerate();
    let wide = lines.filter(|(_, line)| is_too_wide(line, line.trim_start(), &mut is_code));
    wide.map(|(index, _)| index + 1).collect()
}

/// Returns whether a line is too wide. `content` is the line without indentation and comment marks.
fn is_too_wide(line: &str, content: &str, is_code: &mut bool) -> bool {
    if content.starts_with("```") {
        *is_code = !*is_code;
        return false;
    }
    !*is_code && !content.starts_with('|') && columns(line) > COLUMNS_MAX
}

/// Returns the width of a line without the targets of its links.
fn columns(line: &str) -> usize {
    let mut columns = line.chars().count();
    let mut rest = line;
    while let Some(start) = rest.find("](") {
        let target = rest[start + 2..].split(')').next().unwrap_or_default();
        columns -= target.chars().count();
        rest = &rest[start + 2 + target.len()..];
    }
    for word in line.split_whitespace().filter(|word| !word.contains("](")) {
        if let Some(start) = word.find("https://").or_else(|| word.find("http://")) {
            columns -= word[start..].chars().count();
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_prose_is_measured() {
        let long = "word ".repeat(25);
        let link = format!("[a link](https://example.org/{})", "x".repeat(120));
        let text = format!("# Title\n\n{long}\n| {long} |\n```text\n{long}\n```\n{link}\nshort\n");
        assert_eq!(wide_markdown_lines(&text), [3]);
        let rust = format!("//! {long}\nfn a() {{}} // {long}\n    /// {long}\n    /// short\n");
        assert_eq!(wide_doc_lines(&rust), [1, 3]);
    }
}
