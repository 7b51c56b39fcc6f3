//! Databases with a damaged schema number or encoding, and databases that are not this Lar's.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use super::{filled, numbers, spoil, texts};
use crate::salvage::repair::Header;
use crate::salvage::{identify, salvage, table_shape};
use crate::{Error, Store, migrations};

/// Offset of the text encoding in the header (SQLite's file format, 1.3).
const ENCODING_AT: Range<usize> = 56..60;
/// Offset of the schema number in the header.
const SCHEMA_AT: Range<usize> = 60..64;

/// Creates a database with a schema, with rows in its tables and values in the columns that migrations added.
fn of_schema(folder: &Path, schema: u32) -> PathBuf {
    let path = folder.join(format!("schema-{schema}.db"));
    let connection = Connection::open(&path).unwrap();
    migrations::create_schema(&connection, schema).unwrap();
    let [user, conversation, message, space, memory] =
        ["user", "conv", "msg", "space", "mem"].map(|kind| format!("{kind}_{:032x}", 1));
    let steps = [
        (1, format!("INSERT INTO users (id, name, created_at) VALUES ('{user}', 'owner', 1)")),
        (
            1,
            format!(
                "INSERT INTO conversations (id, user_id, title, head_id, version, created_at, updated_at)
                 VALUES ('{conversation}', '{user}', 'Talk', '{message}', 1, 1, 1)"
            ),
        ),
        (
            1,
            format!(
                "INSERT INTO messages (id, conversation_id, role, content, status, created_at)
                 VALUES ('{message}', '{conversation}', 'assistant', 'said', 'complete', 1)"
            ),
        ),
        (2, "UPDATE messages SET finish_reason = 'length'".into()),
        (3, "INSERT INTO tunings VALUES ('digest', 'machine', '{}', 1)".into()),
        (4, format!("INSERT INTO spaces VALUES ('{space}', '{user}', 'personal', '', 1)")),
        (
            4,
            format!(
                "INSERT INTO memories (id, space_id, kind, content, tags, source, pinned, stability, difficulty,
                                       reviewed_at, hash, version, created_at, updated_at)
                 VALUES ('{memory}', '{space}', 'fact', 'held', '[]', '{{\"key\":\"key_{:032x}\"}}', 0, 1, 1, 1,
                         zeroblob(32), 1, 1, 1)",
                1
            ),
        ),
        (6, "UPDATE conversations SET temporary = 1".into()),
        (7, "INSERT INTO responses VALUES ('task', 'key', NULL, 'over', '[]', '{}', 1)".into()),
        (10, "UPDATE messages SET reasoning = 'thought'".into()),
        (
            12,
            format!(
                "INSERT INTO memory_candidates (id, space_id, key_id, content, kind, source, reason, created_at)
                 VALUES ('cand', '{space}', 'key', 'noted', 'fact', '{{}}', 'why', 1)"
            ),
        ),
        (16, format!("INSERT INTO answer_memories VALUES ('{memory}', '{message}')")),
        (17, format!("UPDATE memory_candidates SET may_replace = '{memory}'")),
        (
            17,
            format!(
                "INSERT INTO memories (id, space_id, kind, content, tags, source, pinned, stability, difficulty,
                                       reviewed_at, hash, version, created_at, updated_at)
                 SELECT 'mem_{newer:032x}', space_id, kind, 'newer', tags, source, pinned, stability, difficulty,
                        reviewed_at, x'01{zeros}', version, created_at, updated_at FROM memories;
                 INSERT INTO memory_links (id, space_id, older_id, newer_id, relation, reason, key_id, created_at,
                                       resolution, resolved_at, decision)
                 VALUES ('link', '{space}', '{memory}', 'mem_{newer:032x}', 'may_replace', 'why', 'key', 1,
                         'keep_both', 2, NULL)",
                newer = 2,
                zeros = "00".repeat(31)
            ),
        ),
        (
            20,
            "UPDATE memory_links SET judge = 'weights#1', judged_relation = 'adds', judged_score = -2;
             INSERT INTO judges VALUES ('weights#1', 'model', 390, 90, 60, 59, 1.5, 1)"
                .to_owned(),
        ),
        (
            19,
            format!(
                "INSERT INTO memory_intentions
                 VALUES ('int', '{space}', 'remind', '{{\"v\":1,\"type\":\"manual\"}}', 'high', 1, 'active', 2, '{{}}', 1, 1, 1);
                 INSERT INTO intention_displays VALUES ('int', 'key', 1)"
            ),
        ),
        (
            22,
            format!(
                "INSERT INTO consolidation_cursors VALUES ('{space}', 2);
                 INSERT INTO memories_to_compare VALUES (1);
                 INSERT INTO consolidation_runs VALUES ('run', '{space}', 'key', 1, 2, 3, 4, 5);
                 INSERT INTO consolidation_proposals
                 VALUES ('prop_1', 'run', '{space}', '{memory}', 'mem_{newer:032x}', 'contained', NULL, 1, 'accepted', 2,
                         'chg'),
                        ('prop_2', 'run', '{space}', NULL, NULL, NULL, 'falcon', 1, 'open', NULL, NULL);
                 INSERT INTO theme_memories VALUES ('prop_2', '{memory}');
                 UPDATE memory_links SET run_id = 'run'",
                newer = 2
            ),
        ),
    ];
    for (_, sql) in steps.iter().filter(|(since, _)| *since <= schema) {
        connection.execute_batch(sql).unwrap();
    }
    path
}

/// Returns every row of every table.
fn contents(database: &Path) -> BTreeMap<String, Vec<Vec<Value>>> {
    let connection = Connection::open(database).unwrap();
    let mut contents: BTreeMap<String, Vec<Vec<Value>>> = BTreeMap::new();
    for table in table_shape::tables(&connection).unwrap() {
        let mut query = connection.prepare(&format!("SELECT * FROM \"{}\"", table.name)).unwrap();
        let columns = query.column_count();
        let values = |row: &Row<'_>| -> rusqlite::Result<Vec<Value>> {
            (0..columns).map(|column| row.get(column)).collect()
        };
        let rows = query.query_map([], values).unwrap().map(Result::unwrap).collect();
        contents.insert(table.name, rows);
    }
    contents
}

/// Returns every row of every table that a salvage of a database with this schema must produce. The rows have
/// the newest schema.
fn expected(database: &Path, schema: u32) -> BTreeMap<String, Vec<Vec<Value>>> {
    let newest = database.with_extension("newest.db");
    fs::copy(database, &newest).unwrap();
    let connection = Connection::open(&newest).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    migrations::make_from(&connection, schema, migrations::newest_schema()).unwrap();
    contents(&newest)
}

/// Writes a number into the header.
fn write(path: &Path, at: Range<usize>, number: u32) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at].copy_from_slice(&number.to_be_bytes());
    fs::write(path, bytes).unwrap();
}

/// Returns the error of a salvage that must be refused and create no file.
fn refused(path: &Path) -> Error {
    let to = path.with_file_name("refused.db");
    let error = salvage(path, &to).unwrap_err();
    assert!(!to.exists());
    error
}

fn reason(error: Error) -> String {
    match error {
        Error::Unusable { reason, .. } => reason,
        error => panic!("{error:?}"),
    }
}

#[test]
fn databases_of_every_schema_are_saved_in_the_newest_schema() {
    let folder = tempfile::tempdir().unwrap();
    for schema in 1..=migrations::newest_schema() {
        let path = of_schema(folder.path(), schema);
        let expected = expected(&path, schema);
        let to = folder.path().join(format!("saved-{schema}.db"));
        let salvaged = salvage(&path, &to).unwrap();
        assert_eq!(contents(&to), expected, "{schema}");
        assert_eq!((salvaged.schema.number, salvaged.schema.in_header), (schema, Some(schema)));
        assert!(salvaged.schema.may_lack.is_empty() && salvaged.schema.unknown_tables.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_memories_of_an_older_schema_stay_in_the_answers_of_a_salvaged_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = of_schema(folder.path(), 15);
    let given = r#"{"recalled":[{"id":"mem_lost","content":"The walnut is old."}]}"#;
    Connection::open(&path).unwrap().execute("UPDATE messages SET memory = ?1", [given]).unwrap();
    let to = folder.path().join("saved.db");
    salvage(&path, &to).unwrap();
    let store = Store::open(&to).unwrap();
    store.clear_erased().await.unwrap();
    let kept = |connection: &Connection| {
        Ok(connection.query_row("SELECT memory FROM messages", [], |row| row.get::<_, String>(0))?)
    };
    assert_eq!(store.read(kept).await.unwrap(), given);
}

#[test]
fn a_flipped_bit_in_the_schema_number_costs_no_column() {
    let folder = tempfile::tempdir().unwrap();
    for schema in [3, 8, 10, migrations::newest_schema()] {
        let path = of_schema(folder.path(), schema);
        let expected = expected(&path, schema);
        for bit in [0, 1, 2, 3, 4, 31] {
            let number = schema ^ (1 << bit);
            write(&path, SCHEMA_AT, number);
            let to = folder.path().join(format!("saved-{schema}-{bit}.db"));
            let salvaged = salvage(&path, &to).unwrap();
            assert_eq!(contents(&to), expected, "{number} instead of {schema}");
            assert_eq!(salvaged.schema.in_header, Some(number).filter(|number| *number > 0));
            assert!(salvaged.schema.may_lack.is_empty(), "{:?}", salvaged.schema);
        }
    }
}

#[test]
fn damaged_definitions_do_not_change_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    let known = migrations::newest_schema();
    let path = of_schema(folder.path(), known);
    let expected = contents(&path);
    let bytes = fs::read(&path).unwrap();
    // The newest columns of two tables, a letter of a name, and one that makes the text invalid UTF-8; each
    // also with another schema number.
    let letters = [
        ("reasoning TEXT", 1, 1),
        ("removed_scopes TEXT", 15, 1),
        ("CREATE TABLE messages", 14, 2),
        ("CREATE TABLE users", 3, 0x80),
    ];
    for (text, letter, bits) in letters {
        // SQLite may leave older copies of the text in the file.
        let places: Vec<usize> = bytes
            .windows(text.len())
            .enumerate()
            .filter(|(_, window)| *window == text.as_bytes())
            .map(|(at, _)| at + letter)
            .collect();
        assert!(!places.is_empty(), "{text}");
        for number in [known, known ^ 4] {
            let mut damaged = bytes.clone();
            places.iter().for_each(|place| damaged[*place] ^= bits);
            fs::write(&path, damaged).unwrap();
            write(&path, SCHEMA_AT, number);
            let to = folder.path().join(format!("saved-{letter}-{number}.db"));
            salvage(&path, &to).unwrap();
            assert_eq!(contents(&to), expected, "{text}, number {number}");
        }
    }
}

#[test]
fn without_definitions_the_schema_number_is_trusted_and_possible_losses_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let pages = numbers(
        &Connection::open(&path).unwrap(),
        "SELECT pageno FROM dbstat WHERE name = 'sqlite_schema' AND pageno > 1",
    );
    spoil(&path, &pages);
    let schema = |number: Option<u32>| {
        identify::schema(&path, &path, Header { schema: number, is_utf16: false }).unwrap()
    };
    for number in [Some(migrations::newest_schema()), None] {
        let schema = schema(number);
        assert_eq!((schema.number, schema.in_header), (migrations::newest_schema(), number));
        assert_eq!(schema.may_lack, Vec::<String>::new());
    }
    let older = schema(Some(6));
    assert_eq!(older.number, 6);
    for missing in ["responses", "messages.reasoning", "keys.removed_scopes"] {
        assert!(older.may_lack.iter().any(|name| name == missing), "{missing}: {:?}", older.may_lack);
    }
    assert!(!older.may_lack.iter().any(|name| name == "users" || name == "messages.memory"));
}

#[test]
fn a_damaged_encoding_in_the_header_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for schema in [10, migrations::newest_schema()] {
        let path = of_schema(folder.path(), schema);
        let expected = expected(&path, schema);
        for encoding in [0, 2, 3, 1 << 31] {
            write(&path, ENCODING_AT, encoding);
            let to = folder.path().join(format!("saved-{schema}-{encoding}.db"));
            let salvaged = salvage(&path, &to).unwrap();
            assert_eq!(contents(&to), expected, "{encoding}");
            assert_eq!(salvaged.schema.number, schema);
        }
    }
}

#[test]
fn a_database_of_a_newer_lar_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let known = migrations::newest_schema();
    let changes = [
        "ALTER TABLE messages ADD COLUMN mood TEXT",
        "CREATE TABLE moods (id TEXT PRIMARY KEY, mood TEXT NOT NULL) STRICT",
        "CREATE INDEX messages_by_model ON messages (model)",
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let path = folder.path().join(format!("newer-{number}.db"));
        let connection = Connection::open(&path).unwrap();
        migrations::create_schema(&connection, known).unwrap();
        connection.execute_batch(change).unwrap();
        drop(connection);
        write(&path, SCHEMA_AT, known + 1);
        let error = refused(&path);
        assert!(
            matches!(error, Error::Newer { found, known: to } if (found, to) == (known + 1, known)),
            "{error:?}"
        );
        write(&path, SCHEMA_AT, known);
        match number {
            0 => assert!(reason(refused(&path)).contains("messages.mood")),
            // Other programs may add tables to Lar's database.
            1 => {
                let salvaged = salvage(&path, &folder.path().join("saved.db")).unwrap();
                assert_eq!(salvaged.schema.unknown_tables, ["moods"]);
            }
            _ => assert!(salvage(&path, &folder.path().join("other.db")).is_ok()),
        }
    }
    // Definitions that cannot be read may be new ones.
    let path = filled(folder.path());
    let pages = numbers(
        &Connection::open(&path).unwrap(),
        "SELECT max(pageno) FROM dbstat WHERE name = 'sqlite_schema'",
    );
    spoil(&path, &pages);
    write(&path, SCHEMA_AT, known + 1);
    let error = refused(&path);
    assert!(matches!(error, Error::Newer { .. }), "{error:?}");
}

#[test]
fn another_programs_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let same_columns =
        "CREATE TABLE users (id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL)";
    let same_names = "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT);
                      CREATE TABLE messages (id INTEGER PRIMARY KEY, content TEXT);
                      CREATE TABLE keys (id INTEGER PRIMARY KEY, value BLOB)";
    let others = "CREATE TABLE \"albums\u{1b}[2J\" (id INTEGER PRIMARY KEY)";
    let cases = [same_columns, same_names, others].into_iter().enumerate();
    for (case, definitions) in cases {
        for encoding in ["UTF-8", "UTF-16le", "UTF-16be"] {
            let path = folder.path().join(format!("other-{case}-{encoding}.db"));
            let connection = Connection::open(&path).unwrap();
            connection.execute_batch(&format!("PRAGMA encoding = '{encoding}'; {definitions}")).unwrap();
            drop(connection);
            for number in [0, 10, migrations::newest_schema(), 999] {
                write(&path, SCHEMA_AT, number);
                let reason = reason(refused(&path));
                let why = if encoding == "UTF-8" { "its tables are not Lar's" } else { "UTF-16" };
                assert!(reason.contains("another program") && reason.contains(why), "{encoding}: {reason}");
                assert!(!reason.contains('\u{1b}'), "{reason}");
            }
        }
    }
    let path = filled(folder.path());
    assert!(salvage(&path, &folder.path().join("saved.db")).is_ok());
    assert_eq!(texts(&folder.path().join("saved.db")), texts(&path));
}
