//! A forward proxy on loopback for one child tool (pip), which applies the policy and the ledger to the tool.
//!
//! The proxy supports only CONNECT and requires a password that only the child knows. The tool may connect to
//! PyPI and to the hosts in its own settings, at any address. If its settings name a host, the tool may also
//! connect to other hosts, because the operator's package index may link to files elsewhere. These
//! connections are limited to public addresses and port 443. Every connection is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lar_base::{Secret, secret};
use subtle::ConstantTimeEq as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::Error;
use crate::address::is_public;
use crate::ledger::Ledger;

/// The size limit of a CONNECT request with its headers.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// The timeout for reading the request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The hosts from which pip downloads packages by default.
const PACKAGE_INDEX: &[&str] = &["pypi.org:443", "files.pythonhosted.org:443"];

/// A running proxy. Dropping it stops it and closes its connections.
#[derive(Debug)]
pub struct ChildProxy {
    url: Secret,
    port: u16,
    tasks: tokio::task::JoinHandle<()>,
}

impl ChildProxy {
    /// Starts the proxy on a free loopback port. `hosts` are the `host:port` pairs in the tool's settings.
    ///
    /// # Errors
    /// When it cannot listen on loopback.
    pub async fn start(ledger: Ledger, hosts: Vec<String>) -> Result<Self, Error> {
        let hosts: Arc<[String]> = hosts.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::Proxy)?;
        let address: SocketAddr = listener.local_addr().map_err(Error::Proxy)?;
        let password = secret::hex(&secret::random_bytes::<16>());
        let url = Secret::new(format!("http://lar:{password}@{address}"));
        let expected: Arc<str> = format!("Basic {}", STANDARD.encode(format!("lar:{password}"))).into();
        let tasks = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (ledger, expected, hosts) = (ledger.clone(), expected.clone(), hosts.clone());
                connections.spawn(async move {
                    if let Err(error) = serve(socket, &ledger, &expected, &hosts).await {
                        tracing::debug!(%error, "proxy connection of a child tool failed");
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { url, port: address.port(), tasks })
    }

    /// Returns the loopback port on which the proxy listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the proxy URL for the child, password included.
    #[must_use]
    pub fn url(&self) -> &Secret {
        &self.url
    }
}

impl Drop for ChildProxy {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

async fn serve(
    mut socket: TcpStream,
    ledger: &Ledger,
    expected: &str,
    hosts: &[String],
) -> std::io::Result<()> {
    let head = tokio::time::timeout(HEAD_TIMEOUT, read_head(&mut socket)).await??;
    let answer = match target(&head, expected) {
        Ok(destination) => match connect(&destination, hosts).await {
            Ok(mut upstream) => {
                ledger.record(&destination);
                socket.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
                tokio::io::copy_bidirectional(&mut socket, &mut upstream).await?;
                return Ok(());
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                tracing::warn!(%destination, "refused a child tool's connection to a disallowed host");
                "403 Forbidden"
            }
            Err(_) => "502 Bad Gateway",
        },
        Err(status) => status,
    };
    socket.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await
}

/// Connects to a host if the tool may connect to it.
///
/// # Errors
/// `PermissionDenied` if the host is not allowed; other kinds if the connection fails.
async fn connect(destination: &str, hosts: &[String]) -> std::io::Result<TcpStream> {
    let named = hosts.iter().any(|host| host.eq_ignore_ascii_case(destination));
    let index = PACKAGE_INDEX.iter().any(|host| host.eq_ignore_ascii_case(destination));
    if named || index {
        return TcpStream::connect(destination).await;
    }
    let refused = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    if hosts.is_empty() || !destination.ends_with(":443") {
        return Err(refused());
    }
    // The checked address is the one connected to, so DNS rebinding has no effect.
    let public = tokio::net::lookup_host(destination).await?.find(|address| is_public(address.ip()));
    TcpStream::connect(public.ok_or_else(refused)?).await
}

async fn read_head(socket: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX {
            return Err(std::io::Error::other("the request head is too long"));
        }
        head.push(socket.read_u8().await?);
    }
    Ok(head)
}

/// Returns the `host:port` of an authorized CONNECT request, or the status that refuses the request.
fn target(head: &[u8], expected: &str) -> Result<String, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(head).map_err(|_| "400 Bad Request")?;
    let authorized = request.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("proxy-authorization")
            && bool::from(header.value.ct_eq(expected.as_bytes()))
    });
    if !authorized {
        return Err("407 Proxy Authentication Required");
    }
    match (request.method, request.path) {
        (Some("CONNECT"), Some(path)) if path.contains(':') => Ok(path.to_owned()),
        _ => Err("405 Method Not Allowed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn exchange(address: &str, request: String) -> String {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_proxy_tunnels_only_for_the_child_to_allowed_hosts_and_counts() {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let destination = upstream.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut socket, _) = upstream.accept().await.unwrap();
            socket.write_all(b"hello").await.unwrap();
        });
        let ledger = Ledger::default();
        let proxy = ChildProxy::start(ledger.clone(), vec![destination.clone()]).await.unwrap();
        let (credentials, address) =
            proxy.url().expose().strip_prefix("http://").unwrap().split_once('@').unwrap();

        let refused = exchange(address, format!("CONNECT {destination} HTTP/1.1\r\n\r\n")).await;
        assert!(refused.starts_with("HTTP/1.1 407"), "{refused}");
        assert_eq!(ledger.total(), 0);

        let authorization = format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(credentials));
        let plain = exchange(address, format!("GET http://x/ HTTP/1.1\r\n{authorization}\r\n")).await;
        assert!(plain.starts_with("HTTP/1.1 405"), "{plain}");

        let tunnel =
            exchange(address, format!("CONNECT {destination} HTTP/1.1\r\n{authorization}\r\n")).await;
        assert!(tunnel.starts_with("HTTP/1.1 200") && tunnel.ends_with("hello"), "{tunnel}");
        for elsewhere in ["127.0.0.1:1", "169.254.169.254:443", "localhost:443", "192.0.2.1:80"] {
            let refused =
                exchange(address, format!("CONNECT {elsewhere} HTTP/1.1\r\n{authorization}\r\n")).await;
            assert!(refused.starts_with("HTTP/1.1 403"), "{elsewhere}: {refused}");
        }
        assert_eq!(ledger.snapshot(), [(destination, 1)].into());
    }
}
