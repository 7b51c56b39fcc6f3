//! The passages of a Markdown text: its list items and paragraphs, each with the titles above it.
//!
//! A title is a heading, a line in bold or italics, or a line that ends with a colon above a list. A title alone
//! says nothing, so it is the context of the passages below it.

use super::sections::{Fence, heading};

/// The most characters of a title in bold or italics. A longer line is a sentence.
const TITLE_CHARS_MAX: usize = 80;
/// The levels of titles that are no headings, below the six levels of headings.
const BOLD: usize = 7;
const ITALIC: usize = 8;
const COLON: usize = 9;

/// The passages of a text, and its titles without passages.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Passages {
    pub(super) passages: Vec<Passage>,
    /// The line numbers and the texts of titles without a passage below them.
    pub(super) bare_titles: Vec<(usize, String)>,
}

/// A list item with its inner items, or a paragraph.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Passage {
    /// The titles above the passage, the outermost first.
    pub(super) titles: Vec<String>,
    pub(super) text: String,
    pub(super) line: usize,
}

impl Passage {
    /// Returns the passage after its titles, such as `Rules > Style: Short names.`
    pub(super) fn with_titles(&self) -> String {
        if self.titles.is_empty() {
            self.text.clone()
        } else {
            format!("{}: {}", self.titles.join(" > "), self.text)
        }
    }
}

/// Returns the passages of a text. `first_line` is the number of its first line.
pub(super) fn passages(text: &str, first_line: usize) -> Passages {
    let mut reader = Reader::default();
    let mut fence = Fence::default();
    for (number, line) in (first_line..).zip(text.lines()) {
        if fence.contains(line) {
            reader.add_code(number, line);
        } else {
            reader.add_line(number, line);
        }
    }
    reader.finish()
}

/// Reads a text line by line.
#[derive(Debug, Default)]
struct Reader {
    found: Passages,
    titles: Vec<Title>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Title {
    level: usize,
    text: String,
    line: usize,
    has_passage: bool,
}

/// A passage that goes on.
#[derive(Debug)]
struct Open {
    text: String,
    line: usize,
    /// The indentation of a list item; `None` for a paragraph.
    item_indent: Option<usize>,
    /// Whether the last line was code.
    is_code: bool,
}

impl Reader {
    fn add_line(&mut self, number: usize, line: &str) {
        let trimmed = line.trim();
        let indent = line.len() - line.trim_start().len();
        if trimmed.is_empty() {
            // An indented line after an empty one still belongs to a list item.
            if self.open.as_ref().is_some_and(|open| open.item_indent.is_none() && !open.text.ends_with(':'))
            {
                self.close();
            } else if let Some(open) = &mut self.open {
                open.text.push('\n');
            }
        } else if let Some((level, title)) = heading(trimmed) {
            self.close();
            self.add_title(level, title, number);
        } else if let Some(item) = list_item(trimmed) {
            self.add_item(number, indent, item);
        } else if self.continues(indent) {
            let Some(open) = &mut self.open else { return };
            // Rows of a table and quoted lines stay lines.
            let is_line = open.is_code || trimmed.starts_with(['|', '>']) || open.text.ends_with('\n');
            open.text.truncate(open.text.trim_end().len());
            open.text.push(if is_line { '\n' } else { ' ' });
            open.text.push_str(trimmed);
            open.is_code = false;
        } else {
            self.close();
            match emphasized(trimmed) {
                Some((level, title)) => self.add_title(level, title, number),
                None => self.start(number, trimmed, None),
            }
        }
    }

    /// Returns whether a line of text belongs to the open passage.
    fn continues(&self, indent: usize) -> bool {
        self.open.as_ref().is_some_and(|open| match open.item_indent {
            Some(item) => indent > item || !open.text.ends_with('\n'),
            None => !open.text.ends_with('\n'),
        })
    }

    fn add_item(&mut self, number: usize, indent: usize, item: &str) {
        if let Some(open) = &mut self.open
            && open.item_indent.is_some_and(|outer| indent > outer + 1)
        {
            open.text.truncate(open.text.trim_end().len());
            open.text.push_str(&format!("\n- {item}"));
            open.is_code = false;
            return;
        }
        // The line above a list, if it ends with a colon, is its title.
        let is_title = |open: &Open| open.item_indent.is_none() && open.text.trim_end().ends_with(':');
        match self.open.take_if(|open| is_title(open)) {
            Some(open) => {
                let title = open.text.trim_end().trim_end_matches(':').to_owned();
                self.add_title(COLON, title, open.line);
            }
            None => self.close(),
        }
        self.start(number, item, Some(indent));
    }

    /// Adds a line of code to the passage above it.
    fn add_code(&mut self, number: usize, line: &str) {
        match &mut self.open {
            Some(open) => {
                open.text.truncate(open.text.trim_end().len());
                open.text.push('\n');
                open.text.push_str(line.trim_end());
                open.is_code = true;
            }
            None => {
                self.start(number, line.trim_end(), None);
                if let Some(open) = &mut self.open {
                    open.is_code = true;
                }
            }
        }
    }

    fn start(&mut self, line: usize, text: &str, item_indent: Option<usize>) {
        self.open = Some(Open { text: text.to_owned(), line, item_indent, is_code: false });
    }

    fn add_title(&mut self, level: usize, text: String, line: usize) {
        while self.titles.last().is_some_and(|title| title.level >= level) {
            self.drop_title();
        }
        self.titles.push(Title { level, text, line, has_passage: false });
    }

    fn drop_title(&mut self) {
        let Some(title) = self.titles.pop() else { return };
        if !title.has_passage {
            self.found.bare_titles.push((title.line, title.text));
        }
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        // The title of a list ends with the list.
        let is_list_title = |title: &Title| title.level == COLON && title.line < open.line;
        if open.item_indent.is_none() && self.titles.last().is_some_and(is_list_title) {
            self.drop_title();
        }
        self.titles.iter_mut().for_each(|title| title.has_passage = true);
        let titles = self.titles.iter().map(|title| title.text.clone()).collect();
        self.found.passages.push(Passage { titles, text: open.text.trim_end().to_owned(), line: open.line });
    }

    fn finish(mut self) -> Passages {
        self.close();
        while !self.titles.is_empty() {
            self.drop_title();
        }
        self.found.bare_titles.sort_unstable();
        self.found
    }
}

/// Returns the text of a list item after its bullet or number.
pub(super) fn list_item(line: &str) -> Option<&str> {
    let bullet = ["- ", "* ", "+ ", "• ", "– "].iter().find_map(|bullet| line.strip_prefix(bullet));
    let numbered = || {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = line.len() - rest.len();
        let rest = rest.strip_prefix(['.', ')'])?;
        ((1..=4).contains(&digits)).then(|| rest.strip_prefix([' ', '\t'])).flatten()
    };
    bullet.or_else(numbered).map(str::trim).filter(|item| !item.is_empty())
}

/// Returns the level and the text of a title in bold or italics, such as `**Work context**`.
pub(super) fn emphasized(line: &str) -> Option<(usize, String)> {
    let line = line.strip_suffix(':').unwrap_or(line);
    for (mark, level) in [("**", BOLD), ("__", BOLD), ("*", ITALIC), ("_", ITALIC)] {
        let Some(title) = line.strip_prefix(mark).and_then(|line| line.strip_suffix(mark)) else { continue };
        let title = title.trim().trim_end_matches(':').trim_end();
        let is_title = !title.is_empty()
            && title.chars().count() <= TITLE_CHARS_MAX
            && !title.contains(['*', '_'])
            && !title.ends_with(['.', '!', '?']);
        return is_title.then(|| (level, title.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        passages(text, 1).passages.iter().map(Passage::with_titles).collect()
    }

    #[test]
    fn titles_are_the_context_of_the_passages_below_them() {
        let text = "# Rules\nAlways test.\nAlso lint.\n\n- Use tabs\n- Never push\n  to main\n  - not even docs\n\n\
                    ## Style\nShort names.\n\n**Work context**\n\nMira builds mills.\n\n*Recent months*\nShe sold one.\n";
        assert_eq!(
            shown(text),
            [
                "Rules: Always test. Also lint.",
                "Rules: Use tabs",
                "Rules: Never push to main\n- not even docs",
                "Rules > Style: Short names.",
                "Rules > Style > Work context: Mira builds mills.",
                "Rules > Style > Work context > Recent months: She sold one."
            ]
        );
    }

    #[test]
    fn a_line_with_a_colon_is_the_title_of_the_list_below_it() {
        let text =
            "My pets:\n- Rex\n- Mo\n\nI also fish.\n\nTools:\n\n1. saw\n2) plane\n\nNote: a sentence.\n";
        assert_eq!(
            shown(text),
            [
                "My pets: Rex",
                "My pets: Mo",
                "I also fish.",
                "Tools: saw",
                "Tools: plane",
                "Note: a sentence."
            ]
        );
    }

    #[test]
    fn a_title_alone_is_no_passage() {
        let found = passages("# Memory\n\n**Personal**\n\n**Work**\nMira builds mills.\n\n## Empty\n", 1);
        assert_eq!(found.passages.len(), 1);
        assert_eq!(found.bare_titles, [(3, "Personal".to_owned()), (8, "Empty".to_owned())]);
        assert_eq!(passages("**A whole sentence in bold.**\n", 1).passages.len(), 1);
    }

    #[test]
    fn code_and_tables_stay_in_their_passage() {
        let text = "Run the tests:\n```sh\n# all\nmake test\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\nalone\n```\n";
        assert_eq!(
            shown(text),
            [
                "Run the tests:\n```sh\n# all\nmake test\n```",
                "| a | b |\n|---|---|\n| 1 | 2 |",
                "```\nalone\n```"
            ]
        );
    }
}
