//! A small Obsidian vault, with what people's notes have: folders, links, front matter of several editors, line
//! ends of Windows, long notes and attachments.

use super::*;

fn vault(notes: &[(&str, &str)]) -> ParsedExport {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".obsidian")).unwrap();
    for (name, text) in notes {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let before = snapshot(folder.path());
    let mut read = ParsedExport::default();
    parse(folder.path(), "obsidian", &mut read).unwrap();
    assert_eq!(snapshot(folder.path()), before, "the vault is unchanged");
    read
}

fn snapshot(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let notes = folder::notes(folder, &mut ParsedExport::default()).unwrap();
    notes.into_iter().map(|note| (note.relative, std::fs::read(note.path).unwrap())).collect()
}

fn contents(read: &ParsedExport) -> Vec<&str> {
    read.entries.iter().map(|entry| entry.memory.content.as_str()).collect()
}

fn skipped(read: &ParsedExport) -> Vec<String> {
    read.skipped.iter().map(|one| format!("{}: {}", one.location, one.reason)).collect()
}

#[test]
fn a_short_note_is_one_memory_with_its_folder_links_and_front_matter() {
    let read = vault(&[(
        "People/Family/Anna.md",
        "\u{feff}---\r\naliases:\r\n  - Anni\r\ntags: [family, oslo]\r\ncreated: 2026-01-16\r\nbirthday: 3 May\r\n---\r\n\
         # Anna\r\n\r\n- lives in [[Oslo]] with [[Bo|her brother]], keep this line\r\n- #music/oboe since 2019\r\n\
         ![[Anna 2025.png]]\r\n\r\n## Gifts\r\n- [ ] Tea from `#1 shop`\r\n",
    )]);
    let [anna] = read.entries.as_slice() else { panic!("{:?}", read.entries) };
    assert_eq!(
        anna.memory.content,
        "Anna (also Anni)\nbirthday: 3 May\n\n- lives in [[Oslo]] with [[Bo|her brother]], keep this line\n\
         - #music/oboe since 2019\n![[Anna 2025.png]]\n\n## Gifts\n- [ ] Tea from `#1 shop`"
    );
    assert_eq!(anna.memory.tags, ["family", "oslo", "People/Family", "music/oboe"]);
    assert_eq!(anna.memory.source.as_deref(), Some("obsidian: People/Family/Anna.md"));
    assert_eq!(anna.memory.occurred_at.as_deref(), Some("2026-01-16T00:00:00.000Z"));
    assert_eq!((anna.memory.kind.as_deref(), anna.memory.project.as_deref()), (Some("note"), None));
    assert_eq!(skipped(&read), [""; 0]);
}

#[test]
fn every_section_of_a_long_note_is_a_memory_under_its_headings() {
    let long = "A sentence of some length about the mill. ".repeat(40);
    let text = format!(
        "---\nstatus: open\n---\nIntro with [[Link]].\n\n# Plan\n\n## First\n{long}\n\n```sh\n# not a heading\n```\n\n## Second\n\
         short #todo\n\n# Empty\n\n## Too\n\n# Last\nend\n"
    );
    let read = vault(&[("Mill.md", &text)]);
    let long = long.trim_end();
    assert_eq!(
        contents(&read),
        [
            "Mill\nstatus: open\n\nIntro with [[Link]].".to_owned(),
            format!("Mill > Plan > First\n{long} \n\n```sh\n# not a heading\n```"),
            "Mill > Plan > Second\nshort #todo".to_owned(),
            "Mill > Last\nend".to_owned(),
        ]
    );
    let lines: Vec<String> = read.entries.iter().map(|entry| entry.location.to_string()).collect();
    assert_eq!(lines, ["Mill.md, line 4", "Mill.md, line 8", "Mill.md, line 15", "Mill.md, line 22"]);
    assert_eq!(read.entries[2].memory.tags, ["todo"]);
    let expected = ["Mill.md, line 18: headings without text", "Mill.md, line 20: headings without text"];
    assert_eq!(skipped(&read), expected, "also a heading above another one without text");
}

#[test]
fn no_marked_passage_of_a_vault_is_lost() {
    let item = |at: usize| match at % 6 {
        0 => format!("- plain item {at}"),
        1 => format!("- item with [[Link {at}]] inside, keep {at}"),
        2 => format!("* depends on [[Jig {at}]] (since 2025)"),
        3 => format!("1. numbered {at} ![[photo {at}.png]]"),
        4 => format!("> quoted {at} with [text](https://example.com/{at})"),
        _ => format!("| cell {at} | [[Row {at}]] |"),
    };
    let notes: Vec<(String, String)> = (0..20)
        .map(|note| {
            let lines: Vec<String> = (0..30)
                .map(|line| {
                    let heading = if line % 7 == 3 { format!("## Part {line}\n") } else { String::new() };
                    format!("{heading}{}", item(note * 30 + line))
                })
                .collect();
            (format!("Area {}/Note {note}.md", note % 3), lines.join("\n\n"))
        })
        .collect();
    let notes: Vec<(&str, &str)> = notes.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let read = vault(&notes);
    let all = contents(&read).join("\n");
    for at in 0..600 {
        assert!(all.lines().any(|line| line == item(at)), "{} is lost", item(at));
    }
    assert_eq!((read.skipped.len(), read.failed.len()), (0, 0));
}

#[test]
fn days_times_and_unreadable_times_are_kept() {
    let read = vault(&[
        ("2026-02-03.md", "Repotted the fig.\n"),
        ("2026-02-04 Meeting.md", "---\ndate: 2026-02-05 09:30\n---\nAgreed on blue.\n"),
        ("20260204.md", "No day in the title.\n"),
        ("c.md", "---\ncreated: someday\n---\nText\n"),
        (
            "d.md",
            "---\ncreated: [[2026-02-06]]\nkind: decision\nproject: \"[[Falcon|F]]\"\n---\nWe paint it red.\n",
        ),
    ]);
    let times: Vec<Option<&str>> =
        read.entries.iter().map(|entry| entry.memory.occurred_at.as_deref()).collect();
    assert_eq!(
        times,
        [
            Some("2026-02-03T00:00:00.000Z"),
            Some("2026-02-05T09:30:00.000Z"),
            None,
            None,
            Some("2026-02-06T00:00:00.000Z")
        ]
    );
    assert_eq!(read.entries[3].memory.content, "c\ncreated: someday\n\nText");
    let decision = &read.entries[4].memory;
    assert_eq!((decision.kind.as_deref(), decision.project.as_deref()), (Some("decision"), Some("Falcon")));
    assert_eq!(skipped(&read), ["c.md: times that cannot be read (they stay in the text)"]);
}

#[test]
fn all_values_of_a_field_are_kept() {
    let read = vault(&[(
        "a.md",
        "---\nproject: [Falcon, Heron]\ntitle: [Plan, Idea]\ndate: [2026-01-02, 2026-01-03]\ntags:\n  x\n  y\n---\nText\n",
    )]);
    let memory = &read.entries[0].memory;
    assert_eq!(memory.project.as_deref(), Some("Falcon"));
    assert_eq!(memory.occurred_at.as_deref(), Some("2026-01-02T00:00:00.000Z"));
    assert_eq!(memory.tags, ["x", "y"]);
    assert_eq!(
        memory.content,
        "a\nproject: [Falcon, Heron]\ntitle: [Plan, Idea]\ndate: [2026-01-02, 2026-01-03]\n\nText"
    );
}

#[test]
fn empty_notes_files_of_lar_and_unreadable_files_do_not_stop_an_import() {
    let read = vault(&[
        ("a empty.md", ""),
        ("b only title.md", "# b only title\n\n"),
        ("c lar.md", "---\nid: mem_01a2\nkind: fact\n---\nKnown already.\n"),
        ("e properties.md", "---\nphone: 555 0101\n---\n"),
        ("f text.md", "Text"),
    ]);
    assert_eq!(contents(&read), ["e properties\nphone: 555 0101", "f text\nText"]);
    assert_eq!(read.skipped.len(), 3);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.md"), b"ok\nK\xe4se\n").unwrap();
    std::fs::write(folder.path().join("good.md"), "Good").unwrap();
    let mut read = ParsedExport::default();
    parse(folder.path(), "markdown", &mut read).unwrap();
    assert_eq!((contents(&read), read.failed.len()), (vec!["good\nGood"], 1));
    assert!(read.failed[0].reason.contains("line 2"), "{}", read.failed[0].reason);
}

#[test]
fn tags_in_the_text_are_words_with_a_letter() {
    let text = "#one text #two/three, (#four) issue #5 a#b `#code` https://example.com/#frag #größe\n# Heading\n```\n#in code\n```\n#one";
    assert_eq!(inline_tags(text), ["one", "two/three", "four", "größe"]);
}
