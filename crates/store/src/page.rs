//! Parses B-tree pages from their headers (SQLite's file format, 1.6). It finds a page's unallocated region,
//! which [`crate::unallocated`] clears, and its cells, which a salvage reads without SQLite.

use std::ops::Range;

/// The minimum size of a cell in bytes.
const CELL_MIN: usize = 4;

/// Returns the unallocated region of a page if it has a byte that is not zero. `number` is the page number,
/// `usable` the number of bytes of a page that SQLite uses. Returns `None` for a page of another kind, and
/// for a damaged page, whose parts do not add up to its size.
pub(super) fn region_to_clear(page: &[u8], number: u32, usable: usize) -> Option<Range<usize>> {
    let page = Page::read(page.get(..usable)?, number)?;
    let region = page.pointers_end()..page.content;
    let is_due = page.bytes.get(region.clone())?.iter().any(|byte| *byte != 0);
    (is_due && page.accounts_for_its_bytes()).then_some(region)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    IndexInterior,
    TableInterior,
    IndexLeaf,
    TableLeaf,
}

/// A B-tree page, described by its header.
pub(crate) struct Page<'a> {
    /// The bytes that SQLite uses.
    bytes: &'a [u8],
    kind: Kind,
    /// Offset of the cell pointers.
    pointers: usize,
    cells: usize,
    /// Offset of the first free block among the cells; 0 if there is none.
    free_block: usize,
    /// Offset of the area with the cells.
    content: usize,
    /// Free bytes among the cells that are in no free block.
    fragments: usize,
}

/// A cell of a page.
pub(crate) struct Cell<'a> {
    /// Its range on the page.
    range: Range<usize>,
    /// The page with the entries before it; `None` on a leaf.
    pub(crate) child: Option<u32>,
    /// The size of its record in bytes; 0 on an interior page of a table, whose cells have no record.
    pub(crate) record_bytes: u64,
    /// The part of its record that is on the page itself.
    pub(crate) local: &'a [u8],
    /// The first overflow page of its record, if it has one.
    pub(crate) overflow: Option<u32>,
}

impl<'a> Page<'a> {
    /// Parses the header of page `number`; `bytes` are the bytes of the page that SQLite uses. Returns `None`
    /// for a page of another kind.
    pub(crate) fn read(bytes: &'a [u8], number: u32) -> Option<Self> {
        let header = if number == 1 { 100 } else { 0 };
        let (kind, pointers) = match bytes.get(header)? {
            0x02 => (Kind::IndexInterior, header + 12),
            0x05 => (Kind::TableInterior, header + 12),
            0x0a => (Kind::IndexLeaf, header + 8),
            0x0d => (Kind::TableLeaf, header + 8),
            _ => return None,
        };
        let content = match two_bytes(bytes, header + 5)? {
            0 => 65536,
            content => content,
        };
        Some(Self {
            bytes,
            kind,
            pointers,
            cells: two_bytes(bytes, header + 3)?,
            free_block: two_bytes(bytes, header + 1)?,
            content,
            fragments: usize::from(*bytes.get(header + 7)?),
        })
    }

    /// Returns whether it belongs to an index or a table without rowids.
    pub(crate) fn is_of_index(&self) -> bool {
        matches!(self.kind, Kind::IndexInterior | Kind::IndexLeaf)
    }

    fn is_interior(&self) -> bool {
        matches!(self.kind, Kind::IndexInterior | Kind::TableInterior)
    }

    /// The page with the entries after its last cell; `None` on a leaf.
    pub(crate) fn last_child(&self) -> Option<u32> {
        self.is_interior().then(|| four_bytes(self.bytes, self.pointers - 4))?
    }

    fn pointers_end(&self) -> usize {
        self.pointers + 2 * self.cells
    }

    /// Returns its cells; `None` if one of them is not wholly on the page. SQLite refuses such a page.
    pub(crate) fn cells(&self) -> Option<Vec<Cell<'a>>> {
        (0..self.cells).map(|number| self.cell(number)).collect()
    }

    /// Returns whether cells, free blocks and fragments fill the page after the unallocated region without
    /// overlap, as SQLite's own `integrity_check` requires.
    pub(crate) fn accounts_for_its_bytes(&self) -> bool {
        let (Some(cells), Some(mut ranges)) = (self.cells(), self.free_blocks()) else { return false };
        ranges.extend(cells.into_iter().map(|cell| cell.range));
        ranges.sort_unstable_by_key(|range| range.start);
        let (mut end, mut fragments) = (self.content, 0);
        for range in ranges {
            // A range that begins before `end` overlaps the range before it, or the unallocated region.
            let Some(between) = range.start.checked_sub(end) else { return false };
            fragments += between;
            end = range.end;
        }
        let rest = self.bytes.len().checked_sub(end);
        self.pointers_end() <= self.content && rest.is_some_and(|rest| fragments + rest == self.fragments)
    }

    /// Returns the ranges of the free blocks in ascending order; `None` if the list is damaged.
    fn free_blocks(&self) -> Option<Vec<Range<usize>>> {
        let (mut at, mut previous_end, mut blocks) = (self.free_block, self.content, Vec::new());
        while at != 0 {
            if at < previous_end {
                return None;
            }
            let (next, size) = (two_bytes(self.bytes, at)?, two_bytes(self.bytes, at + 2)?);
            previous_end = at + size;
            if size < CELL_MIN || previous_end > self.bytes.len() {
                return None;
            }
            blocks.push(at..previous_end);
            at = next;
        }
        Some(blocks)
    }

    /// Parses a cell, which must lie wholly after the cell pointers.
    fn cell(&self, number: usize) -> Option<Cell<'a>> {
        let start = two_bytes(self.bytes, self.pointers + 2 * number)?;
        let cell = self.bytes.get(start..).filter(|_| start >= self.pointers_end())?;
        let (child, mut at) = if self.is_interior() { (Some(four_bytes(cell, 0)?), 4) } else { (None, 0) };
        // The size of the record in bytes, or the rowid on an interior page of a table.
        let (first, length) = varint(cell.get(at..)?)?;
        at += length;
        let record_bytes = if self.kind == Kind::TableInterior { 0 } else { first };
        if self.kind == Kind::TableLeaf {
            at += varint(cell.get(at..)?)?.1;
        }
        let local = cell.get(at..)?.get(..self.local_bytes(record_bytes)?)?;
        at += local.len();
        let overflow = match record_bytes > local.len() as u64 {
            true => Some(four_bytes(cell, at)?),
            false => None,
        };
        at += if overflow.is_some() { 4 } else { 0 };
        let size = at.max(CELL_MIN);
        (size <= cell.len()).then(|| Cell {
            range: start..start + size,
            child,
            record_bytes,
            local,
            overflow,
        })
    }

    /// Returns how many bytes of a record are on the page itself (file format, 1.6; U, P, X, M and K).
    fn local_bytes(&self, record: u64) -> Option<usize> {
        let usable = self.bytes.len();
        let record = usize::try_from(record).ok()?;
        let most = match self.kind {
            Kind::TableLeaf => usable.checked_sub(35)?,
            _ => usable.checked_sub(12)? * 64 / 255 - 23,
        };
        if record <= most {
            return Some(record);
        }
        let least = usable.checked_sub(12)? * 32 / 255 - 23;
        let fitting = least + (record - least) % (usable - 4);
        Some(if fitting <= most { fitting } else { least })
    }
}

pub(crate) fn two_bytes(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn four_bytes(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Decodes a varint of 1 to 9 bytes; returns its value and its length.
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(8).enumerate() {
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    Some((value << 8 | u64::from(*bytes.get(8)?), 9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_that_account_for_their_bytes_have_a_region_to_clear() {
        // Two cells of four bytes (rows 1 and 2, two bytes of payload each), a free block of five and a
        // fragment of three.
        let page = |changes: &[(usize, u8)]| {
            let mut page = vec![7; 512];
            page[..12].copy_from_slice(&[0x0d, 1, 247, 0, 2, 1, 240, 3, 1, 240, 1, 252]);
            page[496..512].copy_from_slice(&[2, 1, 9, 9, 0, 0, 0, 0, 5, 0, 0, 0, 2, 2, 9, 9]);
            page[503..508].copy_from_slice(&[0, 0, 0, 5, 0]);
            for (at, byte) in changes {
                page[*at] = *byte;
            }
            page
        };
        let region = |changes: &[(usize, u8)]| region_to_clear(&page(changes), 2, 512);
        assert_eq!(region(&[]), Some(12..496));
        let mut clear = page(&[]);
        clear[12..496].fill(0);
        assert_eq!(region_to_clear(&clear, 2, 512), None, "it is clear already");
        let damaged: [(&str, &[(usize, u8)]); 10] = [
            ("another kind", &[(0, 0)]),
            ("a cell too few", &[(4, 1)]),
            ("a cell too many", &[(4, 3)]),
            ("cells begin earlier", &[(6, 239)]),
            ("cells begin later", &[(6, 241)]),
            ("too few fragments", &[(7, 2)]),
            ("a pointer into the region", &[(9, 100)]),
            ("two pointers to one cell", &[(10, 1), (11, 240)]),
            ("a larger cell", &[(508, 3)]),
            ("a free block that points backwards", &[(504, 1)]),
        ];
        for (what, changes) in damaged {
            assert_eq!(region(changes), None, "{what}");
        }
        assert_eq!((region_to_clear(&[0x0d], 2, 512), region_to_clear(&[], 2, 0)), (None, None));
    }

    #[test]
    fn varints_of_any_length_are_decoded() {
        assert_eq!(varint(&[0x7f]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00]), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, 9)));
        assert_eq!((varint(&[0x81]), varint(&[])), (None, None));
    }
}
