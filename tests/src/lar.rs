//! A real Lar, started and stopped by a test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::models::{models_dir, program};
use crate::{ProcessMemory, until};

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub struct Lar {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    data: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

/// An HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head as it came, in lower case.
    pub head: String,
    /// The body as it came, without chunk lengths.
    pub body: String,
}

impl Answer {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The names and data of the events of a stream.
    #[must_use]
    pub fn events(&self) -> Vec<(String, Value)> {
        let block = |block: &str| {
            let field =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(ToOwned::to_owned));
            let data = field("data: ")?;
            let data = serde_json::from_str(&data).unwrap_or(Value::String(data));
            Some((field("event: ").unwrap_or_default(), data))
        };
        self.body.split("\n\n").filter_map(block).collect()
    }
}

impl Lar {
    /// The owner's key of every test server.
    pub const KEY: &str = "lar_test_owner_key_of_this_suite";

    /// Starts a server on a new data directory.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a server on a new data directory with this `lar.toml`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with(config: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        std::fs::write(directory.path().join("lar.toml"), modest(config)).expect("the file can be written");
        let mut lar = Self::start_on(directory.path());
        lar._directory = Some(directory);
        lar
    }

    /// Starts a server on a new data directory with this `lar.toml`, which logs at this level into a file there.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_logging(config: &str, level: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        std::fs::write(directory.path().join("lar.toml"), modest(config)).expect("the file can be written");
        let log = std::fs::File::create(directory.path().join("log")).expect("the file can be made");
        let mut command = command(directory.path());
        command.env("LAR_LOG", level).stderr(log);
        let mut lar = Self::run(command, directory.path());
        lar._directory = Some(directory);
        lar
    }

    /// Starts a server on a new data directory with this `lar.toml` through another program: `wrapper` is that program and its
    /// arguments. It gets the path of `lar` and the arguments of `lar` behind its own, and must become `lar` (`exec`).
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_through(wrapper: &[&str], config: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        std::fs::write(directory.path().join("lar.toml"), modest(config)).expect("the file can be written");
        let mut lar = Self::run(Self::command_through(wrapper, directory.path()), directory.path());
        lar._directory = Some(directory);
        lar
    }

    /// `lar` on this data directory, through another program, as [`Lar::start_through`] does it.
    ///
    /// # Panics
    /// When no program is named.
    #[must_use]
    pub fn command_through(wrapper: &[&str], data: &Path) -> Command {
        let (first, arguments) = wrapper.split_first().expect("a program is named");
        let mut command = Command::new(first);
        command.args(arguments).arg(program());
        as_test(command, data)
    }

    /// Starts a server on a new data directory whose models are its own: at first there are none.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_without_models() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let mut command = command(directory.path());
        command.env("LAR_MODELS_DIR", directory.path().join("models"));
        let mut lar = Self::run(command, directory.path());
        lar._directory = Some(directory);
        lar
    }

    /// Starts a server on a data directory that is there, which measures what its models compute fastest with.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_measuring_on(data: &Path) -> Self {
        let mut command = command(data);
        command.env_remove("LAR_ENGINES_THREADS");
        Self::run(command, data)
    }

    /// Starts a server on a data directory that is there.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_on(data: &Path) -> Self {
        Self::run(command(data), data)
    }

    /// Starts a server on a data directory whose database or secret is lost.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_accepting_loss_on(data: &Path) -> Self {
        Self::run_with(command(data), data, &["serve", "--accept-data-loss"])
    }

    /// Starts a server whose data directory is a disk of its own: a tmpfs with these options, which only it sees.
    /// Takes user namespaces, as Debian has them.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_on_disk(options: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let mut lar = Self::run(on_disk(directory.path(), options), directory.path());
        lar._directory = Some(directory);
        lar
    }

    /// What a command says that fails on such a disk, which holds its models too.
    ///
    /// # Panics
    /// When it does not fail.
    #[must_use]
    pub fn refused_on_disk(options: &str, arguments: &[&str]) -> String {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let mut command = on_disk(directory.path(), options);
        command.env("LAR_MODELS_DIR", directory.path().join("models")).args(arguments);
        let output = command.output().expect("unshare runs");
        assert!(!output.status.success(), "it did not fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub(crate) fn run(command: Command, data: &Path) -> Self {
        Self::run_with(command, data, &["serve"])
    }

    fn run_with(mut command: Command, data: &Path, arguments: &[&str]) -> Self {
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().expect("lar starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let address = loop {
            match lines.next() {
                Some(Ok(line)) => {
                    if let Some(url) = line.strip_prefix("Lar is at http://") {
                        break url.to_owned();
                    }
                }
                _ => panic!("lar ended before it listened: {:?}", child.wait()),
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, data: data.to_owned(), _directory: None }
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the server as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends the server a signal, such as `HUP`, and says with which code it ended.
    pub fn signal(&mut self, name: &str) -> Option<i32> {
        let _ = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        self.child.wait().ok().and_then(|status| status.code())
    }

    /// Asks the server to stop and says with which code it ended.
    pub fn stop(&mut self) -> Option<i32> {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        self.child.wait().ok().and_then(|status| status.code())
    }

    /// A client command against this server.
    ///
    /// # Panics
    /// When it cannot be run.
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

    /// [`Lar::send`] with GET.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &Value::Null)
    }

    /// [`Lar::send`] with POST.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, body)
    }

    /// The head of a request with the owner's key.
    #[must_use]
    pub fn head(&self, method: &str, path: &str, length: usize) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n",
            self.address,
            Self::KEY,
        )
    }

    /// Sends a request with these headers, each ending in a line break, in place of the owner's key.
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

    /// Makes a key with these scopes and returns the header that carries it.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn key(&self, scopes: &[&str]) -> String {
        let made = self.post("/lar/v1/keys", &json!({ "name": "app", "scopes": scopes }));
        assert_eq!(made.status, 201, "{}", made.body);
        bearer(&made.json())
    }

    /// Invites somebody and returns the header that carries their key.
    ///
    /// # Panics
    /// When they cannot be invited.
    #[must_use]
    pub fn invite(&self, name: &str) -> String {
        let invited = self.post("/lar/v1/users", &json!({ "name": name }));
        assert_eq!(invited.status, 201, "{}", invited.body);
        bearer(&invited.json())
    }

    /// Bytes of memory that the server has now, and has had at most since the last [`Lar::forget_peak`].
    ///
    /// # Panics
    /// Where there is no `/proc`.
    #[must_use]
    pub fn memory(&self) -> (u64, u64) {
        let memory = ProcessMemory::of(self.pid()).expect("it runs, and the kernel tells");
        (memory.resident, memory.peak)
    }

    /// Has the kernel forget how much memory the server has had at most.
    ///
    /// # Panics
    /// Where there is no `/proc`.
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("it is ours");
    }

    /// Sends bytes as they are and reads the whole answer.
    ///
    /// # Panics
    /// When nothing listens.
    #[must_use]
    pub fn raw(&self, head: &str, body: &[u8]) -> Answer {
        let mut socket = self.open(head, body);
        let mut bytes = Vec::new();
        // A server that refuses a body may reset the connection after its answer.
        let _ = socket.read_to_end(&mut bytes);
        answer(&bytes)
    }

    /// [`Lar::raw`] to another address, where this Lar listens, too.
    ///
    /// # Panics
    /// When nothing listens.
    #[must_use]
    pub fn raw_at(&self, address: &str, head: &str, body: &[u8]) -> Answer {
        let mut socket = connect(address, head, body);
        let mut bytes = Vec::new();
        let _ = socket.read_to_end(&mut bytes);
        answer(&bytes)
    }

    /// Sends bytes and returns the socket without reading.
    ///
    /// # Panics
    /// When nothing listens.
    #[must_use]
    pub fn open(&self, head: &str, body: &[u8]) -> TcpStream {
        connect(&self.address, head, body)
    }

    /// Makes a task that writes up to so many tokens on its own, if it is acknowledged.
    #[must_use]
    pub fn make_task(&self, max_tokens: u32) -> Option<String> {
        let body = json!({
            "workload": "completion", "prompt": "Once upon a time", "max_tokens": max_tokens, "detached": true,
            "temperature": 0,
        });
        let taken = self.post("/lar/v1/tasks", &body);
        taken.json()["task_id"].as_str().filter(|_| taken.status == 202).map(ToOwned::to_owned)
    }

    /// Kills the workers while a task runs.
    ///
    /// # Panics
    /// When none runs within 30 s.
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

    /// As [`until()`], with this server.
    ///
    /// # Panics
    /// When it does not within 30 s.
    pub fn until<T>(&self, what: &str, mut done: impl FnMut(&Self) -> Option<T>) -> T {
        until(what, || done(self))
    }

    /// Process ids of the workers that hold a whole model or a vocabulary.
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
    format!("authorization: Bearer {}\r\n", made["secret"].as_str().expect("it is shown once"))
}

fn connect(address: &str, head: &str, body: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(address).expect("lar listens");
    socket.set_read_timeout(Some(Duration::from_secs(120))).expect("a timeout can be set");
    socket.write_all(head.as_bytes()).expect("the head is taken");
    let _ = socket.write_all(body);
    socket
}

/// `lar` with the environment of a test.
pub(crate) fn command(data: &Path) -> Command {
    as_test(Command::new(program()), data)
}

/// `lar` in a mount namespace where `data` is a tmpfs.
fn on_disk(data: &Path, options: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c"]);
    command.arg("mount -t tmpfs -o \"$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"");
    command.arg("sh").arg(options).arg(data).arg(program());
    as_test(command, data)
}

/// The environment of every Lar of the tests.
pub(crate) fn as_test(mut command: Command, data: &Path) -> Command {
    command
        .env("LAR_DATA_DIR", data)
        .env("LAR_MODELS_DIR", models_dir())
        // Not every model of every test is measured.
        .env("LAR_ENGINES_THREADS", "2")
        .env("LAR_LISTEN", "127.0.0.1:0")
        .env("LAR_OWNER_KEY", Lar::KEY)
        .env("LAR_LOG", "error")
        .stdin(Stdio::null());
    command
}

/// A port that nobody listens on at the moment.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

fn answer(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let head = head.to_ascii_lowercase();
    let body = if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
    Answer { status, head, body }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let Ok(length) = usize::from_str_radix(length, 16) else { break };
        if length == 0 || rest.len() < length {
            break;
        }
        whole.push_str(&rest[..length]);
        body = rest[length..].trim_start_matches("\r\n");
    }
    whole
}

/// A configuration with a context that loads quickly, unless it names one: many servers run at once in tests.
fn modest(config: &str) -> String {
    const CONTEXT: &str = "[engines]\ncontext_tokens_max = 4096\n";
    if config.contains("context_tokens_max") {
        config.to_owned()
    } else if config.contains("[engines]\n") {
        config.replace("[engines]\n", CONTEXT)
    } else {
        format!("{config}\n{CONTEXT}")
    }
}
