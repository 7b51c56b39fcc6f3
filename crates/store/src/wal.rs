//! Whether a database's write-ahead log (`lar.db-wal`) is whole. SQLite takes a log to end at the first frame whose checksum
//! does not fit, and overwrites the rest without an error. So the log is read here before SQLite opens the database.
//!
//! A bad frame is normal where a crash interrupted the last transaction, and where the log was reused after a checkpoint and
//! ends in frames of an older generation, which have other salts. It is damage where a *later* transaction was committed
//! behind it: the [`writer`](crate::writer) commits one transaction at a time, and SQLite syncs each (`synchronous = FULL`)
//! before the next begins, so a power failure can only reach the last one.
//!
//! One case cannot be decided: exactly one commit behind the bad frame, with a page that is not intact. Either a power failure wrote a part of the last
//! transaction only, which nobody was told of, or a committed one is damaged. Lar starts then, keeps a copy of the log beside
//! the database and logs that it did. A failed sync also leaves such frames: SQLite rolls the transaction back, and its frames
//! stay behind the last commit until others take their place. Each failed transaction continues no other's checksum, which
//! tells several of them from committed ones.
//!
//! Not found: a log whose end is cut off at a frame, or overwritten with what is no frame of its generation. That looks like
//! a log that ended there. How frames are read is in [`frames`].

mod frames;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lar_base::Timestamp;

use crate::backup::new_private;
use crate::{Error, beside};
use frames::{Frame, Frames, Pages};

/// What SQLite calls the log of a database: its name with this end.
const END: &str = "-wal";
/// What a copy of a log is called: the database's name with this end, and the time.
const ASIDE: &str = "-wal.aside-";
/// Copies of logs that are kept; the oldest ones go. A log has 4 MiB where no reader holds a checkpoint up.
const ASIDE_MAX: usize = 5;
/// A log that seems damaged is read again after this time: while a Lar serves, a transaction may be written meanwhile. Longer
/// than a group commit takes.
const SECOND_LOOK_AFTER: Duration = Duration::from_millis(100);

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

/// Judges the log of the database at `database`, without changing anything and without SQLite. Reads all of it, twice (with
/// 100 ms between) where it is not whole; then both must find the same. What a serving Lar writes meanwhile is no damage.
///
/// # Errors
/// When the log is there and cannot be read.
pub(crate) fn examine(database: &Path) -> Result<Verdict, Error> {
    let look = || Log::read(database, database).and_then(|log| log.verdict());
    let looked = look().and_then(|first| {
        if first == Verdict::Whole {
            return Ok(first);
        }
        std::thread::sleep(SECOND_LOOK_AFTER);
        let second = look()?;
        let is_same = std::mem::discriminant(&first) == std::mem::discriminant(&second)
            && first.found().map(|found| found.frame) == second.found().map(|found| found.frame);
        Ok(if is_same { second } else { Verdict::Whole })
    });
    looked.map_err(|cause| Error::Open { path: beside(database, END), cause })
}

/// Keeps a copy of a log that SQLite will not read to its end, beside the database, and logs where it is.
///
/// # Errors
/// When the copy cannot be written.
pub(crate) fn set_aside(database: &Path, found: &Break) -> Result<(), Error> {
    let stamp: String = Timestamp::now().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let copy = beside(database, &format!("{ASIDE}{stamp}"));
    let written = new_private(&copy).and_then(|mut to| {
        io::copy(&mut File::open(beside(database, END))?, &mut to)?;
        to.sync_all()
    });
    if let Err(error) = written {
        // A part of it would be taken for all of it.
        let _ = std::fs::remove_file(&copy);
        return Err(match error.kind() {
            io::ErrorKind::StorageFull => Error::Full { path: Some(copy) },
            _ => Error::Backup(error),
        });
    }
    remove_oldest(database);
    let what = match found.frame {
        0 => "nothing in the write-ahead log can be read, so it is left out: its disk damaged it",
        _ => {
            "the last transaction in the write-ahead log is incomplete and is left out: after a power failure nothing that \
             was acknowledged is lost; otherwise its disk damaged it"
        }
    };
    // An error and no warning: commands other than `lar serve` log errors only.
    tracing::error!(
        database = %database.display(),
        copy = %copy.display(),
        frame = found.frame,
        frames = found.frames,
        "{what}. A copy of the log is kept"
    );
    Ok(())
}

/// Removes copies of logs beyond [`ASIDE_MAX`], the oldest first.
fn remove_oldest(database: &Path) {
    let (Some(folder), Some(name)) = (database.parent(), database.file_name()) else { return };
    let start = format!("{}{ASIDE}", name.to_string_lossy());
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut copies: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&start))
        .map(|entry| entry.path())
        .collect();
    copies.sort_unstable();
    for copy in copies.iter().rev().skip(ASIDE_MAX) {
        let _ = std::fs::remove_file(copy);
    }
}

/// What [`Log::apply`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Transactions whose pages were written into the database.
    pub(crate) transactions: u64,
    /// Pages whose newest version is damaged, in order: the database has an older version of them.
    pub(crate) skipped_pages: Vec<u32>,
}

/// The log of a database.
pub(crate) struct Log {
    path: PathBuf,
    database: PathBuf,
    frames: Frames,
}

impl Log {
    /// Reads the log beside the database `of`, whose pages are in the file `database`: the same one, or a copy.
    ///
    /// # Errors
    /// When the log is there and cannot be read.
    pub(crate) fn read(of: &Path, database: &Path) -> io::Result<Self> {
        let path = beside(of, END);
        let frames = Frames::read(&path, database)?;
        Ok(Self { path, database: database.to_owned(), frames })
    }

    /// What the log is.
    ///
    /// # Errors
    /// When its pages cannot be compared with the database's.
    pub(crate) fn verdict(&self) -> io::Result<Verdict> {
        let list = &self.frames.list;
        let accepted = self.frames.accepted();
        if accepted == list.len() {
            return Ok(Verdict::Whole);
        }
        let (before, behind) = list.split_at(accepted);
        let commits = behind.iter().filter(|frame| frame.is_current && frame.is_commit()).count();
        let frame = if self.frames.is_header_intact { accepted + 1 } else { 0 };
        let found = Break { frame, frames: list.len(), commits };
        let verdict = if self.frames.is_header_intact {
            match commits {
                0 => return Ok(Verdict::Whole),
                // Its salts or a checksum are damaged, which hides all of it from SQLite though every page is intact.
                1 if self.is_all_intact() => Verdict::Damaged(found),
                1 => Verdict::Unclear(found),
                // A failed sync leaves frames directly behind a commit only.
                _ if before.last().is_none_or(Frame::is_commit) && !continues_a_commit(behind) => {
                    Verdict::Unclear(found)
                }
                _ => Verdict::Damaged(found),
            }
        } else if self.last_commit().is_some() {
            Verdict::Damaged(found)
        } else {
            // Bytes that nobody can read, where SQLite writes and syncs a header before the first frame.
            Verdict::Unclear(found)
        };
        // A header that was being replaced when the power failed: then all is in the database already. That a part of the log
        // is accepted speaks against it: SQLite would put older pages in front of the database's.
        let is_ignored = !before.iter().any(Frame::is_commit);
        Ok(if is_ignored && self.is_in_database()? { Verdict::Whole } else { verdict })
    }

    /// Writes the pages of committed transactions into the database, which is a copy: what SQLite would, and where the log is
    /// damaged all that is intact behind the damage, too.
    ///
    /// # Errors
    /// When the log cannot be read or the database cannot be written.
    pub(crate) fn apply(&self) -> io::Result<Applied> {
        let end = match self.verdict()? {
            Verdict::Damaged(_) => self.last_commit(),
            Verdict::Whole | Verdict::Unclear(_) => self.last_accepted_commit(),
        };
        let Some(end) = end else { return Ok(Applied::default()) };
        let list = &self.frames.list[..=end];
        let pages_after = list[end].pages_after;
        let mut database = File::options().read(true).write(true).open(&self.database)?;
        let mut pages = Pages::open(&self.path, self.frames.page_bytes)?;
        let newest = newest(list);
        for (page, versions) in &newest {
            if let Some(frame) = versions.intact
                && *page <= pages_after
            {
                frames::put_page(&mut database, *page, pages.get(frame)?)?;
            }
        }
        // As a checkpoint does: pages behind the end belong to no table any more.
        let bytes_after = u64::from(pages_after) * self.frames.page_bytes as u64;
        if database.metadata()?.len() > bytes_after {
            database.set_len(bytes_after)?;
        }
        let is_skipped = |versions: &Versions| versions.intact != Some(versions.last);
        let skipped = newest.iter().filter(|(_, versions)| is_skipped(versions)).map(|(page, _)| *page);
        let transactions = list.iter().filter(|frame| frame.is_current && frame.is_commit()).count();
        Ok(Applied { transactions: transactions as u64, skipped_pages: skipped.collect() })
    }

    /// The last frame that commits and is intact, by its place.
    fn last_commit(&self) -> Option<usize> {
        self.frames.list.iter().rposition(|frame| frame.is_current && frame.is_intact && frame.is_commit())
    }

    /// The last frame that SQLite accepts as a commit, by its place.
    fn last_accepted_commit(&self) -> Option<usize> {
        self.frames.list[..self.frames.accepted()].iter().rposition(Frame::is_commit)
    }

    /// Whether every frame up to the last commit is intact.
    fn is_all_intact(&self) -> bool {
        let intact = |end| self.frames.list[..=end].iter().all(|frame| frame.is_current && frame.is_intact);
        let commits = |frame: &Frame| frame.is_current && frame.is_commit();
        self.frames.list.iter().rposition(commits).is_some_and(intact)
    }

    /// Whether the database has all that was committed to the log: it was checkpointed.
    fn is_in_database(&self) -> io::Result<bool> {
        let Some(end) = self.last_commit() else { return Ok(false) };
        let list = &self.frames.list[..=end];
        let mut database = match File::open(&self.database) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let mut pages = Pages::open(&self.path, self.frames.page_bytes)?;
        for (page, versions) in newest(list) {
            if versions.intact != Some(versions.last) {
                return Ok(false);
            }
            if page <= list[end].pages_after
                && !frames::has_page(&mut database, page, pages.get(versions.last)?)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The newest frames of a page, by their places.
struct Versions {
    last: usize,
    intact: Option<usize>,
}

/// Every page that current frames hold. The number of a bad frame's page is taken as it stands.
fn newest(list: &[Frame]) -> BTreeMap<u32, Versions> {
    let mut found = BTreeMap::new();
    for (place, frame) in list.iter().enumerate().filter(|(_, frame)| frame.is_current && frame.page > 0) {
        let versions = found.entry(frame.page).or_insert(Versions { last: place, intact: None });
        versions.last = place;
        if frame.is_intact {
            versions.intact = Some(place);
        }
    }
    found
}

/// Whether a commit is continued by the next one: every frame between fits the checksum of the one before. SQLite continues
/// a transaction only when it was committed and synced.
fn continues_a_commit(behind: &[Frame]) -> bool {
    let mut is_continued = false;
    for frame in behind.iter().filter(|frame| frame.is_current) {
        is_continued &= frame.is_intact;
        if frame.is_commit() {
            if is_continued {
                return true;
            }
            is_continued = true;
        }
    }
    false
}
