//! Repairs around the saved rows: the header that makes a file a database, and references to lost rows.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use rusqlite::Connection;

use super::definitions::Definitions;
use super::pages::HEADER_BYTES;
use crate::{Error, migrations};

/// The start of the header on the first page (SQLite's file format, 1.3).
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Offset of the number of pages in the header; 0 makes SQLite use the file's size.
const PAGE_COUNT_AT: u64 = 28;
/// Offset of the text encoding: UTF-8, or one of two kinds of UTF-16. Lar writes UTF-8 only.
const ENCODING_AT: usize = 56;
const UTF_8: u32 = 1;
const UTF_16: [u32; 2] = [2, 3];
/// Offset of the schema number.
const SCHEMA_AT: usize = 60;
/// The name of users and conversations that are created for rows that lost theirs.
const RECOVERED: &str = "recovered";

/// The content of a damaged database's header; empty if the header is lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// The schema number; `None` if it is 0, which no database of Lar has.
    pub(super) schema: Option<u32>,
    /// Whether its texts are UTF-16.
    pub(super) is_utf16: bool,
}

impl Header {
    fn of(start: &[u8; HEADER_BYTES]) -> Self {
        if !start.starts_with(MAGIC) {
            return Self::default();
        }
        let number = |at: usize| u32::from_be_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
        Self {
            schema: Some(number(SCHEMA_AT)).filter(|schema| *schema > 0),
            is_utf16: UTF_16.contains(&number(ENCODING_AT)),
        }
    }
}

/// Makes the header of a copy readable for SQLite, and returns its previous content. A lost header, or first
/// page, is replaced by that of a new database with this Lar's schema: the tables of a database that was
/// created with it begin on the same pages.
///
/// # Errors
/// When the copy is too short for a header, or cannot be read or written.
pub(super) fn repair_header(copy: &Path) -> Result<Header, Error> {
    let mut file = File::options().read(true).write(true).open(copy).map_err(Error::Backup)?;
    let mut start = [0; HEADER_BYTES];
    let length = file.metadata().map_err(Error::Backup)?.len();
    if length < HEADER_BYTES as u64 {
        return Err(Error::Corrupt { path: None, faults: vec!["it is too short for a database".into()] });
    }
    file.read_exact(&mut start).map_err(Error::Backup)?;
    let original = Header::of(&start);
    if start.starts_with(MAGIC) {
        make_readable(&mut file)?;
        if has_readable_tables(copy) {
            return Ok(original);
        }
    }
    let page = first_page_of_new(copy)?;
    for bytes in [&page[..HEADER_BYTES], &page[..]] {
        write_at(&mut file, 0, bytes)?;
        make_readable(&mut file)?;
        if has_readable_tables(copy) {
            break;
        }
    }
    // If the header was unusable, a schema number that no Lar has yet is damage, too.
    let schema = original.schema.filter(|schema| *schema <= migrations::newest_schema());
    Ok(Header { schema, ..original })
}

/// Changes a header so that SQLite takes the number of pages from the file's size, and reads texts as UTF-8.
fn make_readable(file: &mut File) -> Result<(), Error> {
    write_at(file, PAGE_COUNT_AT, &[0; 4])?;
    write_at(file, ENCODING_AT as u64, &UTF_8.to_be_bytes())
}

fn write_at(file: &mut File, at: u64, bytes: &[u8]) -> Result<(), Error> {
    file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes)).map_err(Error::Backup)
}

/// Returns whether the definition of any table can be read.
fn has_readable_tables(copy: &Path) -> bool {
    Definitions::of_copy(copy).by_name.keys().any(|name| name.0 == "table")
}

/// Returns the first page of a new database with this Lar's schema.
fn first_page_of_new(copy: &Path) -> Result<Vec<u8>, Error> {
    let path = copy.with_extension("new-header");
    let _ = std::fs::remove_file(&path);
    let connection = Connection::open(&path)?;
    migrations::create_schema(&connection, migrations::newest_schema())?;
    let size: usize = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    drop(connection);
    let mut page = vec![0; size];
    let read = File::open(&path).and_then(|mut file| file.read_exact(&mut page));
    let _ = std::fs::remove_file(&path);
    read.map_err(Error::Backup)?;
    Ok(page)
}

/// Repairs rows that refer to lost ones. Users, conversations and spaces are created for rows that lost
/// theirs; an answer to a lost message starts a branch; rows that mean nothing by themselves are removed.
/// Returns the number of such rows.
pub(super) fn repair_references(target: &Connection) -> Result<u64, Error> {
    let owner: Option<String> = target
        .query_row("SELECT id FROM users ORDER BY name = 'owner' DESC, id LIMIT 1", [], |row| row.get(0))
        .ok();
    let owner = match owner {
        Some(owner) => owner,
        None => {
            let id = lar_base::UserId::new().to_string();
            target.execute("INSERT INTO users (id, name, created_at) VALUES (?1, 'owner', 0)", [&id])?;
            id
        }
    };
    // Older schemas do not have all of these tables.
    let has = |table: &str| target.table_exists(None, table);
    let mut changed = 0;
    for table in ["keys", "conversations", "spaces"] {
        if !has(table)? {
            continue;
        }
        let sql = format!(
            "INSERT INTO users (id, name, created_at)
             SELECT DISTINCT user_id, '{RECOVERED} ' || user_id, 0 FROM {table}
             WHERE user_id NOT IN (SELECT id FROM users)"
        );
        changed += target.execute(&sql, [])?;
    }
    let now = lar_base::Timestamp::now().as_millis();
    changed += target.execute(
        &format!(
            "INSERT INTO conversations (id, user_id, title, version, created_at, updated_at)
             SELECT DISTINCT conversation_id, ?1, '{RECOVERED}', 1, min(created_at), ?2 FROM messages
             WHERE conversation_id NOT IN (SELECT id FROM conversations) GROUP BY conversation_id"
        ),
        (&owner, now),
    )?;
    changed += target.execute(
        "UPDATE messages SET parent_id = NULL
         WHERE parent_id IS NOT NULL AND parent_id NOT IN (SELECT id FROM messages)",
        [],
    )?;
    changed += target.execute(
        "UPDATE conversations SET head_id = (SELECT max(id) FROM messages WHERE conversation_id = conversations.id)
         WHERE coalesce(head_id, '') NOT IN (SELECT id FROM messages)
           AND (head_id IS NOT NULL OR id IN (SELECT conversation_id FROM messages))",
        [],
    )?;
    if has("memories")? {
        changed += target.execute(
            &format!(
                "INSERT OR IGNORE INTO spaces (id, user_id, kind, name, created_at)
                 SELECT DISTINCT space_id, ?1, 'agent', '{RECOVERED}-' || substr(space_id, -8), ?2 FROM memories
                 WHERE space_id NOT IN (SELECT id FROM spaces)"
            ),
            (&owner, now),
        )?;
        changed += target.execute(
            "UPDATE passages SET embedder = NULL, vectors = NULL
             WHERE embedder IS NOT NULL AND embedder NOT IN (SELECT id FROM embedders)",
            [],
        )?;
    }
    changed += remove_orphans(target)?;
    Ok(changed as u64)
}

/// Removes rows that still refer to a missing row.
fn remove_orphans(target: &Connection) -> Result<usize, Error> {
    let mut changed = 0;
    loop {
        let mut query = target.prepare("SELECT DISTINCT \"table\", fkid FROM pragma_foreign_key_check")?;
        let broken = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        let broken = broken.collect::<Result<Vec<_>, _>>()?;
        drop(query);
        if broken.is_empty() {
            return Ok(changed);
        }
        for (table, link) in broken {
            let (parent, from, to): (String, String, String) = target.query_row(
                "SELECT \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1) WHERE id = ?2",
                (&table, link),
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )?;
            changed += target.execute(
                &format!(
                    "DELETE FROM \"{table}\" WHERE \"{from}\" IS NOT NULL
                     AND \"{from}\" NOT IN (SELECT \"{to}\" FROM \"{parent}\")"
                ),
                [],
            )?;
        }
    }
}
