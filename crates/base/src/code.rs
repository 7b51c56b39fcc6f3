//! The table of error codes. Every error that reaches a caller carries one of these.
//!
//! A code defines the HTTP status, the title and whether a retry may succeed. Each has a page in
//! `docs/errors/CODE.md`; `cargo test -p xtask` checks that the page exists.

use std::fmt;

macro_rules! codes {
    ($(
        $(#[$doc:meta])*
        $name:ident = $text:literal, $status:literal, $retriable:ident, $title:literal;
    )+) => {
        /// An error code of the public API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// Returns the code as written on the wire, such as `QUEUE_FULL`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)+ }
            }

            /// Returns the HTTP status of responses with this code.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Code::$name => $status,)+ }
            }

            /// Returns whether the same request may succeed later.
            #[must_use]
            pub const fn retriable(self) -> bool {
                match self { $(Code::$name => codes!(@$retriable),)+ }
            }

            /// Returns the RFC 9457 title, which is the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)+ }
            }
        }
    };
    (@retriable) => { true };
    (@final) => { false };
}

codes! {
    /// A field is missing, malformed or out of range. The problem names each such field.
    InvalidParams = "INVALID_PARAMS", 400, final, "The request is not valid";
    /// The prompt and the answer do not fit in the model's context.
    ContextTooLong = "CONTEXT_TOO_LONG", 400, final, "The prompt is longer than the model's context";
    /// The engine does not support a parameter that would change the output.
    UnsupportedParam = "UNSUPPORTED_PARAM", 400, final, "The engine does not support a parameter";
    /// A model file does not have the expected digest or format.
    UntrustedArtifact = "UNTRUSTED_ARTIFACT", 400, final, "The file is not what it claims to be";
    /// The key is missing, unknown, revoked or expired.
    Unauthenticated = "UNAUTHENTICATED", 401, final, "A valid key is required";
    /// The key lacks a scope, or the request came from another site.
    ForbiddenScope = "FORBIDDEN_SCOPE", 403, final, "This key may not do that";
    /// The key has no access to the requested memory space.
    ForbiddenSpace = "FORBIDDEN_SPACE", 403, final, "This key cannot access that space";
    /// The object does not exist or belongs to another user.
    NotFound = "NOT_FOUND", 404, final, "Not found";
    /// The path exists but does not support the method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405, final, "This path does not support that method";
    /// The change contradicts the current state, such as a name that is taken.
    Conflict = "CONFLICT", 409, final, "The current state does not allow this";
    /// Another request changed the object since the caller read it.
    VersionMismatch = "VERSION_MISMATCH", 412, final, "The object has changed since you read it";
    /// The request body exceeds its size limit.
    BodyTooLarge = "BODY_TOO_LARGE", 413, final, "The body is too large";
    /// The path does not accept the body's media type.
    UnsupportedMedia = "UNSUPPORTED_MEDIA", 415, final, "The body's type is not supported";
    /// The deadline cannot be met, so the task was not admitted.
    DeadlineUnmet = "DEADLINE_UNMET", 422, final, "The deadline cannot be met";
    /// Another request already used the `Idempotency-Key`.
    IdempotencyMismatch = "IDEMPOTENCY_MISMATCH", 422, final,
        "The Idempotency-Key belongs to another request";
    /// A caller with access to the task cancelled it. The status is nginx's "client closed request".
    Cancelled = "CANCELLED", 499, final, "The task was cancelled";
    /// The key sent too many requests.
    RateLimited = "RATE_LIMITED", 429, retriable, "Too many requests";
    /// The queue of the pool and priority is full.
    QueueFull = "QUEUE_FULL", 429, retriable, "The queue is full";
    /// A fault in Lar itself.
    Internal = "INTERNAL", 500, final, "Internal error";
    /// The engine stopped or failed during the task.
    EngineFailed = "ENGINE_FAILED", 502, retriable, "The engine failed";
    /// The model is not loaded yet.
    PoolUnready = "POOL_UNREADY", 503, retriable, "The model is not ready";
    /// The model cannot be loaded or downloaded, or the engine cannot be reached.
    PoolUnavailable = "POOL_UNAVAILABLE", 503, retriable, "The model cannot be served";
    /// The database cannot be read or written.
    StoreUnavailable = "STORE_UNAVAILABLE", 503, retriable, "The database is not available";
    /// The database file is damaged and must be restored from a backup or salvaged.
    StoreDamaged = "STORE_DAMAGED", 503, final, "The database is damaged";
    /// A required component is not installed. The detail names it and says how to install it.
    ComponentUnavailable = "COMPONENT_UNAVAILABLE", 503, final, "A required component is not installed";
    /// The disk is full, the user's quota is used up, or a file reached its size limit.
    StorageFull = "STORAGE_FULL", 503, retriable, "The disk is full";
    /// The deadline passed before the task ended.
    DeadlineExceeded = "DEADLINE_EXCEEDED", 504, retriable, "The deadline passed";
}

impl Code {
    /// Parses a code as written on the wire and stored with a task.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_unique_and_parse_back() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
            assert!((400..600).contains(&code.status()), "{code}");
        }
    }
}
