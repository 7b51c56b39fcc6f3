//! Lines that a person types or pipes. Typed lines are edited with the arrow keys, Up and Down bring earlier
//! ones back, and a paste of many lines is one message.

use std::io::{BufRead as _, IsTerminal as _};

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

/// What came instead of, or as, the next line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// A line of text, which may be empty.
    Text(String),
    /// Ctrl+C; what was typed is discarded.
    Interrupted,
    /// Ctrl+D on an empty line, or the end of a pipe.
    End,
}

/// Where lines come from.
pub(super) enum Lines {
    /// From a person at a terminal.
    Typed(Box<DefaultEditor>),
    /// From another program, line by line.
    Piped,
}

impl Lines {
    /// Reads standard input.
    ///
    /// # Errors
    /// When the terminal cannot be set up.
    pub(super) fn open() -> anyhow::Result<Self> {
        if !std::io::stdin().is_terminal() {
            return Ok(Self::Piped);
        }
        let config = rustyline::Config::builder().auto_add_history(true).build();
        Ok(Self::Typed(Box::new(DefaultEditor::with_config(config)?)))
    }

    /// The next line, read without blocking the runtime.
    ///
    /// # Errors
    /// When standard input fails.
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
                let mut line = String::new();
                let read = std::io::stdin().lock().read_line(&mut line)?;
                Ok(if read > 0 { Line::Text(line) } else { Line::End })
            }
        }
    }
}
