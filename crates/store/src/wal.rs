//! Whether a database's write-ahead log (`lar.db-wal`) is whole. SQLite takes a log to end at the first frame whose checksum
//! does not fit, and overwrites the rest without an error. So the log is read here before SQLite opens the database.
//!
//! A bad frame is normal where a crash interrupted the last transaction, and where the log was reused after a checkpoint and
//! ends in frames of an older generation, which have other salts. It is damage where a *later* transaction was committed
//! behind it: the [`writer`](crate::writer) commits one transaction at a time, and SQLite syncs each (`synchronous = FULL`)
//! before the next begins, so a power failure can only reach the last one.
//!
//! Not every commit behind a bad frame was committed. When a sync fails, SQLite rolls the transaction back, but its frames
//! stay behind the last commit until others take their place; a power failure leaves such frames, too. They continue the
//! checksum of the commit before them and of no other. So only a transaction that continues another one's commit proves
//! damage: SQLite begins it only when the one before was committed and synced.
//!
//! One case cannot be decided: no transaction behind the bad frame continues another one. Either a power failure wrote a part
//! of the last transaction only, which nobody was told of, or a committed one is damaged. That every page of it is intact does
//! not tell: it may be one that failed, with a checksum of the next. Lar starts then, keeps a copy of the log beside the
//! database ([`aside`]) and logs that it did.
//!
//! Not found: a log whose end is cut off at a frame, or overwritten with what is no frame of its generation. That looks like
//! a log that ended there. How frames are read is in [`frames`].
//!
//! A look keeps nothing of a frame. To compare a log with its database, and for salvage, one entry is kept for each page that
//! the log has: some 50 bytes for 4 KiB. A start compares no more than [`PAGES_COMPARED_MAX`].

mod copies;
mod frames;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lar_base::Bytes;

use crate::location::WAL_SUFFIX;
use crate::{Error, beside};
pub(crate) use copies::{find_copies, keep_copy, remove_copies};
use frames::{Frames, PageReader, Summary};

/// A log that is larger than this is named before it is read: SQLite's own have 4 MiB where no reader holds a checkpoint up.
const LARGE: Bytes = Bytes::mib(256);
/// Pages of a log that are compared with the database's at most: 4 GiB in pages of 4 KiB, which take 50 MiB. A log with more
/// is taken for one that the database does not have.
const PAGES_COMPARED_MAX: usize = 1 << 20;
/// A log that seems damaged is read again after this time: while a Lar serves, a transaction may be written meanwhile. Longer
/// than a group commit takes.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How often a log is read that changes meanwhile.
const LOOKS_MAX: usize = 10;

/// What a log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// SQLite reads all that was committed, or there is no log.
    Whole,
    /// The last transaction is incomplete: a power failure or damage. SQLite drops it.
    Unclear(Break),
    /// Committed transactions lie behind a bad frame. SQLite would drop them.
    Damaged(Break),
}

impl Verdict {
    /// Whether both are of the same kind and name the same frame; a log that grows has more frames behind it.
    fn is_same_break(&self, other: &Self) -> bool {
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

/// Where SQLite stops reading a log, though there is more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Break {
    /// The number of the first bad frame, from 1; zero for the header.
    frame: usize,
    /// All frames of the file.
    frames: usize,
    /// Transactions that were committed at the bad frame or behind it.
    commits: usize,
}

impl Break {
    /// Whether a power failure leaves such a log. It does not damage the header: SQLite syncs that before the first frame.
    fn is_of_a_power_failure(&self) -> bool {
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
        let transactions = if *commits == 1 { "transaction is" } else { "transactions are" };
        write!(out, "; {commits} committed {transactions} behind that")
    }
}

/// Judges the log of the database at `database`, without changing anything and without SQLite. Reads all of it, and where it
/// is not whole again after 100 ms, until two looks in a row find the same in a log that nobody wrote to. What a serving Lar
/// writes meanwhile is no damage.
///
/// # Errors
/// When the log is there and cannot be read.
pub(crate) fn examine(database: &Path) -> Result<Verdict, Error> {
    let log = beside(database, WAL_SUFFIX);
    if let Ok(Some((bytes, _))) = last_written(&log)
        && bytes > LARGE.get()
    {
        tracing::warn!(log = %log.display(), size = %Bytes(bytes), "a large write-ahead log is read first, which takes a while");
    }
    let look = || {
        let written = last_written(&log)?;
        Ok((written, Log::read(database, database)?.verdict()?))
    };
    settle(look, LOOK_AGAIN_AFTER).map_err(|cause| Error::Open { path: log.clone(), cause })
}

/// The size of a log and when it was last written to; none where there is no log.
fn last_written(log: &Path) -> io::Result<Option<(u64, SystemTime)>> {
    match std::fs::metadata(log) {
        Ok(about) => Ok(Some((about.len(), about.modified()?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The verdict on which two looks in a row agree, when the log was not written to between them. A look that finds the log
/// whole is enough. A log that is written to all the time is whole, too, unless every look finds the same break.
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
            // Somebody emptied the log while it was read.
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

/// What a second look at a log finds that somebody wrote to since the first: SQLite, or who cut it.
fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the write-ahead log changed while it was read")
}

/// What [`Log::apply`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Transactions whose pages were written into the database.
    pub(crate) transactions: u64,
    /// Pages whose newest version is damaged, in order: the database has an older version of them.
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
    /// Its size and time before the first look.
    written: Option<(u64, SystemTime)>,
}

impl Log {
    /// Reads the log beside the database `of`, whose pages are in the file `database`: the same one, or a copy.
    ///
    /// # Errors
    /// When the log is there and cannot be read, or is no regular file.
    pub(crate) fn read(of: &Path, database: &Path) -> io::Result<Self> {
        let path = beside(of, WAL_SUFFIX);
        let written = last_written(&path)?;
        let frames = Frames::open(&path, database)?;
        let summary = frames.summary()?;
        Ok(Self { path, database: database.to_owned(), frames, summary, written })
    }

    /// What the log is.
    ///
    /// # Errors
    /// When its pages cannot be compared with the database's.
    pub(crate) fn verdict(&self) -> io::Result<Verdict> {
        let Summary { frames, accepted, commits_behind: commits, .. } = self.summary;
        if accepted == frames {
            return Ok(Verdict::Whole);
        }
        let frame = if self.frames.is_header_intact { accepted + 1 } else { 0 };
        let found = Break { frame, frames, commits };
        let verdict = if self.frames.is_header_intact {
            match commits {
                0 => return Ok(Verdict::Whole),
                _ if self.summary.continues_a_commit => Verdict::Damaged(found),
                // The last transaction, and what is left of longer ones that failed.
                _ => Verdict::Unclear(found),
            }
        } else if self.summary.last_commit.is_some() {
            Verdict::Damaged(found)
        } else {
            // Bytes that nobody can read, where SQLite writes and syncs a header before the first frame.
            Verdict::Unclear(found)
        };
        // A header that was being replaced when the power failed: then all is in the database already. That a part of the log
        // is accepted speaks against it: SQLite would put older pages in front of the database's.
        let is_ignored = self.summary.last_accepted_commit.is_none();
        Ok(if is_ignored && self.is_in_database()? { Verdict::Whole } else { verdict })
    }

    /// Writes the pages of committed transactions into the database, which is a copy: what SQLite would, and where the log is
    /// damaged all that is intact behind the damage, too.
    ///
    /// # Errors
    /// When the log cannot be read or the database cannot be written; [`io::ErrorKind::UnexpectedEof`] when the log changed since
    /// [`Log::read`]. Then a part of it may be in the database.
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
        // Pages of two generations would be one database.
        if last_written(&self.path)? != self.written {
            return Err(changed());
        }
        // As a checkpoint does: pages behind the end belong to no table any more.
        let bytes_after = u64::from(newest.pages_after) * self.frames.page_bytes as u64;
        if database.metadata()?.len() > bytes_after {
            database.set_len(bytes_after)?;
        }
        let is_skipped = |versions: &Versions| versions.intact != Some(versions.last);
        let skipped = newest.pages.iter().filter(|(_, versions)| is_skipped(versions));
        let skipped_pages = skipped.map(|(page, _)| *page).collect();
        Ok(Applied { transactions: newest.transactions, skipped_pages, is_incomplete })
    }

    /// Whether the database has all that was committed to the log: it was checkpointed.
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

    /// Every page that current frames up to the commit `end` hold; none where they are more than `pages_max`. The number of a
    /// bad frame's page is taken as it stands.
    ///
    /// # Errors
    /// When the log cannot be read; [`io::ErrorKind::UnexpectedEof`] when the commit `end` is not there any more.
    fn newest(&self, end: usize, pages_max: usize) -> io::Result<Option<Newest>> {
        let mut found = Newest { pages: BTreeMap::new(), transactions: 0, pages_after: 0 };
        self.frames.each(|place, frame| {
            if place > end || found.pages.len() > pages_max {
                return ControlFlow::Break(());
            }
            if place == end {
                found.pages_after = frame.pages_after;
            }
            if frame.is_current && frame.page > 0 {
                let versions =
                    found.pages.entry(frame.page).or_insert(Versions { last: place, intact: None });
                versions.last = place;
                if frame.is_intact {
                    versions.intact = Some(place);
                }
            }
            found.transactions += u64::from(frame.is_current && frame.is_commit());
            ControlFlow::Continue(())
        })?;
        if found.pages.len() > pages_max {
            return Ok(None);
        }
        // A commit says how many pages there are after it, which is never zero.
        if found.pages_after == 0 { Err(changed()) } else { Ok(Some(found)) }
    }
}

/// What the committed part of a log holds.
struct Newest {
    pages: BTreeMap<u32, Versions>,
    transactions: u64,
    /// The database's size in pages after the last of them.
    pages_after: u32,
}

/// The newest frames of a page, by their places.
struct Versions {
    last: usize,
    intact: Option<usize>,
}
