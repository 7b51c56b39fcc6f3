//! What commands show: tables for people, JSON for programs. Much of it was written by others: models, other programs, whoever
//! named a file. None of it steers the terminal; [`lar_base::terminal`] says how.

use std::io::Write as _;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use lar_base::Bytes;
pub use lar_base::terminal::{plain, plain_lines};
pub(crate) use lar_base::terminal::{plain_char, plain_json};
use serde::Serialize;

/// Names that are less alike than this, by Jaro and Winkler from 0 to 1, are other words and not typing errors.
const NEAR_MIN: f64 = 0.8;

/// A bar that counts bytes, and one that counts them up to a size that is not known.
const WITH_TOTAL: &str = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const WITHOUT_TOTAL: &str = "{msg} {bytes} {bytes_per_sec}";
/// What a bar shows before there is anything to count.
const WAITING: &str = "{msg}";

/// Whoever reads standard output has closed it, as `head` does. The program then ends without an error message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputClosed;

impl std::fmt::Display for OutputClosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("standard output was closed")
    }
}

impl std::error::Error for OutputClosed {}

/// The person stopped what the command did, by Ctrl+C. The program then says this alone, and ends as one that the signal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoppedByUser(pub &'static str);

impl StoppedByUser {
    /// The exit code of what Ctrl+C ended: 128 and the number of SIGINT, as shells have it.
    pub const EXIT_CODE: u8 = 130;
}

impl std::fmt::Display for StoppedByUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for StoppedByUser {}

/// Where and how commands show things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// JSON instead of tables.
    pub json: bool,
    /// Someone looks at a terminal.
    pub terminal: bool,
}

impl Output {
    /// Shows `value` as JSON, or `text` to a person.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn show(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json {
            return write_out(format!("{}\n", plain_json(&serde_json::to_string_pretty(value)?)).as_bytes());
        }
        self.line(&text())
    }

    /// Writes a line, or several, to standard output, as [`plain_lines`] has them.
    ///
    /// # Errors
    /// [`OutputClosed`] when nobody reads standard output any more.
    pub fn line(&self, text: &str) -> anyhow::Result<()> {
        write_out(format!("{}\n", plain_lines(text)).as_bytes())
    }

    /// Writes text without a line break, at once and as it is: it may steer the terminal.
    ///
    /// # Errors
    /// [`OutputClosed`] when nobody reads standard output any more.
    pub fn text(&self, text: &str) -> anyhow::Result<()> {
        write_out(text.as_bytes())
    }

    /// Writes bytes to standard output as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        write_out(bytes)
    }

    /// A bar that counts bytes, where a person is looking and JSON was not asked for.
    #[must_use]
    pub fn progress(&self, bytes: u64) -> ProgressBar {
        if !self.terminal || self.json {
            return ProgressBar::hidden();
        }
        ProgressBar::new(bytes).with_style(style(WITH_TOTAL))
    }

    /// A bar for a step of a download, of which `done` bytes are there. Its size may not be known yet; [`set_total`] says what
    /// it is.
    #[must_use]
    pub(crate) fn download(&self, step: &str, done: u64, total: Option<u64>) -> ProgressBar {
        let bar = self.bar_without_size().with_message(plain(step)).with_position(done);
        set_total(&bar, total);
        // What was there before did not come at any speed.
        bar.reset_eta();
        bar
    }

    /// The name of a step in the place of its bar, while there is nothing to count.
    #[must_use]
    pub(crate) fn waiting(&self, step: &str) -> ProgressBar {
        let bar = self.bar_without_size().with_style(style(WAITING)).with_message(plain(step));
        bar.tick();
        bar
    }

    fn bar_without_size(&self) -> ProgressBar {
        if self.terminal && !self.json { ProgressBar::no_length() } else { ProgressBar::hidden() }
    }

    /// Writes a piece of a remark to standard error, without a line break and as it is, under the same conditions.
    pub(crate) fn remark_piece(&self, text: &str) {
        if self.terminal && !self.json {
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }

    /// Writes what is going on to standard error, unless JSON was asked for.
    pub fn note(&self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stderr(), "{}", plain_lines(text));
        }
    }

    /// Writes a remark to standard error, where a person is looking and JSON was not asked for.
    pub fn remark(&self, text: &str) {
        if self.terminal && !self.json {
            let _ = writeln!(std::io::stderr(), "{}", plain_lines(text));
        }
    }
}

/// Sets how many bytes a bar counts to. A bar without a size, or of none, would be drawn full: bytes are counted instead.
pub(crate) fn set_total(bar: &ProgressBar, total: Option<u64>) {
    match total.filter(|total| *total > 0) {
        Some(total) => {
            bar.set_style(style(WITH_TOTAL));
            bar.set_length(total);
        }
        None => {
            bar.set_style(style(WITHOUT_TOTAL));
            bar.unset_length();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

fn write_out(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(OutputClosed.into()),
        written => Ok(written?),
    }
}

/// The name that is most like `name`, if any is near enough to be a slip of the fingers.
#[must_use]
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |other: &str| strsim::jaro_winkler(name, other);
    let near = names.into_iter().map(|other| (likeness(other), other));
    near.filter(|(likeness, _)| *likeness >= NEAR_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

/// A plain table, a line for each row. Columns whose name ends in `>` are aligned to the right.
#[must_use]
pub fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|name| Cell::new(name.trim_end_matches('>').to_uppercase())));
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)).collect::<Vec<String>>());
    }
    for (index, name) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if name.ends_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Pieces of JSON, of which one may end within a character, as [`plain_json`] has them.
#[derive(Debug, Default)]
pub(crate) struct JsonPieces {
    /// The first bytes of a character, up to three; the others are in the next piece.
    incomplete: Vec<u8>,
}

impl JsonPieces {
    /// Takes the next piece; returns what can be shown now. U+FFFD stands in the place of bytes that are not UTF-8.
    pub(crate) fn push(&mut self, piece: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.incomplete);
        bytes.extend_from_slice(piece);
        let end = complete(&bytes);
        self.incomplete = bytes.split_off(end);
        plain_json(&String::from_utf8_lossy(&bytes))
    }
}

/// How many of the bytes come before a character that has only begun at their end.
fn complete(bytes: &[u8]) -> usize {
    let Some(last) = bytes.utf8_chunks().last() else { return 0 };
    let is_incomplete = std::str::from_utf8(last.invalid()).is_err_and(|error| error.error_len().is_none());
    if is_incomplete { bytes.len() - last.invalid().len() } else { bytes.len() }
}

/// A size for a person.
#[must_use]
pub fn size(bytes: u64) -> String {
    Bytes(bytes).to_string()
}

/// A count for a person: `135M`, `4.0B`.
#[must_use]
pub fn count(number: u64) -> String {
    match number {
        0 => "–".into(),
        n if n >= 1_000_000_000 => format!("{:.1}B", n as f64 / 1e9),
        n if n >= 1_000_000 => format!("{:.0}M", n as f64 / 1e6),
        n => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use lar_base::terminal::is_terminal_control;

    use super::*;

    /// Control characters, separators of lines, and characters that change the direction of text.
    const STEERING: &str = "\u{0}\u{1b}\u{7f}\u{9b}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";

    #[test]
    fn a_cell_of_a_table_stays_in_its_row_and_does_not_steer_the_terminal() {
        let shown = table(&["name", "path"], [vec![STEERING.to_owned(), "a\n/b\r\nc".into()]]);
        let replaced = "\u{fffd}".repeat(STEERING.chars().count());
        let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            rows,
            [vec!["NAME", "PATH"], vec![replaced.as_str(), "a\u{fffd}/b\u{fffd}\u{fffd}c"]],
            "{shown:?}"
        );
    }

    #[test]
    fn the_step_of_a_download_does_not_steer_the_terminal() {
        let output = Output { json: false, terminal: false };
        let (bar, waiting) = (output.download("a\u{1b}[2J\nb", 0, None), output.waiting("a\u{202e}b"));
        assert_eq!((bar.message(), waiting.message()), ("a\u{fffd}[2J\u{fffd}b".into(), "a\u{fffd}b".into()));
    }

    #[test]
    fn json_on_a_terminal_does_not_steer_it_and_means_the_same() {
        let value = serde_json::json!({ "name": STEERING, "kept": "é\u{200f}\n\t" });
        let shown = plain_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(shown.contains("\\u009b\\u2028") && shown.lines().count() == 4, "{shown}");
        assert!(!shown.chars().any(|c| is_terminal_control(c) && c != '\n'), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn pieces_of_json_do_not_steer_the_terminal_wherever_they_are_cut() {
        let value = serde_json::json!({ "name": STEERING, "kept": "é👩‍👩‍👧" });
        let whole = format!("{value}\n{value}\n");
        for size in 1..=whole.len() {
            let mut pieces = JsonPieces::default();
            let shown: String = whole.as_bytes().chunks(size).map(|piece| pieces.push(piece)).collect();
            assert_eq!(shown, plain_json(&whole), "in pieces of {size} bytes");
        }
        let mut pieces = JsonPieces::default();
        assert_eq!(pieces.push(b"a\xff\xe2\x82b\xe2\x82"), "a\u{fffd}\u{fffd}b");
        assert_eq!(pieces.push(b"\xac\n"), "€\n");
    }
}
