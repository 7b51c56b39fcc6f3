//! Decodes the FTS5 records that are needed to clear the search index. They tell which leaves the index uses,
//! and the first term of a leaf.
//!
//! The index consists of segments, and a segment of leaves with its terms in order. The structure record
//! lists the segments. A merge moves the terms of some segments to another one, a few leaves at a time.
//! SQLite's `fts5_index.c` describes the format. A damaged record, or one of a kind that Lar's index never
//! has, yields `None`.

use std::ops::RangeInclusive;

use crate::page::{two_bytes, varint};

/// The rowid of the structure record (`FTS5_STRUCTURE_ROWID`).
pub(super) const STRUCTURE_ROW: i64 = 10;

/// The most segments; FTS5 treats more as damage (`FTS5_MAX_SEGMENT`).
const SEGMENTS_MAX: usize = 2000;
/// The highest number of a segment (`FTS5_DATA_ID_B`).
const SEGMENT_MAX: i64 = 65_535;
/// The highest number of a leaf (`FTS5_MAX_PGNO`).
const LEAF_MAX: i64 = 0x7fff_ff00;

/// The number of bits in a rowid after the segment's number. 1 is for the kind, 5 for a height, and 31 for
/// the leaf (`fts5_dri`).
const ROW_BITS: u32 = 37;
/// The size of a leaf's header in bytes.
const HEADER_BYTES: usize = 4;

/// The segments of the index.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Structure(Vec<Segment>);

#[derive(Debug, PartialEq, Eq)]
struct Segment {
    number: i64,
    /// The leaves that the index uses; `None` if an unfinished merge has moved all its terms.
    leaves: Option<RangeInclusive<i64>>,
}

/// The state of a leaf.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leaf {
    /// The index uses it.
    Used {
        /// Its rowid.
        row: i64,
    },
    /// An unfinished merge has moved its terms.
    Merged {
        /// The rowid it had.
        row: i64,
    },
}

impl Structure {
    /// Decodes a structure record (`fts5StructureDecode`).
    pub(super) fn decode(record: &[u8]) -> Option<Self> {
        // After the cookie of the configuration.
        let mut rest = record.get(4..)?;
        let (levels, count, _writes) = (next(&mut rest)?, next(&mut rest)?, next(&mut rest)?);
        let mut segments: Vec<Segment> = Vec::new();
        for _ in 0..levels {
            let (_inputs, in_level) = (next(&mut rest)?, next(&mut rest)?);
            for _ in 0..in_level {
                let segment = Segment::decode(&mut rest)?;
                let is_twice = segments.iter().any(|other| other.number == segment.number);
                if is_twice || segments.len() == SEGMENTS_MAX {
                    return None;
                }
                segments.push(segment);
            }
        }
        let is_whole = rest.is_empty() && usize::try_from(count) == Ok(segments.len());
        is_whole.then_some(Self(segments))
    }

    /// Returns the state of a leaf; `None` if the index never had it.
    pub(super) fn leaf(&self, segment: i64, leaf: i64) -> Option<Leaf> {
        let segment = self.0.iter().find(|found| found.number == segment)?;
        if !(1..=LEAF_MAX).contains(&leaf) {
            return None;
        }
        let row = first_row(segment.number) + leaf;
        match &segment.leaves {
            Some(used) if leaf > *used.end() => None,
            Some(used) if leaf >= *used.start() => Some(Leaf::Used { row }),
            _ => Some(Leaf::Merged { row }),
        }
    }

    /// Returns the first and the last rowid of each segment whose terms were all moved by an unfinished
    /// merge. FTS5 never reads these rows again, and deletes them when the merge ends (`fts5TrimSegments`,
    /// `fts5DataRemoveSegment`).
    pub(super) fn merged_rows(&self) -> impl Iterator<Item = (i64, i64)> {
        let merged = self.0.iter().filter(|segment| segment.leaves.is_none());
        merged.map(|segment| (first_row(segment.number), first_row(segment.number + 1) - 1))
    }
}

impl Segment {
    fn decode(rest: &mut &[u8]) -> Option<Self> {
        let (number, first, last) = (next(rest)?, next(rest)?, next(rest)?);
        let leaves = match (first, last) {
            (0, 0) => None,
            (1.., ..=LEAF_MAX) if first <= last => Some(first..=last),
            _ => return None,
        };
        (1..=SEGMENT_MAX).contains(&number).then_some(Self { number, leaves })
    }
}

/// Returns the first term of a leaf; `None` if the leaf has no term. The page index after the data has its
/// offset; the first term is stored in full.
pub(super) fn first_term(leaf: &[u8]) -> Option<&[u8]> {
    let (first_row, data_end) = (two_bytes(leaf, 0)?, two_bytes(leaf, 2)?);
    let (start, _) = varint(leaf.get(data_end..)?)?;
    let start = usize::try_from(start).ok()?;
    // FTS5's `integrity-check` also requires the first row to be before the first term.
    if start < HEADER_BYTES || first_row >= start {
        return None;
    }
    let data = leaf.get(..data_end)?.get(start..)?;
    let (length, term_start) = varint(data)?;
    let term = data.get(term_start..)?.get(..usize::try_from(length).ok()?)?;
    (!term.is_empty()).then_some(term)
}

/// Returns the first rowid of a segment (`FTS5_SEGMENT_ROWID`).
fn first_row(segment: i64) -> i64 {
    segment << ROW_BITS
}

/// Decodes the next number.
fn next(rest: &mut &[u8]) -> Option<i64> {
    let (value, length) = varint(rest)?;
    *rest = rest.get(length..)?;
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two levels: segments 5 and 6 are merged into segment 7.
    const RECORD: [u8; 21] = [0, 0, 0, 9, 2, 3, 0x81, 0, 2, 2, 5, 0, 0, 6, 3, 8, 0, 1, 7, 1, 4];

    fn decoded(change: impl Fn(&mut Vec<u8>)) -> Option<Structure> {
        let mut record = RECORD.to_vec();
        change(&mut record);
        Structure::decode(&record)
    }

    #[test]
    fn a_structure_tells_the_state_of_a_leaf() {
        let structure = decoded(|_| {}).unwrap();
        let used = |row: i64| Some(Leaf::Used { row });
        let merged = |row: i64| Some(Leaf::Merged { row });
        let expected = [
            (5, 1, merged((5 << 37) + 1)),
            (5, LEAF_MAX + 1, None),
            (6, 0, None),
            (6, 2, merged((6 << 37) + 2)),
            (6, 3, used((6 << 37) + 3)),
            (6, 8, used((6 << 37) + 8)),
            (6, 9, None),
            (7, 1, used((7 << 37) + 1)),
            (8, 1, None),
        ];
        for (segment, leaf, expected) in expected {
            assert_eq!(structure.leaf(segment, leaf), expected, "leaf {leaf} of segment {segment}");
        }
        assert_eq!(structure.merged_rows().collect::<Vec<_>>(), [(5 << 37, (6 << 37) - 1)]);
        // The index never had a text.
        assert_eq!(Structure::decode(&[0; 7]), Some(Structure(Vec::new())));
    }

    #[test]
    fn a_damaged_structure_is_not_decoded() {
        for length in 0..RECORD.len() {
            assert_eq!(Structure::decode(&RECORD[..length]), None, "{length} bytes");
        }
        type Damage = fn(&mut Vec<u8>);
        let damaged: [(&str, Damage); 8] = [
            ("trailing bytes", |record| record.push(0)),
            ("a segment too few", |record| record[5] = 4),
            ("a level too few", |record| record[4] = 3),
            ("a segment twice", |record| record[13] = 5),
            ("a segment without a number", |record| record[10] = 0),
            ("leaves that end before they begin", |record| record[15] = 2),
            ("no first leaf", |record| record[14] = 0),
            // As in an index without content.
            ("another format", |record| record[4..8].copy_from_slice(&[0xff, 0, 0, 1])),
        ];
        for (what, change) in damaged {
            assert_eq!(decoded(change), None, "{what}");
        }
    }

    #[test]
    fn the_first_term_of_a_leaf_is_read() {
        // The rest of a doclist, two terms with their doclists, and the page index.
        let leaf = [0, 4, 0, 15, 9, 9, 3, b'0', b'a', b'b', 1, 1, b'c', 1, 1, 6, 4];
        assert_eq!(first_term(&leaf), Some(&b"0ab"[..]));
        let damaged = [
            ("a row at the term", 1, 6),
            ("no term", 3, 17),
            ("data that ends after the leaf", 3, 200),
            ("an empty term", 6, 0),
            ("a term that ends after the data", 6, 9),
            ("a term in the header", 15, 3),
            ("a term after the data", 15, 15),
        ];
        for (what, at, byte) in damaged {
            let mut leaf = leaf;
            leaf[at] = byte;
            assert_eq!(first_term(&leaf), None, "{what}");
        }
        for length in 0..=15 {
            assert_eq!(first_term(&leaf[..length]), None, "{length} bytes");
        }
        assert_eq!(first_term(&[0, 0, 0, 4]), None, "a leaf that secure-delete has emptied");
    }
}
