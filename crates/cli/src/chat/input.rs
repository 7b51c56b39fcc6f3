//! Input lines of `lar chat`, typed or from a pipe. Typed lines can be edited with the arrow keys. Up and
//! Down show earlier lines. A paste of several lines is one message.

use std::io::IsTerminal as _;

use lar_base::lines::read_line_blocking;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

/// The maximum size of a line from a pipe, which is one message; as for the question of `lar ask`.
const LINE_BYTES_MAX: usize = 1 << 20;

/// The result of reading a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// A line of text, which may be empty.
    Text(String),
    /// Ctrl+C; the typed text is discarded.
    Interrupted,
    /// Ctrl+D on an empty line, or the end of the pipe.
    End,
}

/// The source of lines.
pub(super) enum Lines {
    /// A person at a terminal.
    Typed(Box<DefaultEditor>),
    /// A pipe from another program.
    Piped,
}

impl Lines {
    /// Opens standard input.
    ///
    /// # Errors
    /// If the terminal cannot be set up.
    pub(super) fn open() -> anyhow::Result<Self> {
        if !std::io::stdin().is_terminal() {
            return Ok(Self::Piped);
        }
        let config = rustyline::Config::builder().auto_add_history(true).build();
        Ok(Self::Typed(Box::new(DefaultEditor::with_config(config)?)))
    }

    /// Reads the next line without blocking the runtime.
    ///
    /// # Errors
    /// If standard input fails, or a line from a pipe is too long or not UTF-8.
    pub(super) async fn next(&mut self) -> anyhow::Result<Line> {
        let mut reader = std::mem::replace(self, Self::Piped);
        let (reader, line) = tokio::task::spawn_blocking(move || {
            let line = reader.read();
            (reader, line)
        })
        .await?;
        *self = reader;
        line
    }

    fn read(&mut self) -> anyhow::Result<Line> {
        match self {
            Self::Typed(editor) => match editor.readline("> ") {
                Ok(line) => Ok(Line::Text(line)),
                Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(error.into()),
            },
            Self::Piped => {
                let line = read_line_blocking(&mut std::io::stdin().lock(), LINE_BYTES_MAX)?;
                let Some(line) = line else { return Ok(Line::End) };
                Ok(Line::Text(String::from_utf8(line.complete(LINE_BYTES_MAX)?)?))
            }
        }
    }
}
