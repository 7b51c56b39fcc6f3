//! The treatment of texts that contain secrets.

use lar_base::Problem;
use lar_text::secrets;

/// The handling of texts that contain secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretPolicy {
    /// The memory is refused.
    #[default]
    Refuse,
    /// The secret is redacted and the rest is saved.
    Redact,
    /// The memory is refused, and a redacted copy goes to the inbox for the user to decide.
    Quarantine,
}

impl SecretPolicy {
    /// Scans the text of a field, redacts it if the policy says so, and returns the rules that found secrets.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] if the text contains secrets and the policy refuses them.
    pub(crate) fn screen(self, field: &str, text: &mut String) -> Result<Vec<String>, Problem> {
        let secrets = secrets::find(text);
        if secrets.is_empty() {
            return Ok(Vec::new());
        }
        if self == Self::Redact {
            *text = secrets::redact(text, &secrets);
            return Ok(secrets.into_iter().map(|secret| secret.rule).collect());
        }
        let rules: Vec<&str> = secrets.iter().map(|secret| secret.rule.as_str()).collect();
        let reason =
            format!("contains what looks like a secret ({}); secrets are not saved", rules.join(", "));
        Err(Problem::invalid(field, reason))
    }
}
