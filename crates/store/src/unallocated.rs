//! Clears erased content from the unallocated regions of pages.
//!
//! SQLite's `secure_delete` overwrites deleted content where it is. But when SQLite distributes the cells of
//! a page over other pages, it copies them, and the old bytes stay in the page's unallocated region, between
//! its cell pointers and its cells (SQLite's file format, 1.6). Of 200 erased texts, 10 to 22 are found
//! there. `VACUUM` would clear them, too, but it needs as much space again as the database, and nothing can
//! be written meanwhile.
//!
//! After an erasure ([`Store::clear_erased`]), all pages are examined, and regions that are not zero are
//! cleared through the table `sqlite_dbpage`: in a transaction like any change, so that a crash or another
//! reader does no harm. SQLite never reads an unallocated region. A page that does not account for all its
//! bytes is left as it is: in a damaged page, the region may contain rows ([`crate::page`]).

use std::time::Duration;

use lar_base::Bytes;
use rusqlite::Connection;

use crate::page::region_to_clear;
use crate::sqlite_files::{WAL_SUFFIX, beside};
use crate::{Error, Store};

/// The number of pages that one read examines: 16 MiB, which takes some ten milliseconds.
const READ_PAGES: u32 = 4096;
/// The most pages that one transaction clears.
const CLEAR_PAGES: usize = 64;
/// The size of the write-ahead log above which nothing is cleared.
const LOG_MAX: Bytes = Bytes::mib(32);
/// The interval between checks of the log's size.
const LOG_CHECK_EVERY: Duration = Duration::from_secs(1);
/// The number of pages from which a database is left as it is: 128 GiB. From this page number on, the first
/// byte of an overflow page, which is a part of the next page's number, can be that of a B-tree page.
const PAGES_MAX: u32 = 0x0200_0000;

const READ_PAGE: &str = "SELECT data FROM sqlite_dbpage WHERE pgno = ?1";

impl Store {
    /// Clears the unallocated regions of all pages; returns the number of pages that had content there.
    pub(crate) async fn clear_pages(&self) -> Result<usize, Error> {
        let (mut cleared, mut next) = (0, Some(1));
        while let Some(from) = next {
            let found = self.read(move |connection| find(connection, from)).await?;
            for pages in found.pages.chunks(CLEAR_PAGES) {
                self.wait_for_small_log().await;
                let pages = pages.to_vec();
                cleared += self.write(move |connection| clear_in_txn(connection, &pages)).await?;
            }
            next = found.next;
        }
        Ok(cleared)
    }

    /// Waits while the write-ahead log is large: a long read blocks its checkpoint.
    pub(crate) async fn wait_for_small_log(&self) {
        let log = beside(&self.path, WAL_SUFFIX);
        while std::fs::metadata(&log).is_ok_and(|about| about.len() > LOG_MAX.get()) {
            tokio::time::sleep(LOG_CHECK_EVERY).await;
        }
    }
}

/// Pages whose unallocated region is not zero, and the first page that was not examined.
struct PageScan {
    pages: Vec<u32>,
    next: Option<u32>,
}

/// Examines [`READ_PAGES`] pages from `from` on.
fn find(connection: &Connection, from: u32) -> Result<PageScan, Error> {
    // One snapshot of the database for all of them.
    let transaction = connection.unchecked_transaction()?;
    let count: u32 = transaction.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    if count >= PAGES_MAX {
        return Err(Error::Conflict(format!("a database of {count} pages is too large to clear its pages")));
    }
    let end = from.saturating_add(READ_PAGES).min(count + 1);
    let mut pages = Vec::new();
    if let Some(usable) = usable_bytes(&transaction)? {
        let mut query = transaction.prepare_cached(READ_PAGE)?;
        for number in from..end {
            let is_due = query.query_row([number], |row| {
                let page = row.get_ref(0)?.as_blob()?;
                Ok(region_to_clear(page, number, usable).is_some())
            })?;
            if is_due {
                pages.push(number);
            }
        }
    }
    Ok(PageScan { pages, next: (end <= count).then_some(end) })
}

/// Clears the pages that still need it; returns their number.
fn clear_in_txn(connection: &Connection, pages: &[u32]) -> Result<usize, Error> {
    let Some(usable) = usable_bytes(connection)? else { return Ok(0) };
    let mut query = connection.prepare_cached(READ_PAGE)?;
    let mut change = connection.prepare_cached("UPDATE sqlite_dbpage SET data = ?2 WHERE pgno = ?1")?;
    let mut cleared = 0;
    for number in pages {
        let mut page: Vec<u8> = query.query_row([number], |row| row.get(0))?;
        if let Some(region) = region_to_clear(&page, *number, usable) {
            page[region].fill(0);
            change.execute((number, page))?;
            cleared += 1;
        }
    }
    Ok(cleared)
}

/// Returns the number of bytes of a page that SQLite uses. Returns `None` for a database in which SQLite
/// moves pages by itself (`auto_vacuum`), because its pointer map pages look like others. Lar creates no such
/// database.
fn usable_bytes(connection: &Connection) -> Result<Option<usize>, Error> {
    // File format, 1.3: the page size is the blob's, the number of reserved bytes is at 20, and a number at
    // 52 that is not 0 means that SQLite moves pages by itself.
    let usable = connection.prepare_cached(READ_PAGE)?.query_row([1], |row| {
        let page = row.get_ref(0)?.as_blob()?;
        let moves_pages = page[52..56] != [0; 4];
        Ok((!moves_pages).then(|| page.len() - usize::from(page[20])))
    })?;
    Ok(usable)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::erasure::{count_erasure_in_txn, erasures_to_clear};
    use crate::{ConversationPatch, NewConversation, check};

    const CONVERSATIONS: usize = 200;

    fn title(number: usize) -> String {
        format!("laburnum{number:04}{}", " and so on".repeat(40 + number % 30))
    }

    /// Counts how many of every second title, from `first` on, are in a file.
    fn titles_in(path: &std::path::Path, first: usize) -> usize {
        let bytes = std::fs::read(path).unwrap();
        let is_there = |number: &usize| {
            let start = format!("laburnum{number:04} and");
            bytes.windows(start.len()).any(|at| at == start.as_bytes())
        };
        (first..CONVERSATIONS).step_by(2).filter(is_there).count()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn erased_text_is_nowhere_in_the_file_after_pages_are_cleared() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lar.db");
        let store = Store::open(&path).unwrap();
        let owner = store.owner().await.unwrap();
        assert!(store.clear_erased().await.unwrap().is_some(), "due after an upgrade");
        assert_eq!(store.clear_erased().await.unwrap(), None);
        let mut ids = Vec::new();
        for _ in 0..CONVERSATIONS {
            let new = NewConversation { title: "short".into(), ..NewConversation::default() };
            ids.push(store.conversation_create(owner, new, None).await.unwrap().id);
        }
        // Growing rows are distributed over other pages; 77 and 200 have no common divisor.
        for step in 0..CONVERSATIONS {
            let number = step * 77 % CONVERSATIONS;
            let owned = store.conversation_get(owner, ids[number]).await.unwrap();
            let patch = ConversationPatch { title: Some(title(number)), ..ConversationPatch::default() };
            store.conversation_patch(&owned, patch, None).await.unwrap();
        }
        for id in ids.iter().step_by(2) {
            let owned = store.conversation_get(owner, *id).await.unwrap();
            store.conversation_erase(&owned).await.unwrap();
        }
        let left = titles_in(&path, 0);
        assert!(left > 0, "SQLite left none, so this shows nothing");
        assert!(store.clear_erased().await.unwrap().unwrap() > 0);
        assert_eq!((titles_in(&path, 0), titles_in(&beside(&path, "-wal"), 0)), (0, 0));
        assert_eq!(titles_in(&path, 1), CONVERSATIONS / 2);
        assert_eq!(store.clear_erased().await.unwrap(), None);
        assert_eq!(store.faults().await.unwrap(), Vec::<String>::new());
        let kept = store.conversation_get(owner, ids[1]).await.unwrap();
        assert_eq!(kept.get().title, title(1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn pages_are_cleared_even_if_the_search_index_cannot_be() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        assert!(store.clear_erased().await.unwrap().is_some());
        let spoil = |connection: &Connection| {
            count_erasure_in_txn(connection)?;
            connection.execute_batch("ALTER TABLE conversation_search_idx RENAME TO moved")?;
            // This page has a row at its end, and nothing in the middle.
            let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'erasures_to_clear'";
            let root: u32 = connection.query_row(root, [], |row| row.get(0))?;
            let mut page: Vec<u8> = connection.query_row(READ_PAGE, [root], |row| row.get(0))?;
            let middle = page.len() / 2;
            page[middle] = 1;
            connection.execute("UPDATE sqlite_dbpage SET data = ?2 WHERE pgno = ?1", (root, page))?;
            Ok(root)
        };
        let root = store.write(spoil).await.unwrap();
        let due = async || store.read(|connection| Ok(find(connection, 1)?.pages)).await.unwrap();
        assert!(due().await.contains(&root));
        assert!(matches!(store.clear_erased().await, Err(Error::Sqlite { .. })));
        assert_eq!(due().await, Vec::<u32>::new());
        assert_eq!(store.read(erasures_to_clear).await.unwrap(), Some(1), "it stays due");
    }

    /// Counts the rows of a table with rowids that can be read one by one.
    fn readable(path: &std::path::Path) -> usize {
        let connection = Connection::open(path).unwrap();
        let is_readable = |n: &i64| {
            let text =
                connection.query_row("SELECT t FROM rows WHERE n = ?1", [n], |row| row.get::<_, String>(0));
            text.is_ok_and(|text| text.starts_with(&format!("{n} ")))
        };
        (0..300).filter(is_readable).count()
    }

    #[test]
    fn clearing_a_page_with_a_damaged_header_costs_no_row() {
        let directory = tempfile::tempdir().unwrap();
        let whole = directory.path().join("whole.db");
        let connection = Connection::open(&whole).unwrap();
        crate::connection::configure(&connection).unwrap();
        connection.execute_batch("CREATE TABLE rows (n INTEGER PRIMARY KEY, t TEXT)").unwrap();
        for n in 0..300_i64 {
            let text = format!("{n} {}", "letters ".repeat(20));
            connection.execute("INSERT INTO rows VALUES (?1, ?2)", (n, text)).unwrap();
        }
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE").unwrap();
        drop(connection);
        let bytes = std::fs::read(&whole).unwrap();
        let mut tried = 0;
        // The root of the table and some of its leaves. Damages the kind, the first free block, the number of
        // cells, and their offset.
        for page in [1, 2, 3, 5] {
            for bit in 0..8 * 8 {
                let path = directory.path().join("damaged.db");
                let mut damaged = bytes.clone();
                damaged[page * 4096 + bit / 8] ^= 1 << (bit % 8);
                std::fs::write(&path, &damaged).unwrap();
                let before = readable(&path);
                let connection = Connection::open(&path).unwrap();
                let pages: Vec<u32> = (1..=u32::try_from(bytes.len() / 4096).unwrap()).collect();
                if connection.execute_batch("BEGIN").is_ok() {
                    let _ = clear_in_txn(&connection, &pages);
                    let _ = connection.execute_batch("COMMIT");
                }
                drop(connection);
                assert!(readable(&path) >= before, "page {page}, bit {bit}");
                tried += usize::from(before > 0);
            }
        }
        assert!(tried > 150, "only {tried} files had readable rows");
    }

    /// Returns everything in a database, as text.
    fn everything(connection: &Connection) -> Vec<String> {
        let mut query = connection.prepare("SELECT n || ':' || t FROM rows ORDER BY n").unwrap();
        let mut found: Vec<String> =
            query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let mut query = connection.prepare("SELECT t FROM keyed ORDER BY t").unwrap();
        found.extend(query.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap));
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Adds and removes rows of any size. Clearing changes none of them and leaves no region that is not
        /// zero.
        #[test]
        fn clearing_changes_no_row(
            page_size in prop::sample::select(vec![512_u32, 4096, 65536]),
            steps in prop::collection::vec((0..40_i64, 0..3000_usize, 0..4_u8), 1..150),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let connection = Connection::open(directory.path().join("any.db")).unwrap();
            connection.pragma_update(None, "page_size", page_size).unwrap();
            crate::connection::configure(&connection).unwrap();
            connection.execute_batch(
                "CREATE TABLE rows (n INTEGER PRIMARY KEY, t TEXT);
                 CREATE TABLE keyed (t TEXT PRIMARY KEY) WITHOUT ROWID;
                 CREATE INDEX by_text ON rows (t)",
            ).unwrap();
            for (n, size, kind) in steps {
                let text = format!("{n} {}", "letters".repeat(size / 7));
                match kind {
                    0 => connection.execute("DELETE FROM rows WHERE n = ?1", [n]).unwrap(),
                    1 => connection.execute("DELETE FROM keyed WHERE t >= ?1", [format!("{n}")]).unwrap(),
                    2 => connection.execute("INSERT OR IGNORE INTO keyed VALUES (?1)", [text]).unwrap(),
                    _ => connection.execute("REPLACE INTO rows VALUES (?1, ?2)", (n, text)).unwrap(),
                };
            }
            let before = everything(&connection);
            let mut next = Some(1);
            while let Some(from) = next {
                let found = find(&connection, from).unwrap();
                connection.execute_batch("BEGIN").unwrap();
                prop_assert_eq!(clear_in_txn(&connection, &found.pages).unwrap(), found.pages.len());
                connection.execute_batch("COMMIT").unwrap();
                prop_assert!(find(&connection, from).unwrap().pages.is_empty());
                next = found.next;
            }
            prop_assert_eq!(everything(&connection), before.as_slice());
            // The pages that the connection has cached stay valid, too.
            connection.execute("REPLACE INTO rows VALUES (100, ?1)", ["x".repeat(700)]).unwrap();
            connection.execute("DELETE FROM rows WHERE n = 100", []).unwrap();
            prop_assert_eq!(everything(&connection), before);
            let whole = check::quick(&connection, std::time::Duration::MAX).unwrap();
            prop_assert_eq!(whole, check::Check::Whole);
        }
    }
}
