//! The index for searches in conversations: the full-text table `conversation_search` with their titles and
//! messages. [`crate::Store::conversation_search`] searches in it.
//!
//! A full-text table finds its rows only by words and by rowid. `conversation_search_rows` maps each
//! conversation to its rows, so that replacing a title or erasing a conversation does not scan all texts.
//! Both tables must have the same number of rows. If they do not, [`find_fault`] reports it, and the next
//! start maps all texts again.
//!
//! Removing a text can leave words in the internal tables of the full-text table; [`separators`] clears them
//! later.

mod segments;
mod separators;

use lar_base::{ConversationId, MessageId};
use rusqlite::{Connection, OptionalExtension as _};

use crate::Error;

/// The table that maps conversations to rows of the full-text table.
pub(crate) const ROWS_TABLE: &str = "conversation_search_rows";
/// The value that replaces a message's id if the text is the title.
const TITLE: &str = "";

/// The maximum size of one row of the full-text table; a longer text takes several rows. Removing a row takes
/// some 30 µs for each of its words, and nothing else is written meanwhile.
const PIECE_BYTES: usize = 16 << 10;

/// The minimum size that a row counts as, so that a step also has a limited number of rows.
const ROW_BYTES: usize = 64;

/// Selects one of the texts of a conversation.
const SELECT_ONE: &str =
    "SELECT message_id, search_row FROM conversation_search_rows WHERE conversation_id = ?1 LIMIT 1";
/// Returns the size of a text. If a row is mapped wrongly, this and [`REMOVE_TEXT`] leave another
/// conversation's text alone.
const BYTES_OF_ROW: &str =
    "SELECT octet_length(text) FROM conversation_search WHERE rowid = ?1 AND conversation_id = ?2";
/// Removes a text.
const REMOVE_TEXT: &str = "DELETE FROM conversation_search WHERE rowid = ?1 AND conversation_id = ?2";
/// Removes the row that maps a text.
const REMOVE_ROW: &str = "DELETE FROM conversation_search_rows
     WHERE search_row = ?1 AND conversation_id = ?2 AND message_id = ?3";
/// Remove the title of a conversation, in the same way.
const REMOVE_TITLE: [&str; 2] = [
    "DELETE FROM conversation_search WHERE conversation_id = ?1 AND message_id = ''
       AND rowid IN (SELECT search_row FROM conversation_search_rows WHERE conversation_id = ?1 AND message_id = '')",
    "DELETE FROM conversation_search_rows WHERE conversation_id = ?1 AND message_id = ''",
];

/// Makes an FTS5 pattern of a user's input. Each word is quoted, so that no part of it is FTS5 syntax.
/// Returns `None` if there is no word.
pub(crate) fn match_pattern(words: &str) -> Option<String> {
    let quoted: Vec<String> = words
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(16)
        .map(|word| format!("\"{word}\""))
        .collect();
    (!quoted.is_empty()).then(|| format!("{}*", quoted.join(" ")))
}

/// Adds the title of a conversation that had none to the index.
pub(crate) fn add_title_in_txn(
    connection: &Connection,
    id: ConversationId,
    title: &str,
) -> Result<(), Error> {
    if title.is_empty() {
        return Ok(());
    }
    add_in_txn(connection, &id.to_string(), TITLE, title)
}

/// Replaces the title of a conversation in the index.
pub(crate) fn replace_title_in_txn(
    connection: &Connection,
    id: ConversationId,
    title: &str,
) -> Result<(), Error> {
    for statement in REMOVE_TITLE {
        connection.prepare_cached(statement)?.execute([id.to_string()])?;
    }
    add_title_in_txn(connection, id, title)
}

/// Adds a message to the index.
pub(crate) fn add_message_in_txn(
    connection: &Connection,
    conversation: ConversationId,
    id: MessageId,
    content: &str,
) -> Result<(), Error> {
    add_in_txn(connection, &conversation.to_string(), &id.to_string(), content)
}

/// Removes some of a conversation's texts: at most [`PIECE_BYTES`] and one more text. Returns whether none is
/// left.
pub(crate) fn remove_some_in_txn(connection: &Connection, id: &str) -> Result<bool, Error> {
    let mut one = connection.prepare_cached(SELECT_ONE)?;
    let mut bytes = 0;
    while bytes < PIECE_BYTES {
        let found = one.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((message, row)): Option<(String, i64)> = found else { return Ok(true) };
        let of_row = connection.prepare_cached(BYTES_OF_ROW)?.query_row((row, id), |row| row.get(0));
        bytes += of_row.optional()?.unwrap_or(0).max(ROW_BYTES);
        connection.prepare_cached(REMOVE_TEXT)?.execute((row, id))?;
        connection.prepare_cached(REMOVE_ROW)?.execute((row, id, message))?;
    }
    Ok(false)
}

/// Fills the empty index of a database from its conversations and messages. The schema may be an older one.
pub(crate) fn rebuild(connection: &Connection) -> Result<(), Error> {
    let texts =
        "SELECT title AS text, id AS conversation_id, '' AS message_id FROM conversations WHERE title <> ''
                 UNION ALL SELECT content, conversation_id, id FROM messages WHERE status <> 'streaming'";
    if !connection.table_exists(None, ROWS_TABLE)? {
        // The migration that creates the map also fills it.
        let all = format!("INSERT INTO conversation_search (text, conversation_id, message_id) {texts}");
        return Ok(connection.execute_batch(&all)?);
    }
    let mut query = connection.prepare(texts)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (text, conversation, message): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        add_in_txn(connection, &conversation, &message, &text)?;
    }
    Ok(())
}

/// Reports a fault if the index and the map have different numbers of rows. An unmapped text would outlive
/// its conversation. Returns `None` if there is no fault, or the schema has no map yet.
pub(crate) fn find_fault(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    if !connection.table_exists(None, ROWS_TABLE)? {
        return Ok(None);
    }
    // FTS5's own table of lengths has one small row per text. One statement counts both at the same time.
    let counts = "SELECT (SELECT count(*) FROM conversation_search_docsize),
                         (SELECT count(*) FROM conversation_search_rows)";
    let (texts, mapped): (u64, u64) =
        connection.query_row(counts, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((texts != mapped).then(|| {
        format!(
            "the search index has {texts} texts, but {ROWS_TABLE} has {mapped} rows; the next start of Lar \
             repairs that"
        )
    }))
}

/// Maps all texts again if there is a fault ([`find_fault`]). Also removes the texts of missing
/// conversations, which an erasure did not find.
pub(crate) fn remap_if_needed(connection: &mut Connection) -> Result<(), Error> {
    let Some(fault) = find_fault(connection)? else { return Ok(()) };
    tracing::warn!(%fault, "mapping all texts of the search index to their conversations again");
    let transaction = connection.transaction()?;
    transaction.execute_batch(
        "DELETE FROM conversation_search
           WHERE conversation_id IS NULL OR conversation_id NOT IN (SELECT id FROM conversations);
         DELETE FROM conversation_search_rows;",
    )?;
    map_all(&transaction)?;
    Ok(transaction.commit()?)
}

/// Maps every text; no text may be mapped yet.
fn map_all(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute_batch(
        "INSERT INTO conversation_search_rows (conversation_id, message_id, search_row)
           SELECT conversation_id, message_id, rowid FROM conversation_search",
    )
}

fn add_in_txn(connection: &Connection, conversation: &str, message: &str, text: &str) -> Result<(), Error> {
    let mut add = connection.prepare_cached(
        "INSERT INTO conversation_search (text, conversation_id, message_id) VALUES (?1, ?2, ?3)",
    )?;
    let mut map = connection.prepare_cached(
        "INSERT INTO conversation_search_rows (conversation_id, message_id, search_row) VALUES (?1, ?2, ?3)",
    )?;
    for piece in pieces(text) {
        add.execute((piece, conversation, message))?;
        map.execute((conversation, message, connection.last_insert_rowid()))?;
    }
    Ok(())
}

/// Splits a text into pieces of at most [`PIECE_BYTES`], at whitespace if there is any. An empty text is one
/// piece.
fn pieces(mut text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while text.len() > PIECE_BYTES {
        let most = &text[..text.floor_char_boundary(PIECE_BYTES)];
        let end = most.rfind(char::is_whitespace).filter(|end| *end > 0).unwrap_or(most.len());
        pieces.push(&text[..end]);
        text = &text[end..];
    }
    pieces.push(text);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Store, check, migrations};

    #[test]
    fn search_input_is_never_fts5_syntax() {
        assert_eq!(match_pattern("rust AND \"x\" NEAR("), Some("\"rust\" \"AND\" \"x\" \"NEAR\"*".into()));
        assert_eq!(match_pattern(" *() "), None);
    }

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        migrations::create_schema(&connection, migrations::newest_schema()).unwrap();
        connection
    }

    fn remove_all(connection: &Connection, id: ConversationId) -> Result<(), Error> {
        while !remove_some_in_txn(connection, &id.to_string())? {}
        Ok(())
    }

    #[test]
    fn long_texts_are_searched_and_removed_in_pieces() {
        for (text, expected) in [
            ("", 1),
            (&*"word ".repeat(1000), 1),
            (&*"word ".repeat(20_000), 7),
            (&*"語".repeat(20_000), 4),
            (&*" ".repeat(100_000), 7),
        ] {
            let pieces = pieces(text);
            assert_eq!((pieces.concat(), pieces.len()), (text.to_owned(), expected));
            assert!(pieces.iter().all(|piece| piece.len() <= PIECE_BYTES && !piece.ends_with("wor")));
        }
        let connection = database();
        let id = ConversationId::new();
        add_message_in_txn(&connection, id, MessageId::new(), &format!("{}wisteria", "word ".repeat(20_000)))
            .unwrap();
        let found = "SELECT count(*) FROM conversation_search WHERE conversation_search MATCH 'wisteria'";
        let count = || connection.query_row(found, [], |row| row.get::<_, usize>(0)).unwrap();
        assert_eq!((count(), rows(&connection)[0].len()), (1, 7));
        let steps = (1..).take_while(|_| !remove_some_in_txn(&connection, &id.to_string()).unwrap()).count();
        // A piece is nearly as large as a step's limit, so each step removes two.
        assert_eq!((steps, count(), rows(&connection)[1].len()), (3, 0, 0));
    }

    /// Returns the rows of the full-text table, and the rows that map them.
    fn rows(connection: &Connection) -> [Vec<(String, String, i64)>; 2] {
        [
            "SELECT conversation_id, message_id, rowid FROM conversation_search ORDER BY 3",
            "SELECT * FROM conversation_search_rows ORDER BY 3",
        ]
        .map(|sql| {
            let mut query = connection.prepare(sql).unwrap();
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        })
    }

    #[test]
    fn removing_texts_does_not_scan_the_whole_index() {
        let connection = database();
        let statements =
            [SELECT_ONE, BYTES_OF_ROW, REMOVE_TEXT, REMOVE_ROW, REMOVE_TITLE[0], REMOVE_TITLE[1]];
        for statement in statements {
            let mut query = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
            // Holds for any parameters.
            let steps = query.raw_query().mapped(|row| row.get::<_, String>("detail"));
            for step in steps.map(Result::unwrap) {
                // In its plans, FTS5 scans all rows with `INDEX 0:`, and looks up one by rowid with `INDEX
                // 0:=`.
                assert!(
                    step.starts_with("SEARCH") || step.ends_with("0:=") || step.contains("SUBQUERY"),
                    "{step}"
                );
            }
        }
    }

    #[test]
    fn a_wrongly_mapped_row_costs_no_other_conversation_its_texts() {
        type Removal = fn(&Connection, ConversationId) -> Result<(), Error>;
        let removals: [Removal; 2] = [remove_all, |connection, id| replace_title_in_txn(connection, id, "")];
        for remove in removals {
            let connection = database();
            let (removed, kept) = (ConversationId::new(), ConversationId::new());
            for id in [removed, kept] {
                add_title_in_txn(&connection, id, "laburnum").unwrap();
            }
            let wrong = "INSERT INTO conversation_search_rows
                         SELECT ?1, message_id, search_row FROM conversation_search_rows WHERE conversation_id = ?2";
            connection.execute(wrong, [removed, kept].map(|id| id.to_string())).unwrap();
            remove(&connection, removed).unwrap();
            let [searched, mapped] = rows(&connection);
            assert_eq!(searched, mapped);
            assert_eq!(searched.iter().map(|(id, ..)| id).collect::<Vec<_>>(), [&kept.to_string()]);
        }
    }

    #[test]
    fn an_unmapped_text_is_reported_and_the_next_start_repairs_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lar.db");
        let connection = crate::connection::connect(&path).unwrap();
        migrations::create_schema(&connection, migrations::newest_schema()).unwrap();
        // One of the conversations does not exist: its title is left, as after an erasure that did not find
        // it.
        let (kept, erased) = (ConversationId::new(), ConversationId::new());
        let user = "INSERT INTO users (id, name, created_at) VALUES ('user_x', 'someone', 1)";
        connection.execute(user, []).unwrap();
        let conversation = "INSERT INTO conversations (id, user_id, title, version, created_at, updated_at)
                            VALUES (?1, 'user_x', 'laburnum', 1, 1, 1)";
        connection.execute(conversation, [kept.to_string()]).unwrap();
        add_title_in_txn(&connection, kept, "laburnum").unwrap();
        add_title_in_txn(&connection, erased, "wisteria").unwrap();
        assert_eq!(check::full(&connection).unwrap(), Vec::<String>::new());
        connection.execute("DELETE FROM conversation_search_rows", []).unwrap();
        let found = check::full(&connection).unwrap();
        assert!(found.len() == 1 && found[0].contains("2 texts") && found[0].contains("0 rows"), "{found:?}");
        drop(connection);

        let _store = Store::open(&path).unwrap();
        let connection = Connection::open(&path).unwrap();
        assert_eq!(check::full(&connection).unwrap(), Vec::<String>::new());
        let [searched, mapped] = rows(&connection);
        assert_eq!(searched, mapped);
        assert_eq!(searched.iter().map(|(id, ..)| id).collect::<Vec<_>>(), [&kept.to_string()]);
    }

    proptest::proptest! {
        #[test]
        fn each_searched_text_is_mapped(steps in proptest::collection::vec((0..5_u8, 0..3_usize), 0..40)) {
            let connection = database();
            let ids: [ConversationId; 3] = std::array::from_fn(|_| ConversationId::new());
            let mut expected = [(None, 0), (None, 0), (None, 0)];
            for (step, which) in steps {
                let (id, (title, messages)) = (ids[which], &mut expected[which]);
                match step {
                    0 if title.is_none() => {
                        add_title_in_txn(&connection, id, "laburnum").unwrap();
                        *title = Some("laburnum");
                    }
                    0 | 1 => {
                        replace_title_in_txn(&connection, id, "wisteria").unwrap();
                        *title = Some("wisteria");
                    }
                    2 => {
                        replace_title_in_txn(&connection, id, "").unwrap();
                        *title = None;
                    }
                    3 => {
                        add_message_in_txn(&connection, id, MessageId::new(), "tamarisk").unwrap();
                        *messages += 1;
                    }
                    _ => {
                        remove_all(&connection, id).unwrap();
                        (*title, *messages) = (None, 0);
                    }
                }
            }
            let [searched, mapped] = rows(&connection);
            proptest::prop_assert_eq!(&searched, &mapped);
            for (id, (title, messages)) in ids.iter().zip(expected) {
                let count = |word: &str| {
                    let sql = "SELECT count(*) FROM conversation_search
                               WHERE conversation_search MATCH ?1 AND conversation_id = ?2";
                    connection.query_row(sql, [word, &id.to_string()], |row| row.get::<_, usize>(0)).unwrap()
                };
                let titles = ["laburnum", "wisteria"].map(|word| usize::from(title == Some(word)));
                proptest::prop_assert_eq!(["laburnum", "wisteria"].map(count), titles);
                proptest::prop_assert_eq!(count("tamarisk"), messages);
            }
        }
    }
}
