//! The output of commands: tables for people, JSON for programs.
//!
//! Much of the text comes from outside: from models, other programs and file names. None of it can control
//! the terminal; see [`lar_base::terminal`].

use std::io::Write as _;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use lar_base::Bytes;
pub use lar_base::terminal::{plain, plain_lines};
pub(crate) use lar_base::terminal::{plain_char, plain_json};
use serde::Serialize;

/// The lowest Jaro-Winkler similarity, from 0 to 1, at which a name counts as a typing error of another name.
const NEAR_MIN: f64 = 0.8;

/// The templates of a progress bar for bytes, with and without a known total.
const WITH_TOTAL: &str = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const WITHOUT_TOTAL: &str = "{msg} {bytes} {bytes_per_sec}";
/// The template of a progress bar before there is anything to count.
const WAITING: &str = "{msg}";

/// The error after the reader of standard output has closed it, as `head` does. The program ends without an
/// error message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputClosed;

impl std::fmt::Display for OutputClosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("standard output was closed")
    }
}

impl std::error::Error for OutputClosed {}

/// The error after a person stopped the command with Ctrl+C. The program prints only this text, and ends with
/// the exit code of a program that the signal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoppedByUser(pub &'static str);

impl StoppedByUser {
    /// The exit code after Ctrl+C: 128 plus the number of SIGINT, as in shells.
    pub const EXIT_CODE: u8 = 130;
}

impl std::fmt::Display for StoppedByUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for StoppedByUser {}

/// How commands print their output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// Whether to print JSON instead of tables.
    pub json: bool,
    /// Whether standard error is a terminal.
    pub terminal: bool,
}

impl Output {
    /// Prints `value` as JSON, or `text` for a person.
    ///
    /// # Errors
    /// [`OutputClosed`] if standard output is closed.
    pub fn show(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json {
            return write_out(format!("{}\n", plain_json(&serde_json::to_string_pretty(value)?)).as_bytes());
        }
        self.line(&text())
    }

    /// Writes one or more lines to standard output, made plain by [`plain_lines`].
    ///
    /// # Errors
    /// [`OutputClosed`] if standard output is closed.
    pub fn line(&self, text: &str) -> anyhow::Result<()> {
        write_out(format!("{}\n", plain_lines(text)).as_bytes())
    }

    /// Writes text unchanged and without a line break. It can control the terminal.
    ///
    /// # Errors
    /// [`OutputClosed`] if standard output is closed.
    pub fn text(&self, text: &str) -> anyhow::Result<()> {
        write_out(text.as_bytes())
    }

    /// Writes bytes unchanged to standard output.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        write_out(bytes)
    }

    /// Returns a progress bar for bytes. It is hidden without a terminal and with `--json`.
    #[must_use]
    pub fn progress(&self, bytes: u64) -> ProgressBar {
        if !self.terminal || self.json {
            return ProgressBar::hidden();
        }
        ProgressBar::new(bytes).with_style(style(WITH_TOTAL))
    }

    /// Returns a progress bar for a step of a download, of which `done` bytes exist. [`set_total`] sets the
    /// total when it becomes known.
    #[must_use]
    pub(crate) fn download(&self, step: &str, done: u64, total: Option<u64>) -> ProgressBar {
        let bar = self.bar_without_size().with_message(plain(step)).with_position(done);
        set_total(&bar, total);
        // The existing bytes must not count for the speed.
        bar.reset_eta();
        bar
    }

    /// Returns a progress bar that shows only the name of a step.
    #[must_use]
    pub(crate) fn waiting(&self, step: &str) -> ProgressBar {
        let bar = self.bar_without_size().with_style(style(WAITING)).with_message(plain(step));
        bar.tick();
        bar
    }

    fn bar_without_size(&self) -> ProgressBar {
        if self.terminal && !self.json { ProgressBar::no_length() } else { ProgressBar::hidden() }
    }

    /// Writes text unchanged and without a line break to standard error, if it is a terminal and `--json` is
    /// not set.
    pub(crate) fn remark_piece(&self, text: &str) {
        if self.terminal && !self.json {
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }

    /// Writes a note to standard error, unless `--json` is set.
    pub fn note(&self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stderr(), "{}", plain_lines(text));
        }
    }

    /// Writes a remark to standard error, if it is a terminal and `--json` is not set.
    pub fn remark(&self, text: &str) {
        if self.terminal && !self.json {
            let _ = writeln!(std::io::stderr(), "{}", plain_lines(text));
        }
    }
}

/// Sets the total of a progress bar. A bar without a total, or with a total of 0, would look complete. So it
/// only counts bytes.
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

/// Returns the name that is most similar to `name`, if it is similar enough for a typing error.
#[must_use]
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |other: &str| strsim::jaro_winkler(name, other);
    let near = names.into_iter().map(|other| (likeness(other), other));
    near.filter(|(likeness, _)| *likeness >= NEAR_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

/// Renders a plain table with one line per row. A column whose name ends with `>` is right-aligned.
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

/// Makes pieces of JSON plain with [`plain_json`]. A piece can end within a character.
#[derive(Debug, Default)]
pub(crate) struct JsonPieces {
    /// The first bytes, up to three, of a character that continues in the next piece.
    incomplete: Vec<u8>,
}

impl JsonPieces {
    /// Takes the next piece and returns the text that can be printed now. Replaces bytes that are not UTF-8
    /// with U+FFFD.
    pub(crate) fn push(&mut self, piece: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.incomplete);
        bytes.extend_from_slice(piece);
        let end = complete(&bytes);
        self.incomplete = bytes.split_off(end);
        plain_json(&String::from_utf8_lossy(&bytes))
    }
}

/// Returns the number of bytes before an incomplete character at the end.
fn complete(bytes: &[u8]) -> usize {
    let Some(last) = bytes.utf8_chunks().last() else { return 0 };
    let is_incomplete = std::str::from_utf8(last.invalid()).is_err_and(|error| error.error_len().is_none());
    if is_incomplete { bytes.len() - last.invalid().len() } else { bytes.len() }
}

/// Formats a size for a person.
#[must_use]
pub fn size(bytes: u64) -> String {
    Bytes(bytes).to_string()
}

/// Formats a large number for a person: `135M`, `4.0B`.
#[must_use]
pub fn count(number: u64) -> String {
    match number {
        0 => "–".into(),
        n if n >= 1_000_000_000 => format!("{:.1}B", n as f64 / 1e9),
        n if n >= 1_000_000 => format!("{:.0}M", n as f64 / 1e6),
        n => n.to_string(),
    }
}

/// Formats a number with the singular or plural of what is counted.
#[must_use]
pub fn counted(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use lar_base::terminal::is_terminal_control;

    use super::*;

    /// Control characters, line separators, and characters that change the direction of text.
    const CONTROLS: &str = "\u{0}\u{1b}\u{7f}\u{9b}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";

    #[test]
    fn a_table_cell_stays_in_its_row_and_does_not_control_the_terminal() {
        let shown = table(&["name", "path"], [vec![CONTROLS.to_owned(), "a\n/b\r\nc".into()]]);
        let replaced = "\u{fffd}".repeat(CONTROLS.chars().count());
        let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            rows,
            [vec!["NAME", "PATH"], vec![replaced.as_str(), "a\u{fffd}/b\u{fffd}\u{fffd}c"]],
            "{shown:?}"
        );
    }

    #[test]
    fn the_name_of_a_download_step_does_not_control_the_terminal() {
        let output = Output { json: false, terminal: false };
        let (bar, waiting) = (output.download("a\u{1b}[2J\nb", 0, None), output.waiting("a\u{202e}b"));
        assert_eq!((bar.message(), waiting.message()), ("a\u{fffd}[2J\u{fffd}b".into(), "a\u{fffd}b".into()));
    }

    #[test]
    fn json_on_a_terminal_does_not_control_it_and_has_the_same_value() {
        let value = serde_json::json!({ "name": CONTROLS, "kept": "é\u{200f}\n\t" });
        let shown = plain_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(shown.contains("\\u009b\\u2028") && shown.lines().count() == 4, "{shown}");
        assert!(!shown.chars().any(|c| is_terminal_control(c) && c != '\n'), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn pieces_of_json_do_not_control_the_terminal_wherever_they_are_cut() {
        let value = serde_json::json!({ "name": CONTROLS, "kept": "é👩‍👩‍👧" });
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
