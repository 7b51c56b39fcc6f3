//! The results of a salvage: which rows were saved and lost, from which schema, and what the log contributed.

use std::path::PathBuf;

/// The result for one table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Table {
    /// The name of the table in the new database.
    pub name: String,
    /// The number of rows in the new database.
    pub saved: u64,
    /// The number of rows that are known to have existed, but could not be read or had invalid values. If a
    /// whole branch of a table is lost, its number of rows is unknown.
    pub lost: u64,
    /// The number of gaps between rows that were not searched to the end. Searching them would take too long,
    /// or the keys in them cannot be guessed. 0 if every readable row was found.
    pub unsearched: u64,
    /// The number of its pages that are damaged or refer to a page that is not the table's. Rows on or below
    /// such pages may be missing without being counted in [`Table::lost`].
    pub damaged_pages: u64,
    /// Whether the table could be read neither from its start nor from its end. Then its number of rows is
    /// unknown.
    pub is_unreadable: bool,
}

/// The result of a salvage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalvageReport {
    /// The path of the database with the saved rows.
    pub database: PathBuf,
    /// The schema of the damaged database. The new database has the newest schema, if it could be migrated.
    pub schema: Schema,
    /// Every table, by name.
    pub tables: Vec<Table>,
    /// The number of pages with content that nothing in the database refers to any more. Rows on them are
    /// lost and not counted, unless an index names them ([`Table::lost`]). The pages may also have belonged
    /// to indexes, which are rebuilt. If the header is lost, free pages with content count, too.
    pub unreached_pages: u64,
    /// The number of rows that refer to a lost row. They were changed to stand alone, or left out.
    pub unlinked: u64,
    /// The changes read from the write-ahead log.
    pub log: LogReport,
}

/// The schema of a damaged database, and how it was determined.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Schema {
    /// The number of the schema that its tables have, from 1.
    pub number: u32,
    /// The number in the damaged header; `None` if that is lost. If it differs from [`Schema::number`], the
    /// definitions of tables contradict it, and they decide.
    pub in_header: Option<u32>,
    /// Tables, and columns as `table.column`, that the new database may lack. The damaged one has them if its
    /// schema is newer than [`Schema::number`]; too many definitions are damaged to tell. Usually empty.
    pub may_lack: Vec<String>,
    /// The tables that no schema of this Lar has, such as another program's. They were not saved.
    pub unknown_tables: Vec<String>,
}

/// The changes that were read from the write-ahead log.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct LogReport {
    /// The number of committed transactions that were read.
    pub transactions: u64,
    /// The numbers of the database's pages, from 1 and in order, whose newest version in the log is damaged.
    /// An older version was read instead, so the last changes to its rows are missing. Empty if the log is
    /// whole.
    pub skipped_pages: Vec<u32>,
    /// Whether the log ends in an incomplete transaction, after a power failure or damage. Then the last
    /// change is missing.
    pub is_incomplete: bool,
    /// Why the log could not be read, in the system's words. Then none of its changes were saved. `None` if
    /// it was read.
    pub unreadable: Option<String>,
}
