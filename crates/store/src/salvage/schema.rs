//! Reads the tables of a damaged database by definitions that are known: a bit in the text of a definition, or in the name of a
//! table, would keep SQLite from everything that the table holds.
//!
//! The definitions are those of a new database of the same schema. Where each table begins is taken from the damaged one; what
//! is lost of that, from the new one, as the tables of a database that was made with this schema begin on the same pages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;

use super::definitions::{DAMAGED_LETTERS_MAX, Definition, Definitions, ObjectName, is_nearly};
use super::make_empty;
use super::pages::{HEADER_BYTES, Pages, child_offsets, number_at};
use crate::Error;

/// Where the header says how many pages there are (zero lets SQLite go by the file's size), and which are free.
const COUNTS_AT: [std::ops::Range<usize>; 2] = [28..32, 32..40];

/// Gives the copy of a damaged database the definitions of `schema` where some of its own are damaged; says whether it did.
///
/// # Errors
/// When the copy cannot be read or written.
pub(super) fn repair_definitions(copy: &Path, schema: u32) -> Result<bool, Error> {
    let new = copy.with_extension("new-schema");
    let _ = std::fs::remove_file(&new);
    let mended = repair_with(copy, &new, schema);
    let _ = std::fs::remove_file(&new);
    mended
}

fn repair_with(copy: &Path, new: &Path, schema: u32) -> Result<bool, Error> {
    let connection = Connection::open(new)?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    make_empty(&connection, schema)?;
    let known = Definitions::read(&connection)?.by_name;
    let found = Definitions::of_copy(copy).by_name;
    let size = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let mut pages = Pages::open(copy, size)?;
    let mut empty = Pages::open(new, size)?;
    let roots = roots(&known, &found, |root, own| Ok(pages.kind(root)? == empty.kind(own)?))?;
    let is_whole = |(name, known): (&ObjectName, &Definition)| {
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

/// Where each known table and index begins in the damaged database; none where another one begins there. `may_be` says of a page
/// there whether it is of the kind that the page of the new database is.
fn roots(
    known: &BTreeMap<ObjectName, Definition>,
    found: &BTreeMap<ObjectName, Definition>,
    mut may_be: impl FnMut(u32, u32) -> Result<bool, Error>,
) -> Result<BTreeMap<ObjectName, Option<u32>>, Error> {
    let nearly = |name: &ObjectName| {
        let mut others = found.iter().filter(|(other, _)| !known.contains_key(*other));
        let similar = others.find(|(other, _)| is_nearly(&other.1, &name.1, DAMAGED_LETTERS_MAX));
        similar.map(|(_, found)| found.root)
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
    let sure: BTreeMap<&ObjectName, u32> =
        there.iter().filter(|(_, root)| !often(**root)).map(|(name, root)| (*name, *root)).collect();
    let taken: BTreeSet<u32> = sure.values().copied().collect();
    let root = |(name, own): (&ObjectName, &Definition)| {
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
    for at in child_offsets(&first, HEADER_BYTES) {
        let moved = damaged.append(&new.page(number_at(&first, at))?)?;
        first[at..at + 4].copy_from_slice(&moved.to_be_bytes());
    }
    damaged.write(1, &first)
}
