//! A small disk for one test, on which Lar can be started several times.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Lar;
use crate::lar::as_test;

/// A tmpfs in a mount namespace, which only its own processes see. Needs user namespaces, which Debian has.
#[derive(Debug)]
pub struct Disk {
    /// The process that keeps the namespaces alive.
    holder: Child,
    at: PathBuf,
    _directory: tempfile::TempDir,
}

impl Disk {
    /// Creates a disk with these options of tmpfs.
    ///
    /// # Panics
    /// If the tmpfs cannot be mounted.
    #[must_use]
    pub fn new(options: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be created");
        let at = directory.path().to_owned();
        let mut holder = Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c"])
            .arg("mount -t tmpfs -o \"$1\" tmpfs \"$2\" && echo mounted && exec cat")
            .args(["sh", options])
            .arg(&at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut line = String::new();
        let length =
            BufReader::new(holder.stdout.as_mut().expect("standard output is piped")).read_line(&mut line);
        assert_eq!((length.ok(), line.as_str()), (Some(8), "mounted\n"), "the disk is not mounted");
        Self { holder, at, _directory: directory }
    }

    /// Returns the path of the disk outside its namespace.
    #[must_use]
    pub fn outside(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), self.at.display()))
    }

    /// Returns a command that runs `lar` with this disk as its data directory.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.holder.id().to_string(),
            "--mount",
            "--user",
            "--preserve-credentials",
        ]);
        command.arg(crate::program());
        command.args(arguments);
        as_test(command, &self.at)
    }

    /// Starts a server on this disk.
    ///
    /// # Panics
    /// If the server does not start.
    #[must_use]
    pub fn start(&self) -> Lar {
        Lar::run(self.command(&[]), &self.at)
    }

    /// Fills this disk with one file and returns the file.
    ///
    /// # Panics
    /// If the file cannot be created.
    #[must_use]
    pub fn fill(&self) -> PathBuf {
        fill(&self.outside())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Writes a file into a folder until the disk is full.
fn fill(folder: &Path) -> PathBuf {
    let filler = folder.join("filler");
    let mut file = std::fs::File::create(&filler).expect("the file can be created");
    while file.write_all(&[0; 4096]).is_ok() {}
    filler
}
