//! The cost of changing one conversation in a database that holds many: importing it, changing its title,
//! erasing it, and clearing erased text from pages. None of these may scan the whole full-text index.
//!
//! Also measures how long other writes wait while a long conversation is erased.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use lar_base::{ConversationId, Instant, MessageId, Timestamp, UserId};
use lar_store::{Conversation, ConversationPatch, Message, NewConversation, Role, Status, Store};

use crate::statistics::quantile;

/// Messages of each conversation.
const MESSAGES: usize = 10;
/// Words of each message: 2 KB.
const WORDS: usize = 300;
/// The numbers of conversations in the database.
const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// Words of the long conversations that are erased.
const LONG_WORDS: [usize; 2] = [60_000, 600_000];
/// Changes of each kind per size.
const CHANGES: usize = 50;
/// Conversations of one import while the database is filled.
const BATCH: usize = 100;

pub(crate) async fn measure() -> anyhow::Result<String> {
    let mut text = format!(
        "Conversations of {MESSAGES} messages of 2 KB each are changed one after another, in a database that\n\
         holds others. Medians (and the longest) of {CHANGES} changes; each change is acknowledged once it\n\
         is on disk. Lar clears erased text from database pages in the background. *First*: the first time,\n\
         when it clears everything that SQLite left in the whole database. *Again*: after one more erasure.\n\n\
         | conversations | database | import one | change the title | erase | clear pages, first | again |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for size in SIZES {
        let directory = tempfile::tempdir_in(".")?;
        let path = directory.path().join("lar.db");
        let store = Store::open(&path)?;
        let user = store.owner().await?;
        for from in (0..size).step_by(BATCH) {
            let batch = from..(from + BATCH).min(size);
            store.conversations_import(batch.map(|number| conversation(user, number)).collect()).await?;
        }
        let [taken_in, retitled, erased] = changes(&store, user, size).await?.map(summary);
        let first = cleared(&store).await?;
        erase_one(&store, user).await?;
        let again = cleared(&store).await?;
        let bytes = bytes_of(&path)? as f64 / 1e6;
        writeln!(
            text,
            "| {size} | {bytes:.0} MB | {taken_in} | {retitled} | {erased} | {first} | {again} |"
        )?;
    }
    writeln!(
        text,
        "\nA long conversation is erased while another client creates conversations one after another. The\n\
         times of these writes are given as median (longest), without the erasure and during it.\n\n\
         | words | erase | other writes, without | other writes, during it |\n|---|---|---|---|"
    )?;
    for words in LONG_WORDS {
        writeln!(text, "{}", beside_a_long_one(words).await?)?;
    }
    Ok(text)
}

/// Clears erased text from pages; returns the time and the number of pages.
async fn cleared(store: &Store) -> anyhow::Result<String> {
    let started_at = Instant::now();
    let pages = store.clear_erased().await?.unwrap_or(0);
    Ok(format!("{:.0} ms ({pages} pages)", millis(started_at)))
}

async fn erase_one(store: &Store, user: UserId) -> anyhow::Result<()> {
    let first =
        store.conversation_ids(user).await?.into_iter().next().context("the database has no conversation")?;
    let owned = store.conversation_get(user, first).await?;
    Ok(store.conversation_erase(&owned).await?)
}

/// Measures one row of the table of long conversations.
async fn beside_a_long_one(words: usize) -> anyhow::Result<String> {
    let directory = tempfile::tempdir_in(".")?;
    let store = Store::open(&directory.path().join("lar.db"))?;
    let user = store.owner().await?;
    let messages = words / WORDS;
    let long = conversation_of(user, 0, messages);
    let id = long.0.id;
    store.conversations_import(vec![long]).await?;
    let mut alone = Vec::new();
    for _ in 0..CHANGES {
        alone.push(write_one(&store, user).await?);
    }
    let owned = store.conversation_get(user, id).await?;
    let started_at = Instant::now();
    let erasing = tokio::spawn({
        let store = store.clone();
        async move { store.conversation_erase(&owned).await }
    });
    let mut beside = Vec::new();
    while !erasing.is_finished() {
        beside.push(write_one(&store, user).await?);
    }
    let seconds = millis(started_at) / 1000.0;
    erasing.await??;
    Ok(format!("| {words} | {seconds:.1} s | {} | {} |", summary(alone), summary(beside)))
}

/// Creates a conversation and returns the milliseconds that it took.
async fn write_one(store: &Store, user: UserId) -> anyhow::Result<f64> {
    let started_at = Instant::now();
    store.conversation_create(user, NewConversation::default(), None).await?;
    Ok(millis(started_at))
}

/// Imports, retitles and erases conversations; returns the milliseconds of each change by kind.
async fn changes(store: &Store, user: UserId, size: usize) -> anyhow::Result<[Vec<f64>; 3]> {
    let mut took = [const { Vec::new() }; 3];
    for number in size..size + CHANGES {
        let new = conversation(user, number);
        let id = new.0.id;
        let started_at = Instant::now();
        store.conversations_import(vec![new]).await?;
        took[0].push(millis(started_at));
        let owned = store.conversation_get(user, id).await?;
        let patch = ConversationPatch { title: Some("another title".into()), ..ConversationPatch::default() };
        let started_at = Instant::now();
        store.conversation_patch(&owned, patch, None).await?;
        took[1].push(millis(started_at));
        let started_at = Instant::now();
        store.conversation_erase(&owned).await?;
        took[2].push(millis(started_at));
    }
    Ok(took)
}

fn millis(started_at: Instant) -> f64 {
    started_at.elapsed().as_secs_f64() * 1000.0
}

fn summary(mut took: Vec<f64>) -> String {
    took.sort_by(f64::total_cmp);
    format!("{:.1} ms ({:.1})", quantile(&took, 0.5), quantile(&took, 1.0))
}

fn bytes_of(database: &Path) -> std::io::Result<u64> {
    let log = database.with_extension("db-wal");
    Ok(std::fs::metadata(database)?.len() + std::fs::metadata(log).map_or(0, |about| about.len()))
}

fn conversation(user: UserId, number: usize) -> (Conversation, Vec<Message>) {
    conversation_of(user, number, MESSAGES)
}

fn conversation_of(user: UserId, number: usize, count: usize) -> (Conversation, Vec<Message>) {
    let (id, now) = (ConversationId::new(), Timestamp::now());
    let mut messages: Vec<Message> = Vec::new();
    for turn in 0..count {
        messages.push(Message {
            id: MessageId::new(),
            conversation: id,
            parent: messages.last().map(|last| last.id),
            role: if turn % 2 == 0 { Role::User } else { Role::Assistant },
            content: words(number * MESSAGES + turn),
            reasoning: None,
            status: Status::Complete,
            model: None,
            task: None,
            error: None,
            tokens_in: None,
            tokens_out: None,
            ttft_ms: None,
            decode_ms: None,
            finish_reason: None,
            rating: None,
            memory: None,
            created_at: now,
        });
    }
    let conversation = Conversation {
        id,
        user,
        title: format!("conversation {number}"),
        model: None,
        head: messages.last().map(|last| last.id),
        temporary: false,
        version: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    (conversation, messages)
}

/// Returns words out of some thirty thousand, so that each is in many messages. The same number gives the
/// same words.
fn words(number: usize) -> String {
    let mut state = number as u64 + 1;
    let mut text = String::new();
    for _ in 0..WORDS {
        // SplitMix64; its top bits choose the word. The square makes a few words common and most of them
        // rare.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let part = (mixed >> 40) as f64 / (1_u64 << 24) as f64;
        let _ = write!(text, "w{} ", (part * part * 30_000.0) as u32);
    }
    text
}
