//! Pulls on a small disk: a model that does not fit leaves nothing behind.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

use lar_tests::Disk;

/// Starts a hub whose files have no end and whose downloads could be resumed. Returns its URL.
fn endless_hub() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            std::thread::spawn(move || answer(&socket));
        }
    });
    url
}

/// Answers one request; returns when the client disconnects.
fn answer(mut socket: &TcpStream) -> Option<()> {
    #[expect(clippy::disallowed_methods, reason = "Lar sends short header lines")]
    let mut lines = BufReader::new(socket).lines().map_while(Result::ok);
    let request = lines.next()?;
    lines.find(String::is_empty)?;
    if request.contains("/raw/main/") {
        let response = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nno digest";
        return socket.write_all(response.as_bytes()).ok();
    }
    let head = "HTTP/1.1 200 OK\r\netag: \"one\"\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    socket.write_all(head.as_bytes()).ok()?;
    let chunk = [b"10000\r\n".as_slice(), &[7; 0x10000], b"\r\n"].concat();
    loop {
        socket.write_all(&chunk).ok()?;
    }
}

fn left(folder: PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn an_endless_download_stops_before_the_disk_is_full_and_leaves_nothing() {
    let disk = Disk::new("size=128m");
    let mut pull = disk.command(&["models", "pull", "hf:owner/repo/endless.gguf", "--name", "endless"]);
    let done = pull.env_remove("LAR_MODELS_DIR").env("LAR_HUB", endless_hub()).output().unwrap();
    let output = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && output.contains("the models directory has 6"), "{output}");
    assert!(output.contains(" free, but 64 MiB are needed"), "it stopped while there was room: {output}");
    assert_eq!(left(disk.outside().join("models/partial")), Vec::<String>::new());
    assert_eq!(left(disk.outside().join("models/blobs")), Vec::<String>::new());
}
