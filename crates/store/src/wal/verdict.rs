//! The condition of a write-ahead log, and the point where SQLite stops reading it.

/// The condition of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// SQLite reads everything that was committed, or there is no log.
    Whole,
    /// The last transaction is incomplete, because of a power failure or damage. SQLite drops it.
    Unclear(Break),
    /// Committed transactions follow a bad frame. SQLite would drop them.
    Damaged(Break),
}

impl Verdict {
    /// Returns whether both verdicts are of the same kind and name the same frame. A growing log has more
    /// frames after it.
    pub(super) fn is_same_break(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && self.found().map(|found| found.frame) == other.found().map(|found| found.frame)
    }

    fn found(&self) -> Option<&Break> {
        match self {
            Self::Whole => None,
            Self::Unclear(found) | Self::Damaged(found) => Some(found),
        }
    }
}

/// The point where SQLite stops reading a log that has more frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Break {
    /// The number of the first bad frame, from 1; 0 for the header.
    pub(super) frame: usize,
    /// The number of frames in the file.
    pub(super) frames: usize,
    /// The number of transactions that were committed at or after the bad frame.
    pub(super) commits: usize,
}

impl Break {
    /// Returns whether a power failure can leave such a log. It cannot damage the header: SQLite syncs it
    /// before the first frame.
    pub(super) fn is_of_a_power_failure(&self) -> bool {
        self.frame > 0
    }
}

impl std::fmt::Display for Break {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { frame, frames, commits } = self;
        match frame {
            0 => write!(out, "the header of its write-ahead log is damaged")?,
            _ => write!(out, "its write-ahead log is damaged at frame {frame} of {frames}")?,
        }
        let transactions = if *commits == 1 { "transaction follows" } else { "transactions follow" };
        write!(out, "; {commits} committed {transactions} the damage")
    }
}
