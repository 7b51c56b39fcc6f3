//! The pages of a database file, read and written without SQLite (SQLite's file format, 1.3 and 1.6).

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::Path;

use crate::{Error, sparse_file};

/// The size of the header at the start of the first page; the tree of definitions begins after it.
pub(super) const HEADER_BYTES: usize = 100;
/// Offset of the page size in the header; 65,536 bytes are stored as 1.
const PAGE_BYTES_AT: usize = 16;
/// The type of an interior page of a table.
const INTERIOR_TABLE: u8 = 5;
/// The size of that page's own header.
const INTERIOR_HEADER_BYTES: usize = 12;
/// The most levels of a tree that SQLite reads.
const LEVELS_MAX: u32 = 20;
/// The most pages of definitions that are read in a small file. Lar's take about ten.
const DEFINITION_PAGES_MAX: u64 = 1_000;

/// The pages of a database file, by their numbers from 1.
pub(super) struct Pages {
    file: File,
    /// The size of a page in bytes.
    size: usize,
}

impl Pages {
    /// Opens a database file for reading and writing; `size` is the size of a page in bytes.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(path: &Path, size: usize) -> Result<Self, Error> {
        let file = File::options().read(true).write(true).open(path).map_err(Error::Backup)?;
        Ok(Self { file, size })
    }

    /// Opens a database file for reading, with the page size of its header; returns `None` if SQLite refuses
    /// that size.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let mut file = File::open(path).map_err(Error::Backup)?;
        let mut start = [0; HEADER_BYTES];
        if file.read_exact(&mut start).is_err() {
            return Ok(None);
        }
        Ok(page_bytes(&start).map(|size| Self { file, size }))
    }

    /// Returns the size of a page in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Returns the number of pages; the last one may be incomplete.
    pub(super) fn count(&self) -> Result<u64, Error> {
        let length = self.file.metadata().map_err(Error::Backup)?.len();
        Ok(length.div_ceil(self.size as u64))
    }

    /// Returns the next stored pages of the file at or after `from`; `None` if only a hole is left. Counts
    /// pages from 0.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn next_data_range(&self, from: u64) -> Result<Option<Range<u64>>, Error> {
        let size = self.size as u64;
        let end = self.file.metadata().map_err(Error::Backup)?.len();
        let stored = sparse_file::next_data_range(&self.file, from * size, end).map_err(Error::Backup)?;
        Ok((!stored.is_empty()).then(|| stored.start / size..stored.end.div_ceil(size)))
    }

    fn seek(&mut self, page: u32) -> Result<(), Error> {
        let Some(before) = u64::from(page).checked_sub(1) else {
            return Err(Error::Backup(ErrorKind::InvalidInput.into()));
        };
        self.file.seek(SeekFrom::Start(before * self.size as u64)).map_err(Error::Backup)?;
        Ok(())
    }

    /// Reads a page.
    ///
    /// # Errors
    /// When the page is incomplete or cannot be read.
    pub(super) fn page(&mut self, page: u32) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; self.size];
        self.seek(page)?;
        self.file.read_exact(&mut bytes).map_err(Error::Backup)?;
        Ok(bytes)
    }

    /// Returns the kind of tree that a page belongs to: 1 for rows by rowid, 0 for an index. Returns `None`
    /// for the root of the definitions, a page outside of all trees, and a missing page.
    pub(super) fn kind(&mut self, page: u32) -> Result<Option<u8>, Error> {
        let length = self.file.metadata().map_err(Error::Backup)?.len();
        if page < 2 || u64::from(page) * self.size as u64 > length {
            return Ok(None);
        }
        let kind = self.page(page)?[0];
        // 2 and 10 are pages of an index, 5 and 13 of a table.
        Ok([2, 10, 5, 13].contains(&kind).then_some(kind & 1))
    }

    /// Writes a page.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&mut self, page: u32, bytes: &[u8]) -> Result<(), Error> {
        self.seek(page)?;
        self.file.write_all(bytes).map_err(Error::Backup)
    }

    /// Appends a page and returns its number.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<u32, Error> {
        let pages = u32::try_from(self.count()?).unwrap_or(u32::MAX - 1);
        self.write(pages + 1, bytes)?;
        Ok(pages + 1)
    }
}

/// Returns whether SQLite finishes reading the tree of definitions, which it does when it opens the database.
/// In a crafted file, pages can refer to each other in so many ways that it never does. Each page is counted
/// as often as SQLite reads it; a tree without damage has no more pages than the file. A page that SQLite
/// refuses for another reason is not an error here.
///
/// # Errors
/// When the file cannot be opened.
pub(super) fn is_schema_tree_finite(database: &Path) -> Result<bool, Error> {
    let Some(mut pages) = Pages::read(database)? else { return Ok(true) };
    let pages_max = pages.count()?.max(DEFINITION_PAGES_MAX);
    let mut read = 0;
    let mut waiting = vec![(1_u32, 1_u32)];
    while let Some((number, level)) = waiting.pop() {
        read += 1;
        let Ok(page) = pages.page(number) else { continue };
        let at = if number == 1 { HEADER_BYTES } else { 0 };
        if level < LEVELS_MAX {
            waiting.extend(child_offsets(&page, at).into_iter().map(|at| (number_at(&page, at), level + 1)));
        }
        if read + waiting.len() as u64 > pages_max {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns the page size in a header; `None` if SQLite refuses it.
fn page_bytes(start: &[u8; HEADER_BYTES]) -> Option<usize> {
    match usize::from(u16::from_be_bytes([start[PAGE_BYTES_AT], start[PAGE_BYTES_AT + 1]])) {
        1 => Some(1 << 16),
        size => (size >= 512 && size.is_power_of_two()).then_some(size),
    }
}

/// Returns the offsets of the children's numbers on an interior page of a table, in no order. Other pages
/// have none. The page's own header is at `at`. Offsets beyond the page are left out.
pub(super) fn child_offsets(page: &[u8], at: usize) -> Vec<usize> {
    if page.get(at) != Some(&INTERIOR_TABLE) {
        return Vec::new();
    }
    let short = |at: usize| page.get(at..at + 2).map(|two| usize::from(u16::from_be_bytes([two[0], two[1]])));
    let cells = short(at + 3).unwrap_or_default();
    let cell = |number: usize| short(at + INTERIOR_HEADER_BYTES + 2 * number);
    let last = at + 8;
    (0..cells).map_while(cell).chain([last]).filter(|offset| offset + 4 <= page.len()).collect()
}

/// Decodes the page number at `at`.
pub(super) fn number_at(page: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]])
}
