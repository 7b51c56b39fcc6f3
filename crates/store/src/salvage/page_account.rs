//! Counts the pages of a damaged database that nothing refers to any more. One flipped bit in a parent page
//! hides a whole branch of a table, and SQLite continues without an error.
//!
//! In a database without damage, every page belongs to a tree, to the overflow of a record, or to the list of
//! free pages (SQLite's file format, 1.5 to 1.7). Pages with content that belong to none of these are
//! counted, even those after the last page according to the header. Their owner is unknown: a leaf does not
//! say which table or index it belongs to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::definitions::Definitions;
use super::pages::{HEADER_BYTES, child_offsets, number_at};
use super::trees::{Tree, Trees};
use crate::Error;

/// The maximum size of a page in bytes.
const PAGE_BYTES_MAX: u64 = 1 << 16;
/// Offset in the header of the first page of the list of free pages.
const FREE_AT: usize = 32;
/// Offset in the header of a number that is not 0 if SQLite moves pages by itself (`auto_vacuum`).
const MOVES_PAGES_AT: usize = 52;
/// Offset of the bytes that SQLite locks in the file; it uses the page with this byte for nothing else.
const LOCK_BYTE_AT: u64 = 1 << 30;

/// A damaged database before any repair. Repaired definitions have no list of free pages, and are on other
/// pages.
#[derive(Debug)]
pub(super) struct OriginalFile {
    /// The first page, and more if pages are small.
    start: Vec<u8>,
    /// The length of the file in bytes.
    length: u64,
}

impl OriginalFile {
    /// Reads the start and the length of a damaged database from its copy.
    ///
    /// # Errors
    /// When the copy cannot be read.
    pub(super) fn read(copy: &Path) -> Result<Self, Error> {
        let file = File::open(copy).map_err(Error::Backup)?;
        let length = file.metadata().map_err(Error::Backup)?.len();
        let mut start = Vec::new();
        file.take(PAGE_BYTES_MAX).read_to_end(&mut start).map_err(Error::Backup)?;
        Ok(Self { start, length })
    }
}

/// The numbers of lost and damaged pages in a damaged database.
#[derive(Debug, Default)]
pub(super) struct PageCounts {
    /// The number of pages with content that nothing refers to.
    pub(super) unreached: u64,
    /// The number of damaged pages of each table that has some, by name.
    pub(super) damaged: BTreeMap<String, u64>,
}

/// Counts the pages of the copy of a damaged database after its definitions were repaired. `now` are its
/// definitions, `then` those before the repair. Pages that the old definitions refer to are not lost, even if
/// they name other tables.
///
/// # Errors
/// When the copy cannot be read.
pub(super) fn count_pages(
    copy: &Path,
    original: &OriginalFile,
    now: &Definitions,
    then: &Definitions,
) -> Result<PageCounts, Error> {
    let Some(mut trees) = Trees::open(copy)? else { return Ok(PageCounts::default()) };
    let mut damaged = BTreeMap::new();
    trees.walk(1, Tree::Rows, &mut |_| ());
    // Tables before indexes: a page that both refer to counts as a damaged page of the index.
    for ((kind, name), definition) in now.by_name.iter().rev() {
        let tree = trees.kind(definition.root);
        let pages = trees.walk(definition.root, tree, &mut |_| ());
        if kind == "table" && pages > 0 {
            damaged.insert(name.clone(), pages);
        }
    }
    let first = original.start.get(..trees.size()).unwrap_or_default();
    let of_old_definitions = child_offsets(first, HEADER_BYTES).into_iter().map(|at| number_at(first, at));
    for root in of_old_definitions.chain(then.by_name.values().map(|old| old.root)) {
        if !trees.is_reached(root) {
            let tree = trees.kind(root);
            trees.walk(root, tree, &mut |_| ());
        }
    }
    let moves_pages = !first.is_empty() && number_at(first, MOVES_PAGES_AT) != 0;
    if !first.is_empty() {
        reach_free(&mut trees, number_at(first, FREE_AT));
    }
    let unreached = unreached(&mut trees, original.length, moves_pages)?;
    Ok(PageCounts { unreached, damaged })
}

/// Marks the pages of the list of free pages, which begins on the page `first`, as reached.
fn reach_free(trees: &mut Trees, first: u32) {
    let mut next = first;
    while trees.reach(next) {
        let Ok(page) = trees.page(next) else { return };
        let free = page[8..trees.usable()].chunks_exact(4).take(number_at(&page, 4) as usize);
        for at in free {
            trees.reach(number_at(at, 0));
        }
        next = number_at(&page, 0);
    }
}

/// Counts the pages with content that were not reached, among those wholly within the first `length` bytes.
fn unreached(trees: &mut Trees, length: u64, moves_pages: bool) -> Result<u64, Error> {
    let size = trees.size() as u64;
    let end = length / size;
    // If SQLite moves pages by itself, it uses one page in every `apart` pages to describe the others.
    let apart = trees.usable() as u64 / 5 + 1;
    let is_of_sqlite = |page: u64| {
        page == LOCK_BYTE_AT / size + 1 || (moves_pages && page >= 2 && (page - 2).is_multiple_of(apart))
    };
    let (mut at, mut unreached) = (0, 0);
    while let Some(stored) = trees.next_data_range(at)? {
        at = stored.end;
        for number in stored.start + 1..=stored.end.min(end) {
            let Ok(page) = u32::try_from(number) else { return Ok(unreached) };
            if !trees.is_reached(page) && !is_of_sqlite(number) {
                let has_content = trees.page(page).is_ok_and(|page| page.iter().any(|byte| *byte != 0));
                unreached += u64::from(has_content);
            }
        }
    }
    Ok(unreached)
}
