//! The one table of error codes. Every error that reaches a caller carries one of these.
//!
//! A code says what a caller would do: its HTTP status, whether the same request may succeed later, and the
//! page that explains it (`docs/errors/CODE.md`; `cargo test -p xtask` checks that each exists).

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $retriable:ident, $title:literal;)+) => {
        /// What went wrong, in the vocabulary of the public contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// The code as it is written on the wire, such as `QUEUE_FULL`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)+ }
            }

            /// The HTTP status it answers with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Code::$name => $status,)+ }
            }

            /// Whether the same request, sent again later, may succeed.
            #[must_use]
            pub const fn retriable(self) -> bool {
                match self { $(Code::$name => codes!(@$retriable),)+ }
            }

            /// The RFC 9457 title: the same words for every occurrence.
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
    /// A field is missing, malformed or out of range; the problem names each.
    InvalidParams = "INVALID_PARAMS", 400, final, "The request is not valid";
    /// Prompt and answer do not fit in the model's context.
    ContextTooLong = "CONTEXT_TOO_LONG", 400, final, "The prompt is longer than the model's context";
    /// A field that would change the output, which the engine cannot honour.
    UnsupportedParam = "UNSUPPORTED_PARAM", 400, final, "The engine cannot honour a parameter";
    /// A model file whose digest or format is not what was promised.
    UntrustedArtifact = "UNTRUSTED_ARTIFACT", 400, final, "The file is not what it claims to be";
    /// No key, or one that is unknown, revoked or expired.
    Unauthenticated = "UNAUTHENTICATED", 401, final, "A valid key is needed";
    /// The key lacks a scope, or the request came from another site.
    ForbiddenScope = "FORBIDDEN_SCOPE", 403, final, "This key may not do that";
    /// Memories of another space than the key's.
    ForbiddenSpace = "FORBIDDEN_SPACE", 403, final, "This key does not see that space";
    /// There is no such thing, or it is not the caller's.
    NotFound = "NOT_FOUND", 404, final, "There is no such thing";
    /// The path exists, the method does not.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405, final, "This path does not take that method";
    /// The state of the thing forbids the change.
    Conflict = "CONFLICT", 409, final, "The state of the thing forbids it";
    /// Someone else changed the thing first.
    VersionMismatch = "VERSION_MISMATCH", 412, final, "The thing has changed since you read it";
    /// The body is over its limit.
    BodyTooLarge = "BODY_TOO_LARGE", 413, final, "The body is too large";
    /// The body is of a type this path does not read.
    UnsupportedMedia = "UNSUPPORTED_MEDIA", 415, final, "The body's type is not supported";
    /// The deadline cannot be met, so the task was not taken.
    DeadlineUnmet = "DEADLINE_UNMET", 422, final, "The deadline cannot be met";
    /// An `Idempotency-Key` that another request used.
    IdempotencyMismatch = "IDEMPOTENCY_MISMATCH", 422, final, "The Idempotency-Key belongs to another request";
    /// The caller, or another who may see the task, cancelled it. The status is nginx's of a request that its client gave up.
    Cancelled = "CANCELLED", 499, final, "The task was cancelled";
    /// Too many requests by this key.
    RateLimited = "RATE_LIMITED", 429, retriable, "Too many requests";
    /// The queue of the pool and priority is full.
    QueueFull = "QUEUE_FULL", 429, retriable, "The queue is full";
    /// A fault of Lar itself.
    Internal = "INTERNAL", 500, final, "Lar made a mistake";
    /// The engine stopped or failed in the middle.
    EngineFailed = "ENGINE_FAILED", 502, retriable, "The engine failed";
    /// The model is not loaded yet.
    PoolUnready = "POOL_UNREADY", 503, retriable, "The model is not ready";
    /// The model cannot be loaded.
    PoolUnavailable = "POOL_UNAVAILABLE", 503, retriable, "The model cannot be served";
    /// The database cannot be read or written.
    StoreUnavailable = "STORE_UNAVAILABLE", 503, retriable, "The database is not available";
    /// The database file is damaged; it takes a backup, or what can be saved of it.
    StoreDamaged = "STORE_DAMAGED", 503, final, "The database is damaged";
    /// A part that this needs is not installed; the detail says which and how to get it.
    ComponentUnavailable = "COMPONENT_UNAVAILABLE", 503, final, "A needed part is not installed";
    /// The disk is full.
    StorageFull = "STORAGE_FULL", 503, retriable, "The disk is full";
    /// The deadline passed before the end.
    DeadlineExceeded = "DEADLINE_EXCEEDED", 504, retriable, "The deadline passed";
}

impl Code {
    /// Finds a code by its wire spelling, as stored with a task.
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
