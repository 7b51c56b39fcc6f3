//! The index for searches in conversations: the full-text table `conversation_search` has their titles and messages.
//! [`crate::Store::conversation_search`] searches in it.
//!
//! A full-text table finds its rows by words and row number only. `conversation_search_rows` maps each conversation to its rows,
//! so that a title is exchanged and a conversation erased without a look at everything that anybody ever said. Both tables have
//! as many rows: where they have not, [`fault`] says so, and the next start maps all texts again.

use lar_base::{ConversationId, MessageId};
use rusqlite::Connection;

use crate::Error;

/// The table that maps conversations to rows of the full-text table.
pub(crate) const ROWS_TABLE: &str = "conversation_search_rows";
/// What stands in the place of a message's id where the text is the title.
const TITLE: &str = "";

/// Statements that take all texts of a conversation out: the texts, then the rows that map them. A text of another conversation
/// stays where a row is mapped wrongly.
const REMOVE_ALL: [&str; 2] = [
    "DELETE FROM conversation_search WHERE conversation_id = ?1
       AND rowid IN (SELECT search_row FROM conversation_search_rows WHERE conversation_id = ?1)",
    "DELETE FROM conversation_search_rows WHERE conversation_id = ?1",
];
/// As [`REMOVE_ALL`], for its title.
const REMOVE_TITLE: [&str; 2] = [
    "DELETE FROM conversation_search WHERE conversation_id = ?1 AND message_id = ''
       AND rowid IN (SELECT search_row FROM conversation_search_rows WHERE conversation_id = ?1 AND message_id = '')",
    "DELETE FROM conversation_search_rows WHERE conversation_id = ?1 AND message_id = ''",
];

/// Makes a pattern of what a person types: each word quoted, so that nothing of it is FTS5 syntax; `None` when there is no word.
pub(crate) fn match_pattern(words: &str) -> Option<String> {
    let quoted: Vec<String> = words
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(16)
        .map(|word| format!("\"{word}\""))
        .collect();
    (!quoted.is_empty()).then(|| format!("{}*", quoted.join(" ")))
}

/// Makes the title of a conversation that had none findable.
pub(crate) fn add_title_in_txn(
    connection: &Connection,
    id: ConversationId,
    title: &str,
) -> Result<(), Error> {
    if title.is_empty() {
        return Ok(());
    }
    add_in_txn(connection, id, TITLE, title)
}

/// Makes another title of a conversation findable in the place of the one before.
pub(crate) fn replace_title_in_txn(
    connection: &Connection,
    id: ConversationId,
    title: &str,
) -> Result<(), Error> {
    remove(connection, REMOVE_TITLE, id)?;
    add_title_in_txn(connection, id, title)
}

/// Makes a message findable.
pub(crate) fn add_message_in_txn(
    connection: &Connection,
    conversation: ConversationId,
    id: MessageId,
    content: &str,
) -> Result<(), Error> {
    add_in_txn(connection, conversation, &id.to_string(), content)
}

/// Takes all words of a conversation out.
pub(crate) fn remove_in_txn(connection: &Connection, id: ConversationId) -> Result<(), Error> {
    remove(connection, REMOVE_ALL, id)
}

/// Makes everything that is there findable, in a database whose index is empty; of a schema that this program may bring up.
pub(crate) fn rebuild(connection: &Connection) -> Result<(), Error> {
    connection.execute_batch(
        "INSERT INTO conversation_search (text, conversation_id, message_id)
           SELECT title, id, '' FROM conversations WHERE title <> '';
         INSERT INTO conversation_search (text, conversation_id, message_id)
           SELECT content, conversation_id, id FROM messages WHERE status <> 'streaming';",
    )?;
    if connection.table_exists(None, ROWS_TABLE)? {
        map_all(connection)?;
    }
    Ok(())
}

/// Says what is wrong where there are not as many rows as texts: a text that is not mapped would outlive its conversation. None
/// where nothing is wrong, and in a database whose schema has no map yet.
pub(crate) fn fault(connection: &Connection) -> Result<Option<String>, rusqlite::Error> {
    if !connection.table_exists(None, ROWS_TABLE)? {
        return Ok(None);
    }
    // FTS5's own table of lengths has a row for each text, and a small one. One statement, so that both are counted at one time.
    let counts = "SELECT (SELECT count(*) FROM conversation_search_docsize),
                         (SELECT count(*) FROM conversation_search_rows)";
    let (texts, mapped): (u64, u64) =
        connection.query_row(counts, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((texts != mapped).then(|| {
        format!(
            "the search index has {texts} texts, and {ROWS_TABLE} has {mapped} rows for them; the next start of Lar repairs that"
        )
    }))
}

/// Maps all texts again where there is a [`fault`], and takes out those of conversations that are not there any more: an erasure
/// did not find them.
pub(crate) fn map_again_where_needed(connection: &mut Connection) -> Result<(), Error> {
    let Some(fault) = fault(connection)? else { return Ok(()) };
    tracing::warn!(%fault, "all texts are mapped to their conversations again");
    let transaction = connection.transaction()?;
    transaction.execute_batch(
        "DELETE FROM conversation_search WHERE conversation_id NOT IN (SELECT id FROM conversations);
         DELETE FROM conversation_search_rows;",
    )?;
    map_all(&transaction)?;
    Ok(transaction.commit()?)
}

/// Maps every text, while none is mapped.
fn map_all(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute_batch(
        "INSERT INTO conversation_search_rows (conversation_id, message_id, search_row)
           SELECT conversation_id, message_id, rowid FROM conversation_search",
    )
}

fn add_in_txn(
    connection: &Connection,
    conversation: ConversationId,
    message: &str,
    text: &str,
) -> Result<(), Error> {
    let conversation = conversation.to_string();
    connection
        .prepare_cached(
            "INSERT INTO conversation_search (text, conversation_id, message_id) VALUES (?1, ?2, ?3)",
        )?
        .execute((text, &conversation, message))?;
    let row = connection.last_insert_rowid();
    connection
        .prepare_cached(
            "INSERT INTO conversation_search_rows (conversation_id, message_id, search_row) VALUES (?1, ?2, ?3)",
        )?
        .execute((conversation, message, row))?;
    Ok(())
}

fn remove(connection: &Connection, statements: [&str; 2], id: ConversationId) -> Result<(), Error> {
    for statement in statements {
        connection.prepare_cached(statement)?.execute([id.to_string()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Store, check, migrations};

    #[test]
    fn what_people_type_is_never_syntax() {
        assert_eq!(match_pattern("rust AND \"x\" NEAR("), Some("\"rust\" \"AND\" \"x\" \"NEAR\"*".into()));
        assert_eq!(match_pattern(" *() "), None);
    }

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        migrations::make(&connection, migrations::known()).unwrap();
        connection
    }

    /// The rows of the full-text table, and those that map them.
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
    fn texts_are_taken_out_without_a_look_at_all_others() {
        let connection = database();
        for statement in [REMOVE_ALL, REMOVE_TITLE].concat() {
            let mut query = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
            let steps = query.query_map(["conv_x"], |row| row.get::<_, String>("detail")).unwrap();
            for step in steps.map(Result::unwrap) {
                // FTS5 scans all of its rows by `INDEX 0:`, and looks one up by its number by `INDEX 0:=`.
                assert!(
                    step.starts_with("SEARCH") || step.ends_with("0:=") || step.contains("SUBQUERY"),
                    "{step}"
                );
            }
        }
    }

    #[test]
    fn a_row_that_is_mapped_wrongly_costs_no_other_conversation_its_texts() {
        type Removal = fn(&Connection, ConversationId) -> Result<(), Error>;
        let removals: [Removal; 2] =
            [remove_in_txn, |connection, id| replace_title_in_txn(connection, id, "")];
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
    fn a_text_that_is_not_mapped_is_found_and_the_next_start_repairs_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lar.db");
        let connection = crate::connect(&path).unwrap();
        migrations::make(&connection, migrations::known()).unwrap();
        // Of one conversation the title is left, as after an erasure that did not find it.
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
                        remove_in_txn(&connection, id).unwrap();
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
