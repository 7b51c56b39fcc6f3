//! Walks the trees of a database file without SQLite. Reads their pages, and the records on them (SQLite's
//! file format, 1.5 and 1.6).
//!
//! A walk visits each page only once, so it ends on any file. A page that refers to a page that was visited
//! before, or to a missing one, is damaged.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use super::pages::{Pages, number_at};
use crate::Error;
use crate::page::{Cell, Page};

/// Offset in the header of the number of bytes at the end of each page that SQLite does not use.
const RESERVED_AT: usize = 20;
/// The fewest bytes of a page that SQLite must be able to use.
const USABLE_MIN: usize = 480;

/// The content of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tree {
    /// Rows by rowid.
    Rows,
    /// The entries of an index, or the rows of a table without rowids.
    Entries,
}

/// The trees of a database file, and the pages that were reached.
pub(super) struct Trees {
    pages: Pages,
    /// The number of bytes of a page that SQLite uses.
    usable: usize,
    reached: PageSet,
}

impl Trees {
    /// Opens a database file; returns `None` if SQLite could not read its header.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Error> {
        let Some(mut pages) = Pages::read(path)? else { return Ok(None) };
        let reached = PageSet::new(pages.count()?);
        let Ok(first) = pages.page(1) else { return Ok(None) };
        let usable = pages.size() - usize::from(first[RESERVED_AT]);
        Ok((usable >= USABLE_MIN).then_some(Self { pages, usable, reached }))
    }

    /// Reads a page.
    ///
    /// # Errors
    /// When the page is incomplete or cannot be read.
    pub(super) fn page(&mut self, page: u32) -> Result<Vec<u8>, Error> {
        self.pages.page(page)
    }

    /// Returns the next stored pages of the file, as [`Pages::next_data_range`].
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn next_data_range(&self, from: u64) -> Result<Option<Range<u64>>, Error> {
        self.pages.next_data_range(from)
    }

    /// Returns the size of a page in bytes.
    pub(super) fn size(&self) -> usize {
        self.pages.size()
    }

    /// Returns the number of bytes of a page that SQLite uses.
    pub(super) fn usable(&self) -> usize {
        self.usable
    }

    /// Marks a page as reached; returns whether it exists and was not reached before.
    pub(super) fn reach(&mut self, page: u32) -> bool {
        self.reached.add(page)
    }

    /// Returns whether a page was reached.
    pub(super) fn is_reached(&self, page: u32) -> bool {
        self.reached.has(page)
    }

    /// Returns the content of the tree with this root page.
    pub(super) fn kind(&mut self, root: u32) -> Tree {
        match self.pages.kind(root) {
            Ok(Some(0)) => Tree::Entries,
            _ => Tree::Rows,
        }
    }

    /// Walks the tree with the root page `root`, and passes its records to `each`, in no order. Returns the
    /// number of damaged pages: they are of another kind of tree, do not account for their bytes, or refer to
    /// a page that does not exist or was reached before. The children of a page that SQLite refuses are not
    /// walked.
    pub(super) fn walk(&mut self, root: u32, tree: Tree, each: &mut dyn FnMut(&[u8])) -> u64 {
        if !self.reach(root) {
            return 1;
        }
        let (mut damaged, mut waiting) = (0, vec![root]);
        while let Some(number) = waiting.pop() {
            damaged += u64::from(!self.walk_page(number, tree, &mut waiting, each));
        }
        damaged
    }

    /// Adds the children of a page to `waiting`; returns whether the page is whole.
    fn walk_page(
        &mut self,
        number: u32,
        tree: Tree,
        waiting: &mut Vec<u32>,
        each: &mut dyn FnMut(&[u8]),
    ) -> bool {
        let Ok(bytes) = self.pages.page(number) else { return false };
        let is_of_index = tree == Tree::Entries;
        let Some(page) =
            Page::read(&bytes[..self.usable], number).filter(|page| page.is_of_index() == is_of_index)
        else {
            return false;
        };
        let Some(cells) = page.cells() else { return false };
        let mut is_whole = page.accounts_for_its_bytes();
        for child in cells.iter().filter_map(|cell| cell.child).chain(page.last_child()) {
            match self.reach(child) {
                true => waiting.push(child),
                false => is_whole = false,
            }
        }
        // In a crafted file, overlapping cells could take thousands of times the size of a page.
        let local: usize = cells.iter().map(|cell| cell.local.len()).sum();
        if local > self.usable {
            return false;
        }
        for cell in cells.iter().filter(|cell| cell.record_bytes > 0) {
            match self.record(cell) {
                Some(record) => each(&record),
                None => is_whole = false,
            }
        }
        is_whole
    }

    /// Returns the record of a cell, including its overflow pages; `None` if these are damaged.
    fn record<'a>(&mut self, cell: &Cell<'a>) -> Option<Cow<'a, [u8]>> {
        let Some(mut next) = cell.overflow else { return Some(Cow::Borrowed(cell.local)) };
        let length = usize::try_from(cell.record_bytes).ok()?;
        let file_bytes = self.reached.pages.saturating_mul(self.usable as u64);
        if cell.record_bytes > file_bytes {
            return None;
        }
        let mut record = cell.local.to_vec();
        while record.len() < length {
            if !self.reach(next) {
                return None;
            }
            let page = self.pages.page(next).ok()?;
            let part = &page[4..self.usable];
            record.extend_from_slice(&part[..part.len().min(length - record.len())]);
            next = number_at(&page, 0);
        }
        Some(Cow::Owned(record))
    }
}

/// A set of pages, by their numbers from 1.
struct PageSet {
    pages: u64,
    /// One bit per page.
    words: Vec<u64>,
}

impl PageSet {
    fn new(pages: u64) -> Self {
        let pages = pages.min(u32::MAX.into());
        Self { pages, words: vec![0; (pages / 64 + 1) as usize] }
    }

    /// Returns the index of the word with a page's bit, and the bit.
    fn bit_of(page: u32) -> (usize, u64) {
        (page as usize / 64, 1 << (page % 64))
    }

    fn has(&self, page: u32) -> bool {
        let (word, bit) = Self::bit_of(page);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Adds a page; returns whether it exists and was not in the set.
    fn add(&mut self, page: u32) -> bool {
        if page == 0 || u64::from(page) > self.pages || self.has(page) {
            return false;
        }
        let (word, bit) = Self::bit_of(page);
        self.words[word] |= bit;
        true
    }
}
