//! The program of the crash matrix: writes memories to a database with every kind of change.
//!
//! After each step it prints a line, which acknowledges that the step is on disk. The matrix ends it at each
//! of its writes. With `look`, it prints the faults and the state of the database instead.

#![expect(clippy::print_stdout, reason = "the matrix reads the output")]

use std::io::Write as _;
use std::path::Path;

use lar_base::{KeyId, MemoryId, SpaceId, Timestamp};
use lar_store::{
    Change, Embedder, ExportedMemory, LinkRelation, Memory, MemoryChange, MemoryDecision, MemoryKind,
    MemoryPatch, NewChunk, NewLink, NewMemory, Provenance, Store, Strength, Vectors,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, rest @ ..] = arguments.as_slice() else {
        return Err("usage: memory_writer DATABASE [look]".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(Path::new(path))?;
        let user = store.owner().await?;
        let space = store.space_ensure(user, None).await?.id;
        if rest.is_empty() {
            return write(&store, space).await;
        }
        let faults = store.faults().await?;
        println!("faults {faults:?}");
        println!("state {}", state(&store, space).await?);
        Ok(())
    })
}

async fn write(store: &Store, space: SpaceId) -> Outcome {
    let key = KeyId::new();
    let spaces = || vec![space];
    let change = |action: &'static str| Change::new(key, action, None);
    let patch = |id, patch, chunks| MemoryChange { id, patch, chunks, expected: None };
    let mut step = 0;
    let mut report_step = async |store: &Store| -> Outcome {
        step += 1;
        println!("{step} {}", state(store, space).await?);
        Ok(std::io::stdout().flush()?)
    };
    report_step(store).await?;
    let first: Vec<NewMemory> =
        (1..=3).map(|number| new(space, key, number, "The mill stands by the river.")).collect();
    store.memories_create(first, change("create"), None).await?;
    report_step(store).await?;
    let correction = new(space, key, 4, "The mill stands on the hill.");
    let superseded =
        MemoryPatch { superseded: Some(Some((id(4), Timestamp::from_millis(5)))), ..MemoryPatch::default() };
    let link = NewLink {
        older: id(2),
        newer: id(4),
        relation: LinkRelation::MayReplace,
        reason: "It may have moved.".into(),
    };
    let decision = MemoryDecision {
        new: Some(correction),
        changes: vec![patch(id(1), superseded, Vec::new())],
        links: vec![link],
        resolved: None,
        proposal: None,
    };
    store.memories_apply_decision(spaces(), decision, change("supersede"), None).await?;
    report_step(store).await?;
    let text = "The mill grinds rye. ".repeat(400);
    let edit = MemoryPatch { content: Some((text.clone(), [9; 32])), ..MemoryPatch::default() };
    let decision = changes_only(patch(id(2), edit, chunks(&text)));
    store.memories_apply_decision(spaces(), decision, change("edit"), None).await?;
    report_step(store).await?;
    let decision = store.memory_last_decision(spaces(), id(4)).await?[0].decision;
    store.memory_undo(spaces(), id(4), decision, Vec::new(), change("undo")).await?;
    report_step(store).await?;
    let deleted = MemoryPatch { deleted_at: Some(Some(Timestamp::from_millis(7))), ..MemoryPatch::default() };
    let decision = changes_only(patch(id(3), deleted, Vec::new()));
    store.memories_apply_decision(spaces(), decision, change("forget"), None).await?;
    report_step(store).await?;
    store.memories_erase(spaces(), vec![id(3)]).await?;
    report_step(store).await?;
    store.memories_import(space, vec![moved(space, key, 5), moved(space, key, 6)], Vec::new()).await?;
    report_step(store).await?;
    let batch: Vec<NewMemory> =
        (10..40).map(|number| new(space, key, number, &format!("Sack {number} holds flour."))).collect();
    store.memories_create(batch, change("create"), None).await?;
    report_step(store).await
}

fn changes_only(change: MemoryChange) -> MemoryDecision {
    MemoryDecision { changes: vec![change], ..MemoryDecision::default() }
}

fn id(number: u32) -> MemoryId {
    format!("mem_{number:032x}").parse().expect("the text is an id")
}

fn new(space: SpaceId, key: KeyId, number: u32, content: &str) -> NewMemory {
    let content = format!("{content} ({number})");
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&number.to_le_bytes());
    NewMemory {
        id: id(number),
        space,
        kind: MemoryKind::Fact,
        chunks: chunks(&content),
        content,
        tags: vec!["mill".into()],
        project: None,
        provenance: Provenance { key, source: None, conversation: None, message: None },
        occurred_at: None,
        valid_from: None,
        valid_to: None,
        after: None,
        pinned: false,
        strength: Strength { stability: 2.0, difficulty: 5.0, reviewed_at: Timestamp::from_millis(1) },
        hash,
    }
}

fn chunks(content: &str) -> Vec<NewChunk> {
    let embedder = Embedder { digest: "e".into(), name: "e".into(), dimension: 8 };
    let mut chunks = lar_memory::chunks(content, &[], None);
    for chunk in &mut chunks {
        let bytes = lar_memory::encode_vector(&[chunk.start as f32, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        chunk.vectors = Some(Vectors { embedder: embedder.clone(), bytes });
    }
    chunks
}

fn moved(space: SpaceId, key: KeyId, number: u32) -> ExportedMemory {
    let NewMemory { id, kind, content, tags, provenance, strength, hash, chunks, .. } =
        new(space, key, number, "The miller sings.");
    let at = Timestamp::from_millis(3);
    let memory = Memory {
        id,
        seq: 0,
        space,
        kind,
        content,
        tags,
        project: None,
        provenance,
        occurred_at: None,
        valid_from: None,
        valid_to: None,
        after: None,
        superseded: None,
        pinned: true,
        strength,
        hash,
        version: 4,
        created_at: at,
        updated_at: at,
        deleted_at: None,
    };
    ExportedMemory { memory, chunks, history: Vec::new(), links: Vec::new() }
}

/// Returns a checksum of all memories with their passages, histories and links, and the number of memories
/// whose passages do not match their text.
///
/// Times, and ids that differ in each run, are excluded. The passages are computed again from the text to
/// compare them.
async fn state(store: &Store, space: SpaceId) -> Result<String, Box<dyn std::error::Error>> {
    let mut dump = String::new();
    for exported in store.memories_export(space, 0, 1000).await?.memories {
        let ExportedMemory { memory, chunks, history, links } = exported;
        let made = self::chunks(&memory.content);
        let agree = made == chunks;
        let actions: Vec<(String, bool)> =
            history.into_iter().map(|change| (change.action, change.undone_by.is_some())).collect();
        let linked: Vec<MemoryId> = links.into_iter().map(|link| link.older).collect();
        dump.push_str(&format!(
            "{} {} {:?} {} {} {agree} {actions:?} {linked:?}\n",
            memory.id,
            memory.content,
            memory.superseded.map(|(by, _)| by),
            memory.version,
            memory.deleted_at.is_some(),
        ));
    }
    let disagree = dump.lines().filter(|line| line.contains(" false [")).count();
    let sum = dump
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Ok(format!("{sum:016x}-{disagree}"))
}
