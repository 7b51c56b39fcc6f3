//! Which answers tell the text of which memories, so that erasing a memory takes its text out of them.
//!
//! An answer keeps what memory did in its turn as JSON: an object of lists, whose objects tell of one memory each. Its `id` says of
//! which, `content` what it said; `instead_of` is what it said before, or what the memory `instead_of_id` said, whose place it took.
//! A memory may be in thousands of answers: they are marked in the transaction that erases it, and rewritten in the next ones.
//! Marks survive a crash.

use std::collections::HashSet;

use lar_base::MessageId;
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Map, Value};

use crate::erasing::Step;
use crate::{Error, Store};

/// Answers that are rewritten in one transaction.
const ANSWERS: u32 = 64;

/// Notes what answers tell that is not noted; a memory that is not there may be lost rather than erased.
const NOTE_MISSING: &str = "INSERT OR IGNORE INTO answer_memories (memory_id, message_id, is_erased)
     SELECT told.value ->> names.column1, messages.id, 0
     FROM messages
     JOIN (VALUES ('$.recalled'), ('$.saved'), ('$.forgotten')) AS lists
     JOIN (VALUES ('id'), ('instead_of_id')) AS names
     JOIN json_each(CASE WHEN json_valid(messages.memory) THEN messages.memory ELSE '{}' END, lists.column1) AS told
     WHERE messages.memory IS NOT NULL AND told.type = 'object'
       AND typeof(told.value ->> names.column1) = 'text' AND told.value ->> names.column1 <> '';
     INSERT OR IGNORE INTO answer_memories (memory_id, message_id, is_erased)
     SELECT memories.id, answer_memories.message_id, 0
     FROM answer_memories JOIN memories ON memories.superseded_by = answer_memories.memory_id";

impl Store {
    /// Takes the text of erased memories out of the answers that tell it. The memories are erased by then: where this fails, the
    /// log says so and [`Store::clear_erased`] does it later.
    pub(crate) async fn forget_in_answers(&self) {
        if let Err(error) = self.try_to_forget_in_answers().await {
            tracing::warn!(%error, "a memory was erased, and answers still tell its text; another try comes");
        }
    }

    /// As [`Store::forget_in_answers`]; returns how many answers were rewritten.
    ///
    /// # Errors
    /// When the database fails. Another call goes on.
    pub(crate) async fn try_to_forget_in_answers(&self) -> Result<usize, Error> {
        self.erase_in_steps(forget_some_in_txn).await
    }
}

/// What memory did in the turn of an answer, without the text of memories that are erased by now.
#[derive(Debug)]
pub(crate) struct Told {
    /// As JSON.
    pub(crate) json: String,
    memories: Vec<String>,
}

impl Told {
    /// Looks at what is to be kept with an answer: a memory may have been erased since it was recalled.
    pub(crate) fn read(connection: &Connection, json: &str) -> Result<Self, Error> {
        let mut value: Value = serde_json::from_str(json)?;
        let mut query = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM memories WHERE id = ?1)")?;
        let (mut memories, mut erased) = (Vec::new(), HashSet::new());
        for id in ids(&value) {
            match query.query_row([&id], |row| row.get(0))? {
                true => memories.push(id),
                false => drop(erased.insert(id)),
            }
        }
        if erased.is_empty() {
            return Ok(Self { json: json.to_owned(), memories });
        }
        forget(&mut value, &erased);
        Ok(Self { json: value.to_string(), memories })
    }

    /// Notes which memories the answer tells of.
    pub(crate) fn note_in_txn(&self, connection: &Connection, answer: MessageId) -> Result<(), Error> {
        let mut insert =
            connection.prepare_cached("INSERT OR IGNORE INTO answer_memories VALUES (?1, ?2, 0)")?;
        for id in &self.memories {
            insert.execute([id, &answer.to_string()])?;
        }
        Ok(())
    }
}

/// Notes which answers tell of which memories where damage has taken that; nothing in a schema that does not note it.
pub(crate) fn note_missing(connection: &Connection) -> Result<(), Error> {
    if connection.table_exists(None, "answer_memories")? {
        connection.execute_batch(NOTE_MISSING)?;
    }
    Ok(())
}

/// Marks the answers that tell the text of a memory that is erased now.
pub(crate) fn mark_in_txn(connection: &Connection, memory: &str) -> Result<(), Error> {
    let sql = "UPDATE answer_memories SET is_erased = 1 WHERE memory_id = ?1";
    connection.prepare_cached(sql)?.execute([memory])?;
    Ok(())
}

/// Rewrites some of the marked answers.
fn forget_some_in_txn(connection: &Connection) -> Result<Step, Error> {
    let marked = "SELECT DISTINCT message_id FROM answer_memories WHERE is_erased = 1 LIMIT ?1";
    let answers = texts(connection, marked, [ANSWERS])?;
    for answer in &answers {
        let sql = "SELECT memory_id FROM answer_memories WHERE message_id = ?1 AND is_erased = 1";
        let erased = texts(connection, sql, [answer])?.into_iter().collect();
        let sql = "SELECT memory FROM messages WHERE id = ?1";
        let json: Option<Option<String>> =
            connection.prepare_cached(sql)?.query_row([answer], |row| row.get(0)).optional()?;
        if let Some(json) = json.flatten() {
            // What is no JSON nobody can read, and nobody can take a text out of it.
            let left = serde_json::from_str(&json).ok().map(|mut value| {
                forget(&mut value, &erased);
                value.to_string()
            });
            let sql = "UPDATE messages SET memory = ?2 WHERE id = ?1";
            connection.prepare_cached(sql)?.execute((answer, left))?;
        }
        let sql = "DELETE FROM answer_memories WHERE message_id = ?1 AND is_erased = 1";
        connection.prepare_cached(sql)?.execute([answer])?;
    }
    Ok(Step { erased: answers.len(), is_last: answers.len() < ANSWERS as usize })
}

fn texts(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<String>, Error> {
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map(parameters, |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The memories whose text is told, each once.
fn ids(value: &Value) -> HashSet<String> {
    let lists = value.as_object().into_iter().flat_map(|all| all.values()).filter_map(Value::as_array);
    let told = lists.flatten().filter_map(Value::as_object);
    let ids = told.flat_map(|one| ["id", "instead_of_id"].map(|name| id(one, name)));
    ids.flatten().map(str::to_owned).collect()
}

/// Takes out what is told of these memories.
fn forget(value: &mut Value, erased: &HashSet<String>) {
    let lists = value.as_object_mut().into_iter().flat_map(|all| all.values_mut());
    for one in lists.filter_map(Value::as_array_mut).flatten().filter_map(Value::as_object_mut) {
        let is_erased = |name: &str| id(one, name).is_some_and(|id| erased.contains(id));
        let (is_itself, is_other) = (is_erased("id"), is_erased("instead_of_id"));
        // Before schema 16 nothing said whose text the other one is.
        let is_unknown = !one.contains_key("instead_of_id")
            && one.get("decision").and_then(Value::as_str) == Some("supersede");
        if is_itself {
            one.remove("content");
        }
        if is_itself || is_other || is_unknown {
            one.remove("instead_of");
        }
    }
}

/// The id of a memory; what waited in the inbox only has none.
fn id<'a>(one: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    one.get(name).and_then(Value::as_str).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use lar_base::{KeyId, MemoryId, SpaceId, TaskId, Timestamp, UserId};
    use serde_json::json;

    use super::*;
    use crate::messages::{AnswerEnd, NewMessage, NewTurn, Status};
    use crate::tasks::TaskStart;
    use crate::{NewConversation, OwnedConversation};

    const SECRET: &str = "laburnum 4711";

    /// A memory of this person with this text.
    fn remember(connection: &Connection, user: UserId, text: &str) -> Result<(SpaceId, MemoryId), Error> {
        let (space, id) = (SpaceId::new(), MemoryId::new());
        connection.execute(
            "INSERT INTO spaces (id, user_id, kind, name, created_at) VALUES (?1, ?2, 'agent', ?1, 1)",
            [space.to_string(), user.to_string()],
        )?;
        connection.execute(
            "INSERT INTO memories (id, space_id, kind, content, tags, source, pinned, stability, difficulty, reviewed_at, hash,
                                   version, created_at, updated_at)
             VALUES (?1, ?2, 'fact', ?3, '[]', ?4, 0, 1, 1, 1, randomblob(32), 1, 1, 1)",
            (id.to_string(), space.to_string(), text, json!({"key": KeyId::new()}).to_string()),
        )?;
        Ok((space, id))
    }

    fn recalled(memories: &[(MemoryId, &str)]) -> String {
        let told = |(id, text): &(MemoryId, &str)| json!({"id": id, "content": text, "cited": true});
        json!({"recalled": memories.iter().map(told).collect::<Vec<_>>()}).to_string()
    }

    /// Begins a turn that was given these memories; returns its answer.
    async fn begin(store: &Store, owned: &OwnedConversation, memory: String) -> MessageId {
        let task = TaskStart {
            id: TaskId::new(),
            key: KeyId::new(),
            user: owned.user(),
            conversation: Some(owned.id()),
            api: "lar",
            workload: "chat",
            model: "m".into(),
            priority: "normal",
            created_at: Timestamp::now(),
            memory: None,
        };
        let said = Some(NewMessage { parent: None, content: "What grows there?".into() });
        let turn = NewTurn { said, answer_to: None, task, memory: Some(memory), once: None };
        store.turn_begin(owned, turn).await.unwrap().0.id
    }

    fn end(memory: Option<String>) -> AnswerEnd {
        AnswerEnd {
            content: "A tree.".into(),
            reasoning: None,
            status: Status::Complete,
            error: None,
            tokens_in: None,
            tokens_out: None,
            ttft_ms: None,
            decode_ms: None,
            finish_reason: None,
            memory,
        }
    }

    async fn kept(store: &Store, owned: &OwnedConversation, answer: MessageId) -> Value {
        let memory = store.message_get(owned, answer).await.unwrap().memory;
        serde_json::from_str(&memory.unwrap()).unwrap()
    }

    fn is_in_file(path: &std::path::Path, text: &str) -> bool {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(text.len()).any(|at| at == text.as_bytes())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_erased_memory_leaves_the_answers_that_were_given_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lar.db");
        let store = Store::open(&path).unwrap();
        let owner = store.owner().await.unwrap();
        let (space, secret) = store.write(move |c| remember(c, owner, SECRET)).await.unwrap();
        let (_, other) = store.write(move |c| remember(c, owner, "an oak")).await.unwrap();
        let conversation = store.conversation_create(owner, NewConversation::default(), None).await.unwrap();
        let owned = store.conversation_get(owner, conversation.id).await.unwrap();
        let json = recalled(&[(secret, SECRET), (other, "an oak")]);
        // More than are rewritten in one transaction.
        let mut answers = Vec::new();
        for _ in 0..ANSWERS + 10 {
            answers.push(begin(&store, &owned, json.clone()).await);
        }
        store.answer_end(answers[0], end(None)).await.unwrap();
        store.answer_end(answers[1], end(Some(json.clone()))).await.unwrap();
        assert_eq!(kept(&store, &owned, answers[1]).await["recalled"][0]["content"], SECRET);
        store.memories_erase(vec![space], vec![secret]).await.unwrap();
        // What was recalled before and is written after it was erased.
        store.answer_end(answers[2], end(Some(json.clone()))).await.unwrap();
        answers.push(begin(&store, &owned, json).await);
        let expected = json!({"recalled": [{"id": secret, "cited": true}, {"id": other, "content": "an oak", "cited": true}]});
        for answer in &answers {
            assert_eq!(kept(&store, &owned, *answer).await, expected);
        }
        store.clear_erased().await.unwrap();
        assert!(!is_in_file(&path, SECRET) && is_in_file(&path, "an oak"));
        let rows = |connection: &Connection| {
            let sql = "SELECT count(*), count(*) FILTER (WHERE is_erased = 1) FROM answer_memories";
            Ok(connection.query_row(sql, [], |row| Ok((row.get::<_, usize>(0)?, row.get::<_, usize>(1)?)))?)
        };
        assert_eq!(store.read(rows).await.unwrap(), (answers.len(), 0), "of the other memory");
        store.conversation_erase(&owned).await.unwrap();
        assert_eq!(store.read(rows).await.unwrap(), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_erasure_that_was_cut_leaves_the_answers_later() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let owner = store.owner().await.unwrap();
        let (_, secret) = store.write(move |c| remember(c, owner, SECRET)).await.unwrap();
        let conversation = store.conversation_create(owner, NewConversation::default(), None).await.unwrap();
        let owned = store.conversation_get(owner, conversation.id).await.unwrap();
        let answer = begin(&store, &owned, recalled(&[(secret, SECRET)])).await;
        store.clear_erased().await.unwrap();
        let mark = move |connection: &Connection| {
            mark_in_txn(connection, &secret.to_string())?;
            crate::unallocated::note_erasure_in_txn(connection)
        };
        store.write(mark).await.unwrap();
        assert_eq!(kept(&store, &owned, answer).await["recalled"][0]["content"], SECRET);
        store.clear_erased().await.unwrap();
        assert_eq!(kept(&store, &owned, answer).await["recalled"][0], json!({"id": secret, "cited": true}));
    }

    #[test]
    fn what_damage_took_of_the_notes_is_noted_again() {
        let connection = Connection::open_in_memory().unwrap();
        note_missing(&connection).unwrap();
        crate::migrations::make(&connection, crate::migrations::known()).unwrap();
        connection
            .execute_batch(
                r#"PRAGMA foreign_keys = OFF;
                   INSERT INTO messages (id, conversation_id, role, content, status, created_at, memory) VALUES
                     ('msg_1', 'conv_x', 'assistant', '', 'complete', 1, NULL),
                     ('msg_2', 'conv_x', 'assistant', '', 'complete', 1, 'no JSON'),
                     ('msg_3', 'conv_x', 'assistant', '', 'complete', 1, '{"recalled":["x",{"id":"mem_1"},{"id":"mem_2"}]}'),
                     ('msg_4', 'conv_x', 'assistant', '', 'complete', 1,
                      '{"saved":[{"id":"mem_3","instead_of":"x","instead_of_id":"mem_1"}],"forgotten":[{"id":""}]}');
                   INSERT INTO answer_memories VALUES ('mem_1', 'msg_3', 1);"#,
            )
            .unwrap();
        note_missing(&connection).unwrap();
        let sql = "SELECT message_id || ' ' || memory_id || ' ' || is_erased FROM answer_memories ORDER BY 1";
        let expected = ["msg_3 mem_1 1", "msg_3 mem_2 0", "msg_4 mem_1 0", "msg_4 mem_3 0"];
        assert_eq!(texts(&connection, sql, []).unwrap(), expected);
    }

    #[test]
    fn the_text_of_an_erased_memory_is_taken_out_and_of_no_other() {
        let turn = json!({
            "recalled": [{"id": "mem_1", "content": "one", "cited": true}, {"id": "mem_2", "content": "two"}],
            "saved": [
                {"id": "mem_3", "decision": "supersede", "content": "three", "instead_of": "one", "instead_of_id": "mem_1"},
                {"id": "mem_4", "decision": "supersede", "content": "four", "instead_of": "five", "instead_of_id": "mem_5"},
                {"id": "mem_1", "decision": "update", "content": "one", "instead_of": "won"},
            ],
            "forgotten": [{"id": "", "content": "waited"}],
            "waiting": [{"content": "waits"}],
            "refused": ["no"],
        });
        let all = ["mem_1", "mem_2", "mem_3", "mem_4", "mem_5"];
        assert_eq!(ids(&turn), all.map(str::to_owned).into());
        let mut left = turn;
        forget(&mut left, &["mem_1".to_owned(), String::new()].into());
        let expected = json!({
            "recalled": [{"id": "mem_1", "cited": true}, {"id": "mem_2", "content": "two"}],
            "saved": [
                {"id": "mem_3", "decision": "supersede", "content": "three", "instead_of_id": "mem_1"},
                {"id": "mem_4", "decision": "supersede", "content": "four", "instead_of": "five", "instead_of_id": "mem_5"},
                {"id": "mem_1", "decision": "update"},
            ],
            "forgotten": [{"id": "", "content": "waited"}],
            "waiting": [{"content": "waits"}],
            "refused": ["no"],
        });
        assert_eq!(left, expected);
        // Of an older schema.
        let mut left = json!({"saved": [{"id": "mem_3", "decision": "supersede", "content": "three", "instead_of": "one"}]});
        forget(&mut left, &[String::new()].into());
        assert_eq!(left, json!({"saved": [{"id": "mem_3", "decision": "supersede", "content": "three"}]}));
        for odd in [json!(null), json!([1]), json!({"recalled": 1, "saved": [1, [], {"id": 7}]})] {
            let mut left = odd.clone();
            forget(&mut left, &["mem_1".to_owned()].into());
            assert_eq!((&left, ids(&odd)), (&odd, HashSet::new()));
        }
    }
}
