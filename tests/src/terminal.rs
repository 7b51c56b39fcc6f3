//! A terminal that a test types into and reads from: a pseudo-terminal of 80 columns with a program on it.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::until::within;

/// Columns of the terminal.
pub const COLUMNS: u16 = 80;
/// How long a terminal is waited for at most.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What was shown, in bytes: a character can come in two parts.
type Screen = Arc<Mutex<Vec<u8>>>;

/// A program on a terminal. It is killed when dropped.
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    screen: Screen,
    /// Fills the screen until no program has the terminal open; none when that was waited for.
    reader: Option<JoinHandle<()>>,
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
        // No program that another test starts meanwhile inherits it.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = openpt(flags).expect("a terminal can be made");
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
        let output = keyboard.try_clone().expect("it can be read too");
        let screen = Screen::default();
        let shown = screen.clone();
        let reader = Some(std::thread::spawn(move || read_all(output, &shown)));
        Self { keyboard, screen, reader, child: child.expect("setsid runs"), seen: 0 }
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
        let shown = within(WAIT_MAX, || {
            let (screen, from) = (self.screen(), self.seen);
            self.seen = from + screen[from..].find(text)? + text.len();
            Some(screen[from..self.seen].to_owned())
        });
        shown.unwrap_or_else(|| panic!("`{text}` is not shown; there is: {:?}", &self.screen()[self.seen..]))
    }

    /// Waits until keys are not shown, while Ctrl+C still interrupts: an answer is waited for.
    ///
    /// # Panics
    /// When that is not so within 60 s.
    pub fn wait_for_hidden_keys(&self) {
        let hidden = within(WAIT_MAX, || {
            let modes = tcgetattr(&self.keyboard).expect("it is a terminal").local_modes;
            (modes.contains(LocalModes::ISIG) && !modes.contains(LocalModes::ECHO)).then_some(())
        });
        assert!(hidden.is_some(), "keys are shown; there is: {:?}", self.screen());
    }

    /// Waits until the program ends; returns its exit code and everything that was shown.
    ///
    /// # Panics
    /// When it does not end within 60 s, or a program that it started has the terminal open for 60 s more.
    pub fn ended(&mut self) -> (Option<i32>, String) {
        let Some(status) = within(WAIT_MAX, || self.child.try_wait().ok().flatten()) else {
            panic!("the program goes on; there is: {:?}", self.screen())
        };
        self.wait_for_reader();
        (status.code(), self.screen())
    }

    /// Waits until all is read: the last bytes of a program that has ended may still be in the terminal.
    fn wait_for_reader(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        let is_done = within(WAIT_MAX, || reader.is_finished().then_some(())).is_some();
        assert!(is_done, "the terminal is still open in another program; there is: {:?}", self.screen());
        reader.join().expect("the terminal is read");
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&lock(&self.screen)).into_owned()
    }
}

/// Reads what is shown until no program has the terminal open: Linux then reports EIO, after the last byte.
fn read_all(mut output: File, screen: &Screen) {
    let mut bytes = [0; 4096];
    loop {
        match output.read(&mut bytes) {
            Ok(length @ 1..) => lock(screen).extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
        }
    }
}

fn lock(screen: &Screen) -> MutexGuard<'_, Vec<u8>> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
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
