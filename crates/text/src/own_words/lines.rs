//! The kinds of lines in a message, told by their shape: prose, code, quotations, logs, tables, dialogues.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// The kind of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineKind {
    /// Nothing, or blanks.
    Blank,
    /// A line of dashes or other marks.
    Separator,
    /// Text that may be the user's own.
    Prose,
    /// A line such as "Anna: see you at five", beside other such lines.
    Dialogue,
    /// Code in a fence, a quoted line, or a row of a table.
    Quoted,
    /// Program output, source code, configuration or data.
    Technical,
    /// The header of a mail.
    Header,
    /// The rest of the message is an earlier mail.
    Forwarded,
}

/// A line of a message.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// The place, in bytes, without the line break.
    pub(super) at: Range<usize>,
    /// Its kind.
    pub(super) kind: LineKind,
}

/// The least lines of a dialogue.
const DIALOGUE_LINES_MIN: usize = 2;
/// The least rows of data with commas between the values.
const ROWS_MIN: usize = 3;
/// The most words in one value of such a row.
const VALUE_WORDS_MAX: usize = 3;
/// The least lines, and the least and most characters of a line, of a poem.
const POEM_LINES_MIN: usize = 4;
const POEM_LINE_CHARS: Range<usize> = 12..61;

/// Starts of lines that programs write or read.
const TECHNICAL: &[&str] = &[
    // Differences between versions, and a version control system's output.
    r"diff --git ",
    r"@@ ",
    r"(?:\+\+\+|---) \S",
    r"index [0-9a-f]{7}",
    r"commit [0-9a-f]{7}",
    r"(?:Author|Date|Merge):\s",
    // Prompts of shells and interpreters.
    r"[$❯%#] [a-z./~]",
    r">>> ",
    r"In \[\d+\]:",
    r"[\w.-]+@[\w.-]+[:\s][^\s]*\s?[$#%]",
    r"(?:PS )?[A-Z]:\\",
    // Logs, with a time or a level first, and exported chats.
    r"\[?\d{4}[-/]\d\d[-/]\d\d[T ,]+\d\d:\d\d",
    r"\[?\d{1,2}[./-]\d{1,2}[./-]\d{2,4},? +\d{1,2}:\d\d",
    r"\[?\d{1,2}:\d\d:\d\d\b",
    r"\[?\d{1,2}:\d\d(?: ?[AP]M)?\] ",
    r"[A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d",
    r"\[?(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL|PANIC)\b[\]: ]",
    r"(?:npm|pnpm|yarn) (?:ERR|WARN|error)",
    r"(?:error|warning)(?:\[\w+\])?: ",
    r"(?:Traceback|Caused by:|Exception in|panicked at|thread '|Stack trace)",
    r#"File ""#,
    r"at [\w$.<>]+\(",
    r"[✓✗✔✘] ",
    // The choices of a quiz.
    r"[a-hA-H]\) \S",
    // Structured data and markup.
    r"[{}\]]",
    r#"\[\s*(?:["{\[\d]|$)"#,
    r#""[^"]*"\s*:"#,
    r"</?[A-Za-z!?][^>]*>",
    r"<\?xml|<!DOCTYPE",
    r"<\|",
    r"\[/?INST\]|\[/?SYS",
    // Configuration.
    r"(?:export )?[A-Za-z_][\w.]*\s?=\s?\S",
    r"\[[\w.-]+\]$",
    // Source code.
    r"(?://|/\*|\*/|#include|#!/|#\[|--\s\w+\s*=)",
    r"(?:import|from|package|using) [\w.{}*/\x22']+(?:;| import| as |$)",
    r"(?:def|fn|func|function|class|struct|enum|impl|interface|public|private|protected|static|async) [\w<>]+.*[({:]",
    r"(?:const|let|var|val|auto|final) \w+.*=",
    r"(?:if|for|while|switch|else if|elif) ?\(.*[{:]$",
    r"(?:return|throw|await|yield) [^.?!]*;$",
    r"(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE (?:TABLE|INDEX)|ALTER TABLE) \S",
];

/// Labels of a mail's headers.
const HEADERS: &str = r"(?i)^(?:from|to|cc|bcc|reply-to|subject|date|sent|von|an|betreff|datum|gesendet|de|à|objet|envoyé|para|asunto|enviado|assunto|enviada|da|oggetto|inviato|van|aan|onderwerp|verzonden|od|do|temat|wysłano|от|кому|тема|дата|kimden|kime|konu|tarih|från|till|ämne|发件人|收件人|主题|日期|寄件者|主旨|差出人|宛先|件名|日時|보낸\s?사람|받는\s?사람|제목|날짜|प्रेषक|विषय|จาก|ถึง|เรื่อง)\s?[:：]\s?\S";

/// Lines after which an earlier mail follows.
const FORWARDED: &str = r"(?i)^(?:-{2,}.*\b(?:message|nachricht|mail|messaggio|mensaje|mensagem|bericht|wiadomość|meddelande|сообщение|ileti)\b.*-{2,}|begin forwarded message|anfang der weitergeleiteten|fwd?:|wg:|tr ?:|rv:|enc:|i:|пересылаемое|(?:on|am|le|el|em|il|op|w dniu|dnia|den) .{6,80}(?:wrote|schrieb|écrit|escribió|escreveu|scritto|schreef|napisał\(?a?\)?|skrev)[^:]{0,60}:|.{6,80}(?:написала?|пишет|yazdı|写道|のメール|작성|님이)\s?[:：])$?";

/// Returns the lines of a message with their kinds.
pub(super) fn lines(message: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut fence: Option<&str> = None;
    for text in message.split('\n') {
        let kind = kind_of(text.trim_end_matches('\r'), &mut fence);
        lines.push(Line { at: start..start + text.trim_end_matches('\r').len(), kind });
        start += text.len() + 1;
    }
    mark_runs(message, &mut lines);
    mark_paragraphs(message, &mut lines);
    lines
}

fn kind_of<'a>(line: &'a str, fence: &mut Option<&'a str>) -> LineKind {
    static TECHNICAL_LINE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(&format!("^(?:{})", TECHNICAL.join("|"))).ok());
    static HEADER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(HEADERS).ok());
    static FORWARDING: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(FORWARDED).ok());
    let is = |regex: &Option<Regex>, text: &str| regex.as_ref().is_some_and(|regex| regex.is_match(text));
    let text = line.trim();
    let mark = ["```", "~~~"].into_iter().find(|mark| text.starts_with(mark));
    if let Some(open) = *fence {
        if mark == Some(open) {
            *fence = None;
        }
        return LineKind::Quoted;
    }
    if mark.is_some() {
        *fence = mark.filter(|mark| !text[mark.len()..].contains(mark));
        return LineKind::Quoted;
    }
    // A fence that starts within a line.
    if text.contains("```") {
        *fence = (text.matches("```").count() % 2 == 1).then_some("```");
        return LineKind::Quoted;
    }
    if text.is_empty() {
        return LineKind::Blank;
    }
    if text.chars().count() >= 3 && text.chars().all(|letter| "-=*_~#—─ ".contains(letter)) {
        return LineKind::Separator;
    }
    if text.starts_with(['>', '|', '＞', '│', '┌', '├', '└']) {
        return LineKind::Quoted;
    }
    if is(&FORWARDING, text) {
        return LineKind::Forwarded;
    }
    if is(&HEADER, text) {
        return LineKind::Header;
    }
    let indented = line.starts_with("    ") || line.starts_with('\t');
    if indented || is(&TECHNICAL_LINE, text) || is_code(text) {
        return LineKind::Technical;
    }
    LineKind::Prose
}

/// Returns whether a line looks like source code by its marks.
fn is_code(text: &str) -> bool {
    let letters = text.chars().filter(|letter| !letter.is_whitespace()).count();
    let marks = text.chars().filter(|letter| "{}()[];=<>\\|&$".contains(*letter)).count();
    let ends = text.ends_with('{') || text.ends_with("};") || text.ends_with(");") || text.ends_with("},");
    ends || (letters >= 8 && marks * 8 > letters)
}

/// Marks lines that only other lines of their kind tell: headers, dialogues and rows of data.
fn mark_runs(message: &str, lines: &mut [Line]) {
    static SPEAKER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"^(?:[•*-] )?(?:\p{Lu}[\p{L}.'’-]{0,20}(?: \p{Lu}[\p{L}.'’-]{0,20}){0,2}(?: ?\([^)]{1,20}\))?|[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}A-Z]{1,8})\s?[:：]\s?\S",
        )
        .ok()
    });
    let is_prose = |line: Option<&Line>| line.is_some_and(|line| line.kind == LineKind::Prose);
    // One header alone is a header if more text follows on the next line.
    let is_mail = lines.iter().filter(|line| line.kind == LineKind::Header).count() > 1
        || lines
            .iter()
            .position(|line| line.kind == LineKind::Header)
            .is_some_and(|at| is_prose(lines.get(at + 1)));
    let speaks = |line: &Line| {
        line.kind == LineKind::Prose
            && SPEAKER.as_ref().is_some_and(|speaker| speaker.is_match(message[line.at.clone()].trim()))
    };
    let speakers = lines.iter().filter(|line| speaks(line)).count();
    let values = |line: &Line| values_of(message[line.at.clone()].trim());
    let rows: Vec<Option<(char, usize)>> = lines.iter().map(values).collect();
    for (at, line) in lines.iter_mut().enumerate() {
        let row = rows[at].filter(|_| line.kind == LineKind::Prose);
        let alike = row.map_or(0, |row| rows.iter().filter(|other| **other == Some(row)).count());
        if alike >= ROWS_MIN {
            line.kind = LineKind::Technical;
        } else if !is_mail && line.kind == LineKind::Header {
            line.kind = LineKind::Prose;
        } else if speakers >= DIALOGUE_LINES_MIN && speaks(line) {
            line.kind = LineKind::Dialogue;
        }
    }
}

/// Returns the separator and the number of values in a row of data.
fn values_of(text: &str) -> Option<(char, usize)> {
    ['\t', ';', ','].into_iter().find_map(|separator| {
        let values: Vec<&str> = text.split(separator).collect();
        let short = values.iter().all(|value| value.split_whitespace().count() <= VALUE_WORDS_MAX);
        (values.len() >= 3 && short && !text.ends_with(['.', '?', '!'])).then_some((separator, values.len()))
    })
}

/// Marks the rest of a paragraph after its first technical or header line, poems, and what is forwarded.
fn mark_paragraphs(message: &str, lines: &mut [Line]) {
    let mut first = 0;
    while first < lines.len() {
        let ends = |line: &Line| matches!(line.kind, LineKind::Blank | LineKind::Separator);
        let end = lines[first..].iter().position(ends).map_or(lines.len(), |length| first + length);
        let paragraph = &mut lines[first..end];
        if is_poem(message, paragraph) {
            paragraph.iter_mut().for_each(|line| line.kind = LineKind::Quoted);
        }
        let mut inside = None;
        for line in paragraph {
            match (line.kind, inside) {
                (kind @ (LineKind::Technical | LineKind::Header | LineKind::Dialogue), _) => {
                    inside = Some(kind)
                }
                (LineKind::Prose, Some(kind)) => line.kind = kind,
                _ => {}
            }
        }
        first = end + 1;
    }
    if let Some(at) = lines.iter().position(|line| line.kind == LineKind::Forwarded) {
        lines[at..].iter_mut().for_each(|line| line.kind = LineKind::Forwarded);
    }
}

/// Returns whether the lines of a paragraph are verses: several lines of like length that start with capital
/// letters and mostly do not end sentences.
fn is_poem(message: &str, paragraph: &[Line]) -> bool {
    let texts: Vec<&str> = paragraph.iter().map(|line| message[line.at.clone()].trim()).collect();
    let is_verse = |text: &&str| {
        POEM_LINE_CHARS.contains(&text.chars().count()) && text.chars().next().is_some_and(char::is_uppercase)
    };
    let open = texts.iter().filter(|text| !text.ends_with(['.', '!', '?', ':'])).count();
    paragraph.iter().all(|line| line.kind == LineKind::Prose)
        && texts.len() >= POEM_LINES_MIN
        && texts.iter().all(is_verse)
        && open * 2 >= texts.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(message: &str) -> Vec<LineKind> {
        lines(message).into_iter().map(|line| line.kind).collect()
    }

    #[test]
    fn fences_quotes_and_tables_are_quoted() {
        use LineKind::{Blank, Prose, Quoted};
        assert_eq!(
            kinds("look\n```\nx\n```\n> hi\n| a | b |\n\nok"),
            [Prose, Quoted, Quoted, Quoted, Quoted, Quoted, Blank, Prose]
        );
        assert_eq!(kinds("~~~\nnever closed\n\nx"), [Quoted; 4]);
    }

    #[test]
    fn program_output_lasts_until_a_blank_line() {
        use LineKind::{Blank, Prose, Technical};
        assert_eq!(
            kinds("why?\n2026-01-02 10:00:01 INFO started\nserver moved\n\nthanks"),
            [Prose, Technical, Technical, Blank, Prose]
        );
        assert_eq!(kinds("$ git status\nOn branch main"), [Technical; 2]);
        assert_eq!(kinds("{\"a\": 1}\nDB_HOST=x\nlet x = 1;\nat foo.bar(x.js:1)"), [Technical; 4]);
        assert_eq!(kinds("id,name,city\n1,Ana,Porto\n2,Ben,Oslo"), [Technical; 3]);
    }

    #[test]
    fn mails_and_dialogues_are_recognised_by_their_labels() {
        use LineKind::{Dialogue, Forwarded, Header, Prose};
        assert_eq!(kinds("From: a@b.c\nSubject: hi\nI moved"), [Header; 3]);
        assert_eq!(kinds("Anna: I moved\nBen: where to?"), [Dialogue; 2]);
        assert_eq!(kinds("Update: I moved"), [Prose]);
        assert_eq!(kinds("yes\nOn 3 May 2026, Tom wrote:\nI moved"), [Prose, Forwarded, Forwarded]);
    }

    #[test]
    fn plain_messages_are_prose() {
        for text in [
            "I moved to Porto, it's great (really)!",
            "my email is a@b.example; use it",
            "remember DB_HOST is 10.0.0.3 :)",
            "- I'm vegan\n- I live in Porto",
            "hey\nremember i like fish\nalso my cat is called Mochi\nthx",
        ] {
            assert!(kinds(text).iter().all(|kind| *kind == LineKind::Prose), "{text}");
        }
    }

    #[test]
    fn verses_are_quoted() {
        let poem = "Remember me when I am far away\nWhere all the rivers meet the bay,\nWhen you no more can hold my hand\nNor I half turn to stay";
        assert_eq!(kinds(poem), [LineKind::Quoted; 4]);
    }
}
