//! `RESULTS.md`, with one section for each benchmark.
//!
//! A new measurement replaces its section and keeps the remarks: paragraphs whose lines begin with `>`, which
//! a person wrote. Remarks are at the end of their section. Sections of other benchmarks stay unchanged.

use std::fmt;
use std::path::Path;

/// The introduction of the file.
const RULE: &str = "\
`make bench` writes this file. It replaces the sections that it measures and keeps the others. To print\n\
one section, run `target/release/lar-benches 'TITLE'`; a part of the title is enough. A section that was\n\
measured with another command names it. Write only remarks by hand: paragraphs whose lines begin with `>`.";

/// The contents of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Results {
    /// The text before the first section. It names the machine that all sections were measured on that name
    /// no other.
    head: String,
    sections: Vec<Section>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    title: String,
    measured: String,
    remarks: String,
}

impl Results {
    /// Reads the file. If it does not exist, returns results without sections for `machine`.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub(crate) fn read(path: &Path, machine: &str) -> std::io::Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self {
                head: format!("# Results\n\n{RULE}\n\n- machine: {machine}"),
                sections: Vec::new(),
            }),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Self {
        let mut parts = text.split("\n## ");
        let head = parts.next().unwrap_or_default().trim_end().to_owned();
        let section = |part: &str| {
            let (title, body) = part.split_once('\n').unwrap_or((part, ""));
            let paragraphs = body.split("\n\n").map(|paragraph| paragraph.trim_matches('\n'));
            let (remarks, measured): (Vec<&str>, Vec<&str>) =
                paragraphs.filter(|paragraph| !paragraph.is_empty()).partition(|text| is_remark(text));
            Section {
                title: title.to_owned(),
                measured: measured.join("\n\n"),
                remarks: remarks.join("\n\n"),
            }
        };
        Self { head, sections: parts.map(section).collect() }
    }

    /// Replaces the measured part of a section. Inserts a new section after those that precede it in `order`.
    pub(crate) fn set(&mut self, title: &str, measured: &str, commit: &str, machine: &str, order: &[&str]) {
        let place = if self.head.contains(machine) { String::new() } else { format!(", on {machine}") };
        let measured = format!("Measured at {commit}{place}.\n\n{}", measured.trim());
        if let Some(section) = self.sections.iter_mut().find(|section| section.title == title) {
            section.measured = measured;
            return;
        }
        let before = order.iter().take_while(|other| **other != title);
        let last = before.filter_map(|other| self.sections.iter().position(|one| one.title == *other)).max();
        let new = Section { title: title.to_owned(), measured, remarks: String::new() };
        self.sections.insert(last.map_or(0, |last| last + 1), new);
    }
}

fn is_remark(paragraph: &str) -> bool {
    paragraph.lines().all(|line| line.starts_with('>'))
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.head)?;
        for Section { title, measured, remarks } in &self.sections {
            write!(f, "\n## {title}\n")?;
            for text in [measured, remarks].into_iter().filter(|text| !text.is_empty()) {
                write!(f, "\n{text}\n")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# Results\n\n\
                        By a bench.\n\n\
                        - machine: a big one\n\n\
                        ## First\n\n\
                        Measured at 1.\n\n\
                        Of it:\n\n\
                        | a |\n|---|\n\
                        | 1 |\n\n\
                        > Before\n> it was 2.\n\n\
                        > And 3.\n\n\
                        ## By hand\n\n\
                        A look.\n";

    #[test]
    fn new_measurements_keep_remarks_and_other_sections() {
        let mut results = Results::parse(FILE);
        assert_eq!(results.to_string(), FILE);
        let order = ["First", "Second", "Third"];
        results.set("Third", "| c |\n", "4", "a big one", &order);
        results.set("Second", "Two.\n", "4", "a small one", &order);
        results.set("First", "Of it: 5.\n", "4", "a big one", &order);
        let expected = "# Results\n\n\
                        By a bench.\n\n\
                        - machine: a big one\n\n\
                        ## First\n\n\
                        Measured at 4.\n\n\
                        Of it: 5.\n\n\
                        > Before\n> it was 2.\n\n\
                        > And 3.\n\n\
                        ## Second\n\n\
                        Measured at 4, on a small one.\n\n\
                        Two.\n\n\
                        ## Third\n\n\
                        Measured at 4.\n\n\
                        | c |\n\n\
                        ## By hand\n\n\
                        A look.\n";
        assert_eq!(results.to_string(), expected);
    }

    #[test]
    fn reading_and_writing_the_file_changes_nothing() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md"));
        let results = Results::read(path, "").unwrap();
        assert_eq!(results.to_string(), std::fs::read_to_string(path).unwrap());
        assert!(results.head.contains(RULE), "{}", results.head);
        let new = Results::read(Path::new("/no/such/file"), "a big one").unwrap();
        assert_eq!(new.to_string(), format!("# Results\n\n{RULE}\n\n- machine: a big one\n"));
    }
}
