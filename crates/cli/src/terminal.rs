//! The terminal: its width, and reading keys without showing them.
//!
//! On systems other than Unix, the width is unknown and keys cannot be hidden. Commands then do not wrap
//! lines.

/// Returns the columns of the terminal on standard output, at least 1. `None` if standard output is not a
/// terminal.
pub(crate) fn width() -> Option<usize> {
    #[cfg(unix)]
    {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    }
    #[cfg(not(unix))]
    None
}

/// Hides typed keys and turns off line input until it is dropped. Dropping discards unread keys and restores
/// the terminal. Ctrl+C still interrupts.
pub(crate) struct HiddenKeys {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl HiddenKeys {
    /// Hides keys on standard input. Does nothing if that is not a terminal.
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
            // `Flush` discards unread input, so that keys typed while they were hidden do not become the next
            // line.
            let _ =
                rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Flush, before);
        }
    }
}

/// The presses of Ctrl+C since its creation. They no longer end the program.
pub(crate) struct Interrupts {
    #[cfg(unix)]
    presses: tokio::signal::unix::Signal,
    #[cfg(windows)]
    presses: tokio::signal::windows::CtrlC,
}

impl Interrupts {
    /// Starts to receive presses.
    ///
    /// # Errors
    /// If the signal handler cannot be installed.
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

/// Waits until one of `keys` is typed. Never returns if standard input ends or fails.
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
