//! The dry run of ingest: the decision about each item, without storing anything.
//!
//! It makes the checks of [`Memories::ingest`] in the same order, but one refused item does not refuse the
//! others. Embedding is left out, because it decides nothing.

use std::collections::HashSet;

use lar_base::{MemoryId, Problem};

use super::{BATCH_MAX, Item, check, hash, screen_item};
use crate::secret_policy::SecretPolicy;
use crate::{Error, Memories, WriteAccess};

/// The decision that [`Memories::ingest`] would make about an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngestPreview {
    /// The item would become a new memory.
    Create {
        /// The rules that found secrets, which would be redacted.
        redacted: Vec<String>,
    },
    /// An identical memory exists, or an earlier item of the same call is identical.
    Duplicate {
        /// The id of the existing memory; `None` for an identical item.
        of: Option<MemoryId>,
    },
    /// The item would be refused.
    Refuse(Problem),
}

impl Memories {
    /// Decides about items as [`Memories::ingest`] would, and stores nothing. An item that could not be
    /// parsed is refused with its error.
    ///
    /// # Errors
    /// [`lar_base::Code::InvalidParams`] if there is no item, or more than a batch may have; when the database
    /// fails.
    pub async fn preview_ingest(
        &self,
        writer: &WriteAccess,
        items: Vec<Result<Item, Problem>>,
    ) -> Result<Vec<IngestPreview>, Problem> {
        if items.is_empty() || items.len() > BATCH_MAX {
            return Err(Problem::invalid("items", format!("must contain 1 to {BATCH_MAX} memories")));
        }
        let policy = self.options.secrets;
        let checking = tokio::task::spawn_blocking(move || {
            items.into_iter().map(|item| screened(item, policy)).collect::<Vec<_>>()
        });
        let checked = checking.await.map_err(Error::abort_error("checking memories"))?;
        let mut seen = HashSet::new();
        let mut previews = Vec::with_capacity(checked.len());
        for item in checked {
            previews.push(match item {
                Ok((item, redacted)) => self.preview(writer, &item, redacted, &mut seen).await?,
                Err(problem) => IngestPreview::Refuse(problem),
            });
        }
        Ok(previews)
    }

    /// Decides about a screened item. `seen` has the hashes of the items before it.
    async fn preview(
        &self,
        writer: &WriteAccess,
        item: &Item,
        redacted: Vec<String>,
        seen: &mut HashSet<[u8; 32]>,
    ) -> Result<IngestPreview, Problem> {
        if let Some(after) = item.after {
            match self.store.memory_get(vec![writer.space], after).await {
                Ok(_) => {}
                Err(missing @ lar_store::Error::NotFound(_)) => {
                    return Ok(IngestPreview::Refuse(missing.into()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (source, project) = (item.source.as_deref(), item.project.as_deref());
        let hash = hash(&item.content, &item.tags, source, project, item.occurred_at);
        if let Some(same) = self.store.memory_by_hash(writer.space, hash).await? {
            return Ok(IngestPreview::Duplicate { of: Some(same.id) });
        }
        let is_first = seen.insert(hash);
        Ok(if is_first { IngestPreview::Create { redacted } } else { IngestPreview::Duplicate { of: None } })
    }
}

/// Checks an item and screens it for secrets.
fn screened(item: Result<Item, Problem>, policy: SecretPolicy) -> Result<(Item, Vec<String>), Problem> {
    screen_item(check(item?)?, policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_with_a_secret_is_refused_or_redacted_by_the_policy() {
        let item = || Ok(Item { content: "my password is hunter22".into(), ..Item::default() });
        let refused = screened(item(), SecretPolicy::Refuse).unwrap_err();
        assert!(refused.detail.contains("looks like a secret"), "{}", refused.detail);
        let (redacted, rules) = screened(item(), SecretPolicy::Redact).unwrap();
        assert!(!redacted.content.contains("hunter22") && !rules.is_empty(), "{}", redacted.content);
        let unparsed = screened(Err(Problem::invalid("kind", "is unknown")), SecretPolicy::Refuse);
        assert_eq!(unparsed.unwrap_err().detail, "`kind` is unknown");
    }
}
