//! Listening, serving connections within their limits, and stopping in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use lar_base::{KeyId, Timestamp};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{App, Parts, routes, sign_in};

/// Bytes of a request's head at most.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request at most.
const HEADERS_MAX: usize = 100;
/// A connection whose peer takes nothing for this long is cut.
const UNREAD_MAX: Duration = Duration::from_secs(60);
/// How long to wait after an accept that failed, for instance for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A server that listens and does not serve yet.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.app.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(address: SocketAddr, parts: Parts) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let app = App::new(parts, listener.local_addr()?);
        Ok(Self { app, listener })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.app.address
    }

    /// Makes a link that signs a browser in, once; its session stands on `key`.
    #[must_use]
    pub fn sign_in_link(&self, key: KeyId) -> (String, Timestamp) {
        let (secret, expires_at) = self.app.links.make(&self.app.authenticator, key);
        (sign_in::url(&self.app, &secret), expires_at)
    }

    /// Serves until `stop`, then takes nothing new and lets what is under way finish within `grace`.
    pub async fn serve(self, stop: CancellationToken, grace: Duration) {
        let service = TowerToHyperService::new(routes::router(&self.app));
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.app.limits.head_timeout)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .keep_alive(true);
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.app.limits.connections));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { break };
            let socket = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) => socket,
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                        continue;
                    }
                },
                () = stop.cancelled() => break,
            };
            prepare(&socket);
            let connection = graceful.watch(http.serve_connection(TokioIo::new(socket), service.clone()));
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
                drop(place);
            });
        }
        drop(self.listener);
        if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(grace_s = grace.as_secs(), "connections are cut: they did not finish in time");
        }
    }
}

fn prepare(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    // The kernel drops a connection whose peer does not read: what was sent stays unacknowledged.
    let millis = u32::try_from(UNREAD_MAX.as_millis()).unwrap_or(u32::MAX);
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_user_timeout(socket, millis);
    #[cfg(not(target_os = "linux"))]
    let _ = millis;
}
