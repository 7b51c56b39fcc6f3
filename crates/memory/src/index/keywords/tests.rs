//! BM25 against its reference implementation, forms, neighbours and presence.

use lar_text::terms::QueryWord;

use super::*;

/// The random generator of `scripts/bm25-reference.py`.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn words(&mut self, count: u64) -> Vec<(String, u32)> {
        let mut counts: Vec<(String, u32)> = Vec::new();
        for _ in 0..count {
            let word = format!("w{}x{}", 60 / (self.next() % 60 + 1), self.next() % 3);
            match counts.iter_mut().find(|(known, _)| *known == word) {
                Some((_, count)) => *count += 1,
                None => counts.push((word, 1)),
            }
        }
        counts
    }
}

fn stored(words: &[(String, u32)]) -> impl Iterator<Item = StoredTerm<'_>> {
    words.iter().map(|(term, count)| StoredTerm {
        term,
        count: *count,
        is_other_form: false,
        is_label: false,
    })
}

fn query(words: &[&[&str]]) -> QueryTerms {
    let word = |forms: &&[&str]| QueryWord { forms: forms.iter().map(|form| (*form).to_owned()).collect() };
    QueryTerms { words: words.iter().map(word).collect() }
}

#[test]
fn bm25_scores_match_the_reference() {
    let mut made = Numbers(42);
    let mut keywords = Keywords::default();
    for _ in 0..100 {
        let length = 5 + made.next() % 40;
        keywords.push(stored(&made.words(length)), std::iter::empty());
    }
    for line in include_str!("../bm25-reference.txt").lines() {
        let length = 1 + made.next() % 5;
        let words = made.words(length);
        let forms: Vec<[&str; 1]> = words.iter().map(|(word, _)| [word.as_str()]).collect();
        let query = query(&forms.iter().map(<[&str; 1]>::as_slice).collect::<Vec<_>>());
        let scores = keywords.score(&keywords.find(&query));
        let best = scores.iter().copied().fold(0.0, f32::max);
        for (score, reference) in scores.iter().zip(line.split(' ')) {
            let reference: f32 = reference.parse().unwrap();
            assert!((score / best - reference).abs() < 1e-4, "{} is not {reference}", score / best);
        }
    }
}

#[test]
fn presence_is_independent_of_length_and_count() {
    let mut keywords = Keywords::default();
    let other: Vec<(String, u32)> = (0..50).map(|at| (format!("other{at}"), 3)).collect();
    let falcon = |count| vec![("falcon".to_owned(), count)];
    let texts = [falcon(1), falcon(9), [falcon(1), other.clone()].concat(), other, falcon(1)];
    texts.iter().for_each(|text| keywords.push(stored(text), std::iter::empty()));
    let presence = |words: &[&[&str]], chunks| keywords.presence(&keywords.find(&query(words)), chunks);
    let whole = Presence { of_all: 1.0, of_known: 1.0 };
    for chunks in [0..1, 1..2, 2..3, 3..5] {
        assert_eq!(presence(&[&["falcon"]], chunks), whole);
    }
    assert_eq!(presence(&[&["falcon"]], 3..4), Presence::default());
    let with_unknown = presence(&[&["falcon"], &["budget"]], 0..1);
    assert_eq!(with_unknown.of_known, 1.0);
    assert!(with_unknown.of_all < 0.5, "the unknown word is rarer: {with_unknown:?}");
    assert_eq!(presence(&[], 0..1), Presence::default());
}

#[test]
fn words_of_neighbours_count_less_and_are_not_present() {
    let mut keywords = Keywords::default();
    let words =
        |words: &[&str]| -> Vec<(String, u32)> { words.iter().map(|word| ((*word).to_owned(), 1)).collect() };
    let turns =
        [words(&["who", "moved", "cat"]), words(&["anna", "did", "cat"]), words(&["dog", "sleeps", "now"])];
    keywords.push(stored(&turns[0]), stored(&turns[1]));
    keywords.push(stored(&turns[1]), stored(&turns[0]).chain(stored(&turns[2])));
    keywords.push(stored(&turns[2]), stored(&turns[1]));
    let scores = |word| keywords.score(&keywords.find(&query(&[&[word]])));
    let anna = scores("anna");
    assert!(anna[1] > anna[0] && anna[0] > 0.0 && anna[2] > 0.0, "{anna:?}");
    let found = keywords.find(&query(&[&["anna"]]));
    let present: Vec<f32> = (0..3).map(|chunk| keywords.presence(&found, chunk..chunk + 1).of_all).collect();
    assert_eq!(present, [0.0, 1.0, 0.0]);
    assert_eq!(keywords.presence(&found, 0..3).of_all, 1.0);
    let cat = keywords.find(&query(&[&["cat"]]));
    assert_eq!(cat.words[0].postings.counts, [Count::new(1, 1), Count::new(1, 1), Count::new(0, 1)]);
    assert_eq!(Count::new(40, 20), Count::new(15, 15));
    assert_eq!(Count::new(2, 1).weighted(), 7.0 / 3.0);
}

#[test]
fn forms_of_a_word_count_as_one_word() {
    let mut keywords = Keywords::default();
    for words in [&[("cat", 1)][..], &[("de/katz", 1), ("es/gat", 1)], &[("dog", 1)], &[("es/gat", 2)]] {
        let words: Vec<(String, u32)> =
            words.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect();
        keywords.push(stored(&words), std::iter::empty());
    }
    let cat = keywords.find(&query(&[&["cat", "de/katz", "es/gat", "fr/chat"]]));
    assert_eq!((cat.words.len(), cat.unknown), (1, 0));
    assert_eq!(cat.words[0].postings.chunks, [0, 1, 3]);
    let counts: Vec<u32> = cat.words[0].postings.counts.iter().map(|count| count.own()).collect();
    assert_eq!(counts, [1, 1, 2]);
    assert_eq!(cat.words[0].weight, keywords.rarity(3));
    let both = keywords.find(&query(&[&["cat", "es/gat"], &["bird"]]));
    let mut scores = vec![1.0; 4];
    keywords.drop_below_share(&mut scores, &both, 0.1);
    assert_eq!(scores, [1.0, 1.0, 0.0, 1.0]);
    keywords.drop_below_share(&mut scores, &both, 0.5);
    assert_eq!(scores, [0.0; 4], "no text has a bird");
}

#[test]
fn the_bytes_of_the_words_are_counted_while_they_are_added() {
    let mut made = Numbers(42);
    let mut keywords = Keywords::default();
    for _ in 0..300 {
        let (own, of_neighbours) = (made.words(20), made.words(5));
        keywords.push(stored(&own), stored(&of_neighbours));
    }
    let words = keywords.words.iter();
    let expected: usize = words.map(|(word, postings)| word.len() + WORD_BYTES + postings.bytes()).sum();
    assert_eq!(keywords.words_bytes, expected);
}
