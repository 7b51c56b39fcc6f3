//! Links between answers and the memories whose text they contain, so that erasing a memory removes its text
//! from them.
//!
//! An answer stores the memory activity of its turn as JSON: an object of lists, with an object for each
//! memory. Its `id` is the memory's, `content` is its text; `instead_of` is the text that was replaced, of
//! the memory `instead_of_id`. Intentions of which the answer reminds are treated like memories. A memory may
//! be in thousands of answers. So the transaction that erases it only records that, and later transactions
//! rewrite the answers.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use lar_base::{MessageId, error_chain};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Map, Value};

use crate::erasure::Step;
use crate::json_columns::ANSWER_MEMORY;
use crate::{Error, Store};

/// The first schema that links answers to memories.
pub(crate) const SCHEMA: u32 = 16;
/// The most answers that one transaction rewrites.
const ANSWERS_PER_TRANSACTION: u32 = 64;
/// How long an erasure waits for answers to be rewritten. If a memory is in thousands of them, the rest
/// follows later.
const WAIT: Duration = Duration::from_secs(2);

/// Adds links that damage removed, also to missing memories: these may be lost rather than erased.
const ADD_MISSING: &str = "INSERT OR IGNORE INTO answer_memories (memory_id, message_id)
     SELECT entry.value ->> names.column1, messages.id
     FROM messages
     JOIN (VALUES ('$.recalled'), ('$.saved'), ('$.forgotten'), ('$.waiting'), ('$.listed'), ('$.reminders'),
                 ('$.scheduled')) AS lists
     JOIN (VALUES ('id'), ('instead_of_id')) AS names
     JOIN json_each(CASE WHEN json_valid(messages.memory) THEN messages.memory ELSE '{}' END, lists.column1) AS entry
     WHERE messages.memory IS NOT NULL AND entry.type = 'object'
       AND typeof(entry.value ->> names.column1) = 'text' AND entry.value ->> names.column1 <> ''
     ORDER BY 1, 2;
     INSERT OR IGNORE INTO answer_memories (memory_id, message_id)
     SELECT memories.id, answer_memories.message_id
     FROM answer_memories JOIN memories ON memories.superseded_by = answer_memories.memory_id
     ORDER BY 1, 2";

impl Store {
    /// Removes the text of erased memories from the answers that contain it. The memories are erased by then:
    /// a failure is logged, and after [`WAIT`] the work continues in the background. [`Store::clear_erased`]
    /// does the rest.
    pub async fn remove_from_answers(&self) {
        let store = self.clone();
        let work = tokio::spawn(async move {
            if let Err(error) = store.try_to_remove_from_answers().await {
                tracing::warn!(
                    error = %error_chain(&error),
                    "answers still contain the text of an erased memory; retrying later"
                );
            }
        });
        let _ = tokio::time::timeout(WAIT, work).await;
    }

    /// Like [`Store::remove_from_answers`], to the end; returns the number of rewritten answers.
    ///
    /// # Errors
    /// When the database fails. The next call continues.
    pub(crate) async fn try_to_remove_from_answers(&self) -> Result<usize, Error> {
        self.erase_in_steps(remove_some_in_txn).await
    }
}

/// The memory activity in the turn of an answer, without the text of erased memories.
#[derive(Debug)]
pub(crate) struct TurnMemory {
    /// As JSON with a version, for [`ANSWER_MEMORY`].
    pub(crate) json: String,
    memories: BTreeSet<String>,
}

impl TurnMemory {
    /// Prepares the memory activity for storage with an answer: a memory may have been erased since it was
    /// recalled.
    pub(crate) fn read(connection: &Connection, json: &str) -> Result<Self, Error> {
        let mut value: Value = serde_json::from_str(json)?;
        let mut query = connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM memories WHERE id = ?1)
                 OR EXISTS (SELECT 1 FROM memory_intentions WHERE id = ?1)",
        )?;
        let (mut memories, mut erased) = (BTreeSet::new(), HashSet::new());
        for id in ids(&value) {
            match query.query_row([&id], |row| row.get(0))? {
                true => memories.insert(id),
                false => erased.insert(id),
            };
        }
        if erased.is_empty() {
            return Ok(Self { json: ANSWER_MEMORY.stamp(json)?, memories });
        }
        remove(&mut value, &erased);
        Ok(Self { json: ANSWER_MEMORY.encode(&value)?, memories })
    }

    /// Records that an answer contains these memories.
    pub(crate) fn record_activity_in_txn(
        &self,
        connection: &Connection,
        answer: MessageId,
    ) -> Result<(), Error> {
        let sql = "INSERT OR IGNORE INTO answer_memories (memory_id, message_id) VALUES (?1, ?2)";
        let mut insert = connection.prepare_cached(sql)?;
        for id in &self.memories {
            insert.execute([id, &answer.to_string()])?;
        }
        Ok(())
    }
}

/// Adds links that damage removed; does nothing in a schema without links.
pub(crate) fn add_missing(connection: &Connection) -> Result<(), Error> {
    if connection.table_exists(None, "answer_memories")? {
        connection.execute_batch(ADD_MISSING)?;
    }
    Ok(())
}

/// Unmarks missing memories as erased: damage may have removed them, and the answers have their last copies.
pub(crate) fn keep_lost(connection: &Connection) -> Result<(), Error> {
    connection
        .execute_batch("DELETE FROM erased_memories; DELETE FROM answer_memories WHERE memory_id = ''")?;
    Ok(())
}

/// Marks a memory as erased, if answers contain it.
pub(crate) fn note_erased_in_txn(connection: &Connection, memory: &str) -> Result<(), Error> {
    let sql = "INSERT OR IGNORE INTO erased_memories (memory_id)
               SELECT ?1 WHERE EXISTS (SELECT 1 FROM answer_memories WHERE memory_id = ?1)";
    connection.prepare_cached(sql)?.execute([memory])?;
    Ok(())
}

/// Rewrites some of the answers that contain erased memories.
fn remove_some_in_txn(connection: &Connection) -> Result<Step, Error> {
    let pairs = "SELECT message_id FROM erased_memories JOIN answer_memories USING (memory_id) LIMIT ?1";
    let found = texts(connection, pairs, [ANSWERS_PER_TRANSACTION])?;
    let is_last = found.len() < ANSWERS_PER_TRANSACTION as usize;
    let answers = BTreeSet::from_iter(found);
    for answer in &answers {
        let sql = "SELECT memory_id FROM answer_memories JOIN erased_memories USING (memory_id) WHERE message_id = ?1";
        let erased = texts(connection, sql, [answer])?.into_iter().collect();
        let sql = "SELECT memory FROM messages WHERE id = ?1";
        let json = connection.prepare_cached(sql)?.query_row([answer], |row| {
            // Damage in one answer must not keep text in the others.
            Ok(row.get_ref(0)?.as_bytes_or_null()?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
        });
        if let Some(json) = json.optional()?.flatten() {
            // Nobody can read invalid JSON, or remove a text from it, so it is dropped.
            let (version, json) = ANSWER_MEMORY.split(&json);
            let left = serde_json::from_str(&json).ok().and_then(|mut value| {
                remove(&mut value, &erased);
                ANSWER_MEMORY.join(version, &value.to_string()).ok()
            });
            let sql = "UPDATE messages SET memory = ?2 WHERE id = ?1";
            connection.prepare_cached(sql)?.execute((answer, left))?;
        }
        let sql = "DELETE FROM answer_memories
                   WHERE message_id = ?1 AND memory_id IN (SELECT memory_id FROM erased_memories)";
        connection.prepare_cached(sql)?.execute([answer])?;
    }
    if is_last {
        connection.prepare_cached("DELETE FROM erased_memories")?.execute([])?;
    }
    Ok(Step { erased: answers.len(), is_last })
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

/// Returns the ids of all memories in the activity, each once.
fn ids(value: &Value) -> BTreeSet<String> {
    let lists = value.as_object().into_iter().flat_map(|all| all.values()).filter_map(Value::as_array);
    let entries = lists.flatten().filter_map(Value::as_object);
    let ids = entries.flat_map(|entry| ["id", "instead_of_id"].map(|name| id(entry, name)));
    ids.flatten().map(str::to_owned).collect()
}

/// Removes the texts of these memories from the activity.
fn remove(value: &mut Value, erased: &HashSet<String>) {
    let lists = value.as_object_mut().into_iter().flat_map(|all| all.values_mut());
    for entry in lists.filter_map(Value::as_array_mut).flatten().filter_map(Value::as_object_mut) {
        let is_erased = |name: &str| id(entry, name).is_some_and(|id| erased.contains(id));
        let (is_itself, is_other) = (is_erased("id"), is_erased("instead_of_id"));
        // Before schema 16, the memory of the replaced text was not recorded.
        let is_unknown = !entry.contains_key("instead_of_id")
            && entry.get("decision").and_then(Value::as_str) == Some("supersede");
        if is_itself {
            entry.remove("content");
        }
        if is_itself || is_other || is_unknown {
            entry.remove("instead_of");
        }
    }
}

/// Returns the id of a memory; `None` for a candidate from the inbox, which has none.
fn id<'a>(entry: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    entry.get(name).and_then(Value::as_str).filter(|id| !id.is_empty())
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

    /// Creates a memory of this user with this text.
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
        let entry = |(id, text): &(MemoryId, &str)| json!({"id": id, "content": text, "cited": true});
        json!({"recalled": memories.iter().map(entry).collect::<Vec<_>>()}).to_string()
    }

    /// Starts a turn that recalled these memories; returns its answer.
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
        let user_message = Some(NewMessage { parent: None, content: "What grows there?".into() });
        let memory = Some(memory);
        let turn = NewTurn { user_message, answer_to: None, title: None, task, memory, once: None };
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
    async fn an_erased_memory_is_removed_from_the_answers_that_recalled_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lar.db");
        let store = Store::open(&path).unwrap();
        let owner = store.owner().await.unwrap();
        let (space, secret) = store.write(move |c| remember(c, owner, SECRET)).await.unwrap();
        let (_, other) = store.write(move |c| remember(c, owner, "an oak")).await.unwrap();
        let conversation = store.conversation_create(owner, NewConversation::default(), None).await.unwrap();
        let owned = store.conversation_get(owner, conversation.id).await.unwrap();
        let json = recalled(&[(secret, SECRET), (other, "an oak")]);
        // More than one transaction rewrites.
        let mut answers = Vec::new();
        for _ in 0..ANSWERS_PER_TRANSACTION + 10 {
            answers.push(begin(&store, &owned, json.clone()).await);
        }
        store.answer_end(answers[0], end(None)).await.unwrap();
        store.answer_end(answers[1], end(Some(json.clone()))).await.unwrap();
        assert_eq!(kept(&store, &owned, answers[1]).await["recalled"][0]["content"], SECRET);
        store.memories_erase(vec![space], vec![secret]).await.unwrap();
        store.try_to_remove_from_answers().await.unwrap();
        // These turns recalled the memory before it was erased, and are stored after that.
        store.answer_end(answers[2], end(Some(json.clone()))).await.unwrap();
        answers.push(begin(&store, &owned, json).await);
        let expected = json!({"recalled": [{"id": secret, "cited": true}, {"id": other, "content": "an oak", "cited": true}]});
        for answer in &answers {
            assert_eq!(kept(&store, &owned, *answer).await, expected);
        }
        store.clear_erased().await.unwrap();
        assert!(!is_in_file(&path, SECRET) && is_in_file(&path, "an oak"));
        let rows = |connection: &Connection| {
            let sql = "SELECT (SELECT count(*) FROM answer_memories), (SELECT count(*) FROM erased_memories)";
            Ok(connection.query_row(sql, [], |row| Ok((row.get::<_, usize>(0)?, row.get::<_, usize>(1)?)))?)
        };
        assert_eq!(store.read(rows).await.unwrap(), (answers.len(), 0), "links of the other memory");
        store.conversation_erase(&owned).await.unwrap();
        assert_eq!(store.read(rows).await.unwrap(), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_damaged_answer_does_not_keep_an_erased_memory_in_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lar.db");
        let store = Store::open(&path).unwrap();
        let owner = store.owner().await.unwrap();
        let (space, secret) = store.write(move |c| remember(c, owner, SECRET)).await.unwrap();
        let conversation = store.conversation_create(owner, NewConversation::default(), None).await.unwrap();
        let owned = store.conversation_get(owner, conversation.id).await.unwrap();
        let json = recalled(&[(secret, SECRET)]);
        let damaged = begin(&store, &owned, json.clone()).await;
        let other = begin(&store, &owned, json.clone()).await;
        // One letter is no longer valid UTF-8.
        let mut bytes = json.into_bytes();
        let at = bytes.windows(SECRET.len()).position(|text| text == SECRET.as_bytes()).unwrap();
        bytes[at] |= 0x80;
        let damage = move |connection: &Connection| {
            let sql = "UPDATE messages SET memory = CAST(?2 AS TEXT) WHERE id = ?1";
            Ok(connection.execute(sql, (damaged.to_string(), &bytes))?)
        };
        store.write(damage).await.unwrap();
        store.memories_erase(vec![space], vec![secret]).await.unwrap();
        store.try_to_remove_from_answers().await.unwrap();
        let expected = json!({"recalled": [{"id": secret, "cited": true}]});
        for answer in [damaged, other] {
            assert_eq!(kept(&store, &owned, answer).await, expected);
        }
        store.clear_erased().await.unwrap();
        assert!(!is_in_file(&path, &SECRET[1..]));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_interrupted_erasure_is_removed_from_answers_later() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("lar.db")).unwrap();
        let owner = store.owner().await.unwrap();
        let (_, secret) = store.write(move |c| remember(c, owner, SECRET)).await.unwrap();
        let conversation = store.conversation_create(owner, NewConversation::default(), None).await.unwrap();
        let owned = store.conversation_get(owner, conversation.id).await.unwrap();
        let answer = begin(&store, &owned, recalled(&[(secret, SECRET)])).await;
        store.clear_erased().await.unwrap();
        let mark = move |connection: &Connection| {
            connection.execute("DELETE FROM memories WHERE id = ?1", [secret.to_string()])?;
            note_erased_in_txn(connection, &secret.to_string())?;
            crate::erasure::count_erasure_in_txn(connection)
        };
        store.write(mark).await.unwrap();
        assert_eq!(kept(&store, &owned, answer).await["recalled"][0]["content"], SECRET);
        store.clear_erased().await.unwrap();
        assert_eq!(kept(&store, &owned, answer).await["recalled"][0], json!({"id": secret, "cited": true}));
    }

    #[test]
    fn damaged_answer_links_are_rebuilt() {
        let connection = Connection::open_in_memory().unwrap();
        add_missing(&connection).unwrap();
        crate::migrations::create_schema(&connection, crate::migrations::newest_schema()).unwrap();
        connection
            .execute_batch(
                r#"PRAGMA foreign_keys = OFF;
                   INSERT INTO messages (id, conversation_id, role, content, status, created_at, memory) VALUES
                     ('msg_1', 'conv_x', 'assistant', '', 'complete', 1, NULL),
                     ('msg_2', 'conv_x', 'assistant', '', 'complete', 1, 'no JSON'),
                     ('msg_3', 'conv_x', 'assistant', '', 'complete', 1, '{"recalled":["x",{"id":"mem_1"},{"id":"mem_2"}]}'),
                     ('msg_4', 'conv_x', 'assistant', '', 'complete', 1,
                      '{"saved":[{"id":"mem_3","instead_of":"x","instead_of_id":"mem_1"}],"forgotten":[{"id":""}]}');
                   INSERT INTO answer_memories VALUES ('mem_1', 'msg_3');"#,
            )
            .unwrap();
        add_missing(&connection).unwrap();
        let sql = "SELECT message_id || ' ' || memory_id FROM answer_memories ORDER BY 1";
        let expected = ["msg_3 mem_1", "msg_3 mem_2", "msg_4 mem_1", "msg_4 mem_3"];
        assert_eq!(texts(&connection, sql, []).unwrap(), expected);
    }

    #[test]
    fn only_the_text_of_erased_memories_is_removed() {
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
        remove(&mut left, &["mem_1".to_owned(), String::new()].into());
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
        // As stored before schema 16.
        let mut left = json!({"saved": [{"id": "mem_3", "decision": "supersede", "content": "three", "instead_of": "one"}]});
        remove(&mut left, &[String::new()].into());
        assert_eq!(left, json!({"saved": [{"id": "mem_3", "decision": "supersede", "content": "three"}]}));
        for odd in [json!(null), json!([1]), json!({"recalled": 1, "saved": [1, [], {"id": 7}]})] {
            let mut left = odd.clone();
            remove(&mut left, &["mem_1".to_owned()].into());
            assert_eq!((&left, ids(&odd)), (&odd, BTreeSet::new()));
        }
    }
}
