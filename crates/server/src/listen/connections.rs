//! The open connections: how many there may be, in total and per peer, and which one is closed to make room.
//!
//! A connection is in use while Lar answers a request whose key it recognized. All other connections are
//! idle, including those that have sent half a request's head or no key yet. When there is no room, the
//! connection that has been idle longest is closed.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::Service as HyperService;
use hyper::{Request, Response};
use hyper_util::service::TowerToHyperService;
use tokio_util::sync::CancellationToken;

/// Programs on this machine leave one eighth of all connections to other peers.
const LOOPBACK_RESERVE_SHARE: usize = 8;

/// The maximum numbers of open connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnectionLimits {
    pub(super) total: usize,
    pub(super) per_address: usize,
}

/// A peer, whose connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Peer {
    /// All programs on this machine, including a reverse proxy.
    Loopback,
    /// An IPv4 address, or an IPv6 /64 network, which belongs to one customer (RFC 6177).
    Address(IpAddr),
}

impl Peer {
    fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Self::Loopback,
            IpAddr::V6(ip) => {
                let network = u128::from(ip) & !u128::from(u64::MAX);
                Self::Address(Ipv6Addr::from(network).into())
            }
            ip => Self::Address(ip),
        }
    }
}

/// The open connections of all listeners.
#[derive(Debug)]
pub(super) struct Connections {
    limits: ConnectionLimits,
    state: Mutex<ConnectionTable>,
}

#[derive(Debug, Default)]
struct ConnectionTable {
    /// The next number, for a connection or for a moment at which one becomes idle.
    next: u64,
    open: HashMap<u64, OpenConnection>,
    /// The idle connections, by the moment at which they became idle.
    idle: BTreeMap<u64, u64>,
    by_peer: HashMap<Peer, usize>,
}

#[derive(Debug)]
struct OpenConnection {
    peer: Peer,
    /// The moment at which the connection became idle; `None` while it is in use.
    idle_since: Option<u64>,
    close: CancellationToken,
}

impl ConnectionTable {
    fn mark_idle(&mut self, id: u64) {
        let Some(open) = self.open.get_mut(&id) else { return };
        if open.idle_since.is_none() {
            let moment = self.next;
            self.next += 1;
            open.idle_since = Some(moment);
            self.idle.insert(moment, id);
        }
    }

    fn mark_busy(&mut self, id: u64) {
        let Some(open) = self.open.get_mut(&id) else { return };
        if let Some(moment) = open.idle_since.take() {
            self.idle.remove(&moment);
        }
    }

    fn remove(&mut self, id: u64) -> Option<OpenConnection> {
        let open = self.open.remove(&id)?;
        if let Some(moment) = open.idle_since {
            self.idle.remove(&moment);
        }
        if let Some(count) = self.by_peer.get_mut(&open.peer) {
            *count -= 1;
            if *count == 0 {
                self.by_peer.remove(&open.peer);
            }
        }
        Some(open)
    }

    /// Closes the connection that has been idle longest, of one peer or of all, and returns whether there was
    /// one.
    fn close_idle(&mut self, of: Option<Peer>) -> bool {
        let belongs =
            |id: &u64| of.is_none_or(|peer| self.open.get(id).is_some_and(|open| open.peer == peer));
        let found = self.idle.values().copied().find(|id| belongs(id));
        let closed = found.and_then(|id| self.remove(id));
        closed.map(|open| open.close.cancel()).is_some()
    }
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default() })
    }

    /// Admits a new connection, and closes an idle one if there is no room. Returns `None` if none is idle.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<Connection> {
        let peer = Peer::of(ip);
        let peer_max = match peer {
            Peer::Loopback => self.limits.total - self.limits.total / LOOPBACK_RESERVE_SHARE,
            Peer::Address(_) => self.limits.per_address.min(self.limits.total),
        };
        let mut state = self.lock();
        if state.by_peer.get(&peer).is_some_and(|count| *count >= peer_max) && !state.close_idle(Some(peer)) {
            return None;
        }
        if state.open.len() >= self.limits.total && !state.close_idle(None) {
            return None;
        }
        let (id, close) = (state.next, CancellationToken::new());
        state.next += 1;
        state.open.insert(id, OpenConnection { peer, idle_since: None, close: close.clone() });
        *state.by_peer.entry(peer).or_default() += 1;
        state.mark_idle(id);
        drop(state);
        Some(Connection { handle: ConnectionHandle { id, connections: self.clone() }, close })
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionTable> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An admitted connection. It counts until it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    handle: ConnectionHandle,
    close: CancellationToken,
}

impl Connection {
    /// Waits until this connection must make room for another.
    pub(super) async fn closed(&self) {
        self.close.cancelled().await;
    }

    /// Returns the service that answers the requests of this connection.
    pub(super) fn service(&self, router: Router) -> ConnectionService {
        ConnectionService { router: TowerToHyperService::new(router), handle: self.handle.clone() }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.handle.connections.lock().remove(self.handle.id);
    }
}

/// A request extension: the connection that the request arrived on.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionHandle {
    id: u64,
    connections: Arc<Connections>,
}

impl ConnectionHandle {
    /// Marks the connection as in use until the response ends. The authenticator calls it for a recognized
    /// key.
    pub(crate) fn mark_in_use(&self) {
        self.connections.lock().mark_busy(self.id);
    }
}

/// Answers the requests of one connection.
#[derive(Debug, Clone)]
pub(super) struct ConnectionService {
    router: TowerToHyperService<Router>,
    handle: ConnectionHandle,
}

impl HyperService<Request<Incoming>> for ConnectionService {
    type Response = Response<AnswerBody>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.handle.clone());
        let over = IdleOnDrop(self.handle.clone());
        let answered = self.router.call(request);
        Box::pin(async move { Ok(answered.await?.map(|body| AnswerBody { body, _over: over })) })
    }
}

/// Marks the connection as idle when it is dropped.
#[derive(Debug)]
struct IdleOnDrop(ConnectionHandle);

impl Drop for IdleOnDrop {
    fn drop(&mut self) {
        self.0.connections.lock().mark_idle(self.0.id);
    }
}

/// The body of a response. Dropping it marks the connection as idle.
#[derive(Debug)]
pub(super) struct AnswerBody {
    body: Body,
    _over: IdleOnDrop,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn closed(connections: &[&Connection]) -> Vec<bool> {
        connections.iter().map(|connection| connection.close.is_cancelled()).collect()
    }

    #[test]
    fn the_longest_idle_connection_is_closed_and_none_in_use() {
        let all = Connections::new(ConnectionLimits { total: 3, per_address: 3 });
        let [first, second, third] = [LOCAL, ip("10.0.0.1"), LOCAL].map(|from| all.admit(from).unwrap());
        first.handle.mark_in_use();
        let fourth = all.admit(ip("10.0.0.2")).unwrap();
        assert_eq!(closed(&[&first, &second, &third, &fourth]), [false, true, false, false]);
        third.handle.mark_in_use();
        fourth.handle.mark_in_use();
        assert!(all.admit(ip("10.0.0.3")).is_none(), "all are in use");
        drop(IdleOnDrop(first.handle.clone()));
        let fifth = all.admit(LOCAL).unwrap();
        assert_eq!(closed(&[&first, &third, &fourth, &fifth]), [true, false, false, false]);
        drop([second, first]);
        drop([third, fourth, fifth]);
        let state = all.lock();
        assert!(state.open.is_empty() && state.idle.is_empty() && state.by_peer.is_empty(), "{state:?}");
    }

    #[test]
    fn one_address_leaves_room_for_others() {
        let all = Connections::new(ConnectionLimits { total: 16, per_address: 2 });
        let connect = |from: &str| {
            let connection = all.admit(ip(from))?;
            connection.handle.mark_in_use();
            Some(connection)
        };
        let here: Vec<_> = (0..20).map_while(|_| connect("127.0.0.1")).collect();
        assert_eq!(here.len(), 14, "seven eighths");
        let there: Vec<_> = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(connect).into();
        assert_eq!(there.iter().flatten().count(), 2, "one network");
        assert!(connect("::ffff:127.0.0.1").is_none(), "an IPv4-mapped address of this machine");
    }
}
