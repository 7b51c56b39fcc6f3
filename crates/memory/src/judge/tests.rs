//! The decision of the judge: for which texts it is made, what the history says, and who pays for a calibration.

use lar_base::{KeyId, LinkId, MemoryId, MemoryMode, Scopes, SpaceId, Timestamp, UserId};
use lar_store::{
    KeyRecord, LinkRelation, LinkResolution, Memory, MemoryKind, MemoryLink, Provenance, UnjudgedLink,
};

use super::{oldest_valid, reason, replacement};
use crate::strength;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn memory(content: &str, version: i64) -> Memory {
    Memory {
        id: MemoryId::new(),
        seq: 1,
        space: SpaceId::new(),
        kind: MemoryKind::Fact,
        content: content.to_owned(),
        tags: Vec::new(),
        project: None,
        provenance: Provenance { key: KeyId::new(), source: None, conversation: None, message: None },
        occurred_at: None,
        valid_from: None,
        valid_to: None,
        after: None,
        superseded: None,
        pinned: false,
        strength: strength::new(NOW),
        hash: [0; 32],
        version,
        created_at: NOW,
        updated_at: NOW,
        deleted_at: None,
    }
}

fn judged(older: &Memory, newer: &Memory) -> UnjudgedLink {
    let link = MemoryLink {
        id: LinkId::new(),
        space: older.space,
        older: older.id,
        newer: newer.id,
        relation: LinkRelation::MayReplace,
        reason: "why".into(),
        key: KeyId::new(),
        created_at: NOW,
        resolution: None,
        decision: None,
    };
    UnjudgedLink {
        link,
        user: UserId::new(),
        key: KeyId::new(),
        older: older.content.clone(),
        newer: newer.content.clone(),
    }
}

#[test]
fn only_texts_that_the_model_read_are_replaced() {
    let (older, newer) = (memory("The rent is 700.", 1), memory("The rent is 800.", 1));
    let judged = judged(&older, &newer);
    let edited = |memory: &Memory, content: &str| Memory { content: content.into(), ..memory.clone() };
    assert!(replacement(&judged, &edited(&older, "The rent was 700."), &newer).is_none());
    assert!(replacement(&judged, &older, &edited(&newer, "Tom's rent is 800.")).is_none());
    // Another change than that of a text does not matter, but the decision names the version that it is made from.
    let confirmed = Memory { version: 7, ..older.clone() };
    let decision = replacement(&judged, &confirmed, &newer).unwrap();
    let mut changed: Vec<_> = decision.changes.iter().map(|change| (change.id, change.expected)).collect();
    changed.sort_by_key(|(_, version)| *version);
    assert_eq!(changed, [(newer.id, Some(1)), (older.id, Some(7))]);
    assert_eq!(decision.resolved, Some((judged.link.id, LinkResolution::Replace)));
    let superseded = decision.changes.iter().find_map(|change| change.patch.superseded.flatten());
    assert_eq!(superseded.map(|(by, _)| by), Some(newer.id));
}

#[test]
fn the_history_says_nothing_about_a_text() {
    assert_eq!(reason("qwen3-8b"), "qwen3-8b finds that it is outdated");
}

#[test]
fn a_calibration_is_recorded_under_the_oldest_valid_key_of_the_owner() {
    let later = Timestamp::from_millis(NOW.as_millis() + 1);
    let key = |agent: Option<&str>, expires_at: Option<Timestamp>, revoked_at: Option<Timestamp>| KeyRecord {
        id: KeyId::new(),
        user: UserId::new(),
        name: "laptop".into(),
        agent: agent.map(str::to_owned),
        fingerprint: "00000000".into(),
        scopes: Scopes::all(),
        removed_scopes: Scopes::of([]),
        requests_per_minute: None,
        memory: MemoryMode::Off,
        client: None,
        created_at: NOW,
        last_seen_at: None,
        expires_at,
        revoked_at,
    };
    let useless = [key(Some("robot"), None, None), key(None, Some(NOW), None), key(None, None, Some(NOW))];
    assert_eq!(oldest_valid(&useless, NOW), None);
    let useful = [key(None, Some(later), None), key(None, None, None)];
    let ids = useful.each_ref().map(|key| key.id);
    let keys: Vec<KeyRecord> = useless.into_iter().chain(useful).collect();
    assert_eq!(oldest_valid(&keys, NOW), Some(ids[0]));
    assert_eq!(oldest_valid(&keys, later), Some(ids[1]));
}
