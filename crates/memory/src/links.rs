//! Links between memories, of which the newer may make the older outdated: listing them, and carrying out
//! the decision of a person.
//!
//! Smart ingest creates links. Until a person decides, both memories are current. A decision that changes
//! memories is undone like any other, which opens the link again.

use lar_base::{Code, LinkId, MemoryId, Problem};
use lar_store::{Change, LinkResolution, Memory, MemoryDecision, MemoryLink};

use crate::ingest::{self, CONTENT_BYTES_MAX};
use crate::smart::Decision;
use crate::supersede::{Rewrite, TRIES_MAX, confirm_change, join_tags, supersede_change};
use crate::{Memories, ReadAccess, WriteAccess};

/// The reason in the history of memories for each decision.
const REPLACED: &str = "you chose to replace it";
const MERGED: &str = "you chose to merge them";

/// An open link with its memories.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkedPair {
    /// The link, about which nobody has decided.
    pub link: MemoryLink,
    /// The memory that may be outdated.
    pub older: Memory,
    /// The memory that says something else.
    pub newer: Memory,
}

/// A page of open links.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkPage {
    /// The links, newest first.
    pub pairs: Vec<LinkedPair>,
    /// The value of `after` for the next page; `None` on the last page.
    pub next: Option<LinkId>,
}

impl Memories {
    /// Lists open links, newest first: at most `limit`, older than `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_links(
        &self,
        reader: &ReadAccess,
        after: Option<LinkId>,
        limit: u32,
    ) -> Result<LinkPage, Problem> {
        let links = self.store.links_open(reader.spaces.clone(), after, limit).await?;
        let next = (links.len() == limit as usize).then(|| links.last().map(|link| link.id)).flatten();
        let ids = links.iter().flat_map(|link| [link.older, link.newer]).collect();
        let memories = self.store.memories_by_id(reader.spaces.clone(), ids).await?;
        let find = |id: MemoryId| memories.iter().find(|memory| memory.id == id).cloned();
        // A memory that was deleted meanwhile is missing, and its link is not open any more.
        let pairs = links.into_iter().filter_map(|link| {
            let (older, newer) = find(link.older).zip(find(link.newer))?;
            Some(LinkedPair { link, older, newer })
        });
        Ok(LinkPage { pairs: pairs.collect(), next })
    }

    /// Returns the open links that touch these memories, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn links_of(
        &self,
        reader: &ReadAccess,
        memories: Vec<MemoryId>,
    ) -> Result<Vec<MemoryLink>, Problem> {
        Ok(self.store.links_of(reader.spaces.clone(), memories).await?)
    }

    /// Carries out a person's decision about a link, and returns the newer memory as it is afterwards.
    ///
    /// - [`LinkResolution::Replace`]: the newer memory supersedes the older one, and is confirmed.
    /// - [`LinkResolution::Merge`]: the newer memory gets the text of the older one, a line break and its own
    ///   text, and the tags of both. It supersedes the older one.
    /// - Otherwise, no memory changes.
    ///
    /// # Errors
    /// [`Code::NotFound`]; [`Code::ForbiddenSpace`] if the writer may only read the space of the link;
    /// [`Code::Conflict`] if the link is not open, or another memory has the merged text;
    /// [`Code::InvalidParams`] if the merged text is longer than 1 MiB or has more than 64 tags;
    /// [`Code::VersionMismatch`] if other requests keep changing the memories.
    pub async fn resolve_link(
        &self,
        writer: &WriteAccess,
        id: LinkId,
        resolution: LinkResolution,
    ) -> Result<Memory, Problem> {
        let link = self.get_writable_link(writer, id).await?;
        // A smart ingest that compares with one of the memories runs before or after.
        let _lock = self.space_locks.lock(link.space).await;
        for _ in 0..TRIES_MAX {
            match self.try_resolve_link(writer, &link, resolution).await {
                Err(problem) if problem.code == Code::VersionMismatch => {}
                done => return done,
            }
        }
        Err(Problem::new(Code::VersionMismatch, "other requests keep changing these memories; try again"))
    }

    async fn try_resolve_link(
        &self,
        writer: &WriteAccess,
        link: &MemoryLink,
        resolution: LinkResolution,
    ) -> Result<Memory, Problem> {
        let spaces = vec![link.space];
        let older = self.store.memory_get(spaces.clone(), link.older).await?;
        let newer = self.store.memory_get(spaces.clone(), link.newer).await?;
        let superseded = supersede_change(&older, newer.id, newer.valid_from);
        // Each decision also changes the newer memory: undoing it from there restores the older one, too.
        let (change, action, reason) = match resolution {
            LinkResolution::Replace => (confirm_change(&newer), Decision::Supersede, REPLACED),
            LinkResolution::Merge => {
                let content = merged_text(&older, &newer)?;
                let rewrite = Rewrite { content, tags: &older.tags, valid_from: None, valid_to: None };
                (self.rewrite_change(writer, &newer, rewrite).await?, Decision::Merge, MERGED)
            }
            LinkResolution::KeepBoth | LinkResolution::Unrelated => {
                self.store.link_resolve(spaces, link.id, resolution).await?;
                return Ok(newer);
            }
        };
        let decision = MemoryDecision {
            changes: vec![change, superseded],
            resolved: Some((link.id, resolution)),
            ..MemoryDecision::default()
        };
        let change = Change::new(writer.caller.key(), action.as_str(), Some(reason.into()));
        let applied = self.commit_decision(spaces, decision, change, None).await?;
        applied.changed.into_iter().next().ok_or_else(|| Problem::not_found(format!("memory {}", newer.id)))
    }

    /// Loads a link that the writer may resolve.
    async fn get_writable_link(&self, writer: &WriteAccess, id: LinkId) -> Result<MemoryLink, Problem> {
        let found = self.store.link_get(writer.spaces.clone(), id).await;
        if matches!(found, Err(lar_store::Error::NotFound(_)))
            && self.store.link_get(writer.read_only.clone(), id).await.is_ok()
        {
            let reason = format!("you have only read access to the space of link {id}");
            return Err(Problem::new(Code::ForbiddenSpace, reason));
        }
        Ok(found?)
    }
}

/// Returns the text of a merged memory.
///
/// # Errors
/// [`Code::InvalidParams`] if the text is too long, or there are too many tags.
fn merged_text(older: &Memory, newer: &Memory) -> Result<String, Problem> {
    let text = format!("{}\n{}", older.content, newer.content);
    if text.len() > CONTENT_BYTES_MAX {
        let reason = format!(
            "cannot be `merge`: both texts have {} bytes together, and the limit is {CONTENT_BYTES_MAX}; \
             replace the older memory or keep both",
            text.len()
        );
        return Err(Problem::invalid("resolution", reason));
    }
    ingest::check_tags(join_tags(&newer.tags, &older.tags))?;
    Ok(text)
}
