//! Instruction files for agents, such as CLAUDE.md and AGENTS.md.
//!
//! Each list item and each paragraph becomes a memory of the kind `procedure` under its titles, in the project of
//! the file. Code stays with the passage above it.

use std::path::Path;

use lar_api::memories::NewMemory;

use super::front_matter;
use super::parsed_export::ParsedExport;
use super::passages::passages;
use super::report::Location;

/// Parses the text of the instruction file in `path`.
pub(super) fn parse(text: &str, path: &Path, file: &Location, read: &mut ParsedExport) {
    let folder = path.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned));
    let project = folder.and_then(|folder| crate::project::of(&folder));
    let (front, body, line) = front_matter::split(text);
    if !front.remaining_lines().is_empty() {
        read.skip(file.line(1), "settings at the start of the file");
    }
    let found = passages(body, line);
    for passage in found.passages {
        let location = file.line(passage.line);
        if is_reference(&passage.text) {
            read.skip(location, "references to other files, and comments");
            continue;
        }
        let memory = NewMemory {
            content: passage.with_titles(),
            kind: Some("procedure".into()),
            project: project.clone(),
            source: Some("claude-md".into()),
            ..NewMemory::default()
        };
        read.push(location, memory);
    }
    for (line, _) in found.bare_titles {
        read.skip(file.line(line), "titles without text");
    }
}

/// Returns whether a passage is only references such as `@docs/style.md`, or a comment.
fn is_reference(text: &str) -> bool {
    let is_comment = text.starts_with("<!--") && text.ends_with("-->");
    is_comment || text.split_whitespace().all(|word| word.starts_with('@') && word.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_become_items_under_their_titles() {
        let text = "---\nname: x\n---\n# Rules\nAlways test.\nAlso lint.\n\n- Use tabs\n- Run it\n\n```sh\nmake\n```\n\n@other.md\n\n\
                    ## Style\nShort names.\n\n<!-- a comment -->\n\n## Later\n";
        let mut read = ParsedExport::default();
        parse(text, Path::new("/nowhere/CLAUDE.md"), &Location::file("CLAUDE.md"), &mut read);
        let contents: Vec<&str> = read.entries.iter().map(|entry| entry.memory.content.as_str()).collect();
        assert_eq!(
            contents,
            [
                "Rules: Always test. Also lint.",
                "Rules: Use tabs",
                "Rules: Run it\n```sh\nmake\n```",
                "Rules > Style: Short names."
            ]
        );
        assert_eq!(read.entries[0].memory.kind.as_deref(), Some("procedure"));
        let skipped: Vec<String> = read.skipped.iter().map(|one| one.location.to_string()).collect();
        let expected = ["line 1", "line 15", "line 20", "line 22"].map(|line| format!("CLAUDE.md, {line}"));
        assert_eq!(skipped, expected);
    }
}
