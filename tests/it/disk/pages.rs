//! Counts the rows of a database that survive the loss of some of its pages: the rows on leaf pages that are
//! reached without a lost page (SQLite's file format, 1.6 and 2.1). Reads only undamaged databases with pages
//! of SQLite's default size.

use std::collections::BTreeSet;

/// Bytes of a page.
pub(super) const PAGE: usize = 4096;
/// The types of interior pages and of leaf pages: of an index, as `WITHOUT ROWID` tables are stored, and of a
/// table.
const BRANCHES: [u8; 2] = [0x02, 0x05];
const LEAVES: [u8; 2] = [0x0a, 0x0d];

/// The bytes of a database before its damage.
pub(super) struct Pages<'a>(pub(super) &'a [u8]);

impl Pages<'_> {
    pub(super) fn count(&self) -> usize {
        self.0.len() / PAGE
    }

    /// Counts the rows of a table that can still be reached.
    pub(super) fn rows(&self, table: &str, lost: &BTreeSet<usize>) -> usize {
        let root = self.cells(1, &BTreeSet::new()).into_iter().find_map(|cell| self.root_in(cell, table));
        self.cells(root.expect("the schema names it"), lost).len()
    }

    /// The offsets of the cells on the leaf pages below a page.
    fn cells(&self, page: usize, lost: &BTreeSet<usize>) -> Vec<usize> {
        if lost.contains(&page) {
            return Vec::new();
        }
        let start = (page - 1) * PAGE;
        // The first page begins with the header of the file.
        let at = if page == 1 { start + 100 } else { start };
        let cells = |pointers: usize| {
            (0..self.number(at + 3, 2)).map(move |cell| start + self.number(pointers + 2 * cell, 2))
        };
        match self.0[at] {
            kind if LEAVES.contains(&kind) => cells(at + 8).collect(),
            kind if BRANCHES.contains(&kind) => {
                let children = cells(at + 12).chain([at + 8]).map(|cell| self.number(cell, 4));
                children.flat_map(|child| self.cells(child, lost)).collect()
            }
            kind => panic!("page {page} is of kind {kind}"),
        }
    }

    /// The root page of a table, if this cell of the schema describes that table.
    fn root_in(&self, cell: usize, table: &str) -> Option<usize> {
        let (_, at) = self.varint(cell);
        let (_, record) = self.varint(at);
        let (header, mut at) = self.varint(record);
        let mut value = record + header;
        // type, name, tbl_name, rootpage
        let mut columns = Vec::new();
        for _ in 0..4 {
            let (kind, next) = self.varint(at);
            let length = match kind {
                0..=4 => kind,
                8 | 9 => 0,
                text => (text - 13) / 2,
            };
            columns.push((value, length));
            (at, value) = (next, value + length);
        }
        let text = |(start, length): (usize, usize)| &self.0[start..start + length];
        (text(columns[0]) == b"table" && text(columns[1]) == table.as_bytes())
            .then(|| self.number(columns[3].0, columns[3].1))
    }

    /// A big-endian number of this many bytes.
    fn number(&self, at: usize, bytes: usize) -> usize {
        self.0[at..at + bytes].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    }

    /// A variable-length integer and the offset after it.
    fn varint(&self, at: usize) -> (usize, usize) {
        let length = self.0[at..].iter().position(|byte| byte & 0x80 == 0).expect("it ends") + 1;
        let digits = &self.0[at..at + length];
        (digits.iter().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f)), at + length)
    }
}
