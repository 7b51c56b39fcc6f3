//! The memories of a parsed export, and the items that were skipped.

use std::collections::BTreeMap;

use lar_api::memories::NewMemory;
use lar_base::Timestamp;

/// The number of skipped lines that are named.
const SKIPPED_SHOWN: usize = 5;

/// A parsed export.
#[derive(Debug, Default)]
pub(super) struct ParsedExport {
    pub(super) memories: Vec<NewMemory>,
    /// The number of skipped items by reason.
    pub(super) left_out: BTreeMap<&'static str, usize>,
    /// The numbers of the first skipped lines.
    pub(super) skipped: Vec<usize>,
}

impl ParsedExport {
    pub(super) fn leave_out(&mut self, why: &'static str) {
        *self.left_out.entry(why).or_default() += 1;
    }

    /// Skips a line of the file. `number` starts at 1.
    pub(super) fn skip_line(&mut self, number: usize, why: &'static str) {
        self.leave_out(why);
        if self.skipped.len() < SKIPPED_SHOWN {
            self.skipped.push(number);
        }
    }

    /// Adds a memory, unless it is empty. A time without a zone counts as UTC. A time that cannot be parsed
    /// is removed, and the memory is kept.
    pub(super) fn push(&mut self, mut memory: NewMemory) {
        if memory.content.trim().is_empty() {
            self.leave_out("empty");
            return;
        }
        if let Some(text) = memory.occurred_at.take() {
            memory.occurred_at = Timestamp::parse_lenient(&text).map(|time| time.to_string());
            if memory.occurred_at.is_none() {
                self.leave_out("unreadable times");
            }
        }
        self.memories.push(memory);
    }
}
