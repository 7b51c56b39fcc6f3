//! Checks whether a database's write-ahead log (`lar.db-wal`) is whole. SQLite ends a log at the first frame
//! whose checksum does not match, and overwrites the rest without an error. So the log is read here before
//! SQLite opens the database.
//!
//! A bad frame is normal in two cases: a crash interrupted the last transaction, or the log was reused after
//! a checkpoint and ends in frames of an older generation, which have other salts. A bad frame is damage if a
//! *later* transaction was committed after it. The [`writer`](crate::writer) commits one transaction at a
//! time, and SQLite syncs each (`synchronous = FULL`) before the next starts, so a power failure can affect
//! only the last one.
//!
//! A commit frame after a bad frame does not prove that its transaction was committed. When a sync fails,
//! SQLite rolls the transaction back, but its frames stay in the file until others overwrite them; a power
//! failure leaves such frames, too. They continue the checksum of the last commit and of no other. So only a
//! transaction that continues another one's commit proves damage: SQLite starts it only after that commit was
//! synced.
//!
//! One case cannot be decided: no transaction after the bad frame continues another one. Either a power
//! failure wrote only a part of the last transaction, which was never acknowledged, or a committed
//! transaction is damaged. Intact pages prove nothing: they may belong to a failed transaction, one of whose
//! checksums the next one overwrote. Then Lar starts, keeps a copy of the log beside the database
//! ([`copies`]) and logs an error.
//!
//! Not detected: a log that was cut off between two frames, or whose end was overwritten with anything but
//! frames of its generation. It looks like a log that ended there. The frames are parsed in [`frames`].
//!
//! Examining a log stores nothing per frame. Comparing it with its database, and a salvage, keep one entry
//! per page in the log: some 50 bytes for 4 KiB. A start compares at most [`PAGES_COMPARED_MAX`] pages.

mod copies;
mod frames;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lar_base::Bytes;

pub(crate) use self::copies::{find_copies, keep_copy, remove_copies};
pub(crate) use self::verdict::Verdict;

use self::frames::{Frames, PageReader, Summary};
use self::verdict::Break;
use crate::error::Error;
use crate::sqlite_files::{WAL_SUFFIX, beside};

/// The size of a log that is announced before it is read. SQLite's logs have 4 MiB unless a reader blocks
/// checkpoints.
const LARGE: Bytes = Bytes::mib(256);
/// The most pages of a log that are compared with the database's. It is 4 GiB in pages of 4 KiB, which take
/// 50 MiB of memory. A log with more pages counts as not checkpointed.
const PAGES_COMPARED_MAX: usize = 1 << 20;
/// The pause before a log that looks damaged is read again: a running server may have been writing a
/// transaction. Longer than a group commit takes.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// The most reads of a log that keeps changing.
const LOOKS_MAX: usize = 10;

/// Examines the log of the database at `database`, without SQLite and without changing anything. Reads all of
/// it. A log that is not whole is read again every 100 ms, until two reads in a row agree and nobody wrote to
/// the log in between. So a transaction that a running server is writing does not count as damage.
///
/// # Errors
/// When the log exists but cannot be read.
pub(crate) fn examine(database: &Path) -> Result<Verdict, Error> {
    let log = beside(database, WAL_SUFFIX);
    if let Ok(Some((bytes, _))) = last_written(&log)
        && bytes > LARGE.get()
    {
        let size = Bytes(bytes);
        tracing::warn!(log = %log.display(), %size, "reading a large write-ahead log, which takes a while");
    }
    let look = || {
        let written = last_written(&log)?;
        Ok((written, Log::read(database, database)?.verdict()?))
    };
    settle(look, LOOK_AGAIN_AFTER).map_err(|cause| Error::Open { path: log.clone(), cause })
}

/// Returns the size of a log and the time of its last write; `None` if there is no log.
fn last_written(log: &Path) -> io::Result<Option<(u64, SystemTime)>> {
    match std::fs::metadata(log) {
        Ok(about) => Ok(Some((about.len(), about.modified()?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the verdict on which two reads in a row agree, if the log was not written to in between. A read
/// that finds the log whole is enough. A log that keeps changing is whole, too, unless every read finds the
/// same break.
fn settle<W: PartialEq>(
    mut look: impl FnMut() -> io::Result<(W, Verdict)>,
    pause: Duration,
) -> io::Result<Verdict> {
    let mut before: Option<(W, Verdict)> = None;
    let mut is_steady = true;
    for number in 0..LOOKS_MAX {
        if number > 0 {
            std::thread::sleep(pause);
        }
        let seen = match look() {
            // The log was truncated while it was read.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                is_steady = false;
                continue;
            }
            looked => looked?,
        };
        if seen.1 == Verdict::Whole || before.as_ref() == Some(&seen) {
            return Ok(seen.1);
        }
        is_steady &= before.is_none_or(|before| before.1.is_same_break(&seen.1));
        before = Some(seen);
    }
    Ok(before.filter(|_| is_steady).map_or(Verdict::Whole, |(_, verdict)| verdict))
}

/// Returns the error for a log that was written to, or cut, after it was first read.
fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the write-ahead log changed while it was read")
}

/// The result of [`Log::apply`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The number of transactions whose pages were written into the database.
    pub(crate) transactions: u64,
    /// The pages whose newest version is damaged, in order. The database has an older version of them.
    pub(crate) skipped_pages: Vec<u32>,
    /// Whether the log ends in a transaction that cannot be read.
    pub(crate) is_incomplete: bool,
}

/// The log of a database.
pub(crate) struct Log {
    path: PathBuf,
    database: PathBuf,
    frames: Frames,
    summary: Summary,
    /// Its size and the time of its last write, before it was first read.
    written: Option<(u64, SystemTime)>,
}

impl Log {
    /// Reads the log beside the database `of`. The file `database` has the database's pages: the same file,
    /// or a copy.
    ///
    /// # Errors
    /// When the log exists but cannot be read or is not a regular file.
    pub(crate) fn read(of: &Path, database: &Path) -> io::Result<Self> {
        let path = beside(of, WAL_SUFFIX);
        let written = last_written(&path)?;
        let frames = Frames::open(&path, database)?;
        let summary = frames.summary()?;
        Ok(Self { path, database: database.to_owned(), frames, summary, written })
    }

    /// Returns the condition of the log.
    ///
    /// # Errors
    /// When its pages cannot be compared with the database's.
    pub(crate) fn verdict(&self) -> io::Result<Verdict> {
        let Summary { frames, accepted, later_commits: commits, .. } = self.summary;
        if accepted == frames {
            return Ok(Verdict::Whole);
        }
        let frame = if self.frames.is_header_intact { accepted + 1 } else { 0 };
        let found = Break { frame, frames, commits };
        let verdict = if self.frames.is_header_intact {
            match commits {
                0 => return Ok(Verdict::Whole),
                _ if self.summary.continues_a_commit => Verdict::Damaged(found),
                // The last transaction, and remains of longer ones that failed.
                _ => Verdict::Unclear(found),
            }
        } else if self.summary.last_commit.is_some() {
            Verdict::Damaged(found)
        } else {
            // Nothing is readable, although SQLite writes and syncs a header before the first frame.
            Verdict::Unclear(found)
        };
        // The power may have failed while SQLite replaced the header: then the database has all pages
        // already. This is ruled out if a part of the log is accepted: SQLite would prefer that part's older
        // pages to the database's.
        let is_ignored = self.summary.last_accepted_commit.is_none();
        Ok(if is_ignored && self.is_in_database()? { Verdict::Whole } else { verdict })
    }

    /// Writes the pages of committed transactions into the database, which is a copy. These are the pages
    /// that SQLite would write and, if the log is damaged, all intact pages after the damage, too.
    ///
    /// # Errors
    /// When the log cannot be read or the database cannot be written; [`io::ErrorKind::UnexpectedEof`] when
    /// the log changed after [`Log::read`]. Then the database may have a part of it.
    pub(crate) fn apply(&self) -> io::Result<Applied> {
        let verdict = self.verdict()?;
        let is_incomplete = matches!(verdict, Verdict::Unclear(_));
        let nothing = Applied { is_incomplete, ..Applied::default() };
        let end = match verdict {
            Verdict::Damaged(_) => self.summary.last_commit,
            Verdict::Whole | Verdict::Unclear(_) => self.summary.last_accepted_commit,
        };
        let Some(end) = end else { return Ok(nothing) };
        let Some(newest) = self.newest(end, usize::MAX)? else { return Ok(nothing) };
        let mut database = File::options().read(true).write(true).open(&self.database)?;
        let mut pages = PageReader::open(&self.path, self.frames.page_bytes)?;
        for (page, versions) in &newest.pages {
            if let Some(frame) = versions.intact
                && *page <= newest.pages_after
            {
                frames::put_page(&mut database, *page, pages.get(frame)?)?;
            }
        }
        // The database would mix pages of two generations.
        if last_written(&self.path)? != self.written {
            return Err(changed());
        }
        // As in a checkpoint: pages after the end no longer belong to any table.
        let bytes_after = u64::from(newest.pages_after) * self.frames.page_bytes as u64;
        if database.metadata()?.len() > bytes_after {
            database.set_len(bytes_after)?;
        }
        let is_skipped = |versions: &Versions| versions.intact != Some(versions.last);
        let skipped = newest.pages.iter().filter(|(_, versions)| is_skipped(versions));
        let skipped_pages = skipped.map(|(page, _)| *page).collect();
        Ok(Applied { transactions: newest.transactions, skipped_pages, is_incomplete })
    }

    /// Returns whether the database has everything that was committed to the log, because it was
    /// checkpointed.
    fn is_in_database(&self) -> io::Result<bool> {
        let Some(end) = self.summary.last_commit else { return Ok(false) };
        let Some(newest) = self.newest(end, PAGES_COMPARED_MAX)? else { return Ok(false) };
        let mut database = match File::open(&self.database) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let mut pages = PageReader::open(&self.path, self.frames.page_bytes)?;
        for (page, versions) in newest.pages {
            if versions.intact != Some(versions.last) {
                return Ok(false);
            }
            if page <= newest.pages_after
                && !frames::has_page(&mut database, page, pages.get(versions.last)?)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns every page that is in a current frame up to the commit `end`. Returns `None` if there are more
    /// than `pages_max`. The page number of a bad frame is taken as it is.
    ///
    /// # Errors
    /// When the log cannot be read; [`io::ErrorKind::UnexpectedEof`] when the commit `end` is no longer
    /// there.
    fn newest(&self, end: usize, pages_max: usize) -> io::Result<Option<Newest>> {
        let mut found = Newest { pages: BTreeMap::new(), transactions: 0, pages_after: 0 };
        self.frames.each(|index, frame| {
            if index > end || found.pages.len() > pages_max {
                return ControlFlow::Break(());
            }
            if index == end {
                found.pages_after = frame.pages_after;
            }
            if frame.is_current && frame.page > 0 {
                let versions =
                    found.pages.entry(frame.page).or_insert(Versions { last: index, intact: None });
                versions.last = index;
                if frame.is_intact {
                    versions.intact = Some(index);
                }
            }
            found.transactions += u64::from(frame.is_current && frame.is_commit());
            ControlFlow::Continue(())
        })?;
        if found.pages.len() > pages_max {
            return Ok(None);
        }
        // A commit gives the number of pages after it, which is never 0.
        if found.pages_after == 0 { Err(changed()) } else { Ok(Some(found)) }
    }
}

/// The content of a log up to a commit.
struct Newest {
    pages: BTreeMap<u32, Versions>,
    transactions: u64,
    /// The size of the database in pages after the last transaction.
    pages_after: u32,
}

/// The indexes of a page's newest frames.
struct Versions {
    last: usize,
    intact: Option<usize>,
}
