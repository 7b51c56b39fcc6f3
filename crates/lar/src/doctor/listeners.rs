//! Who can reach Lar: every place that it listens on is tried, from this machine by the address that others use.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lar_egress::{Egress, Method, Request, Trust};

use super::{Finding, broken, fine, note};
use crate::config::Config;
use crate::data_dir::{self, ServerFile};

/// Answers on the same machine come at once.
const TIMEOUT: Duration = Duration::from_secs(3);
const ABOUT: &str = "reach";

/// What was found of each place.
pub(super) async fn run(config: &Config) -> Vec<Finding> {
    let running = data_dir::running(&config.data_dir).filter(|server| super::alive(server.pid));
    let main =
        (running.as_ref().map_or(config.listen, |server| server_address(config, server)), false, false);
    let further = config
        .listeners
        .iter()
        .map(|listener| (listener.addr, listener.cert_file.is_some(), listener.key_file.is_some()));
    let places: Vec<(SocketAddr, bool, bool)> = std::iter::once(main).chain(further).collect();
    let beyond = places.iter().any(|(at, ..)| !at.ip().is_loopback());
    let mut findings = Vec::new();
    if !beyond {
        findings.push(note(
            ABOUT,
            "this machine only; containers and other machines cannot reach it",
            "where that is wanted: a [[listener]] with TLS, a reverse proxy, or insecure_lan; see the guide on reach",
        ));
    }
    if running.is_none() {
        if beyond || places.len() > 1 {
            let message = "Lar is not running, so none of its places was tried";
            findings.push(note(ABOUT, message, "start it, then run lar doctor again"));
        }
        return findings;
    }
    let Ok(egress) = Egress::new() else { return findings };
    for (at, tls, keyless) in places.into_iter().filter(|(at, ..)| at.port() != 0) {
        for ip in addresses(at.ip()) {
            findings.push(probe(&egress, SocketAddr::new(ip, at.port()), tls, keyless).await);
        }
    }
    findings
}

/// Where the server listens: it may have been started for another place than is configured.
fn server_address(config: &Config, server: &ServerFile) -> SocketAddr {
    let address = server.url.strip_prefix("http://").and_then(|at| at.parse::<SocketAddr>().ok());
    match address {
        // It tells of the one address of all by which this machine reaches it.
        Some(at) if at.ip().is_loopback() => SocketAddr::new(config.listen.ip(), at.port()),
        Some(at) => at,
        None => config.listen,
    }
}

async fn probe(egress: &Egress, at: SocketAddr, tls: bool, keyless: bool) -> Finding {
    let url = format!("{}://{at}", if tls { "https" } else { "http" });
    let path = if keyless { "/v1/models" } else { "/healthz" };
    let request = Request::new(Method::Get, format!("{url}{path}"), Trust::Operator).timeout(TIMEOUT);
    let who = if at.ip().is_loopback() { "this machine" } else { "other machines" };
    match egress.send(request).await.map(|answer| answer.status()) {
        Ok(200) if keyless => {
            fine(ABOUT, format!("{url} answers {who}, with its own key for whoever has none"))
        }
        Ok(200) => fine(ABOUT, format!("{url} answers {who}")),
        Ok(401) if keyless => broken(
            ABOUT,
            format!("{url}: its key is not good any more"),
            "make another and put it into the key_file",
        ),
        Ok(403) => broken(
            ABOUT,
            format!("{url} refuses to be called `{}`", at.ip()),
            format!("lar config set allowed_hosts '[\"{}\"]', with the names that others use", at.ip()),
        ),
        Ok(status) => {
            broken(ABOUT, format!("{url} answers with status {status}"), "is it a Lar that listens there?")
        }
        Err(error) if tls => note(
            ABOUT,
            format!("{url} could not be tried as others do: {error}"),
            "a certificate is for a name rather than an address; others need to trust who signed it",
        ),
        Err(error) => broken(ABOUT, format!("{url} does not answer: {error}"), "is a firewall in between?"),
    }
}

/// The addresses by which others reach what listens on `ip`.
fn addresses(ip: IpAddr) -> Vec<IpAddr> {
    if !ip.is_unspecified() {
        return vec![ip];
    }
    let trie = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut own = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    own.extend(local_addresses(&trie).into_iter().map(IpAddr::V4));
    own
}

/// This machine's IPv4 addresses beside loopback's, out of the kernel's table of routes.
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
