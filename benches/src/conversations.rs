//! What a change of one conversation costs beside all that was ever said: another title, erasing it, taking in another, and
//! clearing pages of what was erased. What is found by words must not be looked at as a whole for that. And how long others wait
//! while a long conversation is erased.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use lar_base::{ConversationId, Instant, MessageId, Timestamp, UserId};
use lar_store::{Conversation, ConversationPatch, Message, NewConversation, Role, Status, Store};

use crate::quantile;

/// Messages of each conversation, and words of each message: 2 KB.
const MESSAGES: usize = 10;
const WORDS: usize = 300;
/// Conversations that are there already.
const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// Words of the long conversations that are erased.
const LONG_WORDS: [usize; 2] = [60_000, 600_000];
/// Changes of each kind per size.
const CHANGES: usize = 50;
/// Conversations are taken in by as many at once while the store is filled.
const BATCH: usize = 100;

pub(crate) async fn measure() -> anyhow::Result<String> {
    let mut text = format!(
        "Conversations of {MESSAGES} messages of 2 KB each, changed one after the other in a store that has others; \
         medians (and the longest) of {CHANGES}, each answered once it is on disk. Pages are cleared of what was erased in \
         the background: for the first time, when all of the database is cleared of what SQLite left in it, and after \
         one more erasure.\n\n\
         | conversations there | database | take one in | another title | erase | clear pages, first | again |\n\
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
        "\nA long conversation is erased while somebody else creates conversations, one after the other; their times \
         (median, longest) alone and beside it.\n\n\
         | words | erase | other writes, alone | other writes, beside |\n|---|---|---|---|"
    )?;
    for words in LONG_WORDS {
        writeln!(text, "{}", beside_a_long_one(words).await?)?;
    }
    Ok(text)
}

/// How long clearing pages took, and how many there were.
async fn cleared(store: &Store) -> anyhow::Result<String> {
    let started_at = Instant::now();
    let pages = store.clear_erased().await?.unwrap_or(0);
    Ok(format!("{:.0} ms ({pages} pages)", millis(started_at)))
}

async fn erase_one(store: &Store, user: UserId) -> anyhow::Result<()> {
    let first = store.conversation_ids(user).await?.into_iter().next().context("a conversation is there")?;
    let owned = store.conversation_get(user, first).await?;
    Ok(store.conversation_erase(&owned).await?)
}

/// A row of the table of long conversations.
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

/// Milliseconds that creating a conversation takes.
async fn write_one(store: &Store, user: UserId) -> anyhow::Result<f64> {
    let started_at = Instant::now();
    store.conversation_create(user, NewConversation::default(), None).await?;
    Ok(millis(started_at))
}

/// Milliseconds that each change of each kind took.
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

/// Words of some thirty thousand, so that each is in many messages; the same for the same number.
fn words(number: usize) -> String {
    let mut state = number as u64 + 1;
    let mut text = String::new();
    for _ in 0..WORDS {
        // SplitMix64, of which the top bits choose the word; the square makes some common and most rare.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let part = (mixed >> 40) as f64 / (1_u64 << 24) as f64;
        let _ = write!(text, "w{} ", (part * part * 30_000.0) as u32);
    }
    text
}
