//! The checks of an item before it is saved: its fields, secrets in them, and the previous turn.

use lar_base::Problem;

use super::{Item, check_content, check_name, check_tags, check_times};
use crate::secret_policy::SecretPolicy;
use crate::{Error, Memories, WriteAccess};

/// The result of the checks of an item.
pub(super) enum ScreenedItem {
    /// The item may be saved.
    Accepted(AcceptedItem),
    /// The item is refused.
    Refused(Refusal),
}

/// An item that may be saved, with clean fields.
pub(super) struct AcceptedItem {
    pub(super) item: Item,
    /// The rules that found secrets, which were redacted.
    pub(super) redacted: Vec<String>,
    /// The text of the previous turn.
    pub(super) before: Option<String>,
}

/// An item that may not be saved.
pub(super) struct Refusal {
    pub(super) problem: Problem,
    /// A copy without its secrets, for the inbox, with the reason.
    suggestion: Option<(Item, String)>,
}

impl Refusal {
    fn new(problem: Problem) -> Self {
        Self { problem, suggestion: None }
    }
}

impl Memories {
    /// Checks an item.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn screen(&self, writer: &WriteAccess, item: Item) -> Result<ScreenedItem, Problem> {
        let screened = self.screen_all(writer, vec![Ok(item)]).await?.into_iter().next();
        Ok(screened.unwrap_or_else(|| ScreenedItem::Refused(Refusal::new(Problem::not_found("memory")))))
    }

    /// Checks items. An item that could not be parsed is refused with its error.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn screen_all(
        &self,
        writer: &WriteAccess,
        items: Vec<Result<Item, Problem>>,
    ) -> Result<Vec<ScreenedItem>, Problem> {
        let policy = self.options.secrets;
        // Checking a long text takes about a second, so it does not run on the async runtime's threads.
        let screening = tokio::task::spawn_blocking(move || {
            items.into_iter().map(|item| screen_parsed(item, policy)).collect::<Vec<_>>()
        });
        let mut screened = screening.await.map_err(Error::abort_error("checking memories"))?;
        for screened in &mut screened {
            let ScreenedItem::Accepted(accepted) = screened else { continue };
            let Some(after) = accepted.item.after else { continue };
            match self.store.memory_get(vec![writer.space], after).await {
                Ok(before) => accepted.before = Some(before.content),
                Err(missing @ lar_store::Error::NotFound(_)) => {
                    *screened = ScreenedItem::Refused(Refusal::new(missing.into()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(screened)
    }

    /// Adds the copy of a refused item to the inbox, if the policy asks for one, and returns its error.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn quarantine(
        &self,
        writer: &WriteAccess,
        refusal: Refusal,
    ) -> Result<Problem, Problem> {
        let Refusal { mut problem, suggestion } = refusal;
        if let Some((item, reason)) = suggestion {
            problem.detail.push_str("; a copy without the secret is in the inbox");
            self.suggest(writer, item, reason, None).await?;
        }
        Ok(problem)
    }
}

fn screen_parsed(item: Result<Item, Problem>, policy: SecretPolicy) -> ScreenedItem {
    let item = match item.and_then(check) {
        Ok(item) => item,
        Err(problem) => return ScreenedItem::Refused(Refusal::new(problem)),
    };
    match screen_fields(item.clone(), policy) {
        Ok((item, redacted)) => ScreenedItem::Accepted(AcceptedItem { item, redacted, before: None }),
        Err(problem) => {
            let suggestion = match policy {
                SecretPolicy::Quarantine => screen_fields(item, SecretPolicy::Redact).ok(),
                _ => None,
            };
            let suggestion = suggestion.map(|(copy, rules)| {
                let reason = format!("a secret was removed ({})", rules.join(", "));
                (copy, reason)
            });
            ScreenedItem::Refused(Refusal { problem, suggestion })
        }
    }
}

/// Screens the fields of an item for secrets. Returns the redacted item and the rules that found secrets.
fn screen_fields(mut item: Item, policy: SecretPolicy) -> Result<(Item, Vec<String>), Problem> {
    let mut rules = Vec::new();
    let mut screen = |text: &mut String, field: &str| {
        rules.extend(policy.screen(field, text)?);
        Ok::<(), Problem>(())
    };
    screen(&mut item.content, "content")?;
    for tag in &mut item.tags {
        screen(tag, "tags")?;
    }
    for (field, text) in [("source", &mut item.source), ("project", &mut item.project)] {
        if let Some(text) = text {
            screen(text, field)?;
        }
    }
    Ok((item, rules))
}

fn check(mut item: Item) -> Result<Item, Problem> {
    item.content = check_content(&item.content)?;
    item.tags = check_tags(item.tags)?;
    for (field, text) in [
        ("source", &item.source),
        ("project", &item.project),
        ("conversation", &item.conversation),
        ("message", &item.message),
    ] {
        if let Some(text) = text {
            check_name(field, text)?;
        }
    }
    check_times(item.valid_from, item.valid_to)?;
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(item: Result<Item, Problem>, policy: SecretPolicy) -> ScreenedItem {
        screen_parsed(item, policy)
    }

    #[test]
    fn an_item_with_a_secret_is_refused_or_redacted_by_the_policy() {
        let item = || Ok(Item { content: "my password is hunter22".into(), ..Item::default() });
        let ScreenedItem::Refused(refused) = screen(item(), SecretPolicy::Refuse) else { panic!() };
        assert!(refused.problem.detail.contains("looks like a secret"), "{}", refused.problem.detail);
        assert_eq!(refused.suggestion, None);
        let ScreenedItem::Refused(refused) = screen(item(), SecretPolicy::Quarantine) else { panic!() };
        let (copy, reason) = refused.suggestion.unwrap();
        assert!(!copy.content.contains("hunter22") && reason.contains("a secret was removed"), "{reason}");
        let ScreenedItem::Accepted(accepted) = screen(item(), SecretPolicy::Redact) else { panic!() };
        assert!(!accepted.item.content.contains("hunter22") && !accepted.redacted.is_empty());
        let unparsed = screen(Err(Problem::invalid("kind", "is unknown")), SecretPolicy::Refuse);
        let ScreenedItem::Refused(unparsed) = unparsed else { panic!() };
        assert_eq!(unparsed.problem.detail, "`kind` is unknown");
    }
}
