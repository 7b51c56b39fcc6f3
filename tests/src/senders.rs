//! Senders that never finish: many connections with a head and a part of a body each.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

/// A sender goes on to wait when nothing was taken for this long.
const TAKEN_WITHIN: Duration = Duration::from_millis(200);

/// Opens `count` connections at once, sends `head` and `body` on each as far as the server takes it, and keeps them open.
///
/// # Panics
/// When nothing listens.
#[must_use]
pub fn half_sent(address: &str, count: usize, head: &str, body: &[u8]) -> Vec<TcpStream> {
    let open = || {
        let mut socket = TcpStream::connect(address).expect("lar listens");
        socket.set_write_timeout(Some(TAKEN_WITHIN)).expect("a timeout can be set");
        // The server may answer and close before it has read anything.
        let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(body));
        socket
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..count).map(|_| scope.spawn(open)).collect();
        senders.into_iter().map(|sender| sender.join().expect("it sends")).collect()
    })
}
