//! The one way out. Every connection that Lar opens to another machine, or lets a child tool open, starts
//! here, is checked against the policy and is counted by destination.
//!
//! Invariant: no other crate opens an outbound socket. What a *caller* names (a model's URL) may not lead
//! to a private address, checked after resolution; what the *operator* configured (an engine on the LAN)
//! may. Neighbours: [`address`] decides what is private, [`proxy`] serves child tools such as pip.

pub mod address;
mod client;
mod ledger;
pub mod proxy;

pub use client::{Body, Egress, Method, Request, Response, Trust, check_base};
pub use ledger::Ledger;
pub use proxy::ChildProxy;

use lar_base::{Code, Problem};

/// Why something outside was not reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no URL, or not one of http and https.
    #[error("`{url}` is not an http or https URL: {reason}")]
    BadUrl {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The policy forbids the destination.
    #[error("{destination} is refused: {reason}")]
    Refused {
        /// Host and port.
        destination: String,
        /// Which rule forbids it.
        reason: &'static str,
    },
    /// No connection, or it broke before the answer was complete.
    #[error("{destination} could not be reached: {reason}")]
    Unreachable {
        /// Host and port.
        destination: String,
        /// The innermost cause, without the URL.
        reason: String,
    },
    /// The time allowed for it is over.
    #[error("{destination} did not answer in time")]
    TimedOut {
        /// Host and port.
        destination: String,
    },
    /// The proxy for child tools could not listen.
    #[error("the proxy for child tools could not listen on loopback")]
    Proxy(#[source] std::io::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match error {
            Error::BadUrl { .. } | Error::Refused { .. } => Code::InvalidParams,
            Error::Unreachable { .. } | Error::TimedOut { .. } => Code::PoolUnavailable,
            Error::Proxy(_) => Code::Internal,
        };
        Problem::new(code, error.to_string())
    }
}
