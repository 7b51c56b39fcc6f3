//! A terminal that a test types into and reads from: a pseudo-terminal of 80 columns with a program on it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

/// Columns of the terminal.
pub const COLUMNS: u16 = 80;

/// A program on a terminal. It is killed when dropped.
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<String>>,
    child: Child,
    /// Bytes of the screen that were read.
    seen: usize,
}

impl Terminal {
    /// Runs a command on a terminal of its own, whose Ctrl+C reaches it.
    ///
    /// # Panics
    /// When there is no pseudo-terminal, or `setsid` (Debian's util-linux) is missing.
    #[must_use]
    pub fn run(command: &Command) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal can be made");
        grantpt(&controller).expect("it can be granted");
        unlockpt(&controller).expect("it can be unlocked");
        let name = ptsname(&controller, Vec::new()).expect("it has a name").into_string().expect("in ASCII");
        let open = || File::options().read(true).write(true).open(&name).expect("it can be opened");
        let size = rustix::termios::Winsize { ws_row: 24, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&controller, size).expect("it has a size");
        let mut session = Command::new("setsid");
        session.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => session.env(variable, value),
                None => session.env_remove(variable),
            };
        }
        session.env("TERM", "xterm");
        let end = |file: File| OwnedFd::from(file);
        let child = session.stdin(end(open())).stdout(end(open())).stderr(end(open())).spawn();
        let keyboard = File::from(controller);
        let mut output = keyboard.try_clone().expect("it can be read too");
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                shown.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Self { keyboard, screen, child: child.expect("setsid runs"), seen: 0 }
    }

    /// Types.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until `text` is shown behind what was waited for before; returns what came up to its end.
    ///
    /// # Panics
    /// When it is not shown within 60 s.
    pub fn wait_for(&mut self, text: &str) -> String {
        let begun = lar_base::Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            let screen = self.screen();
            if let Some(at) = screen[self.seen..].find(text) {
                let end = self.seen + at + text.len();
                let from = std::mem::replace(&mut self.seen, end);
                return screen[from..end].to_owned();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("`{text}` is not shown; there is: {:?}", &self.screen()[self.seen..]);
    }

    /// Waits until keys are not shown, while Ctrl+C still interrupts: an answer is waited for.
    ///
    /// # Panics
    /// When that is not so within 60 s.
    pub fn wait_for_hidden_keys(&self) {
        let begun = lar_base::Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            let modes = tcgetattr(&self.keyboard).expect("it is a terminal").local_modes;
            if modes.contains(LocalModes::ISIG) && !modes.contains(LocalModes::ECHO) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("keys are shown; there is: {:?}", self.screen());
    }

    /// Waits until the program ends; returns its exit code and everything that was shown.
    ///
    /// # Panics
    /// When it does not end within 60 s.
    pub fn ended(&mut self) -> (Option<i32>, String) {
        let begun = lar_base::Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return (status.code(), self.screen());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the program goes on; there is: {:?}", self.screen());
    }

    fn screen(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl crate::Lar {
    /// A client command against this server, on a terminal.
    #[must_use]
    pub fn on_terminal(&self, arguments: &[&str]) -> Terminal {
        let mut command = crate::lar::command(self.data());
        command.args(arguments);
        Terminal::run(&command)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
