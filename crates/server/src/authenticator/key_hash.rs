//! The hash by which the database knows a secret: HMAC-SHA-256 under the key of the data directory, the pepper.

use hmac::{Hmac, KeyInit as _, Mac as _};
use lar_base::Secret;
use sha2::Sha256;

/// Returns the HMAC-SHA-256 of a secret.
pub(super) fn hmac_sha256(pepper: &Secret, secret: &str) -> [u8; 32] {
    let mut mac = <Hmac<Sha256>>::new_from_slice(pepper.expose().as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC accepts keys of any length"));
    mac.update(secret.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use lar_base::secret::hex;

    use super::*;

    #[test]
    fn a_secret_is_stored_as_its_hmac_under_the_pepper() {
        // Computed by OpenSSL: `openssl dgst -sha256 -hmac key`.
        let text = "The quick brown fox jumps over the lazy dog";
        let expected = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
        assert_eq!(hex(&hmac_sha256(&Secret::new("key"), text)), expected);
        assert_ne!(hex(&hmac_sha256(&Secret::new("another"), text)), expected);
    }
}
