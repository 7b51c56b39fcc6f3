//! Searches with bounds against scans of every chunk.

use lar_store::{IndexedChunk, IndexedMemory};
use lar_text::terms::Terms;

use super::super::EmbedderId;
use super::*;
use crate::vectors::encode_vector;

const DIMENSION: usize = 24;

struct Generator(u64);

impl Generator {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % count
    }

    fn vector(&mut self) -> Vec<f32> {
        (0..DIMENSION).map(|_| self.below(2001) as f32 / 1000.0 - 1.0).collect()
    }

    fn text(&mut self) -> String {
        let words = (0..6).map(|_| format!("w{}", 40 / (1 + self.below(40))));
        words.collect::<Vec<_>>().join(" ")
    }

    fn memory(&mut self, seq: i64) -> IndexedMemory {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let chunks = (0..1 + self.below(2)).map(|at| {
            let (mut vectors, pieces) = (Vec::new(), self.below(3));
            (0..pieces).for_each(|_| vectors.extend(encode_vector(&self.vector())));
            let words = Terms::of(&self.text()).encode(self.below(1 << 40));
            IndexedChunk {
                seq: seq * 10 + at as i64,
                start: at as u32 * 10,
                length: 10,
                words,
                vectors: (pieces > 0).then(|| ("made".into(), vectors)),
            }
        });
        let chunks = chunks.collect();
        IndexedMemory {
            seq,
            version: 1,
            kind: if seq % 7 == 0 { MemoryKind::Decision } else { MemoryKind::Fact },
            tags: vec![format!("t{}", self.below(30)), "all".into()],
            project: (seq % 3 == 0).then(|| "falcon".into()),
            occurred_at: Some(now.before(Duration::from_secs(self.below(400) * 86_400))),
            valid_from: None,
            valid_to: None,
            superseded_at: (self.below(10) == 0).then_some(now),
            pinned: false,
            stability: 1.0 + self.below(50) as f64,
            reviewed_at: now,
            created_at: now,
            chunks,
            words_before: None,
            words_after: None,
        }
    }
}

/// Scores every chunk, without bounds and without the lists of tags and projects.
fn full_scan(index: &Index, query: &Query<'_>) -> Vec<(i64, f32)> {
    let Some(filter_ids) = index.resolve_filter(query.filter) else { return Vec::new() };
    let words = index.keywords.score(&index.keywords.find(query.words));
    let scan = Scan::new(&index.vectors, query.vector, &words, query.weight);
    let matches = |at: &usize| {
        let slot = &index.slots[index.chunks[*at].slot as usize];
        slot.matches(&filter_ids, query.filter, query.now)
    };
    let hits = (0..words.len()).filter(matches).filter_map(|at| Some(index.hit(query, scan.exact(at)?)));
    let mut hits: Vec<(i64, f32)> = hits.map(|hit| (hit.memory, hit.score)).collect();
    hits.sort_by(|(a, one), (b, other)| other.total_cmp(one).then(b.cmp(a)));
    let mut seen = HashSet::new();
    hits.retain(|(memory, _)| seen.insert(*memory));
    hits.truncate(query.limit);
    hits
}

#[test]
fn search_finds_the_same_hits_as_a_full_scan() {
    let mut made = Generator(42);
    let mut index = Index::new(Some(EmbedderId { digest: "made".into(), dimension: DIMENSION }));
    (1..=3000).for_each(|seq| index.put(&made.memory(seq)));
    (1..=300).for_each(|at| index.remove(at * 7));
    let now = Timestamp::from_millis(1_700_000_000_000);
    let tagged = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<String>>();
    let filters = [
        Filter::default(),
        Filter { tags: tagged(&["t3"]), ..Filter::default() },
        Filter { tags: tagged(&["all", "t3"]), project: Some("falcon".into()), ..Filter::default() },
        Filter { tags: tagged(&["all"]), kinds: vec![MemoryKind::Decision], ..Filter::default() },
        Filter { project: Some("falcon".into()), superseded: true, ..Filter::default() },
        Filter { tags: tagged(&["unknown"]), ..Filter::default() },
        Filter { kinds: vec![MemoryKind::Decision], ..Filter::default() },
        Filter { kinds: vec![MemoryKind::Place], ..Filter::default() },
        Filter { since: Some(now.before(Duration::from_secs(9 * 86_400))), ..Filter::default() },
        Filter { until: Some(now.before(Duration::from_secs(50 * 86_400))), ..Filter::default() },
    ];
    let today = Day::of_millis(1_700_000_000_000);
    let times = [today.plus(-200)..today.plus(-100)];
    for round in 0..120 {
        let (words, vector) = (QueryTerms::of(&made.text()), Quantized::of(&made.vector()));
        // The cosines of some embedders are all high.
        let map = if round % 3 == 0 { SimilarityMap::new(6.5, -5.0) } else { SimilarityMap::IDENTITY };
        let query = Query {
            words: &words,
            share_min: 0.0,
            vector: (round % 4 != 3).then_some((&vector, map)),
            times: if round % 5 == 0 { &times } else { &[] },
            filter: &filters[round % filters.len()],
            now: Timestamp::from_millis(1_700_000_000_000),
            limit: [1, 10, 200][round % 3],
            weight: [0.6, 0.0, 1.0][round / 40],
        };
        let found: Vec<(i64, f32)> =
            index.search(&query).hits.iter().map(|hit| (hit.memory, hit.score)).collect();
        let scores = |hits: &[(i64, f32)]| hits.iter().map(|(_, score)| *score).collect::<Vec<f32>>();
        let expected = full_scan(&index, &query);
        assert_eq!(scores(&found), scores(&expected), "round {round}");
    }
}

/// With a filter by kind or time that few memories pass, only these are scored.
#[test]
fn a_filter_that_few_memories_pass_names_them() {
    let mut made = Generator(7);
    let mut index = Index::new(Some(EmbedderId { digest: "made".into(), dimension: DIMENSION }));
    (1..=700).for_each(|seq| index.put(&made.memory(seq)));
    index.remove(14);
    let now = Timestamp::from_millis(1_700_000_000_000);
    let days_ago = |days: u64| Some(now.before(Duration::from_secs(days * 86_400)));
    let count = |filter: Filter| {
        let words = QueryTerms::of("w1");
        let query = Query {
            words: &words,
            share_min: 0.0,
            vector: None,
            times: &[],
            filter: &filter,
            now,
            limit: 10,
            weight: 0.6,
        };
        let filter_ids = index.resolve_filter(query.filter).unwrap();
        let all = index.slots.iter().filter(|slot| slot.matches(&filter_ids, &filter, now)).count();
        index.narrow(&query, &filter_ids).map(|slots| {
            assert!(slots.len() == all && all <= 700 / FEW_SHARE, "{}", slots.len());
            slots.len()
        })
    };
    assert_eq!(count(Filter::default()), None);
    assert_eq!(count(Filter { kinds: vec![MemoryKind::Fact], ..Filter::default() }), None, "six of seven");
    assert_eq!(count(Filter { kinds: vec![MemoryKind::Place], ..Filter::default() }), Some(0));
    assert_eq!(count(Filter { since: days_ago(200), ..Filter::default() }), None, "about half");
    assert!(count(Filter { since: days_ago(9), ..Filter::default() }).is_some_and(|few| few > 0));
    assert!(count(Filter { until: days_ago(390), ..Filter::default() }).is_some_and(|few| few > 0));
}
