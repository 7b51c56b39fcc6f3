//! Replaces damaged definitions of tables by known ones. One flipped bit in the SQL text of a definition, or
//! in the name of a table, would keep SQLite from reading the whole table.
//!
//! The definitions are those of a new database with the same schema. The root page of each table comes from
//! the damaged database. If that is lost, it comes from the new one, because the tables of a database that
//! was created with this schema begin on the same pages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;

use super::definitions::{DAMAGED_LETTERS_MAX, Definition, Definitions, ObjectName, is_nearly};
use super::pages::{HEADER_BYTES, Pages, child_offsets, number_at};
use super::table_shape;
use crate::{Error, migrations};

/// Offsets in the header of the number of pages (0 makes SQLite use the file's size) and the free list.
const COUNTS_AT: [std::ops::Range<usize>; 2] = [28..32, 32..40];

/// Creates the tables of a schema in an empty database, without the rows that migrations insert.
pub(super) fn make_empty(connection: &Connection, schema: u32) -> Result<(), Error> {
    migrations::create_schema(connection, schema)?;
    for table in table_shape::tables(connection)? {
        connection.execute(&format!("DELETE FROM \"{}\"", table.name), [])?;
    }
    Ok(())
}

/// Gives a copy of a damaged database the definitions of `schema` if some of its own are damaged. Returns
/// whether it did.
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
    tracing::warn!(schema, "definitions of tables are damaged; those of this schema are used");
    connection.execute_batch("PRAGMA writable_schema = ON")?;
    for (name, root) in roots {
        // If the root page is unknown, the table gets an empty one.
        let root = match root {
            Some(root) => root,
            None => pages.append(&empty.page(known[&name].root)?)?,
        };
        let sql = "UPDATE sqlite_schema SET rootpage = ?3 WHERE type = ?1 AND name = ?2";
        connection.execute(sql, (&name.0, &name.1, root))?;
    }
    drop(connection);
    graft(&mut pages, &mut empty)?;
    Ok(true)
}

/// Returns the root page of each known table and index in the damaged database; `None` if another one begins
/// there. `may_be` tells whether a page there is of the same kind as a page of the new database.
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

/// Replaces the damaged tree of definitions by that of `new`. Its first page overwrites the first page, the
/// others are appended.
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
