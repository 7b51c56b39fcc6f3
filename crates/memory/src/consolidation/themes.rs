//! Themes: memories that are near each other, share a distinctive word or name, and have no tag in common.
//!
//! A word is distinctive if it is a name, or if few memories of the space have it. A name is written with a capital
//! letter within a sentence, and in no text of the theme without. Weekdays, months and other times are no themes.

use lar_base::Timestamp;
use lar_store::{Memory, NewTheme, THEME_MEMORIES_MIN};
use lar_text::days::Day;
use lar_text::statements::{SimilarityThresholds, Statement};
use lar_text::terms::{QueryTerms, QueryWord};
use lar_text::time_expressions::time_expressions;

use super::pairs::ParsedMemory;

/// The most distinct words of a text that can be its theme. Notes are short, and of a document the first words count.
const WORDS_MAX: usize = 60;
/// The fewest letters of a theme.
const LETTERS_MIN: usize = 3;
/// The most letters of a theme, as of a tag.
const LETTERS_MAX: usize = 40;
/// A word that is no name must be in at most 1/`RARE_SHARE` of the memories.
const RARE_SHARE: usize = 10;
/// A name must be in at most 1/`NAME_SHARE` of the memories: the name of the writer, for example, tells nothing.
const NAME_SHARE: usize = 2;
/// The fewest memories in a space in which the rarity of a word is known.
const KNOWN_MIN: usize = 40;
/// The least cosine of two memories of a theme, which also share a distinctive word. Unrelated texts have less than
/// 0.25 with MiniLM.
const SIMILARITY_MIN: f32 = 0.3;
/// The words that two memories without a similarity must share to be near each other.
const SHARED_WORDS_MIN: usize = 2;

/// A word of a text that may be a theme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ThemeWord {
    /// The word in small letters, as it would be a tag.
    tag: String,
    /// The forms that find it.
    pub(super) word: QueryWord,
}

/// A neighbour of a memory, and how near it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct ParsedNeighbour<'a> {
    pub(super) parsed: ParsedMemory<'a>,
    pub(super) similarity: Option<(f32, SimilarityThresholds)>,
}

/// Returns the words of a text that may be its theme, without words for times.
pub(super) fn theme_words(text: &str, statement: &Statement) -> Vec<ThemeWord> {
    let today = Day::of_millis(Timestamp::now().as_millis());
    let mut found: Vec<ThemeWord> = Vec::new();
    for written in words_of(text) {
        let tag = written.to_lowercase();
        let letters = tag.chars().count();
        if !(LETTERS_MIN..=LETTERS_MAX).contains(&letters) || found.iter().any(|known| known.tag == tag) {
            continue;
        }
        let Some(word) = QueryTerms::of(written).words.into_iter().next() else { continue };
        // The text's own words lack its stop words.
        let is_content = statement.words().iter().any(|content| content.forms.contains(&word.forms[0]));
        // "May" is a month only after "in".
        let is_time =
            [tag.clone(), format!("in {tag}")].iter().any(|text| !time_expressions(text, today).is_empty());
        if is_content && !is_time {
            found.push(ThemeWord { tag, word });
        }
        if found.len() == WORDS_MAX {
            break;
        }
    }
    found
}

/// Returns the theme of a memory and its neighbours, if they have one.
///
/// `frequencies` are the numbers of chunks in the space that have each of the words, and `memories` is the number of
/// memories there.
pub(super) fn find_theme(
    of: ParsedMemory<'_>,
    neighbours: &[ParsedNeighbour<'_>],
    words: &[ThemeWord],
    frequencies: &[usize],
    memories: usize,
) -> Option<NewTheme> {
    let near: Vec<ParsedMemory<'_>> = neighbours
        .iter()
        .filter(|neighbour| is_near(of.statement, neighbour))
        .map(|neighbour| neighbour.parsed)
        .collect();
    if near.len() + 1 < THEME_MEMORIES_MIN {
        return None;
    }
    let themes = words.iter().zip(frequencies).filter_map(|(word, frequency)| {
        let mut members: Vec<ParsedMemory<'_>> =
            near.iter().copied().filter(|memory| memory.statement.has_word(&word.word)).collect();
        members.push(of);
        members.retain(|member| !has_tag(member.memory, &word.tag));
        let is_theme = members.len() >= THEME_MEMORIES_MIN
            && !has_common_tag(&members)
            && is_distinctive(&word.tag, *frequency, memories, &members);
        is_theme.then_some((word, *frequency, members))
    });
    // The theme of most memories, and of these the rarest word.
    let (word, _, members) =
        themes.max_by_key(|(_, frequency, members)| (members.len(), std::cmp::Reverse(*frequency)))?;
    let memories = members.iter().map(|member| member.memory.id).collect();
    Some(NewTheme { tag: word.tag.clone(), memories })
}

fn is_near(of: &Statement, neighbour: &ParsedNeighbour<'_>) -> bool {
    let statement = neighbour.parsed.statement;
    neighbour.similarity.map_or_else(
        || of.words().iter().filter(|word| statement.has_word(word)).count() >= SHARED_WORDS_MIN,
        |(cosine, _)| cosine >= SIMILARITY_MIN,
    )
}

fn has_tag(memory: &Memory, tag: &str) -> bool {
    memory.tags.iter().any(|known| known.to_lowercase() == tag)
}

/// Returns whether one tag is on all of these memories.
fn has_common_tag(members: &[ParsedMemory<'_>]) -> bool {
    let has = |tag: &String| members.iter().all(|member| member.memory.tags.contains(tag));
    members.first().is_some_and(|first| first.memory.tags.iter().any(has))
}

fn is_distinctive(tag: &str, frequency: usize, memories: usize, members: &[ParsedMemory<'_>]) -> bool {
    let is_at_most = |share: usize| frequency * share <= memories;
    let is_rare = memories >= KNOWN_MIN && is_at_most(RARE_SHARE);
    is_rare || is_at_most(NAME_SHARE) && is_name(tag, members)
}

/// Returns whether a word is a name: with a capital letter within a sentence of one of the texts, and never in small
/// letters.
fn is_name(tag: &str, members: &[ParsedMemory<'_>]) -> bool {
    let mut is_within = false;
    for member in members {
        let text = member.memory.content.as_str();
        for written in words_of(text).filter(|written| written.to_lowercase() == tag) {
            if !written.starts_with(char::is_uppercase) {
                return false;
            }
            let at = written.as_ptr() as usize - text.as_ptr() as usize;
            let before = text[..at].trim_end_matches([' ', '"', '“', '„', '«', '(', '*', '_', '`']);
            is_within |= before.ends_with(|c: char| c.is_alphanumeric() || ",;'’-".contains(c));
        }
    }
    is_within
}

/// Returns the words of a text that start with a letter.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'));
    words.map(|word| word.trim_matches(['-', '_'])).filter(|word| word.starts_with(char::is_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::super::pairs::tests::memory;
    use super::*;

    /// Returns the tag and the number of memories of the theme of these texts, the last of which is looked at.
    fn theme(memories: &[Memory], frequency: usize, total: usize) -> Option<(String, usize)> {
        let statements: Vec<Statement> =
            memories.iter().map(|memory| Statement::of(&memory.content)).collect();
        let parsed: Vec<ParsedMemory<'_>> = memories
            .iter()
            .zip(&statements)
            .map(|(memory, statement)| ParsedMemory { memory, statement })
            .collect();
        let (of, others) = parsed.split_last().unwrap();
        let near = SimilarityThresholds { related: 0.4 };
        let neighbours: Vec<ParsedNeighbour<'_>> = others
            .iter()
            .map(|parsed| ParsedNeighbour { parsed: *parsed, similarity: Some((0.5, near)) })
            .collect();
        let words = theme_words(&of.memory.content, of.statement);
        let frequencies = vec![frequency; words.len()];
        let found = find_theme(*of, &neighbours, &words, &frequencies, total)?;
        Some((found.tag, found.memories.len()))
    }

    fn memories(texts: &[&str]) -> Vec<Memory> {
        texts.iter().zip(1..).map(|(text, seq)| memory(seq, text)).collect()
    }

    const FALCON: [&str; 4] = [
        "Falcon is written in Go.",
        "Ana leads the Falcon team.",
        "We deploy Falcon on Fridays.",
        "The logs of Falcon are in Loki.",
    ];

    #[test]
    fn a_name_is_a_theme_of_four_memories() {
        assert_eq!(theme(&memories(&FALCON), 4, 10), Some(("falcon".into(), 4)));
        assert_eq!(theme(&memories(&FALCON[1..]), 3, 10), None, "three are too few");
        assert_eq!(theme(&memories(&FALCON), 6, 10), None, "most memories have the name");
    }

    #[test]
    fn a_word_is_a_theme_only_if_it_is_rare() {
        let texts = [
            "The boiler was cleaned in spring.",
            "Our boiler needs 1.4 bar.",
            "Call Mr. Reyes about the boiler.",
            "The boiler warranty ends soon.",
        ];
        assert_eq!(theme(&memories(&texts), 4, 60), Some(("boiler".into(), 4)));
        assert_eq!(theme(&memories(&texts), 8, 60), None, "too many memories have the word");
        assert_eq!(theme(&memories(&texts), 4, 30), None, "too few memories to know what is rare");
    }

    #[test]
    fn times_and_filler_words_are_no_themes() {
        let texts = [
            "The yoga class is on Tuesday.",
            "We put the bins out on Tuesday.",
            "The cleaner comes on Tuesday.",
            "Choir is on Tuesday and in May.",
        ];
        assert_eq!(theme(&memories(&texts), 4, 100), None);
        let statement = Statement::of("I was with them at the Falcon in May 2024.");
        let tags: Vec<String> = theme_words("I was with them at the Falcon in May 2024.", &statement)
            .into_iter()
            .map(|word| word.tag)
            .collect();
        assert_eq!(tags, ["falcon"]);
    }

    #[test]
    fn tagged_memories_need_no_theme() {
        let mut tagged = memories(&FALCON);
        tagged.iter_mut().for_each(|memory| memory.tags = vec!["work".into()]);
        assert_eq!(theme(&tagged, 4, 10), None, "they have a tag in common");
        let mut one_tagged = memories(&FALCON);
        one_tagged[0].tags = vec!["Falcon".into()];
        assert_eq!(theme(&one_tagged, 4, 10), None, "three are left");
    }
}
