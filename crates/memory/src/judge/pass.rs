//! A pass of the judge over the links of all spaces, newest first.
//!
//! A link whose judgment fails rests for some hours, and a key whose links fail one after another rests for some
//! minutes. So neither a link that always fails nor a key that may not use the model keeps the others waiting. A pass
//! judges each link once at most and ends after [`FAILURES_MAX`] failures, because then the model itself fails.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use lar_base::{Instant, KeyId, LinkId, Problem};
use lar_store::{Store, UnjudgedLink};

/// The number of links that are loaded together.
const PAGE: u32 = 16;
/// The most failures in a pass.
const FAILURES_MAX: usize = 16;
/// The number of failures in a row after which a key rests.
const KEY_FAILURES_MAX: u32 = 2;
/// The rest of a key. Much shorter than that of a link, so that the next links of the key get their turn.
const KEY_REST: Duration = Duration::from_secs(10 * 60);
/// The rest of a link.
const LINK_REST: Duration = Duration::from_secs(6 * 60 * 60);
/// The most links and keys that rest. Beyond that, those are forgotten that have rested longest.
const RESTING_MAX: usize = 1024;

/// The links and keys that rest because judgments failed.
#[derive(Debug, Default)]
pub(super) struct Resting {
    /// When each link is asked again.
    links: HashMap<LinkId, Instant>,
    /// The failures of each key.
    keys: HashMap<KeyId, KeyFailures>,
}

/// The failures of a key since its last judgment that succeeded.
#[derive(Debug, Clone, Copy, Default)]
struct KeyFailures {
    in_a_row: u32,
    /// When its links are asked again.
    until: Instant,
}

impl Resting {
    fn includes(&self, link: LinkId, key: KeyId, now: Instant) -> bool {
        let until = [self.links.get(&link).copied(), self.keys.get(&key).map(|key| key.until)];
        until.into_iter().flatten().any(|until| until > now)
    }

    fn record_success(&mut self, link: LinkId, key: KeyId) {
        self.links.remove(&link);
        self.keys.remove(&key);
    }

    /// Records a failure. Returns whether it is news: whether neither the link nor the key failed before.
    fn record_failure(&mut self, link: LinkId, key: KeyId, now: Instant) -> bool {
        let is_known = self.links.insert(link, now.after(LINK_REST)).is_some();
        let failures = self.keys.entry(key).or_default();
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        if failures.in_a_row >= KEY_FAILURES_MAX {
            failures.until = now.after(KEY_REST);
        }
        let is_first = failures.in_a_row == 1;
        forget_beyond(&mut self.links, |until| *until);
        forget_beyond(&mut self.keys, |key| key.until);
        is_first && !is_known
    }
}

/// Removes the entry that ends first if there are more than [`RESTING_MAX`].
fn forget_beyond<K: Copy + Eq + std::hash::Hash, V>(
    resting: &mut HashMap<K, V>,
    until: impl Fn(&V) -> Instant,
) {
    if resting.len() > RESTING_MAX
        && let Some(first) = resting.iter().min_by_key(|(_, value)| until(value)).map(|(key, _)| *key)
    {
        resting.remove(&first);
    }
}

/// A pass over the open links that a judge has not read.
pub(super) struct Pass<'a> {
    store: &'a Store,
    judge: String,
    resting: &'a mut Resting,
    /// The link that was asked about last, or skipped.
    before: Option<LinkId>,
    failures: usize,
}

impl<'a> Pass<'a> {
    pub(super) fn new(store: &'a Store, judge: String, resting: &'a mut Resting) -> Self {
        Self { store, judge, resting, before: None, failures: 0 }
    }

    /// Returns the next link that does not rest, with its texts as they are now; `None` at the end.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn next(&mut self) -> Result<Option<UnjudgedLink>, Problem> {
        while self.failures < FAILURES_MAX {
            let page = self.store.links_unjudged(self.judge.clone(), self.before, PAGE).await?;
            let Some(last) = page.last().map(|last| last.link.id) else { return Ok(None) };
            let now = Instant::now();
            // The rest of the page is read again later, because the question about this link may take minutes.
            let next = page.into_iter().find(|next| !self.resting.includes(next.link.id, next.key, now));
            self.before = Some(next.as_ref().map_or(last, |next| next.link.id));
            if next.is_some() {
                return Ok(next);
            }
        }
        Ok(None)
    }

    /// Records whether a link could be judged.
    pub(super) fn record(&mut self, link: LinkId, key: KeyId, judged: Result<(), Problem>) {
        let Err(problem) = judged else {
            self.resting.record_success(link, key);
            return;
        };
        self.failures += 1;
        if self.resting.record_failure(link, key, Instant::now()) {
            tracing::warn!(%link, %key, %problem, "could not judge a link; others are judged first");
        } else {
            tracing::debug!(%link, %key, %problem, "could not judge a link");
        }
    }
}
