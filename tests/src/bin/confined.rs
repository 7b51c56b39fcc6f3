//! A process that confines itself and then tries what it must not do. Used by `tests/it/confinement.rs`: it
//! prints one line a try, `NAME ok` or `NAME refused`, and what could not be given up as `missing WHAT`.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use lar_base::Bytes;
use lar_sandbox::{Confinement, confine};

/// What the limit below leaves, and more than it leaves.
const LITTLE: usize = 8 << 20;
const MUCH: usize = 512 << 20;

#[expect(clippy::print_stdout, reason = "the test reads it")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().and_then(|port| port.parse().ok()).unwrap_or_default();
    let parent: i32 = arguments.next().and_then(|parent| parent.parse().ok()).unwrap_or_default();
    let readable = PathBuf::from(arguments.next().unwrap_or_default());
    let confinement =
        Confinement { read: vec![readable.clone()], write: Vec::new(), memory_max: Some(Bytes::mib(128)) };
    for missing in confine(&confinement) {
        println!("missing {missing}");
    }
    let try_to = |name: &str, done: bool| println!("{name} {}", if done { "ok" } else { "refused" });
    try_to("read what was named", fs::read(&readable).is_ok());
    try_to("compute in threads", std::thread::spawn(|| 1).join().is_ok());
    try_to("take a little memory", vec_of(LITTLE));

    try_to("take much memory", vec_of(MUCH));
    try_to("read another file", fs::read("/etc/passwd").is_ok());
    try_to("list a folder", fs::read_dir("/").is_ok());
    try_to("write beside what was named", fs::write(readable.with_extension("new"), "x").is_ok());
    try_to("write what was named", fs::OpenOptions::new().append(true).open(&readable).is_ok());
    try_to("remove what was named", fs::remove_file(&readable).is_ok());
    try_to("connect to the machine", TcpStream::connect(("127.0.0.1", port)).is_ok());
    try_to("listen", TcpListener::bind("127.0.0.1:0").is_ok());
    try_to("make a datagram socket", UdpSocket::bind("127.0.0.1:0").is_ok());
    try_to("make a socket to other processes", UnixDatagram::unbound().is_ok());
    try_to("run a program", Command::new("/bin/true").status().is_ok());
    let parent = rustix::process::Pid::from_raw(parent);
    try_to(
        "signal another process",
        parent.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok()),
    );
}

/// Whether so much memory can be had.
fn vec_of(bytes: usize) -> bool {
    let mut memory: Vec<u8> = Vec::new();
    memory.try_reserve_exact(bytes).is_ok()
}
