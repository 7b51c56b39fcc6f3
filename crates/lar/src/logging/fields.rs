//! The field values in log lines for a terminal.
//!
//! File names, model names and messages of other programs come from outside. Each value is made plain text,
//! so that it cannot control the terminal or start a new line. tracing-subscriber chooses the colors and the
//! order of fields, and would print a value that is recorded with `%` unchanged.

use std::fmt;

use lar_base::terminal::plain;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput as _};
use tracing_subscriber::fmt::format::{DefaultVisitor, FormatFields, Writer};

/// The name of the field with the text of an event.
const MESSAGE: &str = "message";

/// Formats the fields of events and spans, with each value made plain by [`plain`].
#[derive(Debug, Clone, Copy)]
pub(super) struct PlainFields;

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = PlainVisitor(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

/// Passes fields on with plain values.
#[derive(Debug)]
struct PlainVisitor<'writer>(DefaultVisitor<'writer>);

impl Visit for PlainVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            self.0.record_str(field, &plain(value));
        } else {
            // `DefaultVisitor` prints it in quotes, with escapes for characters that are not printable.
            self.0.record_str(field, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = plain(&format!("{value:?}"));
        self.0.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// A text of another program, whose `Debug` output is the text itself.
    struct Sent<'a>(&'a str);

    impl fmt::Debug for Sent<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    #[derive(Debug, Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        fn take(&self) -> String {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
            String::from_utf8(bytes).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Runs `work`, and returns the lines that it logs, with or without colors.
    fn logged(colors: bool, work: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_target(false)
            .without_time()
            .compact()
            .with_ansi(colors)
            .fmt_fields(PlainFields)
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        written.take()
    }

    #[test]
    fn values_in_a_log_line_neither_control_the_terminal_nor_start_a_line() {
        let name = "owl\u{1b}]0;x\u{7}\nrow\r\u{7f}\u{9b}2J\u{202e}\u{2028}\tend";
        let shown = "owl\u{fffd}]0;x\u{fffd}\u{fffd}row\u{fffd}\u{fffd}\u{fffd}2J\u{fffd}\u{fffd}\tend";
        let lines = logged(false, || {
            tracing::info!(path = %name, sent = ?Sent(name), text = name, count = 2, "found {name}");
            tracing::info!(message = name);
            let span = tracing::info_span!("work", path = %name);
            span.in_scope(|| tracing::info!("started"));
        });
        let expected = [
            format!(" INFO found {shown} path={shown} sent={shown} text={name:?} count=2"),
            format!(" INFO {shown}"),
            format!(" INFO work: started path={shown}"),
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
        assert!(text_is_escaped(name), "a quoted value has none of these characters either");
    }

    fn text_is_escaped(text: &str) -> bool {
        let quoted = format!("{text:?}");
        plain(&quoted) == quoted
    }

    #[test]
    fn a_json_log_line_does_not_control_the_terminal() {
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let subscriber = lines.event_format(crate::logging::JsonLines).finish();
        let log = || tracing::info!(path = %"owl\u{9b}2J\u{202e}", "found");
        tracing::subscriber::with_default(subscriber, log);
        let line = written.take();
        assert!(line.contains(r#""path":"owl\u009b2J\u202e""#), "{line:?}");
    }

    #[test]
    fn values_cannot_change_the_colors_of_a_log_line() {
        let lines = logged(true, || tracing::info!(path = %"owl\u{1b}[31m", "found"));
        assert!(lines.contains("path\u{1b}[0m\u{1b}[2m=\u{1b}[0mowl\u{fffd}[31m\n"), "{lines:?}");
    }
}
