//! Similarities that mean the same with every embedder.
//!
//! Embedders differ in their cosines: texts without anything in common have about 0.06 with MiniLM and 0.79 with
//! multilingual-e5-small. Lar therefore measures an embedder on short texts in twelve languages. An increasing linear
//! function maps its cosines so that related and unrelated texts have, on average, the cosines of MiniLM. All bounds
//! and weights of this crate are for mapped cosines, called similarities.
//!
//! Only the languages that the embedder reads count: those in which it separates related from unrelated texts. An
//! embedder that separates them in no language is not used for searches.

use crate::readable;
use crate::vectors::{Quantized, dot_product};

/// Pairs of related texts: a language, a text, and a text about the same thing in other words. The pairs of a
/// language are about different things. In all languages they are translations of the same English pairs.
const PAIRS: &str = include_str!("similarity/pairs.tsv");
/// The embedder whose cosines are the similarities: all-MiniLM-L6-v2, by the digest of its weights.
const REFERENCE_DIGEST: &str = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";
/// The reference's mean cosines of related and unrelated texts. It reads English only (measured 2026-11-30).
const REFERENCE: Means = Means { related: 0.5979, unrelated: 0.0606, deviation: 0.084 };
/// The similarity that hardly any unrelated text reaches with the reference: about five deviations above their mean.
const CERTAIN_MIN: f32 = 0.5;
/// The same for other embedders. Texts of one embedder may vary so much that no similarity is certain.
const CERTAIN_DEVIATIONS: f32 = 5.0;
/// An embedder reads a language if it separates its texts at least this well, relative to the language that it
/// separates best. With MiniLM, languages other than English reach 0.29, with multilingual-e5-small 0.57 and more.
const READ_SHARE_MIN: f32 = 0.4;
/// The least difference between the mean cosines of related and unrelated texts. The one of multilingual-e5-small is
/// 0.08; vectors of a byte per dimension distinguish no less than 0.002.
const SEPARATION_MIN: f32 = 0.02;
/// The least probability that related texts have a higher cosine than unrelated ones. It is 1.00 with MiniLM, 0.97
/// with multilingual-e5-small, and 0.5 by chance.
const ORDERED_MIN: f32 = 0.75;
/// The texts of each language whose scrambled forms are measured.
const SCRAMBLED: usize = 3;

/// A function from the cosines of an embedder to similarities. It is increasing, so it keeps every order and bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SimilarityMap {
    factor: f32,
    offset: f32,
    /// The similarity that hardly any unrelated text reaches.
    pub(crate) certain_min: f32,
}

impl SimilarityMap {
    /// The map of the reference.
    pub(crate) const IDENTITY: Self = Self { factor: 1.0, offset: 0.0, certain_min: CERTAIN_MIN };

    #[cfg(test)]
    pub(crate) const fn new(factor: f32, offset: f32) -> Self {
        Self { factor, offset, certain_min: CERTAIN_MIN }
    }

    /// Returns the similarity of two texts with this cosine, −1 to 1.
    #[inline(always)]
    pub(crate) fn apply(self, cosine: f32) -> f32 {
        (self.factor * cosine + self.offset).clamp(-1.0, 1.0)
    }

    fn of(means: Means) -> Self {
        let factor = (REFERENCE.related - REFERENCE.unrelated) / (means.related - means.unrelated);
        let noise = CERTAIN_DEVIATIONS * factor * means.deviation;
        Self {
            factor,
            offset: REFERENCE.unrelated - factor * means.unrelated,
            certain_min: (REFERENCE.unrelated + noise).max(CERTAIN_MIN),
        }
    }
}

/// The measurements of one embedder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EmbedderScale {
    /// The map of the cosines of queries and memories.
    pub(crate) search: SimilarityMap,
    /// The map of the cosines of memories. It differs if queries and passages have different prompts.
    pub(crate) memories: SimilarityMap,
    /// A text is readable if its cosine with its scrambled form is at most this; see [`readable`].
    pub(crate) readable_max: f32,
}

impl EmbedderScale {
    /// Returns the known scale of an embedder, which needs no measurement.
    pub(crate) fn known(digest: &str) -> Option<Self> {
        (digest == REFERENCE_DIGEST).then_some(Self {
            search: SimilarityMap::IDENTITY,
            memories: SimilarityMap::IDENTITY,
            readable_max: readable::REFERENCE_MAX,
        })
    }
}

/// The texts by which an embedder is measured.
pub(crate) struct ScaleTexts {
    languages: Vec<LanguageTexts>,
}

struct LanguageTexts {
    name: &'static str,
    pairs: Vec<(&'static str, &'static str)>,
}

impl ScaleTexts {
    /// Reads the texts that are part of the program.
    pub(crate) fn load() -> Self {
        let mut languages: Vec<LanguageTexts> = Vec::new();
        for line in PAIRS.lines() {
            let mut columns = line.splitn(3, '\t');
            let (Some(name), Some(first), Some(second)) = (columns.next(), columns.next(), columns.next())
            else {
                continue;
            };
            match languages.last_mut().filter(|language| language.name == name) {
                Some(language) => language.pairs.push((first, second)),
                None => languages.push(LanguageTexts { name, pairs: vec![(first, second)] }),
            }
        }
        Self { languages }
    }

    /// Returns the texts to embed as queries: the first of each pair, then scrambled ones.
    pub(crate) fn queries(&self) -> Vec<String> {
        let scrambled = |language: &LanguageTexts| -> Vec<String> {
            language.pairs.iter().take(SCRAMBLED).map(|(first, _)| readable::scramble(first)).collect()
        };
        self.firsts().chain(self.languages.iter().flat_map(scrambled)).collect()
    }

    /// Returns the texts to embed as passages: the first of each pair, then the second of each pair.
    pub(crate) fn passages(&self) -> Vec<String> {
        let seconds = self.languages.iter().flat_map(|language| &language.pairs);
        self.firsts().chain(seconds.map(|(_, second)| (*second).to_owned())).collect()
    }

    fn firsts(&self) -> impl Iterator<Item = String> {
        self.languages.iter().flat_map(|language| &language.pairs).map(|(first, _)| (*first).to_owned())
    }

    /// Measures an embedder by the vectors of [`ScaleTexts::queries`] and [`ScaleTexts::passages`]. Returns the scale
    /// and the languages that the embedder reads, or `None` if it separates no texts.
    pub(crate) fn measure(
        &self,
        queries: &[Quantized],
        passages: &[Quantized],
    ) -> Option<(EmbedderScale, Vec<&'static str>)> {
        let count = self.languages.iter().map(|language| language.pairs.len()).sum();
        let (queries, mut scrambled) = queries.split_at_checked(count)?;
        let (firsts, seconds) = passages.split_at_checked(count)?;
        let (mut of_search, mut of_memories, mut of_scrambled) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for language in &self.languages {
            let range = start..start + language.pairs.len();
            start = range.end;
            let seconds = seconds.get(range.clone())?;
            of_search.push(Cosines::of(&queries[range.clone()], seconds));
            of_memories.push(Cosines::of(&firsts[range.clone()], seconds));
            let (own, rest) = scrambled.split_at_checked(SCRAMBLED.min(range.len()))?;
            scrambled = rest;
            let cosines = own.iter().zip(&queries[range]).map(|(scrambled, text)| cosine(scrambled, text));
            of_scrambled.push(mean(&cosines.collect::<Vec<f32>>()));
        }
        let best = of_search.iter().map(Cosines::separation).fold(0.0, f32::max);
        let is_read = |at: &usize| of_search[*at].separation() >= READ_SHARE_MIN * best;
        let read: Vec<usize> = (0..self.languages.len()).filter(is_read).collect();
        let ordered = mean(&read.iter().map(|at| of_search[*at].ordered()).collect::<Vec<f32>>());
        let search = Means::of(&of_search, &read);
        let memories = Means::of(&of_memories, &read);
        let least = (search.related - search.unrelated).min(memories.related - memories.unrelated);
        // Not `least < SEPARATION_MIN`: the vectors of a broken embedder may give NaN.
        if !(least >= SEPARATION_MIN && ordered >= ORDERED_MIN) {
            return None;
        }
        let most = read.iter().map(|at| of_scrambled[*at]).fold(-1.0, f32::max);
        let scale = EmbedderScale {
            search: SimilarityMap::of(search),
            memories: SimilarityMap::of(memories),
            readable_max: readable::largest_cosine(most),
        };
        Some((scale, read.iter().map(|at| self.languages[*at].name).collect()))
    }
}

/// The mean cosines of related and unrelated texts.
#[derive(Debug, Clone, Copy)]
struct Means {
    related: f32,
    unrelated: f32,
    /// The standard deviation of the cosines of unrelated texts.
    deviation: f32,
}

impl Means {
    /// Returns the means over these languages, each with the same weight.
    fn of(cosines: &[Cosines], languages: &[usize]) -> Self {
        let over = |of: fn(&Cosines) -> &[f32]| {
            mean(&languages.iter().map(|at| mean(of(&cosines[*at]))).collect::<Vec<f32>>())
        };
        let unrelated = over(|cosines| &cosines.unrelated);
        let all = languages.iter().flat_map(|at| &cosines[*at].unrelated);
        let squares: Vec<f32> = all.map(|cosine| (cosine - unrelated).powi(2)).collect();
        Self { related: over(|cosines| &cosines.related), unrelated, deviation: mean(&squares).sqrt() }
    }
}

/// The cosines of the texts of one language.
struct Cosines {
    related: Vec<f32>,
    unrelated: Vec<f32>,
}

impl Cosines {
    /// Compares each first text with each second one. The texts of a pair are related, all others are not.
    fn of(firsts: &[Quantized], seconds: &[Quantized]) -> Self {
        let (mut related, mut unrelated) = (Vec::new(), Vec::new());
        for (at, first) in firsts.iter().enumerate() {
            for (other, second) in seconds.iter().enumerate() {
                if at == other { &mut related } else { &mut unrelated }.push(cosine(first, second));
            }
        }
        Self { related, unrelated }
    }

    fn separation(&self) -> f32 {
        mean(&self.related) - mean(&self.unrelated)
    }

    /// Returns the probability that a related pair has a higher cosine than an unrelated one.
    fn ordered(&self) -> f32 {
        let above = |related: &f32| self.unrelated.iter().filter(|unrelated| related > unrelated).count();
        let count: usize = self.related.iter().map(above).sum();
        count as f32 / (self.related.len() * self.unrelated.len()).max(1) as f32
    }
}

/// Returns the cosine of two vectors.
pub(crate) fn cosine(a: &Quantized, b: &Quantized) -> f32 {
    dot_product(&a.bytes, &b.bytes) as f32 * a.scale * b.scale
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of components of a test vector that depend on the text.
    const TOPICS: usize = 64;

    /// Embeds texts as an embedder whose vectors share a component of this length. The `topics` give the second
    /// text of a pair the direction of the first one.
    fn embed(texts: &ScaleTexts, common: f32, reads: impl Fn(&str) -> bool) -> [Vec<Quantized>; 2] {
        let mut next = 0;
        let mut vector = |topic: Option<usize>| {
            let mut values = vec![0.0; 2 * TOPICS + 1];
            values[0] = common;
            if let Some(topic) = topic {
                values[1 + topic % TOPICS] = 1.0;
            }
            next += 1;
            values[1 + TOPICS + next % TOPICS] = 1.0;
            Quantized::of(&values)
        };
        let topics: Vec<Option<usize>> = texts
            .languages
            .iter()
            .flat_map(|language| language.pairs.iter().map(|_| reads(language.name)))
            .enumerate()
            .map(|(at, is_read)| is_read.then_some(at))
            .collect();
        let scrambled: usize =
            texts.languages.iter().map(|language| language.pairs.len().min(SCRAMBLED)).sum();
        let firsts = |vector: &mut dyn FnMut(Option<usize>) -> Quantized| -> Vec<Quantized> {
            topics.iter().map(|topic| vector(*topic)).collect()
        };
        let mut queries = firsts(&mut vector);
        queries.extend((0..scrambled).map(|_| vector(None)));
        let mut passages = firsts(&mut vector);
        passages.extend(firsts(&mut vector));
        [queries, passages]
    }

    #[test]
    fn each_language_has_pairs() {
        let texts = ScaleTexts::load();
        let counts: Vec<(&str, usize)> =
            texts.languages.iter().map(|language| (language.name, language.pairs.len())).collect();
        let others = ["de", "es", "fr", "ru", "tr", "ar", "hi", "th", "zh", "ja", "ko"].map(|name| (name, 4));
        assert_eq!(counts, [&[("en", 8)][..], &others].concat());
        assert_eq!(PAIRS.lines().count(), 52);
        assert_eq!((texts.queries().len(), texts.passages().len()), (52 + 36, 104));
    }

    #[test]
    fn the_means_of_an_embedder_are_those_of_the_reference() {
        let texts = ScaleTexts::load();
        for common in [0.1, 1.0, 3.0] {
            let [queries, passages] = embed(&texts, common, |_| true);
            let (scale, read) = texts.measure(&queries, &passages).unwrap();
            assert_eq!(read.len(), 12);
            let length = common * common + 2.0;
            let (related, unrelated) = ((common * common + 1.0) / length, common * common / length);
            let mapped = [related, unrelated].map(|cosine| scale.search.apply(cosine));
            for (mapped, expected) in mapped.into_iter().zip([REFERENCE.related, REFERENCE.unrelated]) {
                assert!((mapped - expected).abs() < 0.02, "{common}: {mapped} {expected}");
            }
            assert_eq!((scale.search.apply(2.0), scale.search.apply(-2.0)), (1.0, -1.0), "it is limited");
        }
    }

    #[test]
    fn only_the_languages_that_the_embedder_reads_count() {
        let texts = ScaleTexts::load();
        let [queries, passages] = embed(&texts, 1.0, |language| ["en", "zh"].contains(&language));
        let (scale, read) = texts.measure(&queries, &passages).unwrap();
        assert_eq!(read, ["en", "zh"]);
        let mapped = scale.search.apply(2.0 / 3.0);
        assert!((mapped - REFERENCE.related).abs() < 0.02, "{mapped}");
    }

    #[test]
    fn an_embedder_that_separates_nothing_has_no_scale() {
        let texts = ScaleTexts::load();
        let [queries, passages] = embed(&texts, 1.0, |_| false);
        assert_eq!(texts.measure(&queries, &passages), None);
        let same = vec![Quantized::of(&[1.0, 2.0]); 104];
        assert_eq!(texts.measure(&same[..88], &same), None);
        let zero = vec![Quantized::of(&[0.0, 0.0]); 104];
        assert_eq!(texts.measure(&zero[..88], &zero), None);
        assert_eq!(texts.measure(&[], &[]), None, "vectors are missing");
    }

    #[test]
    fn the_reference_needs_no_measurement() {
        assert_eq!(EmbedderScale::known(REFERENCE_DIGEST).unwrap().search, SimilarityMap::IDENTITY);
        assert_eq!(EmbedderScale::known("other"), None);
        for cosine in [-1.0, -0.25, 0.0, 0.1, 0.7, 1.0] {
            assert_eq!(SimilarityMap::IDENTITY.apply(cosine), cosine);
        }
    }
}
