//! Tests of the upgrade of databases of earlier versions.

use lar_base::ConversationId;

use super::*;
use crate::conversation_search;

#[test]
fn a_newer_database_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lar.db");
    let mut connection = Connection::open(&path).unwrap();
    run(&mut connection, &path).unwrap();
    connection.pragma_update(None, "user_version", 999).unwrap();
    assert!(matches!(run(&mut connection, &path), Err(Error::Newer { found: 999, .. })));
}

#[test]
fn memories_survive_the_new_table_of_spaces() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lar.db");
    let mut connection = Connection::open(&path).unwrap();
    crate::connection::configure(&connection).unwrap();
    for sql in &MIGRATIONS[..4] {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", 4).unwrap();
    connection
        .execute_batch(
            "INSERT INTO users VALUES ('user_x', 'someone', 1);
             INSERT INTO spaces VALUES ('space_x', 'user_x', 'personal', '', 1);
             INSERT INTO memories (id, space_id, kind, content, tags, source, pinned, stability, difficulty, reviewed_at,
                                   hash, version, created_at, updated_at)
             VALUES ('mem_x', 'space_x', 'fact', 'kept', '[]', '{}', 0, 1, 1, 1, x'00', 1, 1, 1);",
        )
        .unwrap();
    run(&mut connection, &path).unwrap();
    let kept =
        "SELECT content FROM memories JOIN spaces ON spaces.id = space_id WHERE spaces.kind = 'personal'";
    let content: String = connection.query_row(kept, [], |row| row.get(0)).unwrap();
    assert_eq!(content, "kept");
    let orphan = "INSERT INTO spaces VALUES ('space_y', 'user_none', 'team', 'y', 1)";
    assert!(connection.execute(orphan, []).is_err(), "foreign keys are enforced again");
}

#[test]
fn keys_of_apps_lose_conversations_and_keys_of_people_keep_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lar.db");
    let mut connection = Connection::open(&path).unwrap();
    crate::connection::configure(&connection).unwrap();
    for sql in &MIGRATIONS[..9] {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", 9).unwrap();
    connection
        .execute_batch("INSERT INTO users VALUES ('user_a', 'owner', 1, NULL), ('user_b', 'bea', 1, NULL);")
        .unwrap();
    let everything = r#"["inference","memory:read","memory:write","admin"]"#;
    let app = r#"["inference","memory:read","memory:write"]"#;
    let keys = [
        ("key_1", "user_a", everything, None),
        ("key_2", "user_a", app, Some("codex")),
        ("key_3", "user_a", app, None),
        ("key_4", "user_a", r#"["memory:read"]"#, None),
        ("key_5", "user_b", app, None),
        ("key_6", "user_b", app, None),
        ("key_7", "user_b", r#"["inference"]"#, None),
    ];
    for (id, user, scopes, client) in keys {
        connection
            .execute(
                "INSERT INTO keys (id, user_id, name, digest, fingerprint, scopes, created_at, client)
                 VALUES (?1, ?2, ?1, CAST(?1 AS BLOB), '', ?3, 1, ?4)",
                (id, user, scopes, client),
            )
            .unwrap();
    }
    connection
        .execute("INSERT INTO browser_sessions VALUES ('session_1', x'00', 'key_6', 1, 1)", [])
        .unwrap();
    run(&mut connection, &path).unwrap();
    let mut query = connection.prepare("SELECT id, scopes, removed_scopes FROM keys ORDER BY id").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let found: Vec<(String, String, String)> = rows.collect::<Result<_, _>>().unwrap();
    let (kept, lost) =
        (r#"["inference","conversations","memory:read","memory:write"]"#, r#"["conversations"]"#);
    let expected = [
        ("key_1", r#"["inference","conversations","memory:read","memory:write","admin"]"#, "[]"),
        ("key_2", app, lost),
        ("key_3", app, lost),
        ("key_4", r#"["memory:read"]"#, "[]"),
        ("key_5", kept, "[]"),
        ("key_6", kept, "[]"),
        ("key_7", r#"["inference"]"#, lost),
    ];
    assert_eq!(found, expected.map(|(id, scopes, removed)| (id.into(), scopes.into(), removed.into())));
}

#[test]
fn erased_words_are_removed_from_the_index() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lar.db");
    let mut connection = Connection::open(&path).unwrap();
    crate::connection::configure(&connection).unwrap();
    for sql in &MIGRATIONS[..12] {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", 12).unwrap();
    let note = |connection: &Connection, words: &str, id: &str| {
        let sql = "INSERT INTO conversation_search (text, conversation_id, message_id) VALUES (?1, ?2, '')";
        connection.execute(sql, [words, id]).unwrap();
    };
    let erase = |connection: &Connection, id: &str| {
        connection.execute("DELETE FROM conversation_search WHERE conversation_id = ?1", [id]).unwrap();
    };
    let holds = |word: &str| {
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(word.len()).any(|at| at == word.as_bytes())
    };
    connection
        .execute_batch(
            "INSERT INTO users (id, name, created_at) VALUES ('user_x', 'someone', 1);
             INSERT INTO conversations (id, user_id, title, version, created_at, updated_at)
             VALUES ('conv_1', 'user_x', '', 1, 1, 1);",
        )
        .unwrap();
    note(&connection, "laburnum", "conv_1");
    note(&connection, "wisteria", "conv_2");
    erase(&connection, "conv_2");
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert!(holds("wisteria"), "older schemas keep it");
    run(&mut connection, &path).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert!(!holds("wisteria") && holds("laburnum"));
    note(&connection, "tamarisk", "conv_3");
    erase(&connection, "conv_3");
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert!(!holds("tamarisk"));
    let found = "SELECT conversation_id FROM conversation_search WHERE conversation_search MATCH 'laburnum'";
    assert_eq!(connection.query_row(found, [], |row| row.get::<_, String>(0)).unwrap(), "conv_1");
}

#[test]
fn messages_from_before_the_row_map_can_be_erased() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lar.db");
    let mut connection = Connection::open(&path).unwrap();
    crate::connection::configure(&connection).unwrap();
    for sql in &MIGRATIONS[..13] {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", 13).unwrap();
    let (erased, kept) = (ConversationId::new(), ConversationId::new());
    connection
        .execute("INSERT INTO users (id, name, created_at) VALUES ('user_x', 'someone', 1)", [])
        .unwrap();
    // Entries without a conversation are removed; damage may have left them.
    let damaged =
        "INSERT INTO conversation_search (text, conversation_id, message_id) VALUES ('laburnum', ?1, '')";
    connection.execute(damaged, [None::<String>]).unwrap();
    connection.execute(damaged, ["conv_none"]).unwrap();
    for id in [erased, kept] {
        let conversation = "INSERT INTO conversations (id, user_id, title, version, created_at, updated_at)
                            VALUES (?1, 'user_x', 'laburnum', 1, 1, 1)";
        connection.execute(conversation, [id.to_string()]).unwrap();
        let sql =
            "INSERT INTO conversation_search (text, conversation_id, message_id) VALUES ('laburnum', ?1, ?2)";
        connection.execute(sql, (id.to_string(), "")).unwrap();
        connection.execute(sql, (id.to_string(), "msg_1")).unwrap();
    }
    run(&mut connection, &path).unwrap();
    assert!(conversation_search::remove_some_in_txn(&connection, &erased.to_string()).unwrap());
    let mut query = connection
        .prepare("SELECT conversation_id FROM conversation_search WHERE conversation_search MATCH 'laburnum'")
        .unwrap();
    let found = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(found.collect::<Result<Vec<_>, _>>().unwrap(), [kept.to_string(), kept.to_string()]);
}

#[test]
fn candidates_belong_to_the_key_that_created_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lar.db");
    let mut connection = Connection::open(&path).unwrap();
    crate::connection::configure(&connection).unwrap();
    for sql in &MIGRATIONS[..11] {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", 11).unwrap();
    connection
        .execute_batch(
            r#"INSERT INTO users VALUES ('user_x', 'someone', 1, NULL);
               INSERT INTO spaces VALUES ('space_x', 'user_x', 'personal', '', 1);
               INSERT INTO memory_candidates VALUES
                 ('cand_1', 'space_x', 'I play the oboe.', 'fact', '{"key":"key_1","source":"chat"}', 'why', 1),
                 ('cand_2', 'space_x', 'My bike is red.', 'fact', '{"key":"key_2","source":null}', 'why', 2),
                 ('cand_3', 'space_x', 'noted by nobody', 'fact', '{"key":null}', 'why', 3),
                 ('cand_4', 'space_x', 'damaged', 'fact', '{"key', 'why', 4);"#,
        )
        .unwrap();
    run(&mut connection, &path).unwrap();
    let mut query = connection
        .prepare("SELECT id, key_id, content, created_at FROM memory_candidates ORDER BY id")
        .unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
    let found: Vec<(String, String, String, i64)> = rows.unwrap().collect::<Result<_, _>>().unwrap();
    let expected = [("cand_1", "key_1", "I play the oboe.", 1), ("cand_2", "key_2", "My bike is red.", 2)];
    assert_eq!(found, expected.map(|(id, key, text, at)| (id.into(), key.into(), text.into(), at)));
    let note = |id: &str, key: &str| {
        connection.execute(
            "INSERT INTO memory_candidates VALUES (?1, 'space_x', ?2, 'I play the oboe.', 'fact', '{}', 'why', 5, NULL)",
            [id, key],
        )
    };
    assert!(note("cand_5", "key_2").is_ok(), "another key may save the same text");
    assert!(note("cand_6", "key_1").is_err(), "a key saves a text once");
    let orphan = "INSERT INTO memory_candidates VALUES ('cand_7', 'space_none', 'key_1', 'x', 'fact', '{}', 'why', 5, NULL)";
    assert!(connection.execute(orphan, []).is_err(), "a missing space is refused");
}

#[test]
fn answers_of_an_older_schema_are_linked_to_their_memories() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lar.db");
    let mut connection = Connection::open(&path).unwrap();
    crate::connection::configure(&connection).unwrap();
    for sql in &MIGRATIONS[..15] {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", 15).unwrap();
    connection
        .execute_batch(
            r#"INSERT INTO users VALUES ('user_x', 'someone', 1, NULL);
               INSERT INTO spaces VALUES ('space_x', 'user_x', 'personal', '', 1);
               INSERT INTO memories (id, space_id, kind, content, tags, source, pinned, stability, difficulty, reviewed_at,
                                     hash, version, created_at, updated_at, superseded_by)
               VALUES ('mem_1', 'space_x', 'fact', 'one', '[]', '{}', 0, 1, 1, 1, x'01', 1, 1, 1, NULL),
                      ('mem_2', 'space_x', 'fact', 'two', '[]', '{}', 0, 1, 1, 1, x'02', 1, 1, 1, 'mem_1');
               INSERT INTO conversations (id, user_id, title, version, created_at, updated_at)
               VALUES ('conv_x', 'user_x', '', 1, 1, 1);
               INSERT INTO messages (id, conversation_id, role, content, status, created_at, memory) VALUES
                 ('msg_1', 'conv_x', 'assistant', '', 'complete', 1, NULL),
                 ('msg_2', 'conv_x', 'assistant', '', 'complete', 1, 'no JSON'),
                 ('msg_3', 'conv_x', 'assistant', '', 'complete', 1, '{"recalled":["x",{"id":"mem_1"}],"refused":["x"]}'),
                 ('msg_4', 'conv_x', 'assistant', '', 'complete', 1, '{"recalled":[{"id":"mem_9"},{"id":"mem_2"}]}'),
                 ('msg_5', 'conv_x', 'assistant', '', 'complete', 1,
                  '{"saved":[{"id":"mem_1","decision":"supersede","instead_of":"two"}],"forgotten":[{"id":""}]}'),
                 ('msg_6', 'conv_x', 'assistant', '', 'complete', 1,
                  '{"saved":[{"id":"mem_2","decision":"supersede","instead_of":"three"}]}');"#,
        )
        .unwrap();
    run(&mut connection, &path).unwrap();
    let mut query = connection
        .prepare(
            "SELECT message_id || ' ' || memory_id, memory_id IN (SELECT memory_id FROM erased_memories)
             FROM answer_memories ORDER BY 1",
        )
        .unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let found: Vec<(String, bool)> = rows.unwrap().collect::<Result<_, _>>().unwrap();
    let expected = [
        ("msg_3 mem_1", false),
        // It is unknown which answer superseded it.
        ("msg_3 mem_2", false),
        ("msg_4 mem_2", false),
        ("msg_4 mem_9", true),
        ("msg_5 mem_1", false),
        ("msg_5 mem_2", false),
        ("msg_6 ", true),
        ("msg_6 mem_2", false),
    ];
    assert_eq!(found, expected.map(|(row, is_erased)| (row.to_owned(), is_erased)));
}

#[test]
fn candidates_of_an_older_schema_replace_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lar.db");
    let mut connection = Connection::open(&path).unwrap();
    crate::connection::configure(&connection).unwrap();
    for sql in &MIGRATIONS[..16] {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", 16).unwrap();
    connection
        .execute_batch(
            "INSERT INTO users VALUES ('user_x', 'someone', 1, NULL);
             INSERT INTO spaces VALUES ('space_x', 'user_x', 'personal', '', 1);
             INSERT INTO memory_candidates VALUES ('cand_1', 'space_x', 'key_1', 'I play the oboe.', 'fact', '{}', 'why', 1);
             INSERT INTO memories (id, space_id, kind, content, tags, source, pinned, stability, difficulty, reviewed_at,
                                   hash, version, created_at, updated_at)
             VALUES ('mem_1', 'space_x', 'fact', 'one', '[]', '{}', 0, 1, 1, 1, x'01', 1, 1, 1),
                    ('mem_2', 'space_x', 'fact', 'two', '[]', '{}', 0, 1, 1, 1, x'02', 1, 1, 1);",
        )
        .unwrap();
    run(&mut connection, &path).unwrap();
    let kept = "SELECT content, may_replace FROM memory_candidates";
    let kept: (String, Option<String>) =
        connection.query_row(kept, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(kept, ("I play the oboe.".into(), None));
    let link = |id: &str, older: &str, newer: &str, rest: &str| {
        let sql = format!(
            "INSERT INTO memory_links (id, space_id, older_id, newer_id, relation, reason, key_id, created_at,
                                       resolution, resolved_at, decision)
             VALUES ('{id}', 'space_x', '{older}', '{newer}', 'contradicts', 'why', 'key_1', 1, {rest})"
        );
        connection.execute(&sql, [])
    };
    link("link_1", "mem_1", "mem_2", "NULL, NULL, NULL").unwrap();
    for (older, newer, rest, why) in [
        ("mem_1", "mem_2", "NULL, NULL, NULL", "two memories are linked once"),
        ("mem_2", "mem_2", "NULL, NULL, NULL", "a memory is not linked with itself"),
        ("mem_2", "mem_9", "NULL, NULL, NULL", "both memories exist"),
        ("mem_2", "mem_1", "'maybe', 1, NULL", "the resolution is one of four"),
        ("mem_2", "mem_1", "'merge', NULL, NULL", "a resolution has a time"),
        ("mem_2", "mem_1", "NULL, NULL, 'chg_1'", "a decision has a resolution"),
    ] {
        assert!(link("link_2", older, newer, rest).is_err(), "{why}");
    }
    connection.execute("DELETE FROM memories WHERE id = 'mem_1'", []).unwrap();
    let left: u32 = connection.query_row("SELECT count(*) FROM memory_links", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

#[test]
fn links_of_an_older_schema_are_of_no_run_and_proposals_go_with_their_memories() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lar.db");
    let mut connection = Connection::open(&path).unwrap();
    crate::connection::configure(&connection).unwrap();
    for sql in &MIGRATIONS[..21] {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", 21).unwrap();
    connection
        .execute_batch(
            "INSERT INTO users VALUES ('user_x', 'someone', 1, NULL);
             INSERT INTO spaces VALUES ('space_x', 'user_x', 'personal', '', 1);
             INSERT INTO memories (id, space_id, kind, content, tags, source, pinned, stability, difficulty, reviewed_at,
                                   hash, version, created_at, updated_at)
             VALUES ('mem_1', 'space_x', 'fact', 'one', '[]', '{}', 0, 1, 1, 1, x'01', 1, 1, 1),
                    ('mem_2', 'space_x', 'fact', 'two', '[]', '{}', 0, 1, 1, 1, x'02', 1, 1, 1);
             INSERT INTO memory_links (id, space_id, older_id, newer_id, relation, reason, key_id, created_at)
             VALUES ('link_1', 'space_x', 'mem_1', 'mem_2', 'may_replace', 'why', 'key_1', 1);",
        )
        .unwrap();
    run(&mut connection, &path).unwrap();
    let run_id = "SELECT run_id FROM memory_links";
    assert_eq!(connection.query_row(run_id, [], |row| row.get::<_, Option<String>>(0)).unwrap(), None);
    connection
        .execute_batch(
            "INSERT INTO consolidation_runs VALUES ('run_1', 'space_x', NULL, 1, NULL, NULL, 0, 0);
             INSERT INTO memories_to_compare VALUES (1)",
        )
        .unwrap();
    let propose = |id: &str, rest: &str| {
        let sql = format!("INSERT INTO consolidation_proposals VALUES ('{id}', 'run_1', 'space_x', {rest})");
        connection.execute(&sql, [])
    };
    propose("prop_1", "'mem_1', 'mem_2', 'same_text', NULL, 1, 'open', NULL, NULL").unwrap();
    propose("prop_2", "NULL, NULL, NULL, 'falcon', 1, 'rejected', 2, NULL").unwrap();
    for (rest, why) in [
        ("'mem_1', 'mem_2', 'same_text', NULL, 1, 'open', NULL, NULL", "two memories are proposed once"),
        ("'mem_2', 'mem_2', 'same_text', NULL, 1, 'open', NULL, NULL", "a memory does not repeat itself"),
        ("'mem_2', 'mem_9', 'same_text', NULL, 1, 'open', NULL, NULL", "both memories exist"),
        ("'mem_2', NULL, 'same_text', NULL, 1, 'open', NULL, NULL", "a duplicate has two memories"),
        ("'mem_2', 'mem_1', NULL, NULL, 1, 'open', NULL, NULL", "a duplicate has a rule"),
        ("'mem_2', 'mem_1', 'same_text', 'x', 1, 'open', NULL, NULL", "a duplicate has no tag"),
        ("NULL, NULL, NULL, NULL, 1, 'open', NULL, NULL", "a theme has a tag"),
        ("NULL, NULL, NULL, 'x', 1, 'open', 2, NULL", "nobody decided about an open proposal"),
        ("NULL, NULL, NULL, 'x', 1, 'accepted', 2, NULL", "accepting is a decision"),
    ] {
        assert!(propose("prop_3", rest).is_err(), "{why}");
    }
    connection.execute("DELETE FROM memories WHERE id = 'mem_1'", []).unwrap();
    let left = "SELECT group_concat(id) FROM consolidation_proposals";
    assert_eq!(connection.query_row(left, [], |row| row.get::<_, String>(0)).unwrap(), "prop_2");
    let left = "SELECT count(*) FROM memories_to_compare";
    assert_eq!(connection.query_row(left, [], |row| row.get::<_, u32>(0)).unwrap(), 0);
}

#[test]
fn a_backup_is_a_whole_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lar.db");
    let mut connection = Connection::open(&path).unwrap();
    crate::connection::configure(&connection).unwrap();
    run(&mut connection, &path).unwrap();
    connection.execute("INSERT INTO users VALUES ('user_x', 'someone', 1, NULL)", []).unwrap();
    let copy = backup_path(&path, 1);
    back_up(&connection, &copy).unwrap();
    let name: String =
        Connection::open(&copy).unwrap().query_row("SELECT name FROM users", [], |row| row.get(0)).unwrap();
    assert_eq!((name.as_str(), copy.file_name().unwrap()), ("someone", "lar.before-schema-2.db".as_ref()));
}
