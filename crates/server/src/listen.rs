//! Listening on one or more addresses, serving connections within the limits, and graceful shutdown.

mod connections;
mod tls;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use lar_base::{KeyId, Secret, Timestamp};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use self::connections::ConnectionHandle;
use self::connections::{ConnectionLimits, Connections};
use self::tls::Tls;
pub use self::tls::TlsFiles;
use crate::request_extensions::Arrival;
use crate::state::{App, Parts};
use crate::{routes, sign_in_links};

/// The maximum size of a request's head in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The maximum number of headers of a request.
const HEADERS_MAX: usize = 100;
/// How long a peer may leave sent data unread before its connection is closed.
const UNREAD_MAX: Duration = Duration::from_secs(60);
/// The size of a socket's send buffer in bytes; Linux doubles it.
const UNREAD_BYTES_MAX: usize = 64 * 1024;
/// The number of sockets for connections that are being closed to make room, in addition to the limit.
const CLOSING_MAX: usize = 64;
/// The response to a connection for which there is no room.
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// The delay after a failed accept, for example when no file descriptor was free.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// An additional listener.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The address and port to accept connections at; port 0 lets the system choose one.
    pub address: SocketAddr,
    /// The key of requests that have none, for apps that cannot send a key.
    pub key: Option<Secret>,
    /// The TLS files; `None` for plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// A listener with its open socket.
struct BoundListener {
    socket: TcpListener,
    arrival: Arrival,
    tls: Option<Arc<Tls>>,
}

/// A server that is listening but does not serve yet.
pub struct Server {
    app: Arc<App>,
    bound: Vec<BoundListener>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.app.auth.address).finish_non_exhaustive()
    }
}

/// Returns the address at which this machine reaches a listener: loopback if it listens on every address.
fn local_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

impl Server {
    /// Listens on `address` and on the additional listeners; port 0 picks a free port.
    ///
    /// # Errors
    /// The address that cannot be bound, or whose TLS files cannot be used, and the reason.
    pub async fn bind(
        address: SocketAddr,
        listeners: Vec<Listener>,
        parts: Parts,
    ) -> Result<Self, (SocketAddr, std::io::Error)> {
        let main = Listener { address, key: None, tls: None };
        let mut bound = Vec::with_capacity(1 + listeners.len());
        for listener in std::iter::once(main).chain(listeners) {
            let at = listener.address;
            bound.push(BoundListener::of(listener).await.map_err(|error| (at, error))?);
        }
        let address = bound.first().map_or(Ok(address), |bound| bound.socket.local_addr());
        let address = address.map_err(|error| (SocketAddr::from(([0; 4], 0)), error))?;
        let app = App::new(parts, local_address(address));
        Ok(Self { app, bound })
    }

    /// Returns the address at which this machine reaches the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.app.auth.address
    }

    /// Returns the URLs of the additional listeners.
    #[must_use]
    pub fn other_urls(&self) -> Vec<String> {
        let further = self.bound.iter().skip(1);
        further
            .filter_map(|bound| {
                let scheme = if bound.tls.is_some() { "https" } else { "http" };
                Some(format!("{scheme}://{}", bound.socket.local_addr().ok()?))
            })
            .collect()
    }

    /// Creates a link that signs in a browser once, and returns it with its expiry. The session belongs to
    /// `key`.
    #[must_use]
    pub fn sign_in_link(&self, key: KeyId) -> (String, Timestamp) {
        let (secret, expires_at) = self.app.links.make(&self.app.auth.authenticator, key);
        (sign_in_links::url(self.app.auth.address, &secret), expires_at)
    }

    /// Serves until `stop`. Then it accepts nothing new, and running requests have the time `grace` to
    /// finish.
    pub async fn serve(self, stop: CancellationToken, grace: Duration) {
        let graceful = Arc::new(GracefulShutdown::new());
        let limits = &self.app.receiver.limits;
        let connections = Connections::new(ConnectionLimits {
            total: limits.connections,
            per_address: limits.connections_per_address,
        });
        let sockets = Arc::new(Semaphore::new(limits.connections + CLOSING_MAX));
        let router = routes::router(&self.app);
        let mut accepting = JoinSet::new();
        for bound in self.bound {
            let router = router.clone().layer(Extension(bound.arrival.clone()));
            let accept = Accept {
                bound,
                router,
                head_timeout: self.app.receiver.limits.head_timeout,
                connections: connections.clone(),
                sockets: sockets.clone(),
                graceful: graceful.clone(),
            };
            accepting.spawn(accept.run(stop.clone()));
        }
        while accepting.join_next().await.is_some() {}
        let Some(graceful) = Arc::into_inner(graceful) else { return };
        if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(grace_s = grace.as_secs(), "closed connections that did not finish in time");
        }
    }
}

impl BoundListener {
    async fn of(listener: Listener) -> std::io::Result<Self> {
        let tls = listener.tls.map(Tls::read).transpose()?.map(Arc::new);
        let arrival = Arrival { key: listener.key.map(Arc::new), secure: tls.is_some() };
        Ok(Self { socket: TcpListener::bind(listener.address).await?, arrival, tls })
    }
}

/// Accepts the connections of one listener.
struct Accept {
    bound: BoundListener,
    router: Router,
    head_timeout: Duration,
    connections: Arc<Connections>,
    /// One permit per socket, including those of connections that are being closed.
    sockets: Arc<Semaphore>,
    graceful: Arc<GracefulShutdown>,
}

impl Accept {
    async fn run(self, stop: CancellationToken) {
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .keep_alive(true);
        loop {
            let descriptor = tokio::select! {
                descriptor = self.sockets.clone().acquire_owned() => descriptor,
                () = stop.cancelled() => return,
            };
            let Ok(descriptor) = descriptor else { return };
            let (socket, peer) = tokio::select! {
                accepted = self.bound.socket.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a connection");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                        continue;
                    }
                },
                () = stop.cancelled() => return,
            };
            prepare(&socket);
            let (tls, limit) = (self.bound.tls.clone(), self.head_timeout);
            let Some(connection) = self.connections.admit(peer.ip()) else {
                tracing::warn!(%peer, "refused a connection: the limit is reached and none is idle");
                refuse(socket, tls.is_none());
                continue;
            };
            let (http, watcher) = (http.clone(), self.graceful.watcher());
            let service = connection.service(self.router.clone());
            tokio::spawn(async move {
                let serve = async {
                    match tls {
                        None => watcher.watch(http.serve_connection(TokioIo::new(socket), service)).await,
                        Some(tls) => match tokio::time::timeout(limit, tls.acceptor().accept(socket)).await {
                            Ok(Ok(socket)) => {
                                watcher.watch(http.serve_connection(TokioIo::new(socket), service)).await
                            }
                            Ok(Err(error)) => {
                                tracing::debug!(%error, "a TLS handshake failed");
                                Ok(())
                            }
                            Err(_) => Ok(()),
                        },
                    }
                };
                tokio::select! {
                    served = serve => if let Err(error) = served {
                        tracing::debug!(%error, "a connection ended early");
                    },
                    // Dropping `serve` closes the connection.
                    () = connection.closed() => tracing::debug!(%peer, "closed an idle connection"),
                }
                drop(descriptor);
            });
        }
    }
}

/// Answers that there is no room, if the socket is not encrypted and can take the response immediately.
fn refuse(socket: TcpStream, plain: bool) {
    use std::io::Write as _;
    if let (true, Ok(mut socket)) = (plain, socket.into_std()) {
        let _ = socket.write(NO_ROOM);
    }
}

fn prepare(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    // A small buffer fills soon if the peer does not read. The kernel's own limit on loopback is two
    // megabytes.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(socket, UNREAD_BYTES_MAX);
    // The kernel closes the connection of a peer that does not read, because sent data stays unacknowledged.
    let millis = u32::try_from(UNREAD_MAX.as_millis()).unwrap_or(u32::MAX);
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_user_timeout(socket, millis);
    #[cfg(not(target_os = "linux"))]
    let _ = millis;
}
