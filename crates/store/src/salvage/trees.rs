//! Walks the trees of a database file without SQLite: their pages, and the records on them (SQLite's file format, 1.5 and 1.6).
//!
//! A page is reached once, so that a walk ends on any file. What leads to a page that was reached before, or to none, is damaged.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use super::pages::{Pages, number_at};
use crate::Error;
use crate::page::{Cell, Page};

/// Where the header has how many bytes at the end of each page SQLite leaves alone, and how many it has to have beside them.
const RESERVED_AT: usize = 20;
const USABLE_MIN: usize = 480;

/// What a tree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tree {
    /// Rows by their numbers.
    Rows,
    /// The entries of an index, or the rows of a table without row numbers.
    Entries,
}

/// The trees of a database file, and which pages were reached.
pub(super) struct Trees {
    pages: Pages,
    /// Bytes of a page that SQLite uses.
    usable: usize,
    reached: PageSet,
}

impl Trees {
    /// Opens a database file; none where its header is not one that SQLite reads.
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
    /// When it is not there as a whole, or cannot be read.
    pub(super) fn page(&mut self, page: u32) -> Result<Vec<u8>, Error> {
        self.pages.page(page)
    }

    /// The next pages that the file stores, as [`Pages::next_data_range`].
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn next_data_range(&self, from: u64) -> Result<Option<Range<u64>>, Error> {
        self.pages.next_data_range(from)
    }

    /// Bytes of a page.
    pub(super) fn size(&self) -> usize {
        self.pages.size()
    }

    /// Bytes of a page that SQLite uses.
    pub(super) fn usable(&self) -> usize {
        self.usable
    }

    /// Reaches a page; says whether it is there and was not reached before.
    pub(super) fn reach(&mut self, page: u32) -> bool {
        self.reached.add(page)
    }

    /// Whether a page was reached.
    pub(super) fn is_reached(&self, page: u32) -> bool {
        self.reached.has(page)
    }

    /// What a tree that begins on this page holds.
    pub(super) fn kind(&mut self, root: u32) -> Tree {
        match self.pages.kind(root) {
            Ok(Some(0)) => Tree::Entries,
            _ => Tree::Rows,
        }
    }

    /// Walks the tree that begins on the page `root`; `each` gets its records, in no order. Returns how many of its pages are
    /// damaged: they are not of this kind of tree or do not account for their bytes, or what they lead to is not there or was
    /// reached before. The branches of a page that SQLite refuses are not walked.
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

    /// Adds the children of a page to those that wait; says whether the page is whole.
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
        // Cells that lie on each other could make thousands of times its size of a page of a crafted file.
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

    /// The record of a cell with what is on overflow pages; none where these are damaged.
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

/// Marks of pages, by their numbers from 1.
struct PageSet {
    pages: u64,
    /// One bit for each page.
    words: Vec<u64>,
}

impl PageSet {
    fn new(pages: u64) -> Self {
        let pages = pages.min(u32::MAX.into());
        Self { pages, words: vec![0; (pages / 64 + 1) as usize] }
    }

    /// Which word has the mark of a page, and the bit in it.
    fn bit_of(page: u32) -> (usize, u64) {
        (page as usize / 64, 1 << (page % 64))
    }

    fn has(&self, page: u32) -> bool {
        let (word, bit) = Self::bit_of(page);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Marks a page; says whether it is there and had no mark.
    fn add(&mut self, page: u32) -> bool {
        if page == 0 || u64::from(page) > self.pages || self.has(page) {
            return false;
        }
        let (word, bit) = Self::bit_of(page);
        self.words[word] |= bit;
        true
    }
}
