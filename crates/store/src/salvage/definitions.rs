//! The definitions of tables and indexes in a database.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, Row};

use super::source::Source;
use crate::Error;

/// The types of columns in a `STRICT` table; all of Lar's tables are `STRICT`.
const TYPES: [&str; 6] = ["ANY", "BLOB", "INT", "INTEGER", "REAL", "TEXT"];
/// Names of tables, indexes and columns that differ in at most this many letters count as the same.
pub(super) const DAMAGED_LETTERS_MAX: usize = 2;
/// Texts of definitions that differ in at most this many letters count as the same. Another version of a
/// table has a text of another length.
const DAMAGED_LETTERS_OF_TEXT_MAX: usize = 8;

/// The type of a defined object, `table` or `index`, and its name.
pub(super) type ObjectName = (String, String);

/// The definition of a table or index.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    /// Its root page.
    pub(super) root: u32,
    /// Its SQL text; an index that SQLite creates itself has none.
    pub(super) sql: Option<String>,
    /// The names of a table's typed columns.
    pub(super) columns: BTreeSet<String>,
}

impl Definition {
    /// Returns whether both texts are the same except for letters that damage may have changed.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (&self.sql, &other.sql) {
            (Some(one), Some(other)) => is_nearly(one, other, DAMAGED_LETTERS_OF_TEXT_MAX),
            _ => false,
        }
    }
}

/// The definitions in a database.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    pub(super) by_name: BTreeMap<ObjectName, Definition>,
    /// Whether all of them could be read.
    pub(super) is_complete: bool,
}

impl Definitions {
    /// Reads the readable definitions of a database.
    ///
    /// # Errors
    /// When SQLite cannot read the database at all.
    pub(super) fn read(connection: &Connection) -> Result<Self, Error> {
        let mut read = Self { by_name: BTreeMap::new(), is_complete: true };
        // Definitions after a damaged page are found from the other end.
        if !read.add(connection, "ASC")? {
            read.is_complete = false;
            read.add(connection, "DESC")?;
        }
        Ok(read)
    }

    /// Adds definitions in this order, until one cannot be read. Returns whether all were added.
    fn add(&mut self, connection: &Connection, order: &str) -> Result<bool, Error> {
        let mut query = connection.prepare(&format!(
            "SELECT type, name, rootpage, sql FROM sqlite_schema WHERE rootpage > 0 ORDER BY rowid {order}"
        ))?;
        let mut rows = query.query([])?;
        loop {
            match rows.next() {
                Ok(Some(row)) => match definition(row) {
                    Some((name, definition)) => drop(self.by_name.insert(name, definition)),
                    // Skips a row that makes no sense.
                    None => self.is_complete = false,
                },
                Ok(None) => return Ok(true),
                Err(_) => return Ok(false),
            }
        }
    }

    /// Reads the definitions of a copy of a damaged database; empty if they cannot be read.
    pub(super) fn of_copy(copy: &Path) -> Self {
        Source::open(copy).and_then(|source| Self::read(&source.connection)).unwrap_or_default()
    }
}

fn definition(row: &Row<'_>) -> Option<(ObjectName, Definition)> {
    // A flipped bit can turn text into invalid UTF-8, or into a blob.
    let text = |column: usize| {
        let bytes = row.get_ref(column).ok()?.as_bytes().ok()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let name = (text(0)?, text(1)?);
    let sql = text(3);
    let columns = sql.as_deref().map(typed_columns).unwrap_or_default();
    Some((name, Definition { root: row.get(2).ok()?, sql, columns }))
}

/// Returns the names of the columns that an SQL text defines with a type. Nothing else in it is a word
/// followed by the name of a type. The text may be damaged, so SQLite cannot parse it.
fn typed_columns(sql: &str) -> BTreeSet<String> {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let without_comments = lines.collect::<Vec<_>>().join(" ");
    let column = |piece: &str| {
        let mut words = piece.split_whitespace();
        let (name, kind) = (words.next()?, words.next()?);
        TYPES.contains(&kind.trim_end_matches(')')).then(|| name.to_owned())
    };
    without_comments.split([',', '(']).filter_map(column).collect()
}

/// Returns whether two texts of the same length differ in at most `letters_max` letters.
pub(super) fn is_nearly(one: &str, other: &str, letters_max: usize) -> bool {
    let (mut ones, mut others, mut differing) = (one.chars(), other.chars(), 0);
    loop {
        match (ones.next(), others.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) => {
                differing += usize::from(one != other);
                if differing > letters_max {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_a_word_followed_by_a_type() {
        let names = |sql: &str| typed_columns(sql).into_iter().collect::<Vec<_>>();
        let sql = "CREATE TABLE \"passages\" (
           seq     INTEGER PRIMARY KEY,
           kind    TEXT NOT NULL CHECK (kind IN ('user', 'TEXT')),  -- it's a TEXT, or an INTEGER
           vectors BLOB,  -- of each piece: a scale (f32 REAL, little endian), then a byte
           CHECK ((kind IS NULL) = (vectors IS NULL)),
           UNIQUE (seq, kind)
         , memory TEXT, reasoning TEXT) STRICT";
        assert_eq!(names(sql), ["kind", "memory", "reasoning", "seq", "vectors"]);
        assert_eq!(names("CREATE TABLE 'x_idx'(segid, term, pgno, PRIMARY KEY(segid, term))"), [""; 0]);
        assert_eq!(names(""), [""; 0]);
    }

    #[test]
    fn texts_of_the_same_length_that_differ_in_few_letters_are_nearly_the_same() {
        assert!(is_nearly("messages", "messages", 0) && is_nearly("messages", "mess\u{fffd}ges", 1));
        assert!(is_nearly("messages", "nesrages", 2) && !is_nearly("messages", "nesrages", 1));
        assert!(!is_nearly("messages", "message", 2) && !is_nearly("", "m", 2));
    }
}
