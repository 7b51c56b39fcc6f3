//! Clears erased words from FTS5's own tables.
//!
//! FTS5's `secure-delete` removes a word from the leaves that the index uses ([`super::segments`]). Two
//! copies stay:
//!
//! - For each leaf with terms, `conversation_search_idx` has a separator: larger than all terms before that
//!   leaf, and equal to the leaf's first term or a prefix of it. When the first term is removed and others
//!   stay, the separator stays, too (`fts5DoSecureDelete`). This module replaces it by a prefix of the new
//!   first term.
//! - An unfinished merge leaves the separators of the leaves that it has moved, and the leaves themselves if
//!   it has moved a whole segment (`fts5TrimSegments`). The index does not use them, and this module removes
//!   them. FTS5 removes them only when the merge ends, which happens as texts are added.
//!
//! `optimize` does not rewrite an index of one segment, and `rebuild` blocks all other writes. Damaged
//! records are not changed. No other record of FTS5 has words: `conversation_search_docsize` and the rest of
//! `conversation_search_data` have numbers, and the row of `conversation_search_content` is deleted with its
//! text.

use rusqlite::{Connection, OptionalExtension as _};

use super::segments::{Leaf, STRUCTURE_ROW, Structure, first_term};
use crate::{Error, Store};

/// The number of separators that one read examines, each with its leaf of 4 KiB.
const READ_SEPARATORS: usize = 4096;
/// The most separators that one transaction changes, and the most rows of leaves that it removes.
const WRITE_ROWS: usize = 64;

/// Selects separators. FTS5 writes numbers and blobs; values that damage changed to another type are skipped.
const SEPARATORS: &str = "SELECT segid, term FROM conversation_search_idx
     WHERE (segid, term) > (?1, ?2) AND typeof(segid) = 'integer' AND typeof(term) = 'blob'
     ORDER BY segid, term LIMIT ?3";
const LEAF: &str = "SELECT pgno FROM conversation_search_idx WHERE segid = ?1 AND term = ?2";
const NEXT: &str =
    "SELECT term FROM conversation_search_idx WHERE segid = ?1 AND term > ?2 ORDER BY term LIMIT 1";
const BLOCK: &str = "SELECT block FROM conversation_search_data WHERE id = ?1";

/// The key of a row of `conversation_search_idx`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Separator {
    segment: i64,
    term: Vec<u8>,
}

/// Separators that may need a [`SeparatorChange`], and the last separator that was examined if there may be
/// more.
#[derive(Debug, Default)]
struct SeparatorScan {
    due: Vec<Separator>,
    next: Option<Separator>,
}

/// The change that a separator needs.
enum SeparatorChange {
    Replace(Vec<u8>),
    Remove,
}

impl Store {
    /// Clears erased words from the search index. Others can read and write meanwhile. Returns the number of
    /// rows that were changed or removed: their old content stays in unallocated regions of pages and in the
    /// write-ahead log until these are cleared.
    ///
    /// # Errors
    /// When the database fails. The next call tries again.
    pub(crate) async fn clear_search_index(&self) -> Result<usize, Error> {
        let mut changed = 0;
        // Leaves first: a separator stays while its leaf exists.
        loop {
            self.wait_for_small_log().await;
            let removed = self.write(remove_leaves_in_txn).await?;
            changed += removed;
            if removed < WRITE_ROWS {
                break;
            }
        }
        let mut after: Option<Separator> = None;
        loop {
            let look = move |connection: &Connection| {
                // One snapshot of the index for all of them.
                let transaction = connection.unchecked_transaction()?;
                find_in_txn(&transaction, after.as_ref(), READ_SEPARATORS)
            };
            let found = self.read(look).await?;
            for separators in found.due.chunks(WRITE_ROWS) {
                self.wait_for_small_log().await;
                let separators = separators.to_vec();
                changed += self.write(move |connection| change_in_txn(connection, &separators)).await?;
            }
            after = found.next;
            if after.is_none() {
                return Ok(changed);
            }
        }
    }
}

/// Removes at most [`WRITE_ROWS`] rows of segments whose terms were all moved by a merge; returns their
/// number.
fn remove_leaves_in_txn(connection: &Connection) -> Result<usize, Error> {
    let structure = structure(connection)?;
    let mut remove = connection.prepare_cached(
        "DELETE FROM conversation_search_data WHERE id IN
           (SELECT id FROM conversation_search_data WHERE id BETWEEN ?1 AND ?2 LIMIT ?3)",
    )?;
    let mut removed = 0;
    for (first, last) in structure.merged_rows() {
        removed += remove.execute((first, last, WRITE_ROWS - removed))?;
    }
    Ok(removed)
}

/// Examines `count` separators after `after`.
fn find_in_txn(
    connection: &Connection,
    after: Option<&Separator>,
    count: usize,
) -> Result<SeparatorScan, Error> {
    let structure = structure(connection)?;
    let start = Separator { segment: i64::MIN, term: Vec::new() };
    let after = after.unwrap_or(&start);
    let mut query = connection.prepare_cached(SEPARATORS)?;
    let rows = query.query_map((after.segment, &after.term, count), |row| {
        Ok(Separator { segment: row.get(0)?, term: row.get(1)? })
    })?;
    let (mut found, mut looked_at) = (SeparatorScan::default(), 0);
    for separator in rows {
        let separator = separator?;
        looked_at += 1;
        if looked_at == count {
            found.next = Some(separator.clone());
        }
        if change_of(connection, &structure, &separator)?.is_some() {
            found.due.push(separator);
        }
    }
    Ok(found)
}

/// Changes the separators that still need it; returns their number.
fn change_in_txn(connection: &Connection, separators: &[Separator]) -> Result<usize, Error> {
    let structure = structure(connection)?;
    let mut replace = connection
        .prepare_cached("UPDATE conversation_search_idx SET term = ?3 WHERE segid = ?1 AND term = ?2")?;
    let mut remove =
        connection.prepare_cached("DELETE FROM conversation_search_idx WHERE segid = ?1 AND term = ?2")?;
    let mut changed = 0;
    for separator in separators {
        changed += match change_of(connection, &structure, separator)? {
            Some(SeparatorChange::Replace(term)) => {
                replace.execute((separator.segment, &separator.term, term))?
            }
            Some(SeparatorChange::Remove) => remove.execute((separator.segment, &separator.term))?,
            None => 0,
        };
    }
    Ok(changed)
}

/// Returns the change that a separator needs. Returns `None` if it has no erased word, is gone, or a record
/// is damaged.
fn change_of(
    connection: &Connection,
    structure: &Structure,
    separator: &Separator,
) -> Result<Option<SeparatorChange>, Error> {
    let key = (separator.segment, &separator.term);
    let leaf = connection.prepare_cached(LEAF)?.query_row(key, |row| Ok(row.get_ref(0)?.as_i64().ok()));
    let Some(leaf) = leaf.optional()?.flatten() else { return Ok(None) };
    // The lowest bit tells whether there is a doclist index (`fts5WriteFlushBtree`).
    match structure.leaf(separator.segment, leaf >> 1) {
        Some(Leaf::Used { row }) => {
            let Some(first) = block(connection, row, |block| first_term(block).map(<[u8]>::to_vec))? else {
                return Ok(None);
            };
            if first.starts_with(&separator.term) {
                return Ok(None);
            }
            let next = connection.prepare_cached(NEXT)?.query_row(key, |row| row.get(0)).optional()?;
            Ok(replacement(&separator.term, &first, next).map(SeparatorChange::Replace))
        }
        // If the leaf exists, it must be removed first, or the structure is damaged.
        Some(Leaf::Merged { row }) => {
            Ok(block(connection, row, |_| Some(()))?.is_none().then_some(SeparatorChange::Remove))
        }
        None => Ok(None),
    }
}

/// Returns the shortest prefix of a leaf's first term that can replace the separator `separator`, which is no
/// prefix of it.
///
/// The result is larger than the separator, and therefore larger than all terms before the leaf, and no
/// larger than the first term. Returns `None` unless the first term is between the separator and the next
/// one, as in every undamaged index. So the separators keep their order, and no two become equal.
fn replacement(separator: &[u8], first: &[u8], next: Option<Vec<u8>>) -> Option<Vec<u8>> {
    let is_between = separator < first && next.is_none_or(|next| first < next.as_slice());
    let shared = separator.iter().zip(first).take_while(|(one, other)| one == other).count();
    first.get(..=shared).filter(|_| is_between).map(<[u8]>::to_vec)
}

/// Returns the structure of the index.
///
/// # Errors
/// When its record is damaged.
fn structure(connection: &Connection) -> Result<Structure, Error> {
    let damaged = || Error::Corrupt {
        path: None,
        faults: vec!["the structure record of the search index is damaged".into()],
    };
    block(connection, STRUCTURE_ROW, Structure::decode)?.ok_or_else(damaged)
}

/// Reads a record of the index; returns `None` if it does not exist or `decode` finds it damaged.
fn block<T>(
    connection: &Connection,
    row: i64,
    decode: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, Error> {
    let mut query = connection.prepare_cached(BLOCK)?;
    let decoded = query.query_row([row], |row| Ok(row.get_ref(0)?.as_blob().ok().and_then(decode)));
    Ok(decoded.optional()?.flatten())
}

#[cfg(test)]
mod tests;
