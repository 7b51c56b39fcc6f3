//! Erased words in indexes with many leaves, some of them damaged.

use std::collections::BTreeSet;

use lar_base::{ConversationId, MessageId, UserId};

use super::*;
use crate::conversation_search::{add_message_in_txn, remove_some_in_txn};
use crate::page::{two_bytes, varint};
use crate::sqlite_files::beside;
use crate::{NewConversation, migrations};

/// Sets the size of leaves to 64 bytes, so that few words fill many leaves.
const SMALL_LEAVES: &str = "INSERT INTO conversation_search (conversation_search, rank) VALUES ('pgsz', 64)";
/// The limit of the numbers, which have twelve digits.
const NUMBERS: u64 = 1_000_000_000_000;

fn database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    migrations::create_schema(&connection, migrations::newest_schema()).unwrap();
    connection.execute_batch(SMALL_LEAVES).unwrap();
    connection
}

/// Pseudorandom numbers, the same in each run (SplitMix64; Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }
}

/// A conversation and its words.
struct TestConversation {
    id: ConversationId,
    words: Vec<String>,
}

fn add_conversation(connection: &Connection, words: Vec<String>, between: &str) -> TestConversation {
    let id = ConversationId::new();
    add_message_in_txn(connection, id, MessageId::new(), &words.join(between)).unwrap();
    TestConversation { id, words }
}

/// Adds a conversation of one or more numbers, from all numbers or from one end. A merge moves the low ones
/// first.
fn add_numbers(connection: &Connection, random: &mut Random) -> TestConversation {
    let ranges = [(0, NUMBERS), (0, NUMBERS), (0, NUMBERS / 10 * 3), (NUMBERS / 10 * 7, NUMBERS)];
    let (from, to) = ranges[random.index(4)];
    let count = [1, 5, 60, 150][random.index(4)];
    let words = (0..count).map(|_| format!("{:012}", from + random.below(to - from))).collect();
    // A frequent word has a doclist of many leaves.
    let between = if random.index(3) == 0 { " and " } else { " " };
    add_conversation(connection, words, between)
}

fn erase(connection: &Connection, said: &TestConversation) {
    while !remove_some_in_txn(connection, &said.id.to_string()).unwrap() {}
}

/// Returns conversations that are kept, and three quarters of all, which were erased.
fn kept_and_erased(connection: &Connection, random: &mut Random) -> [Vec<TestConversation>; 2] {
    let count = 8 + random.index(24);
    let mut kept: Vec<TestConversation> = (0..count).map(|_| add_numbers(connection, random)).collect();
    let mut erased = Vec::new();
    for _ in 0..count * 3 / 4 {
        let at = random.index(kept.len());
        let said = kept.swap_remove(at);
        erase(connection, &said);
        erased.push(said);
    }
    [kept, erased]
}

/// Like [`Store::clear_search_index`], a few separators at a time. Returns the numbers of removed leaves and
/// of changed separators.
fn clear(connection: &Connection) -> [usize; 2] {
    let (mut leaves, mut changed) = (0, 0);
    loop {
        // A damaged structure is an error, and then nothing is changed.
        let Ok(removed) = remove_leaves_in_txn(connection) else { return [0, 0] };
        leaves += removed;
        if removed == 0 {
            break;
        }
    }
    let mut after = None;
    loop {
        let found = find_in_txn(connection, after.as_ref(), 7).unwrap();
        changed += change_in_txn(connection, &found.due).unwrap();
        after = found.next;
        if after.is_none() {
            return [leaves, changed];
        }
    }
}

/// Returns all separators with the numbers of their segments and leaves, in order.
fn separators(connection: &Connection) -> Vec<(i64, Vec<u8>, i64)> {
    let sql = "SELECT segid, term, pgno >> 1 FROM conversation_search_idx ORDER BY segid, term";
    let mut query = connection.prepare(sql).unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Returns all leaves with the numbers of their segments and their own, including leaves that the index does
/// not use.
fn leaves(connection: &Connection) -> Vec<(i64, i64, Vec<u8>)> {
    let sql = "SELECT id >> 37, id & 0x7fffffff, block FROM conversation_search_data
               WHERE id > 10 AND (id >> 31) & 63 = 0 ORDER BY id";
    let mut query = connection.prepare(sql).unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Returns the terms of a leaf.
fn terms(leaf: &[u8]) -> Vec<Vec<u8>> {
    fn next(rest: &mut &[u8]) -> usize {
        let (number, length) = varint(rest).unwrap();
        *rest = &rest[length..];
        number as usize
    }
    let (data, mut offsets) = leaf.split_at(two_bytes(leaf, 2).unwrap());
    let (mut terms, mut offset) = (Vec::<Vec<u8>>::new(), 0);
    while !offsets.is_empty() {
        offset += next(&mut offsets);
        let mut rest = &data[offset..];
        let mut term = match terms.last() {
            Some(before) => before[..next(&mut rest)].to_vec(),
            None => Vec::new(),
        };
        let length = next(&mut rest);
        term.extend(&rest[..length]);
        terms.push(term);
    }
    terms
}

/// Counts the separators and the terms of leaves that contain an erased word. A separator must be a prefix of
/// a word in `kept`, and a term such a word.
fn left(connection: &Connection, kept: &[TestConversation]) -> [usize; 2] {
    // FTS5 writes a byte before each term.
    let words = kept.iter().flat_map(|said| &said.words).map(|word| format!("0{word}").into_bytes());
    let said: BTreeSet<Vec<u8>> = words.chain([b"0and".to_vec()]).collect();
    let is_beginning =
        |term: &Vec<u8>| said.range(term.clone()..).next().is_some_and(|word| word.starts_with(term));
    let separators = separators(connection).iter().filter(|(_, term, _)| !is_beginning(term)).count();
    let of_leaves = leaves(connection).iter().flat_map(|(.., leaf)| terms(leaf)).collect::<Vec<_>>();
    [separators, of_leaves.iter().filter(|term| !said.contains(*term)).count()]
}

/// Checks that the index matches its texts, and that a search finds the words of `kept` and none of `erased`.
fn check(connection: &Connection, kept: &[TestConversation], erased: &[TestConversation], case: &str) {
    let check = "INSERT INTO conversation_search (conversation_search) VALUES ('integrity-check')";
    connection.execute_batch(check).unwrap_or_else(|error| panic!("{case}: {error}"));
    let sql = "SELECT count(*) FROM conversation_search WHERE conversation_search MATCH ?1";
    let mut query = connection.prepare_cached(sql).unwrap();
    for (conversations, expected) in [(kept, 1), (erased, 0)] {
        for word in conversations.iter().flat_map(|said| &said.words) {
            for pattern in [word.clone(), format!("{word}*")] {
                let found: usize = query.query_row([&pattern], |row| row.get(0)).unwrap();
                assert_eq!(found, expected, "{case}: {pattern}");
            }
        }
    }
}

#[test]
fn no_erased_word_stays_in_tables_of_the_search_index() {
    let sum = |one: [usize; 2], other: [usize; 2]| [one[0] + other[0], one[1] + other[1]];
    let (mut stayed, mut cleared) = ([0, 0], [0, 0]);
    for seed in 0..32 {
        let (connection, mut random, case) = (database(), Random(seed), format!("seed {seed}"));
        let [mut kept, mut erased] = kept_and_erased(&connection, &mut random);
        stayed = sum(stayed, left(&connection, &kept));
        cleared = sum(cleared, clear(&connection));
        assert_eq!(left(&connection, &kept), [0, 0], "{case}");
        assert_eq!(clear(&connection), [0, 0], "{case}");
        check(&connection, &kept, &erased, &case);
        // FTS5 continues with the changed index: the merge goes on, and others follow.
        let merge = "INSERT INTO conversation_search (conversation_search, rank) VALUES ('merge', -16)";
        connection.execute_batch(merge).unwrap();
        kept.extend((0..20).map(|_| add_numbers(&connection, &mut random)));
        check(&connection, &kept, &erased, &case);
        for said in kept.drain(..10) {
            erase(&connection, &said);
            erased.push(said);
        }
        clear(&connection);
        assert_eq!(left(&connection, &kept), [0, 0], "{case}");
        let merge_all = "INSERT INTO conversation_search (conversation_search) VALUES ('optimize')";
        connection.execute_batch(merge_all).unwrap();
        check(&connection, &kept, &erased, &case);
    }
    // Otherwise this shows nothing: erased words were in separators and in leaves, and both were cleared.
    assert!([stayed, cleared].as_flattened().iter().all(|count| *count > 0), "{stayed:?}, {cleared:?}");
}

#[test]
fn separators_changed_concurrently_are_checked_again() {
    for seed in 0..8 {
        let (connection, mut random, case) = (database(), Random(seed), format!("seed {seed}"));
        let [mut kept, mut erased] = kept_and_erased(&connection, &mut random);
        remove_leaves_in_txn(&connection).unwrap();
        let found = find_in_txn(&connection, None, READ_SEPARATORS).unwrap();
        let said = kept.pop().unwrap();
        erase(&connection, &said);
        erased.push(said);
        kept.extend((0..3).map(|_| add_numbers(&connection, &mut random)));
        change_in_txn(&connection, &found.due).unwrap();
        check(&connection, &kept, &erased, &case);
        clear(&connection);
        assert_eq!(left(&connection, &kept), [0, 0], "{case}");
        check(&connection, &kept, &erased, &case);
    }
}

/// Returns a block truncated at each length, and with each of its bits flipped.
fn damaged(block: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let cut = (0..block.len()).map(move |length| block[..length].to_vec());
    let changed = (0..block.len() * 8).map(move |bit| {
        let mut changed = block.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    });
    cut.chain(changed)
}

const WRITE_BLOCK: &str = "UPDATE conversation_search_data SET block = ?2 WHERE id = ?1";

#[test]
fn a_damaged_leaf_does_not_hide_the_words_of_other_leaves() {
    let (connection, mut random) = (database(), Random(1));
    // All in one segment.
    connection.execute_batch("BEGIN").unwrap();
    let said: [TestConversation; 6] = std::array::from_fn(|_| {
        let words = (0..8).map(|_| format!("{:012}", random.below(NUMBERS))).collect();
        add_conversation(&connection, words, " ")
    });
    connection.execute_batch("COMMIT").unwrap();
    said.iter().step_by(2).for_each(|said| erase(&connection, said));
    let leaves = leaves(&connection);
    // The first and the last term of each leaf.
    let ends: Vec<(i64, Vec<Vec<u8>>)> = leaves
        .iter()
        .map(|(_, number, leaf)| {
            let terms = terms(leaf);
            (*number, terms.first().into_iter().chain(terms.last()).cloned().collect())
        })
        .collect();
    connection.execute_batch("BEGIN").unwrap();
    clear(&connection);
    let whole = separators(&connection);
    connection.execute_batch("ROLLBACK").unwrap();
    let mut misled = 0;
    for (segment, number, leaf) in &leaves {
        for block in damaged(leaf) {
            connection.execute_batch("BEGIN").unwrap();
            connection.execute(WRITE_BLOCK, ((segment << 37) + number, block)).unwrap();
            clear(&connection);
            let separators = separators(&connection);
            connection.execute_batch("ROLLBACK").unwrap();
            for (other, terms) in ends.iter().filter(|(other, _)| other != number) {
                for term in terms {
                    // The lookup of a term in `fts5SegIterSeekInit`.
                    let found = separators.iter().rev().find(|(_, separator, _)| separator <= term);
                    assert_eq!(found.map(|(.., leaf)| leaf), Some(other), "leaf {number} is damaged");
                }
            }
            misled += usize::from(separators != whole);
        }
    }
    assert!(leaves.len() > 5 && misled > 100, "{} leaves, {misled}: this shows nothing", leaves.len());
}

#[test]
fn a_damaged_structure_loses_no_word() {
    // An index with an unfinished merge that has moved a whole segment, and leaves of another one.
    let (connection, kept) = (0..32)
        .find_map(|seed| {
            let (connection, mut random) = (database(), Random(seed));
            let [kept, _] = kept_and_erased(&connection, &mut random);
            let structure = structure(&connection).unwrap();
            let merged: Vec<i64> = structure.merged_rows().map(|(first, _)| first >> 37).collect();
            let is_moved = |(segment, _, leaf): &(i64, Vec<u8>, i64)| {
                !merged.contains(segment)
                    && matches!(structure.leaf(*segment, *leaf), Some(Leaf::Merged { .. }))
            };
            let has_both = !merged.is_empty() && separators(&connection).iter().any(is_moved);
            has_both.then_some((connection, kept))
        })
        .unwrap();
    let record = block(&connection, STRUCTURE_ROW, |block| Some(block.to_vec())).unwrap().unwrap();
    let mut states = BTreeSet::new();
    for (case, damaged) in damaged(&record).enumerate() {
        connection.execute_batch("BEGIN").unwrap();
        connection.execute(WRITE_BLOCK, (STRUCTURE_ROW, &damaged)).unwrap();
        clear(&connection);
        connection.execute(WRITE_BLOCK, (STRUCTURE_ROW, &record)).unwrap();
        if states.insert((separators(&connection), leaves(&connection))) {
            check(&connection, &kept, &[], &format!("damage {case}"));
        }
        connection.execute_batch("ROLLBACK").unwrap();
    }
    assert!(states.len() > 5, "{}: this shows nothing", states.len());
}

const CONVERSATIONS: usize = 300;

/// Returns a word that differs from the one before only in its last digits, so that separators are whole
/// words.
fn word(number: usize) -> String {
    format!("wisteria{number:04}")
}

/// Counts how many of every second word, from `first` on, `has` finds.
fn count_words(first: usize, has: impl Fn(&str) -> bool) -> usize {
    (first..CONVERSATIONS).step_by(2).filter(|number| has(&word(*number))).count()
}

fn words_in(path: &std::path::Path, first: usize) -> usize {
    let bytes = std::fs::read(path).unwrap();
    count_words(first, |word| bytes.windows(word.len()).any(|at| at == word.as_bytes()))
}

async fn make(store: &Store, owner: UserId, number: usize) -> ConversationId {
    let new = NewConversation { title: word(number), ..NewConversation::default() };
    store.conversation_create(owner, new, None).await.unwrap().id
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_words_are_nowhere_in_the_file_after_the_search_index_is_cleared() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lar.db");
    let store = Store::open(&path).unwrap();
    let owner = store.owner().await.unwrap();
    store.write(|connection| Ok(connection.execute_batch(SMALL_LEAVES)?)).await.unwrap();
    let mut made = Vec::new();
    for step in 0..CONVERSATIONS {
        // 77 and 300 have no common divisor.
        let number = step * 77 % CONVERSATIONS;
        made.push((number, make(&store, owner, number).await));
    }
    for (_, id) in made.iter().filter(|(number, _)| number % 2 == 0) {
        let owned = store.conversation_get(owner, *id).await.unwrap();
        store.conversation_erase(&owned).await.unwrap();
    }
    let separators = store.read(|connection| Ok(separators(connection))).await.unwrap();
    let is_separator = |word: &str| separators.iter().any(|(_, term, _)| term.ends_with(word.as_bytes()));
    assert!(count_words(0, is_separator) > 0, "FTS5 left none, so this shows nothing");
    assert!(store.clear_erased().await.unwrap().is_some());
    assert_eq!((words_in(&path, 0), words_in(&beside(&path, "-wal"), 0)), (0, 0));
    assert_eq!(words_in(&path, 1), CONVERSATIONS / 2);
    assert_eq!(store.faults().await.unwrap(), Vec::<String>::new());
    for number in 0..CONVERSATIONS {
        let found = store.conversation_search(owner, word(number), 9).await.unwrap();
        let titles: Vec<&str> = found.iter().map(|hit| &*hit.conversation.title).collect();
        let expected = word(number);
        assert_eq!(titles, if number % 2 == 0 { vec![] } else { vec![&*expected] });
    }
}
