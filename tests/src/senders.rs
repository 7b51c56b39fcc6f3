//! Clients that never finish their request: many connections, each with a head and a part of a body.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

/// A client stops sending when the server has read nothing for this long.
const WRITE_TIMEOUT: Duration = Duration::from_millis(200);

/// Opens `count` connections in parallel and returns them. Each sends `head`, and as much of `body` as the
/// server reads.
///
/// # Panics
/// If a connection is refused.
#[must_use]
pub fn half_sent(address: &str, count: usize, head: &str, body: &[u8]) -> Vec<TcpStream> {
    let open = || {
        let mut socket = TcpStream::connect(address).expect("lar listens");
        socket.set_write_timeout(Some(WRITE_TIMEOUT)).expect("a timeout can be set");
        // The server may answer and close the connection before it has read anything.
        let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(body));
        socket
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..count).map(|_| scope.spawn(open)).collect();
        senders.into_iter().map(|sender| sender.join().expect("the sender does not panic")).collect()
    })
}
