//! TLS with files: a certificate with its chain, and its private key, both in PEM format.
//!
//! When the files change on disk, as a renewal does, new connections use the new files. If they cannot be
//! used, Lar logs a warning and keeps the old certificate.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lar_base::files::{TEXT_BYTES_MAX, read_small};
use lar_base::{Instant, Timestamp};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The minimum time between two checks for changed files. Only a new connection causes a check.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The TLS files of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The PEM file with the certificate and its chain.
    pub certificate: PathBuf,
    /// The PEM file with the private key that belongs to the certificate.
    pub private_key: PathBuf,
}

/// The TLS side of a listener, with its current certificate.
pub(super) struct Tls {
    files: TlsFiles,
    current: Mutex<LoadedCertificate>,
}

struct LoadedCertificate {
    acceptor: TlsAcceptor,
    modified_at: Option<Timestamp>,
    checked_at: Instant,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// The file that cannot be read or used, and the reason.
    pub(super) fn read(files: TlsFiles) -> std::io::Result<Self> {
        let current = LoadedCertificate {
            acceptor: acceptor(&files)?,
            modified_at: modified_at(&files),
            checked_at: Instant::now(),
        };
        Ok(Self { files, current: Mutex::new(current) })
    }

    /// Returns the acceptor for the next connection, after it reloaded changed files.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.checked_at.elapsed() >= LOOK_EVERY {
            current.checked_at = Instant::now();
            let found = modified_at(&self.files);
            if found != current.modified_at {
                match acceptor(&self.files) {
                    Ok(acceptor) => {
                        tracing::info!(file = %self.files.certificate.display(), "loaded a new certificate");
                        (current.acceptor, current.modified_at) = (acceptor, found);
                    }
                    Err(error) => tracing::warn!(%error, "could not load a changed certificate"),
                }
            }
        }
        current.acceptor.clone()
    }
}

fn acceptor(files: &TlsFiles) -> std::io::Result<TlsAcceptor> {
    let read = |path: &Path| read_small(path, TEXT_BYTES_MAX).map_err(|error| bad(path, error));
    let certificates = read(&files.certificate)?;
    let chain = CertificateDer::pem_slice_iter(&certificates)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(&files.certificate, error))?;
    if chain.is_empty() {
        return Err(bad(&files.certificate, "the file contains no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.private_key)?);
    let key = key.map_err(|error| bad(&files.private_key, error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| bad(&files.certificate, error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Returns when the files last changed.
fn modified_at(files: &TlsFiles) -> Option<Timestamp> {
    let of = |path: &Path| path.metadata().and_then(|about| about.modified()).ok().map(Timestamp::from);
    of(&files.certificate).max(of(&files.private_key))
}

fn bad(path: &Path, reason: impl std::fmt::Display) -> std::io::Error {
    let detail = format!("{} cannot be used for TLS: {reason}", path.display());
    std::io::Error::new(std::io::ErrorKind::InvalidData, detail)
}
