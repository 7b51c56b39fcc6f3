//! The reachability of Lar. Tries each listener from this machine, at the addresses that others use.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lar_egress::{Egress, Method, Request, Trust};

use super::finding::{Finding, broken, fine, note};
use super::running;
use crate::config::Config;
use crate::data_dir::ServerFile;

/// The timeout of a request. A server on the same machine answers right away.
const TIMEOUT: Duration = Duration::from_secs(3);
const ABOUT: &str = "listeners";

/// Returns a finding for each address of each listener, and one if only this machine can reach Lar.
pub(super) async fn run(config: &Config, lar: &str) -> Vec<Finding> {
    let running = running::server(config);
    let main =
        (running.as_ref().map_or(config.listen, |server| server_address(config, server)), false, false);
    let further = config
        .listeners
        .iter()
        .map(|listener| (listener.addr, listener.cert_file.is_some(), listener.key_file.is_some()));
    let listeners: Vec<(SocketAddr, bool, bool)> = std::iter::once(main).chain(further).collect();
    let beyond_loopback = listeners.iter().any(|(at, ..)| !at.ip().is_loopback());
    let mut findings = Vec::new();
    if !beyond_loopback {
        findings.push(note(
            ABOUT,
            "this machine only; containers and other machines cannot reach it",
            "to change that, use a [[listener]] with TLS, a reverse proxy, or insecure_lan; see \
             docs/guides/reach.md",
        ));
    }
    if running.is_none() {
        if beyond_loopback || listeners.len() > 1 {
            let message = "Lar is not running, so its listeners were not tried";
            findings.push(note(
                ABOUT,
                message,
                format!("start it with {lar} serve, then run {lar} doctor again"),
            ));
        }
        return findings;
    }
    let Ok(egress) = Egress::new() else { return findings };
    for (at, tls, keyless) in listeners.into_iter().filter(|(at, ..)| at.port() != 0) {
        for ip in addresses(at.ip()) {
            findings.push(probe(&egress, config, SocketAddr::new(ip, at.port()), tls, keyless, lar).await);
        }
    }
    findings
}

/// Returns the address of the running server. It may have been started with another address than the
/// configured one.
fn server_address(config: &Config, server: &ServerFile) -> SocketAddr {
    let address = server.url.strip_prefix("http://").and_then(|at| at.parse::<SocketAddr>().ok());
    match address {
        // A server that listens on all addresses announces the address of loopback.
        Some(at) if at.ip().is_loopback() => SocketAddr::new(config.listen.ip(), at.port()),
        Some(at) => at,
        None => config.listen,
    }
}

async fn probe(
    egress: &Egress,
    config: &Config,
    at: SocketAddr,
    tls: bool,
    keyless: bool,
    lar: &str,
) -> Finding {
    let url = format!("{}://{at}", if tls { "https" } else { "http" });
    let path = if keyless { "/v1/models" } else { "/healthz" };
    let request = Request::new(Method::Get, format!("{url}{path}"), Trust::Operator).timeout(TIMEOUT);
    let who = if at.ip().is_loopback() { "this machine" } else { "other machines" };
    match egress.send(request).await.map(|answer| answer.status()) {
        Ok(200) if keyless => {
            fine(ABOUT, format!("{url} answers {who}, and uses its own key for requests without one"))
        }
        Ok(200) => fine(ABOUT, format!("{url} answers {who}")),
        Ok(401) if keyless => broken(
            ABOUT,
            format!("{url}: the key in its key_file is not valid any more"),
            format!("create another ({lar} keys create NAME) and put it into the key_file"),
        ),
        Ok(403) => {
            let hosts = config.allowed_hosts.iter().cloned().chain([at.ip().to_string()]);
            let hosts = hosts.collect::<Vec<_>>().join(",");
            broken(
                ABOUT,
                format!("{url} rejects requests to the host `{}`", at.ip()),
                format!("{lar} config set allowed_hosts {hosts}; also add the names that others use"),
            )
        }
        Ok(status) => broken(
            ABOUT,
            format!("{url} answers with status {status}"),
            "check whether another program listens there",
        ),
        Err(error) if tls => note(
            ABOUT,
            format!("{url} could not be tried over TLS: {error}"),
            "this is normal for a certificate for a name instead of an address; other machines must trust \
             its issuer",
        ),
        Err(error) => {
            broken(ABOUT, format!("{url} does not answer: {error}"), "check whether a firewall blocks it")
        }
    }
}

/// Returns the addresses at which others reach a listener on `ip`.
fn addresses(ip: IpAddr) -> Vec<IpAddr> {
    if !ip.is_unspecified() {
        return vec![ip];
    }
    let trie = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut own = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    own.extend(local_addresses(&trie).into_iter().map(IpAddr::V4));
    own
}

/// Returns this machine's IPv4 addresses except those of loopback, from the kernel's routing table.
fn local_addresses(trie: &str) -> Vec<Ipv4Addr> {
    let mut found: Vec<Ipv4Addr> = Vec::new();
    let mut last = None;
    for line in trie.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last.filter(|address| !address.is_loopback())
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_read_from_the_kernels_table() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.1\n        \
                    /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n\
                    Local:\n     |-- 10.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(local_addresses(trie), [Ipv4Addr::new(10, 0, 0, 1)]);
        assert!(local_addresses("").is_empty());
    }
}
