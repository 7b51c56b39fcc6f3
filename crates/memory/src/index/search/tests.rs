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
    let Some(filter_ids) = index.resolve_filter(query) else { return Vec::new() };
    let words = index.keywords.score(&index.keywords.find(query.words));
    let scan = Scan::new(&index.vectors, query.vector, &words, query.weight);
    let hits = (0..words.len()).filter_map(|at| index.hit(query, &filter_ids, scan.exact(at)?));
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
    let tagged = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<String>>();
    let filters = [
        Filter::default(),
        Filter { tags: tagged(&["t3"]), ..Filter::default() },
        Filter { tags: tagged(&["all", "t3"]), project: Some("falcon".into()), ..Filter::default() },
        Filter { tags: tagged(&["all"]), kinds: vec![MemoryKind::Decision], ..Filter::default() },
        Filter { project: Some("falcon".into()), superseded: true, ..Filter::default() },
        Filter { tags: tagged(&["unknown"]), ..Filter::default() },
    ];
    let today = Day::of_millis(1_700_000_000_000);
    let times = [today.plus(-200)..today.plus(-100)];
    for round in 0..60 {
        let (words, vector) = (QueryTerms::of(&made.text()), Quantized::of(&made.vector()));
        let query = Query {
            words: &words,
            share_min: 0.0,
            vector: (round % 4 != 3).then_some(&vector),
            times: if round % 5 == 0 { &times } else { &[] },
            filter: &filters[round % filters.len()],
            now: Timestamp::from_millis(1_700_000_000_000),
            limit: [1, 10, 200][round % 3],
            weight: [0.6, 0.0, 1.0][round / 20],
        };
        let found: Vec<(i64, f32)> =
            index.search(&query).hits.iter().map(|hit| (hit.memory, hit.score)).collect();
        let scores = |hits: &[(i64, f32)]| hits.iter().map(|(_, score)| *score).collect::<Vec<f32>>();
        let expected = full_scan(&index, &query);
        assert_eq!(scores(&found), scores(&expected), "round {round}");
    }
}
