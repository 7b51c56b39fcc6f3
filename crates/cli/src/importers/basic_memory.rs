//! The notes of basic-memory: observations, relations and text.
//!
//! `- [category] text #tag (context)` is an observation and becomes a memory that names its note and the headings
//! above it. `- type [[Target]] (context)` is a relation and becomes a sentence. As in basic-memory, a type of
//! several words must be in quotes, and any other line with a link is text. The text becomes memories like that of
//! other notes.

use std::path::Path;

use lar_api::memories::NewMemory;

use super::front_matter;
use super::notes::{HEADING_WITHOUT_TEXT, NoteHead, WITHOUT_TEXT, for_each_note, push_text};
use super::parsed_export::{KINDS, ParsedExport};
use super::report::Location;
use super::sections::{Fence, Section, sections};

/// The headings that basic-memory writes above observations and relations. They say nothing about them.
const OWN_HEADINGS: [&str; 2] = ["Observations", "Relations"];
/// The starts of list items.
const BULLETS: [&str; 3] = ["- ", "* ", "+ "];

/// Parses every note in a folder and its subfolders.
///
/// # Errors
/// If the folder cannot be read. Notes that cannot be read fail in `read`.
pub(super) fn parse(folder: &Path, read: &mut ParsedExport) -> anyhow::Result<()> {
    for_each_note(folder, read, |found, text, read| note(text, &found.relative, read))
}

fn note(text: &str, path: &str, read: &mut ParsedExport) {
    let (mut front, body, line) = front_matter::split(text);
    let location = Location::file(path);
    // The usual link of a note follows from its path or its title.
    let links = [path, front.get("title").unwrap_or_default()].map(link_of);
    if front.get("permalink").is_some_and(|link| links.iter().any(|usual| usual == link)) {
        front.take_one(&["permalink"]);
    }
    let kind = front.take_one(&["type"]).filter(|kind| kind != "note");
    let mut head = NoteHead::of("basic-memory", path, front, read);
    head.tags.extend(kind.clone());
    let before = read.entries.len() + read.skipped.len();
    let (mut kept, mut with_items) = (Vec::new(), Vec::new());
    for section in sections(body, line) {
        let had_lines = section.lines.iter().any(|(_, line)| !line.trim().is_empty());
        let lines = section.lines.len();
        let section = take_items(section, &head, &location, read);
        if section.lines.len() < lines {
            with_items.push(section.headings.clone());
        }
        // The observations below a heading name it.
        if !had_lines || !section.text().is_empty() {
            kept.push(section);
        }
    }
    let has_items = read.entries.len() + read.skipped.len() > before;
    let has_text = kept.iter().any(|section| !section.text().is_empty())
        || !head.properties.is_empty()
        || (has_items && head.has_other_names());
    if !has_text && has_items {
        skip_headings(&kept, &with_items, &head, &location, read);
    }
    match (has_text, kind) {
        (true, _) => push_text(&head, &location, kept, read),
        (false, Some(kind)) if !has_items => {
            read.push(location, head.memory(format!("{} ({kind})", head.title), Vec::new()));
        }
        (false, _) if !has_items => read.skip(location, WITHOUT_TEXT),
        (false, _) => {}
    }
}

/// Names the headings without text that are above no observation and no relation.
fn skip_headings(
    empty: &[Section<'_>],
    with_items: &[Vec<String>],
    head: &NoteHead,
    location: &Location,
    read: &mut ParsedExport,
) {
    for section in empty {
        let is_context = with_items.iter().any(|headings| headings.starts_with(&section.headings));
        let own = context(&section.headings, &head.title);
        if section.heading_line.is_some() && !is_context && !own.is_empty() {
            read.skip(location.line(section.line), HEADING_WITHOUT_TEXT);
        }
    }
}

/// Returns the headings that say something about the items below them: neither the title of the note nor those of
/// basic-memory itself.
fn context(headings: &[String], title: &str) -> Vec<String> {
    let is_own = |heading: &str| OWN_HEADINGS.iter().any(|own| heading.eq_ignore_ascii_case(own));
    let says = headings.iter().enumerate().filter(|(at, heading)| {
        let is_title = *at == 0 && heading.eq_ignore_ascii_case(title);
        !is_title && !is_own(heading)
    });
    says.map(|(_, heading)| heading.clone()).collect()
}

/// Returns the link that basic-memory gives to a note with this path or title.
fn link_of(name: &str) -> String {
    let name = name.strip_suffix(".md").unwrap_or(name).to_lowercase();
    let parts = name.split(|c: char| c.is_whitespace() || c == '_').filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-")
}

/// Adds the observations and relations of a section, and returns the section without them.
fn take_items<'a>(
    section: Section<'a>,
    head: &NoteHead,
    location: &Location,
    read: &mut ParsedExport,
) -> Section<'a> {
    let mut fence = Fence::default();
    let mut text = Vec::new();
    let headings = context(&section.headings, &head.title).join(" > ");
    let mut lines = section.lines.iter().copied().peekable();
    while let Some((number, line)) = lines.next() {
        let is_code = fence.contains(line);
        let item = bullet(line).filter(|_| !is_code);
        let Some(mut item) = item.filter(|item| observation(item).is_some() || relation(item).is_some())
        else {
            text.push((number, line));
            continue;
        };
        let mut taken = vec![(number, line)];
        // The item goes on in indented lines.
        let goes_on =
            |line: &str| line.starts_with([' ', '\t']) && !line.trim().is_empty() && bullet(line).is_none();
        while let Some((number, more)) = lines.next_if(|(_, line)| goes_on(line)) {
            item.push(' ');
            item.push_str(more.trim());
            taken.push((number, more));
        }
        let memory = match (observation(&item), relation(&item)) {
            (Some((category, said)), _) => observed(head, &headings, category, said),
            (None, Some(relation)) => {
                let above = if headings.is_empty() { String::new() } else { format!("{headings}: ") };
                head.memory(format!("{above}{} {relation}", head.title), vec!["relation".into()])
            }
            (None, None) => {
                // A relation that goes on after its target is text.
                text.extend(taken);
                continue;
            }
        };
        read.push(location.line(number), memory);
    }
    Section { lines: text, ..section }
}

/// Returns the text of a list item.
fn bullet(line: &str) -> Option<String> {
    let line = line.trim_start();
    BULLETS.iter().find_map(|bullet| line.strip_prefix(bullet)).map(|item| item.trim().to_owned())
}

fn observed(head: &NoteHead, headings: &str, category: &str, said: &str) -> NewMemory {
    let (said, context) = match said.strip_suffix(')').and_then(|said| said.rsplit_once('(')) {
        Some((said, context)) if !said.trim().is_empty() => (said.trim(), Some(context)),
        _ => (said, None),
    };
    let is_tag = |word: &&str| word.starts_with('#') && word.chars().any(char::is_alphabetic);
    let mut words: Vec<&str> = said.split_whitespace().collect();
    let tags: Vec<String> = words
        .iter()
        .filter(|word| is_tag(word))
        .flat_map(|word| word.split('#').filter(|tag| !tag.is_empty()))
        .map(|tag| tag.trim_end_matches([',', '.', ';']).to_owned())
        .collect();
    // Tags at the end are not a part of the sentence; those in it are words.
    while words.len() > 1 && words.last().is_some_and(is_tag) {
        words.pop();
    }
    let words: Vec<&str> = words
        .into_iter()
        .map(|word| if is_tag(&word) { word.trim_start_matches('#') } else { word })
        .collect();
    let context = context.map(|context| format!(" ({context})")).unwrap_or_default();
    let above = if headings.is_empty() { String::new() } else { format!(" > {headings}") };
    let memory = head.memory(
        format!("{}{above}: {}{context}", head.title, words.join(" ")),
        [category.to_owned()].into_iter().chain(tags).collect(),
    );
    let kind = KINDS.contains(&category).then(|| category.to_owned());
    NewMemory { kind: kind.or_else(|| head.own_kind()), ..memory }
}

/// Returns the category and the text of an observation.
fn observation(item: &str) -> Option<(&str, &str)> {
    let (category, text) = item.strip_prefix('[')?.split_once(']')?;
    // `- [ ] a task`, `- [[a link]]` and `- [a link](…)` are not observations.
    let is_plain = !category.is_empty() && category.chars().all(|c| c.is_alphanumeric() || "-_ ".contains(c));
    let is_task = category.trim() != category || ["x", "X", "-"].contains(&category);
    (is_plain && !is_task && text.starts_with([' ', '\t']) && !text.trim().is_empty())
        .then(|| (category, text.trim()))
}

/// Returns a relation as the end of a sentence that starts with the note's title.
fn relation(item: &str) -> Option<String> {
    let (kind, rest) = item.split_once("[[")?;
    let (target, context) = rest.split_once("]]")?;
    let kind = kind.trim();
    let is_quoted = |quote: char| kind.len() > 2 && kind.starts_with(quote) && kind.ends_with(quote);
    let kind = match ['"', '\''].into_iter().find(|quote| is_quoted(*quote)) {
        Some(quote) => kind.trim_matches(quote).trim(),
        None if kind.contains(char::is_whitespace) => return None,
        None => kind,
    };
    let context = context.trim();
    let inner = context.strip_prefix('(').and_then(|context| context.strip_suffix(')'));
    let is_context = context.is_empty() || inner.is_some_and(|inner| !inner.contains(['(', ')']));
    let (target, shown) =
        target.split_once('|').map_or((target, ""), |(target, shown)| (target, shown.trim()));
    let target = target.trim();
    if kind.is_empty() || !kind.contains(char::is_alphabetic) || target.is_empty() || !is_context {
        return None;
    }
    let shown = if shown.is_empty() || shown == target { String::new() } else { format!(" ({shown})") };
    let context = if context.is_empty() { String::new() } else { format!(" {context}") };
    Some(format!("{} {target}{shown}{context}", kind.replace('_', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ParsedExport {
        let mut read = ParsedExport::default();
        note(text, "drinks/coffee.md", &mut read);
        read
    }

    fn contents(read: &ParsedExport) -> Vec<&str> {
        read.entries.iter().map(|entry| entry.memory.content.as_str()).collect()
    }

    const COFFEE: &str = "---\ntitle: Coffee\ntype: note\ntags: [drinks, home]\npermalink: drinks/coffee\n\
        created: 2025-01-02 03:04:05\n---\n# Coffee\nA short text about [[Beans]].\n\n## Observations\n\
        - [method] Grind it #fresh right before #brewing #home2 (said by Anna)\n- [decision] We buy beans,\n  not powder\n\
        - [ ] a task\n- [tip] See issue #42\n\n## Relations\n- pairs_with [[Cake]]\n- depends_on [[Jig]] (since 2025)\n\
        - \"goes well with\" [[Rain|rainy days]]\n- a plain item with [[Milk]] inside\n- [[Alone]]\n";

    #[test]
    fn observations_relations_and_text_are_kept() {
        let read = parsed(COFFEE);
        assert_eq!(
            contents(&read),
            [
                "Coffee: Grind it fresh right before (said by Anna)",
                "Coffee: We buy beans, not powder",
                "Coffee: See issue #42",
                "Coffee pairs with Cake",
                "Coffee depends on Jig (since 2025)",
                "Coffee goes well with Rain (rainy days)",
                "Coffee\nA short text about [[Beans]].\n\n## Observations\n- [ ] a task\n\n## Relations\n\
                 - a plain item with [[Milk]] inside\n- [[Alone]]",
            ]
        );
        let first = &read.entries[0].memory;
        assert_eq!(first.tags, ["drinks", "home", "method", "fresh", "brewing", "home2"]);
        assert_eq!(
            (first.kind.as_deref(), first.source.as_deref()),
            (None, Some("basic-memory: drinks/coffee.md"))
        );
        assert_eq!(first.occurred_at.as_deref(), Some("2025-01-02T03:04:05.000Z"));
        assert_eq!(read.entries[1].memory.kind.as_deref(), Some("decision"));
        assert_eq!(read.entries[4].memory.tags, ["drinks", "home", "relation"]);
        assert_eq!(read.entries[0].location.to_string(), "drinks/coffee.md, line 12");
        assert_eq!((read.skipped.len(), read.failed.len()), (0, 0));
    }

    #[test]
    fn a_note_without_observations_is_kept_and_an_empty_one_is_named() {
        assert_eq!(contents(&parsed("---\ntitle: Acme\ntype: company\n---\n# Acme\n")), ["Acme (company)"]);
        assert_eq!(contents(&parsed("---\ntitle: Tea\n---\nOnly text\n")), ["Tea\nOnly text"]);
        assert_eq!(contents(&parsed("---\ntitle: Tea\nstatus: active\n---\n")), ["Tea\nstatus: active"]);
        let empty = parsed("---\ntitle: Tea\ntype: note\n---\n# Tea\n");
        assert_eq!((empty.entries.len(), empty.skipped[0].reason.as_str()), (0, WITHOUT_TEXT));
        let only = parsed("---\ntitle: Tea\n---\n# Tea\n\n## Observations\n- [fact] Green\n");
        assert_eq!((contents(&only), only.skipped.len()), (vec!["Tea: Green"], 0));
    }

    #[test]
    fn a_byte_order_mark_and_crlf_do_not_change_the_result() {
        let read = |text: String| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("coffee.md"), text).unwrap();
            let mut read = ParsedExport::default();
            parse(folder.path(), &mut read).unwrap();
            read.entries
        };
        let plain = read(COFFEE.to_owned());
        assert_eq!(plain.len(), 7);
        assert_eq!(read(format!("\u{feff}{}", COFFEE.replace('\n', "\r\n"))), plain);
    }

    #[test]
    fn headings_above_items_are_their_context_and_others_are_named() {
        let read = parsed(
            "---\ntitle: Coffee\n---\n# Coffee\n## Brewing\n### Hot\n- [fact] At 94 degrees\n\
             ## Suppliers\n- buys_from [[Acme]]\n## Ideas\n## Observations\n- [fact] It wakes\n## Relations\n",
        );
        assert_eq!(
            contents(&read),
            ["Coffee > Brewing > Hot: At 94 degrees", "Suppliers: Coffee buys from Acme", "Coffee: It wakes"]
        );
        let skipped: Vec<String> =
            read.skipped.iter().map(|one| format!("{}: {}", one.location, one.reason)).collect();
        assert_eq!(skipped, ["drinks/coffee.md, line 10: headings without text"]);
    }

    #[test]
    fn aliases_kinds_and_links_of_a_note_with_only_observations_are_kept() {
        let read = parsed(
            "---\ntitle: Coffee\naliases: [Kaffee]\nkind: procedure\n\
             permalink: old/place\n---\n- [method] Grind it\n- [fact] Hot\n",
        );
        assert_eq!(
            contents(&read),
            ["Coffee: Grind it", "Coffee: Hot", "Coffee (also Kaffee)\npermalink: old/place"]
        );
        let kinds: Vec<Option<&str>> = read.entries.iter().map(|one| one.memory.kind.as_deref()).collect();
        assert_eq!(kinds, [Some("procedure"), Some("fact"), Some("procedure")]);
        let alone = parsed("---\ntitle: Coffee\naliases: [Kaffee]\n---\n- [fact] Hot\n");
        assert_eq!(contents(&alone), ["Coffee: Hot", "Coffee (also Kaffee)"]);
    }

    #[test]
    fn code_and_sentences_are_no_items() {
        let text = "```md\n- [fact] in code\n- uses [[Code]]\n```\n- see [[A]] and [[B]]\n- reads [[A]] (one) and (two)\n";
        let read = parsed(text);
        assert_eq!(contents(&read), [format!("coffee\n{}", text.trim_end())]);
    }
}
