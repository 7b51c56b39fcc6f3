//! Where a B-tree page has its unallocated region (SQLite's file format, 1.6).

use std::ops::Range;

/// Bytes that a cell takes at least.
const CELL_MIN: usize = 4;

/// The unallocated region of a page, where that is not zero. `number` is the page's, `usable` how many of its bytes SQLite uses.
/// None for a page of another kind, and for one that does not account for each of its bytes: it is damaged.
pub(super) fn due_region(page: &[u8], number: u32, usable: usize) -> Option<Range<usize>> {
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

/// A B-tree page as its header describes it.
struct Page<'a> {
    /// As many as SQLite uses.
    bytes: &'a [u8],
    kind: Kind,
    /// Where the pointers to cells begin.
    pointers: usize,
    cells: usize,
    /// Where the first free block among the cells is; 0 where there is none.
    free_block: usize,
    /// Where the cells begin.
    content: usize,
    /// Bytes among the cells that are in no free block.
    fragments: usize,
}

impl<'a> Page<'a> {
    fn read(bytes: &'a [u8], number: u32) -> Option<Self> {
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

    fn pointers_end(&self) -> usize {
        self.pointers + 2 * self.cells
    }

    /// Whether cells, free blocks and fragments make up all that lies behind the unallocated region, as SQLite's own
    /// `integrity_check` wants it.
    fn accounts_for_its_bytes(&self) -> bool {
        let Some(room) = self.bytes.len().checked_sub(self.content) else { return false };
        let cells: Option<usize> = (0..self.cells).map(|at| self.cell_bytes(at)).sum();
        let free = self.free_bytes();
        cells.zip(free).is_some_and(|(cells, free)| cells + free + self.fragments == room)
    }

    /// The bytes of the free blocks. Each lies behind the one before.
    fn free_bytes(&self) -> Option<usize> {
        let (mut at, mut total, mut behind) = (self.free_block, 0, self.content);
        while at != 0 {
            if at < behind {
                return None;
            }
            let (next, size) = (two_bytes(self.bytes, at)?, two_bytes(self.bytes, at + 2)?);
            behind = at + size;
            if size < CELL_MIN || behind > self.bytes.len() {
                return None;
            }
            total += size;
            at = next;
        }
        Some(total)
    }

    /// The bytes of a cell, which lies wholly behind the unallocated region.
    fn cell_bytes(&self, number: usize) -> Option<usize> {
        let start = two_bytes(self.bytes, self.pointers + 2 * number)?;
        let cell = self.bytes.get(start..).filter(|_| start >= self.content)?;
        let size = match self.kind {
            Kind::TableInterior => 4 + varint(cell.get(4..)?)?.1,
            Kind::TableLeaf => {
                let (payload, length) = varint(cell)?;
                let (_, row) = varint(cell.get(length..)?)?;
                length + row + self.local_bytes(payload)?
            }
            Kind::IndexLeaf => {
                let (payload, length) = varint(cell)?;
                length + self.local_bytes(payload)?
            }
            Kind::IndexInterior => {
                let (payload, length) = varint(cell.get(4..)?)?;
                4 + length + self.local_bytes(payload)?
            }
        };
        let size = size.max(CELL_MIN);
        (size <= cell.len()).then_some(size)
    }

    /// How much of a payload lies on the page itself, with the number of the page where it goes on (file format, 1.6: U, P, X, M
    /// and K).
    fn local_bytes(&self, payload: u64) -> Option<usize> {
        let usable = self.bytes.len();
        let payload = usize::try_from(payload).ok()?;
        let most = match self.kind {
            Kind::TableLeaf => usable.checked_sub(35)?,
            _ => usable.checked_sub(12)? * 64 / 255 - 23,
        };
        if payload <= most {
            return Some(payload);
        }
        let least = usable.checked_sub(12)? * 32 / 255 - 23;
        let fitting = least + (payload - least) % (usable - 4);
        Some(if fitting <= most { fitting } else { least } + 4)
    }
}

fn two_bytes(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

/// A number of 1 to 9 bytes, and how many these are.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
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
        // Two cells of four bytes (a payload of two bytes each, rows 1 and 2), a free block of five and a fragment of three.
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
        let region = |changes: &[(usize, u8)]| due_region(&page(changes), 2, 512);
        assert_eq!(region(&[]), Some(12..496));
        let mut clear = page(&[]);
        clear[12..496].fill(0);
        assert_eq!(due_region(&clear, 2, 512), None, "nothing is there");
        let damaged: [(&str, &[(usize, u8)]); 9] = [
            ("another kind", &[(0, 0)]),
            ("a cell less", &[(4, 1)]),
            ("a cell more", &[(4, 3)]),
            ("cells begin earlier", &[(6, 239)]),
            ("cells begin later", &[(6, 241)]),
            ("fewer fragments", &[(7, 2)]),
            ("a pointer into the region", &[(9, 100)]),
            ("a larger cell", &[(508, 3)]),
            ("a free block that leads back", &[(504, 1)]),
        ];
        for (what, changes) in damaged {
            assert_eq!(region(changes), None, "{what}");
        }
        assert_eq!((due_region(&[0x0d], 2, 512), due_region(&[], 2, 0)), (None, None));
    }

    #[test]
    fn numbers_of_any_length_are_read() {
        assert_eq!(varint(&[0x7f]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00]), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, 9)));
        assert_eq!((varint(&[0x81]), varint(&[])), (None, None));
    }
}
