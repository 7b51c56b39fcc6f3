//! A real Lar that a test starts and stops, and an HTTP client for it.

mod answer;
mod command;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::models::program;
use crate::{ProcessMemory, until};
pub use answer::Answer;
use command::{OWNER_KEY, modest, on_disk};
pub(crate) use command::{as_test, command};

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub struct Lar {
    child: Child,
    /// The address of the server: `127.0.0.1:PORT`.
    pub address: String,
    data: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl Lar {
    /// The owner's key of every test server.
    pub const KEY: &str = OWNER_KEY;

    /// Starts a server on a new data directory.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a server on a new data directory with this `lar.toml`.
    ///
    /// # Panics
    /// If the server does not start.
    #[must_use]
    pub fn start_with(config: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be created");
        std::fs::write(directory.path().join("lar.toml"), modest(config)).expect("the file can be written");
        let mut lar = Self::start_on(directory.path());
        lar._directory = Some(directory);
        lar
    }

    /// Starts a server on a new data directory with this `lar.toml`. It logs at this level to the file `log`
    /// there.
    ///
    /// # Panics
    /// If the server does not start.
    #[must_use]
    pub fn start_logging(config: &str, level: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be created");
        std::fs::write(directory.path().join("lar.toml"), modest(config)).expect("the file can be written");
        let log = std::fs::File::create(directory.path().join("log")).expect("the file can be created");
        let mut command = command(directory.path());
        command.env("LAR_LOG", level).stderr(log);
        let mut lar = Self::run(command, directory.path());
        lar._directory = Some(directory);
        lar
    }

    /// Starts a server on a new data directory with this `lar.toml`, through another program.
    ///
    /// `wrapper` is that program and its arguments. The path and the arguments of `lar` follow them. The
    /// program must replace itself with `lar` (`exec`).
    ///
    /// # Panics
    /// If the server does not start.
    #[must_use]
    pub fn start_through(wrapper: &[&str], config: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be created");
        std::fs::write(directory.path().join("lar.toml"), modest(config)).expect("the file can be written");
        let mut lar = Self::run(Self::command_through(wrapper, directory.path()), directory.path());
        lar._directory = Some(directory);
        lar
    }

    /// Returns a command that runs `lar` on this data directory through another program, as
    /// [`Lar::start_through`].
    ///
    /// # Panics
    /// If `wrapper` is empty.
    #[must_use]
    pub fn command_through(wrapper: &[&str], data: &Path) -> Command {
        let (first, arguments) = wrapper.split_first().expect("a program is named");
        let mut command = Command::new(first);
        command.args(arguments).arg(program());
        as_test(command, data)
    }

    /// Starts a server on a new data directory, with an empty models directory of its own.
    ///
    /// # Panics
    /// If the server does not start.
    #[must_use]
    pub fn start_without_models() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be created");
        let mut command = command(directory.path());
        command.env("LAR_MODELS_DIR", directory.path().join("models"));
        let mut lar = Self::run(command, directory.path());
        lar._directory = Some(directory);
        lar
    }

    /// Starts a server on an existing data directory. It measures how many threads are fastest for its
    /// models.
    ///
    /// # Panics
    /// If the server does not start.
    #[must_use]
    pub fn start_measuring_on(data: &Path) -> Self {
        let mut command = command(data);
        command.env_remove("LAR_ENGINES_THREADS");
        Self::run(command, data)
    }

    /// Starts a server on an existing data directory.
    ///
    /// # Panics
    /// If the server does not start.
    #[must_use]
    pub fn start_on(data: &Path) -> Self {
        Self::run(command(data), data)
    }

    /// Starts a server on a data directory whose database or secret is lost.
    ///
    /// # Panics
    /// If the server does not start.
    #[must_use]
    pub fn start_accepting_loss_on(data: &Path) -> Self {
        Self::run_with(command(data), data, &["serve", "--accept-data-loss"])
    }

    /// Starts a server whose data directory is a disk of its own: a tmpfs with these options, in a mount
    /// namespace.
    ///
    /// Needs user namespaces, which Debian has.
    ///
    /// # Panics
    /// If the server does not start.
    #[must_use]
    pub fn start_on_disk(options: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be created");
        let mut lar = Self::run(on_disk(directory.path(), options), directory.path());
        lar._directory = Some(directory);
        lar
    }

    /// Runs a command that must fail on such a disk, and returns its error output. Its models are on the
    /// disk, too.
    ///
    /// # Panics
    /// If the command succeeds.
    #[must_use]
    pub fn refused_on_disk(options: &str, arguments: &[&str]) -> String {
        let directory = tempfile::tempdir().expect("a directory can be created");
        let mut command = on_disk(directory.path(), options);
        command.env("LAR_MODELS_DIR", directory.path().join("models")).args(arguments);
        let output = command.output().expect("unshare runs");
        assert!(!output.status.success(), "the command succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub(crate) fn run(command: Command, data: &Path) -> Self {
        Self::run_with(command, data, &["serve"])
    }

    fn run_with(mut command: Command, data: &Path, arguments: &[&str]) -> Self {
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect("lar starts");
        #[expect(clippy::disallowed_methods, reason = "Lar's own output has short lines")]
        let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
        let address = loop {
            match lines.next() {
                Some(Ok(line)) => {
                    if let Some(url) = line.strip_prefix("Lar is at http://") {
                        break url.to_owned();
                    }
                }
                _ => panic!("lar exited before it printed its address: {:?}", child.wait()),
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, data: data.to_owned(), _directory: None }
    }

    /// Returns the data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Returns the process id of the server.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the server as a crash would, and waits until it has ended.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends the server a signal, such as `HUP`, and returns its exit code.
    pub fn signal(&mut self, name: &str) -> Option<i32> {
        let _ = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        self.child.wait().ok().and_then(|status| status.code())
    }

    /// Asks the server to stop (SIGTERM) and returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        self.child.wait().ok().and_then(|status| status.code())
    }

    /// Runs a client command against this server.
    ///
    /// # Panics
    /// If the command cannot be run.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> std::process::Output {
        command(&self.data).args(arguments).output().expect("lar runs")
    }

    /// Sends a request with the owner's key and reads the whole answer.
    #[must_use]
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.raw(&self.head(method, path, body.len()), body.as_bytes())
    }

    /// Sends a GET request, as [`Lar::send`].
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &Value::Null)
    }

    /// Sends a POST request, as [`Lar::send`].
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, body)
    }

    /// Returns the head of a request with the owner's key.
    #[must_use]
    pub fn head(&self, method: &str, path: &str, length: usize) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n",
            self.address,
            Self::KEY,
        )
    }

    /// Sends a request with these headers instead of the owner's key. Each header ends in a line break.
    #[must_use]
    pub fn send_with(&self, headers: &str, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            self.address,
            body.len()
        );
        self.raw(&head, body.as_bytes())
    }

    /// Creates a key with these scopes and returns the header with it.
    ///
    /// # Panics
    /// If the key cannot be created.
    #[must_use]
    pub fn key(&self, scopes: &[&str]) -> String {
        let made = self.post("/lar/v1/keys", &json!({ "name": "app", "scopes": scopes }));
        assert_eq!(made.status, 201, "{}", made.body);
        bearer(&made.json())
    }

    /// Invites a user and returns the header with their key.
    ///
    /// # Panics
    /// If the invitation fails.
    #[must_use]
    pub fn invite(&self, name: &str) -> String {
        let invited = self.post("/lar/v1/users", &json!({ "name": name }));
        assert_eq!(invited.status, 201, "{}", invited.body);
        bearer(&invited.json())
    }

    /// Returns the resident memory of the server in bytes: now, and its peak since the last
    /// [`Lar::forget_peak`].
    ///
    /// # Panics
    /// If there is no `/proc`, or the server has ended.
    #[must_use]
    pub fn memory(&self) -> (u64, u64) {
        let memory = ProcessMemory::of(self.pid()).expect("/proc shows the memory of the server");
        (memory.resident, memory.peak)
    }

    /// Resets the peak memory of the server to its current memory.
    ///
    /// # Panics
    /// If there is no `/proc`, or the server has ended.
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("the peak can be reset");
    }

    /// Sends these bytes unchanged and reads the whole answer.
    ///
    /// # Panics
    /// If the connection is refused.
    #[must_use]
    pub fn raw(&self, head: &str, body: &[u8]) -> Answer {
        let mut socket = self.open(head, body);
        let mut bytes = Vec::new();
        // A server that refuses the body may reset the connection after its answer.
        let _ = socket.read_to_end(&mut bytes);
        Answer::parse(&bytes)
    }

    /// Sends bytes as [`Lar::raw`], to another listener of this Lar.
    ///
    /// # Panics
    /// If the connection is refused.
    #[must_use]
    pub fn raw_at(&self, address: &str, head: &str, body: &[u8]) -> Answer {
        let mut socket = connect(address, head, body);
        let mut bytes = Vec::new();
        let _ = socket.read_to_end(&mut bytes);
        Answer::parse(&bytes)
    }

    /// Sends bytes and returns the socket without reading from it.
    ///
    /// # Panics
    /// If the connection is refused.
    #[must_use]
    pub fn open(&self, head: &str, body: &[u8]) -> TcpStream {
        connect(&self.address, head, body)
    }

    /// Creates a detached task of up to `max_tokens` tokens. Returns its id, or `None` if it is not accepted.
    #[must_use]
    pub fn make_task(&self, max_tokens: u32) -> Option<String> {
        let body = json!({
            "workload": "completion", "prompt": "Once upon a time", "max_tokens": max_tokens, "detached": true,
            "temperature": 0,
        });
        let taken = self.post("/lar/v1/tasks", &body);
        taken.json()["task_id"].as_str().filter(|_| taken.status == 202).map(ToOwned::to_owned)
    }

    /// Waits until a task runs, then kills all workers.
    ///
    /// # Panics
    /// If no task runs within 120 s.
    pub fn kill_workers(&self) {
        self.until("a task to run", |lar| {
            let pools = lar.get("/lar/v1/pools").json();
            let busy = |pool: &Value| pool["active_leases"].as_u64() > Some(0);
            pools["data"].as_array()?.iter().any(busy).then_some(())
        });
        for pid in self.workers() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }

    /// Waits as [`until()`] does, and passes this server to `done`.
    ///
    /// # Panics
    /// If `done` finds nothing within 120 s.
    pub fn until<T>(&self, what: &str, mut done: impl FnMut(&Self) -> Option<T>) -> T {
        until(what, || done(self))
    }

    /// Returns the process ids of all workers: those of models and those of vocabularies.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        let children =
            std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid())).unwrap_or_default();
        let all_threads =
            std::fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        let more =
            all_threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
        let mut pids: Vec<u32> = more
            .chain([children])
            .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }
}

impl Drop for Lar {
    fn drop(&mut self) {
        self.kill();
    }
}

fn bearer(made: &Value) -> String {
    format!("authorization: Bearer {}\r\n", made["secret"].as_str().expect("the answer shows the key"))
}

fn connect(address: &str, head: &str, body: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(address).expect("lar listens");
    socket.set_read_timeout(Some(Duration::from_secs(120))).expect("a timeout can be set");
    socket.write_all(head.as_bytes()).expect("the head can be sent");
    let _ = socket.write_all(body);
    socket
}

/// Returns a port that no process listens on at the moment.
///
/// # Panics
/// If no port is free.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("the listener has an address").port()
}
