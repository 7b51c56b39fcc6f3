//! The sections of a Markdown text: the lines below each heading.

/// The characters of a heading, from its level 1 to 6.
const HEADING: char = '#';

/// A section: the lines below a heading, up to the next one.
#[derive(Debug, PartialEq)]
pub(super) struct Section<'a> {
    /// The headings above the section, the outermost first. Empty before the first heading.
    pub(super) headings: Vec<String>,
    /// The line of the heading as it is; `None` before the first heading.
    pub(super) heading_line: Option<&'a str>,
    /// The number of the heading's line, or of the first line.
    pub(super) line: usize,
    /// The lines below the heading, with their numbers.
    pub(super) lines: Vec<(usize, &'a str)>,
}

impl Section<'_> {
    /// Returns the text below the heading, without empty lines around it.
    pub(super) fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|(_, line)| *line).collect();
        lines.join("\n").trim_matches('\n').trim_end().to_owned()
    }
}

/// Splits a text into sections. `first_line` is the number of its first line. Headings in code blocks are code.
pub(super) fn sections(text: &str, first_line: usize) -> Vec<Section<'_>> {
    let mut found =
        vec![Section { headings: Vec::new(), heading_line: None, line: first_line, lines: Vec::new() }];
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut fence = Fence::default();
    for (number, line) in (first_line..).zip(text.lines()) {
        if fence.contains(line) {
            if let Some(section) = found.last_mut() {
                section.lines.push((number, line));
            }
            continue;
        }
        match heading(line) {
            Some((level, title)) => {
                open.retain(|(outer, _)| *outer < level);
                open.push((level, title));
                let headings = open.iter().map(|(_, title)| title.clone()).collect();
                found.push(Section { headings, heading_line: Some(line), line: number, lines: Vec::new() });
            }
            None => {
                if let Some(section) = found.last_mut() {
                    section.lines.push((number, line));
                }
            }
        }
    }
    found
}

/// Returns the level and the title of a heading such as `## Title`.
pub(super) fn heading(line: &str) -> Option<(usize, String)> {
    let level = line.len() - line.trim_start_matches(HEADING).len();
    let title = line[level..].strip_prefix([' ', '\t'])?.trim();
    // `## Title ##` is the same heading.
    let closed = title.trim_end_matches(HEADING);
    let title = if closed.ends_with(' ') { closed.trim_end() } else { title };
    ((1..=6).contains(&level) && !title.is_empty()).then(|| (level, title.to_owned()))
}

/// The state of a code block, line by line.
#[derive(Debug, Default)]
pub(super) struct Fence {
    /// The characters that end the block.
    end: Option<(char, usize)>,
}

impl Fence {
    /// Returns whether the next line is in a code block, or starts or ends one.
    pub(super) fn contains(&mut self, line: &str) -> bool {
        let line = line.trim_start();
        let first = line.chars().next().filter(|c| ['`', '~'].contains(c));
        let length = first.map_or(0, |first| line.chars().take_while(|c| *c == first).count());
        match (self.end, first) {
            (Some((end, least)), Some(first))
                if first == end && length >= least && line.trim_end().len() == length =>
            {
                self.end = None;
                true
            }
            (Some(_), _) => true,
            (None, Some(first)) if length >= 3 => {
                // `` ```code``` `` in one line is no block.
                if first == '`' && line[length..].contains('`') {
                    return false;
                }
                self.end = Some((first, length));
                true
            }
            (None, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_know_the_headings_above_them() {
        let text = "before\n# One\na\n\n## Two ##\nb\n```sh\n# no heading\n```\n### Three\n## Four\nc\n#tag\n####### seven\n";
        let found = sections(text, 5);
        let shown: Vec<(String, usize, String)> = found
            .iter()
            .map(|section| (section.headings.join(" > "), section.line, section.text()))
            .collect();
        let expected = [
            ("", 5, "before"),
            ("One", 6, "a"),
            ("One > Two", 9, "b\n```sh\n# no heading\n```"),
            ("One > Two > Three", 14, ""),
            ("One > Four", 15, "c\n#tag\n####### seven"),
        ];
        assert_eq!(shown, expected.map(|(path, line, text)| (path.to_owned(), line, text.to_owned())));
    }

    #[test]
    fn a_code_block_ends_with_its_own_fence() {
        let mut fence = Fence::default();
        let lines = ["````md", "```", "# a", "````", "b", "```x```", "~~~", "```", "~~~", "c"];
        let inside: Vec<bool> = lines.iter().map(|line| fence.contains(line)).collect();
        assert_eq!(inside, [true, true, true, true, false, false, true, true, true, false]);
    }
}
