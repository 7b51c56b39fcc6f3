//! The finding of one check: its severity, and how to fix the problem.

use serde::Serialize;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Fine,
    Note,
    Broken,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) about: &'static str,
    pub(super) found: String,
    /// How to fix the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
    /// The deprecated name of `fix` in the JSON output.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn new(level: Level, about: &'static str, found: String, fix: Option<String>) -> Self {
        Self { level, about, found, mend: fix.clone(), fix }
    }
}

/// Returns a finding without a problem.
pub(super) fn fine(about: &'static str, found: impl Into<String>) -> Finding {
    Finding::new(Level::Fine, about, found.into(), None)
}

/// Returns a problem that does not prevent the use of Lar, and its fix.
pub(super) fn note(about: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding::new(Level::Note, about, found.into(), Some(fix.into()))
}

/// Returns a problem that prevents the use of Lar or of a part of it, and its fix.
pub(super) fn broken(about: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding::new(Level::Broken, about, found.into(), Some(fix.into()))
}
