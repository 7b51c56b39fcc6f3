//! Downloads of models from a hub of the test: they are resumed, shared by concurrent pulls, and refused if
//! the digest differs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use lar_tests::offline::{command_at_home, outcome};
use lar_tests::{chat_model, embedder_file, until};

const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// Bytes of a body that a hub sends before a download is interrupted.
const INTERRUPTED_AFTER: u64 = 20 << 20;

/// Serves the starter model as `owner/repo/tiny.gguf`. It can cut or stall its answers.
#[derive(Clone)]
struct Hub {
    url: String,
    /// Bytes of a body after which the hub closes the connection; 0 sends all.
    cut_after: Arc<AtomicU64>,
    /// Bytes of a body after which the hub sends no more until the client disconnects; 0 sends all.
    stall_after: Arc<AtomicU64>,
    /// Bytes of weights sent in all answers.
    sent: Arc<AtomicU64>,
    /// The `Range` of each request for the weights.
    ranges: Arc<Mutex<Vec<Option<String>>>>,
}

impl Hub {
    fn start(digest: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hub = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            cut_after: Arc::default(),
            stall_after: Arc::default(),
            sent: Arc::default(),
            ranges: Arc::default(),
        };
        let weights: Arc<Vec<u8>> = Arc::new(std::fs::read(chat_model()).unwrap());
        let shared = hub.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (hub, weights) = (shared.clone(), weights.clone());
                std::thread::spawn(move || hub.answer(&socket, digest, &weights));
            }
        });
        hub
    }

    fn pull(&self, home: &Path) -> (bool, String) {
        outcome(&mut self.command(home))
    }

    fn command(&self, home: &Path) -> Command {
        let mut command = command_at_home(home);
        command.env("LAR_HUB", &self.url).args([
            "models",
            "pull",
            "hf:owner/repo/tiny.gguf",
            "--name",
            "tiny",
        ]);
        command
    }

    /// Answers one request.
    fn answer(&self, socket: &TcpStream, digest: &str, weights: &[u8]) -> Option<()> {
        let mut stream = socket;
        #[expect(clippy::disallowed_methods, reason = "Lar sends short header lines")]
        let mut lines = BufReader::new(socket).lines().map_while(Result::ok);
        let request = lines.next()?;
        let range = lines
            .take_while(|line| !line.is_empty())
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("range: ").map(ToOwned::to_owned));
        if request.contains("/embedder/") {
            return answer_for_embedder(stream, &request);
        }
        if request.contains("/raw/main/") {
            let pointer = format!(
                "version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {}\n",
                weights.len()
            );
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", pointer.len());
            return stream.write_all((head + &pointer).as_bytes()).ok();
        }
        self.ranges.lock().unwrap().push(range.clone());
        let from = range
            .as_deref()
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok())
            .unwrap_or(0);
        let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
        let rest = &weights[from..];
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: \"one\"\r\nconnection: close\r\n\r\n",
            rest.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut sent = 0u64;
        let is_reached = |limit: &AtomicU64, sent: u64| {
            let limit = limit.load(Ordering::Relaxed);
            limit > 0 && sent >= limit
        };
        for chunk in rest.chunks(1 << 20) {
            stream.write_all(chunk).ok()?;
            sent += chunk.len() as u64;
            self.sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            if is_reached(&self.stall_after, sent) {
                // The client sends no second request on this connection: this returns when it disconnects.
                let _ = stream.read_exact(&mut [0]);
                return None;
            }
            if is_reached(&self.cut_after, sent) {
                return None;
            }
        }
        Some(())
    }
}

/// Answers a request for a file of the starter embedder, which has no pooling configuration.
fn answer_for_embedder(mut stream: &TcpStream, request: &str) -> Option<()> {
    let path = request.split_whitespace().nth(1)?;
    let file = path.strip_prefix("/owner/embedder/resolve/main/");
    let content = match file {
        None => b"no pointer".to_vec(),
        Some("model.safetensors") => std::fs::read(embedder_file("weights")).ok()?,
        Some("tokenizer.json") => std::fs::read(embedder_file("tokenizer")).ok()?,
        Some("config.json") => std::fs::read(embedder_file("config")).ok()?,
        Some("config_sentence_transformers.json") => br#"{"prompts": {"query": "ask: "}}"#.to_vec(),
        Some(_) => {
            let head = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            return stream.write_all(head.as_bytes()).ok();
        }
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len());
    stream.write_all(&[head.as_bytes(), &content].concat()).ok()
}

#[test]
fn an_embedder_is_pulled_from_the_hub_with_the_files_beside_it() {
    let (home, hub) = (tempfile::tempdir().unwrap(), Hub::start(SHA256));
    let mut command = command_at_home(home.path());
    command.env("LAR_HUB", &hub.url);
    let (ok, output) =
        outcome(command.args(["models", "pull", "hf:owner/embedder/model.safetensors", "--name", "e"]));
    assert!(ok && output.contains("Installed e."), "{output}");
    let (_, shown) = outcome(command_at_home(home.path()).args(["models", "show", "e"]));
    assert!(shown.contains("query \"ask: \", passage \"\""), "{shown}");
}

/// The number of registered models.
fn registered(home: &Path) -> usize {
    std::fs::read_dir(home.join("data/models/manifests")).into_iter().flatten().count()
}

#[test]
fn an_interrupted_download_resumes_where_it_stopped() {
    let (home, hub) = (tempfile::tempdir().unwrap(), Hub::start(SHA256));
    hub.cut_after.store(30 << 20, Ordering::Relaxed);
    let (ok, output) = hub.pull(home.path());
    assert!(!ok, "{output}");
    assert_eq!(registered(home.path()), 0);
    hub.cut_after.store(0, Ordering::Relaxed);
    let (ok, output) = hub.pull(home.path());
    assert!(ok && output.contains("Installed tiny."), "{output}");
    let ranges = hub.ranges.lock().unwrap().clone();
    assert!(ranges[0].is_none() && ranges[1].is_some(), "{ranges:?}");
    let whole = std::fs::metadata(chat_model()).unwrap().len();
    assert!(hub.sent.load(Ordering::Relaxed) < whole + (12 << 20), "only the missing part is sent again");
}

#[test]
fn a_killed_download_registers_nothing_and_resumes() {
    let (home, hub) = (tempfile::tempdir().unwrap(), Hub::start(SHA256));
    // However slow the test is, the download cannot end before it is killed.
    hub.stall_after.store(INTERRUPTED_AFTER, Ordering::Relaxed);
    let mut child = hub.command(home.path()).stderr(std::process::Stdio::null()).spawn().unwrap();
    until("the stalled part of the download", || {
        (hub.sent.load(Ordering::Relaxed) >= INTERRUPTED_AFTER).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(registered(home.path()), 0);
    hub.stall_after.store(0, Ordering::Relaxed);
    assert!(hub.pull(home.path()).0);
    assert_eq!(registered(home.path()), 1);
    let ranges = hub.ranges.lock().unwrap().clone();
    assert!(ranges[0].is_none() && ranges[1].is_some(), "{ranges:?}");
}

#[test]
fn two_pulls_of_one_model_fetch_it_once() {
    let (home, hub) = (tempfile::tempdir().unwrap(), Hub::start(SHA256));
    // Two processes with one models directory and a database each.
    let other = tempfile::tempdir().unwrap();
    let mut second = hub.command(home.path());
    second.env("LAR_DATA_DIR", other.path()).env("LAR_MODELS_DIR", home.path().join("data/models"));
    let mut children = [hub.command(home.path()).spawn().unwrap(), second.spawn().unwrap()];
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    assert_eq!(hub.ranges.lock().unwrap().len(), 1);
    assert_eq!(registered(home.path()), 1);
}

#[test]
fn a_download_with_another_digest_than_the_hubs_is_refused() {
    let wrong = "0000000000000000000000000000000000000000000000000000000000000000";
    let (home, hub) = (tempfile::tempdir().unwrap(), Hub::start(wrong));
    let (ok, output) = hub.pull(home.path());
    assert!(!ok && output.contains(SHA256), "{output}");
    assert_eq!(registered(home.path()), 0);
}

/// A bare machine or container has no CA certificates.
#[test]
fn without_certificates_only_https_downloads_fail() {
    let home = tempfile::tempdir().unwrap();
    let lar = |arguments: &[&str]| {
        let mut command = command_at_home(home.path());
        command.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", home.path());
        outcome(command.env("LAR_MODELS_DIR", lar_tests::models_dir()).args(arguments))
    };
    let (ok, output) = lar(&["models", "list"]);
    assert!(ok && output.contains("smollm2"), "{output}");
    let (ok, output) = lar(&["models", "pull", "https://example.org/model.gguf"]);
    assert!(!ok && output.contains("apt-get install ca-certificates"), "{output}");
}
