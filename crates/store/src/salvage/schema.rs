//! Reads the tables of a damaged database by definitions that are known: a bit in the text of a definition, or in the name of a
//! table, would keep SQLite from everything that the table holds.
//!
//! The definitions are those of a new database of the same schema. Where each table begins is taken from the damaged one; what
//! is lost of that, from the new one, as the tables of a database that was made with this schema begin on the same pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use rusqlite::Connection;

use super::open_damaged;
use crate::{Error, migrations};

/// Bytes of the header at the start of the first page (SQLite's file format, 1.3); the tree of definitions begins behind it.
const HEADER_BYTES: usize = 100;
/// Where the header says how many pages there are (zero lets SQLite go by the file's size), and which are free.
const COUNTS_AT: [std::ops::Range<usize>; 2] = [28..32, 32..40];
/// The kind of an interior page of a table's tree, and bytes of its own header (1.6).
const INTERIOR_TABLE: u8 = 5;
const INTERIOR_HEADER_BYTES: usize = 12;
/// Names of tables and indexes that differ in so few letters are the same.
const DAMAGED_LETTERS_MAX: usize = 2;

/// What a definition is of: a table or an index, and its name.
type Named = (String, String);

/// Where a table or index begins, and its definition; an index that SQLite makes itself has none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Definition {
    root: u32,
    sql: Option<String>,
}

/// Gives the copy of a damaged database the definitions of `schema` where some of its own are damaged; says whether it did.
///
/// # Errors
/// When the copy cannot be read or written.
pub(super) fn mend(copy: &Path, schema: u32) -> Result<bool, Error> {
    let new = copy.with_extension("new-schema");
    let _ = std::fs::remove_file(&new);
    let mended = mend_by(copy, &new, schema);
    let _ = std::fs::remove_file(&new);
    mended
}

fn mend_by(copy: &Path, new: &Path, schema: u32) -> Result<bool, Error> {
    let connection = Connection::open(new)?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    migrations::make(&connection, schema)?;
    let known = definitions(&connection)?;
    let found = open_damaged(copy).and_then(|damaged| definitions(&damaged)).unwrap_or_default();
    let size = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let mut pages = Pages::open(copy, size)?;
    let mut empty = Pages::open(new, size)?;
    let roots = roots(&known, &found, |root, own| Ok(pages.kind(root)? == empty.kind(own)?))?;
    let is_whole = |(name, known): (&Named, &Definition)| {
        found
            .get(name)
            .is_some_and(|found| found.sql == known.sql && roots.get(name) == Some(&Some(found.root)))
    };
    if known.iter().all(is_whole) {
        return Ok(false);
    }
    tracing::warn!(
        schema,
        "definitions of tables are damaged; those of this schema are taken in their place"
    );
    connection.execute_batch("PRAGMA writable_schema = ON")?;
    for (name, root) in roots {
        // Nobody knows where it begins: then it has no rows.
        let root = match root {
            Some(root) => root,
            None => pages.append(&empty.page(known[&name].root)?)?,
        };
        let place = "UPDATE sqlite_schema SET rootpage = ?3 WHERE type = ?1 AND name = ?2";
        connection.execute(place, (&name.0, &name.1, root))?;
    }
    drop(connection);
    graft(&mut pages, &mut empty)?;
    Ok(true)
}

/// The tables and indexes that a database names.
fn definitions(connection: &Connection) -> Result<BTreeMap<Named, Definition>, Error> {
    let mut query =
        connection.prepare("SELECT type, name, rootpage, sql FROM sqlite_schema WHERE rootpage > 0")?;
    let mut rows = query.query([])?;
    let mut found = BTreeMap::new();
    // What is behind a damaged page is not read; a row that makes no sense says nothing.
    while let Ok(Some(row)) = rows.next() {
        let read = || Some(((row.get(0).ok()?, row.get(1).ok()?), row.get(2).ok()?, row.get(3).ok()?));
        if let Some((name, root, sql)) = read() {
            found.insert(name, Definition { root, sql });
        }
    }
    Ok(found)
}

/// Where each known table and index begins in the damaged database; none where another one begins there. `may_be` says of a page
/// there whether it is of the kind that the page of the new database is.
fn roots(
    known: &BTreeMap<Named, Definition>,
    found: &BTreeMap<Named, Definition>,
    mut may_be: impl FnMut(u32, u32) -> Result<bool, Error>,
) -> Result<BTreeMap<Named, Option<u32>>, Error> {
    let nearly = |name: &Named| {
        let others = found.iter().filter(|(other, _)| !known.contains_key(*other));
        others.into_iter().find_map(|(other, found)| {
            let letters = other.1.bytes().zip(name.1.bytes()).filter(|(one, other)| one != other).count();
            (other.1.len() == name.1.len() && letters <= DAMAGED_LETTERS_MAX).then_some(found.root)
        })
    };
    let mut there = BTreeMap::new();
    for (name, own) in known {
        let root = found.get(name).map(|found| found.root).or_else(|| nearly(name));
        if let Some(root) = root
            && (root == own.root || may_be(root, own.root)?)
        {
            there.insert(name, root);
        }
    }
    let often = |root: u32| there.values().filter(|other| **other == root).count() > 1;
    let sure: BTreeMap<&Named, u32> =
        there.iter().filter(|(_, root)| !often(**root)).map(|(name, root)| (*name, *root)).collect();
    let taken: BTreeSet<u32> = sure.values().copied().collect();
    let root = |(name, own): (&Named, &Definition)| {
        let of_new = || Some(own.root).filter(|root| !taken.contains(root));
        (name.clone(), sure.get(name).copied().or_else(of_new))
    };
    Ok(known.iter().map(root).collect())
}

/// Puts the tree of definitions of `new` in the place of the damaged one: its first page on the first page, the others behind
/// the last.
fn graft(damaged: &mut Pages, new: &mut Pages) -> Result<(), Error> {
    let mut first = new.page(1)?;
    for counts in COUNTS_AT {
        first[counts].fill(0);
    }
    if first[HEADER_BYTES] == INTERIOR_TABLE {
        for at in children(&first) {
            let child = u32::from_be_bytes([first[at], first[at + 1], first[at + 2], first[at + 3]]);
            let moved = damaged.append(&new.page(child)?)?;
            first[at..at + 4].copy_from_slice(&moved.to_be_bytes());
        }
    }
    damaged.write(1, &first)
}

/// Where the first page of a tree of two floors, which is whole, has the numbers of its other pages (1.6).
fn children(first: &[u8]) -> Vec<usize> {
    let short = |at: usize| usize::from(u16::from_be_bytes([first[at], first[at + 1]]));
    let cell = |number: usize| short(HEADER_BYTES + INTERIOR_HEADER_BYTES + 2 * number);
    let last = HEADER_BYTES + 8;
    (0..short(HEADER_BYTES + 3)).map(cell).chain([last]).collect()
}

/// The pages of a database file, by their numbers from 1.
struct Pages {
    file: File,
    size: usize,
}

impl Pages {
    fn open(path: &Path, size: usize) -> Result<Self, Error> {
        let file = File::options().read(true).write(true).open(path).map_err(Error::Backup)?;
        Ok(Self { file, size })
    }

    fn seek(&mut self, page: u32) -> Result<(), Error> {
        let at = (u64::from(page) - 1) * self.size as u64;
        self.file.seek(SeekFrom::Start(at)).map_err(Error::Backup)?;
        Ok(())
    }

    fn page(&mut self, page: u32) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; self.size];
        self.seek(page)?;
        self.file.read_exact(&mut bytes).map_err(Error::Backup)?;
        Ok(bytes)
    }

    /// Whether a page belongs to a tree of rows by their numbers (1) or of an index (0), the root of the definitions and a page
    /// that is not there to none.
    fn kind(&mut self, page: u32) -> Result<Option<u8>, Error> {
        let length = self.file.metadata().map_err(Error::Backup)?.len();
        if page < 2 || u64::from(page) * self.size as u64 > length {
            return Ok(None);
        }
        let kind = self.page(page)?[0];
        // 2 and 10 are pages of an index, 5 and 13 of a table (1.6).
        Ok([2, 10, 5, 13].contains(&kind).then_some(kind & 1))
    }

    fn write(&mut self, page: u32, bytes: &[u8]) -> Result<(), Error> {
        self.seek(page)?;
        self.file.write_all(bytes).map_err(Error::Backup)
    }

    /// Writes a page behind the last and returns its number.
    fn append(&mut self, bytes: &[u8]) -> Result<u32, Error> {
        let length = self.file.metadata().map_err(Error::Backup)?.len();
        let pages = u32::try_from(length.div_ceil(self.size as u64)).unwrap_or(u32::MAX - 1);
        self.write(pages + 1, bytes)?;
        Ok(pages + 1)
    }
}
