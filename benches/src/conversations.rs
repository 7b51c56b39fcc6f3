//! What a change of one conversation costs beside all that was ever said: another title, erasing it, taking in another. What
//! is found by words must not be looked at as a whole for that.

use std::fmt::Write as _;
use std::path::Path;

use lar_base::{ConversationId, Instant, MessageId, Timestamp, UserId};
use lar_store::{Conversation, ConversationPatch, Message, Role, Status, Store};

use crate::quantile;

/// Messages of each conversation, and words of each message: 2 KB.
const MESSAGES: usize = 10;
const WORDS: usize = 300;
/// Conversations that are there already.
const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// Changes of each kind per size.
const CHANGES: usize = 50;
/// Conversations are taken in by as many at once while the store is filled.
const BATCH: usize = 100;

pub(crate) async fn measure() -> anyhow::Result<String> {
    let mut text = format!(
        "Conversations of {MESSAGES} messages of 2 KB each, changed one after the other in a store that has others; \
         medians (and the longest) of {CHANGES}, each answered once it is on disk.\n\n\
         | conversations there | database | take one in | another title | erase |\n|---|---|---|---|---|\n"
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
        let bytes = bytes_of(&path)? as f64 / 1e6;
        writeln!(text, "| {size} | {bytes:.0} MB | {taken_in} | {retitled} | {erased} |")?;
    }
    Ok(text)
}

/// Milliseconds that each change of each kind took.
async fn changes(store: &Store, user: UserId, size: usize) -> anyhow::Result<[Vec<f64>; 3]> {
    let mut took = [const { Vec::new() }; 3];
    for number in size..size + CHANGES {
        let new = conversation(user, number);
        let id = new.0.id;
        let begun = Instant::now();
        store.conversations_import(vec![new]).await?;
        took[0].push(millis(begun));
        let owned = store.conversation_get(user, id).await?;
        let patch = ConversationPatch { title: Some("another title".into()), ..ConversationPatch::default() };
        let begun = Instant::now();
        store.conversation_patch(&owned, patch, None).await?;
        took[1].push(millis(begun));
        let begun = Instant::now();
        store.conversation_erase(&owned).await?;
        took[2].push(millis(begun));
    }
    Ok(took)
}

fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
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
    let (id, now) = (ConversationId::new(), Timestamp::now());
    let mut messages: Vec<Message> = Vec::new();
    for turn in 0..MESSAGES {
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
