//! The terminal that a person looks at: its width, and reading keys without showing them.
//!
//! Elsewhere than on Unix there is no width and keys cannot be hidden; commands then write lines as they are.

/// Columns of the terminal on standard output, from 1; `None` when standard output is no terminal.
pub(crate) fn width() -> Option<usize> {
    #[cfg(unix)]
    {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    }
    #[cfg(not(unix))]
    None
}

/// While it lives, keys are neither shown nor gathered into lines. Dropping it discards what was typed and
/// was not read, and restores the terminal. Ctrl+C still interrupts.
pub(crate) struct HiddenKeys {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl HiddenKeys {
    /// Hides keys on standard input; does nothing when that is no terminal.
    pub(crate) fn new() -> Self {
        #[cfg(unix)]
        {
            use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
            let before = tcgetattr(std::io::stdin()).ok();
            if let Some(before) = &before {
                let mut hidden = before.clone();
                hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
                let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &hidden);
            }
            Self { before }
        }
        #[cfg(not(unix))]
        Self {}
    }
}

impl Drop for HiddenKeys {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(before) = &self.before {
            // `Flush` discards unread input, so that keys typed meanwhile do not become the next line.
            let _ =
                rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Flush, before);
        }
    }
}

/// Presses of Ctrl+C from when it was made on, none of which ends the program.
pub(crate) struct Interrupts {
    #[cfg(unix)]
    presses: tokio::signal::unix::Signal,
    #[cfg(windows)]
    presses: tokio::signal::windows::CtrlC,
}

impl Interrupts {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system does not let it.
    pub(crate) fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        let presses = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        #[cfg(windows)]
        let presses = tokio::signal::windows::ctrl_c()?;
        Ok(Self { presses })
    }

    /// Waits for the next press.
    pub(crate) async fn next(&mut self) {
        if self.presses.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Waits until one of `keys` is typed; never returns when standard input ends or fails.
pub(crate) async fn key(keys: &'static [u8]) {
    let read = tokio::task::spawn_blocking(move || {
        use std::io::Read as _;
        let mut byte = [0];
        let mut input = std::io::stdin();
        loop {
            match input.read(&mut byte) {
                Ok(1) if keys.contains(&byte[0]) => return true,
                Ok(1) => {}
                Ok(_) | Err(_) => return false,
            }
        }
    });
    if !matches!(read.await, Ok(true)) {
        std::future::pending::<()>().await;
    }
}
