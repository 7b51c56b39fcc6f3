//! All outbound connections of Lar and its child tools, checked against a policy and counted by destination.
//!
//! Invariant: no other crate opens an outbound socket. A URL from a *caller* (such as a model's) must not
//! lead to a private address, which is checked after name resolution. A URL from the *operator* (such as an
//! engine on the LAN) may. [`address`] decides which addresses are public; [`proxy`] serves child tools such
//! as pip.

pub mod address;
mod client;
mod ledger;
pub mod proxy;

pub use client::{Body, Egress, Method, Request, Response, Trust, check_base};
pub use ledger::Ledger;
pub use proxy::ChildProxy;

use lar_base::{Code, Problem};

/// The reason why a destination was not reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not an http or https URL.
    #[error("`{url}` is not an http or https URL: {reason}")]
    BadUrl {
        /// The text as given.
        url: String,
        /// Why the text is not a URL, in words.
        reason: String,
    },
    /// The policy does not allow the destination.
    #[error("{destination} is refused: {reason}")]
    Refused {
        /// The host and port.
        destination: String,
        /// The rule that forbids the destination, in words.
        reason: &'static str,
    },
    /// The connection failed or broke before the response was complete.
    #[error("{destination} could not be reached: {reason}")]
    Unreachable {
        /// The host and port.
        destination: String,
        /// The innermost cause, without the URL.
        reason: String,
    },
    /// A timeout passed before the response was complete.
    #[error("{destination} did not answer in time")]
    TimedOut {
        /// The host and port.
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
