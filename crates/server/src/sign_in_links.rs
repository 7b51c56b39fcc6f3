//! The links that sign in a browser. They are only in memory and expire after ten minutes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lar_base::{KeyId, Timestamp, secret};

use crate::authenticator::Authenticator;

/// How long a link is valid.
const LINK_LENGTH: Duration = Duration::from_secs(600);
/// The maximum number of valid links. At the limit, a new link replaces the oldest.
const LINKS_MAX: usize = 16;

/// The key and the expiry of each link, by the digest of its secret.
type LinkTable = HashMap<[u8; 32], (KeyId, Timestamp)>;

/// The unused links. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Links(Arc<Mutex<LinkTable>>);

impl Links {
    /// Creates the secret of a link whose session will belong to `key`, and returns it with its expiry.
    pub(crate) fn make(&self, auth: &Authenticator, key: KeyId) -> (String, Timestamp) {
        let secret = secret::hex(&secret::random_bytes::<32>());
        let expires_at = self.add(auth.digest(&secret), key);
        (secret, expires_at)
    }

    fn add(&self, digest: [u8; 32], key: KeyId) -> Timestamp {
        let (now, mut links) = (Timestamp::now(), self.0.lock().unwrap_or_else(PoisonError::into_inner));
        links.retain(|_, (_, expires_at)| *expires_at > now);
        if links.len() >= LINKS_MAX
            && let Some(oldest) = links.iter().min_by_key(|(_, (_, at))| *at).map(|(digest, _)| *digest)
        {
            links.remove(&oldest);
        }
        let expires_at = now.after(LINK_LENGTH);
        links.insert(digest, (key, expires_at));
        expires_at
    }

    /// Removes the links of a revoked key.
    pub(crate) fn remove_of(&self, key: KeyId) {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, (other, _)| *other != key);
    }

    /// Uses up a link. Returns the key of its session, or `None` if the link is unknown or has expired.
    pub(crate) fn take(&self, digest: &[u8; 32]) -> Option<KeyId> {
        let (key, expires_at) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(digest)?;
        (expires_at > Timestamp::now()).then_some(key)
    }
}

/// Returns the URL of a link to the server at this address.
pub(crate) fn url(address: SocketAddr, secret: &str) -> String {
    format!("http://{address}/#sign-in={secret}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_once_and_for_ten_minutes() {
        let (links, key) = (Links::default(), KeyId::new());
        let before = Timestamp::now();
        let expires_at = links.add([1; 32], key);
        let minutes = Duration::from_secs(600);
        assert!((before.after(minutes)..=Timestamp::now().after(minutes)).contains(&expires_at));
        assert_eq!(
            (links.take(&[2; 32]), links.take(&[1; 32]), links.take(&[1; 32])),
            (None, Some(key), None)
        );

        links.0.lock().unwrap().insert([1; 32], (key, Timestamp::from_millis(1)));
        assert_eq!(links.take(&[1; 32]), None, "the link has expired");
        links.add([1; 32], key);
        links.remove_of(key);
        assert_eq!(links.take(&[1; 32]), None, "the key was revoked");
    }
}
