//! A terminal for tests: a pseudo-terminal of 80 columns with a program. A test types into it and reads its
//! screen.

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

/// The width of the terminal in columns.
pub const COLUMNS: u16 = 80;
/// The longest wait for a text or for the end of the program.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The output of the terminal as bytes: a character may arrive in two parts.
type Screen = Arc<Mutex<Vec<u8>>>;

/// A program on a terminal. It is killed when dropped.
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    screen: Screen,
    /// The thread that fills the screen until no program has the terminal open; `None` once it was joined.
    reader: Option<JoinHandle<()>>,
    child: Child,
    /// The number of bytes of the screen that [`Terminal::wait_for`] has passed.
    seen: usize,
}

impl Terminal {
    /// Runs a command on a new terminal, which is its controlling terminal: Ctrl+C interrupts it.
    ///
    /// # Panics
    /// If there is no pseudo-terminal, or `setsid` (Debian's util-linux) is missing.
    #[must_use]
    pub fn run(command: &Command) -> Self {
        // CLOEXEC: a program that another test starts meanwhile must not inherit the terminal.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = openpt(flags).expect("a terminal can be created");
        grantpt(&controller).expect("the terminal can be granted");
        unlockpt(&controller).expect("the terminal can be unlocked");
        let name = ptsname(&controller, Vec::new()).expect("the terminal has a name");
        let name = name.into_string().expect("the name is ASCII");
        let open = || File::options().read(true).write(true).open(&name).expect("the terminal can be opened");
        let size = rustix::termios::Winsize { ws_row: 24, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&controller, size).expect("the size can be set");
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
        let output = keyboard.try_clone().expect("the terminal can be read");
        let screen = Screen::default();
        let shown = screen.clone();
        let reader = Some(std::thread::spawn(move || read_all(output, &shown)));
        Self { keyboard, screen, reader, child: child.expect("setsid runs"), seen: 0 }
    }

    /// Types keys.
    ///
    /// # Panics
    /// If the terminal is closed.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until `text` appears after the text of the previous wait. Returns the output up to its end.
    ///
    /// # Panics
    /// If the text does not appear within 60 s.
    pub fn wait_for(&mut self, text: &str) -> String {
        let shown = within(WAIT_MAX, || {
            let (screen, from) = (self.screen(), self.seen);
            self.seen = from + screen[from..].find(text)? + text.len();
            Some(screen[from..self.seen].to_owned())
        });
        shown.unwrap_or_else(|| {
            panic!("`{text}` did not appear; the screen shows: {:?}", &self.screen()[self.seen..])
        })
    }

    /// Waits until the terminal does not echo keys and Ctrl+C still interrupts. `lar chat` sets this mode
    /// while it waits for an answer.
    ///
    /// # Panics
    /// If the terminal does not get into this mode within 60 s.
    pub fn wait_for_hidden_keys(&self) {
        let hidden = within(WAIT_MAX, || {
            let modes = tcgetattr(&self.keyboard).expect("the keyboard is a terminal").local_modes;
            (modes.contains(LocalModes::ISIG) && !modes.contains(LocalModes::ECHO)).then_some(())
        });
        assert!(hidden.is_some(), "the terminal echoes keys; the screen shows: {:?}", self.screen());
    }

    /// Waits until the program ends. Returns its exit code and the whole output.
    ///
    /// # Panics
    /// If the program does not end within 60 s, or a program that it started keeps the terminal open for 60 s
    /// more.
    pub fn ended(&mut self) -> (Option<i32>, String) {
        let Some(status) = within(WAIT_MAX, || self.child.try_wait().ok().flatten()) else {
            panic!("the program did not end; the screen shows: {:?}", self.screen())
        };
        self.wait_for_reader();
        (status.code(), self.screen())
    }

    /// Waits until all output is read. The last bytes of a program that has ended may still be in the
    /// terminal.
    fn wait_for_reader(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        let is_done = within(WAIT_MAX, || reader.is_finished().then_some(())).is_some();
        assert!(is_done, "another program keeps the terminal open; the screen shows: {:?}", self.screen());
        reader.join().expect("the reader does not panic");
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&lock(&self.screen)).into_owned()
    }
}

/// Reads the output until no program has the terminal open. Linux then reports EIO, after the last byte.
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
    /// Runs a client command against this server on a terminal.
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
