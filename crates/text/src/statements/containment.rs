//! Containment of one text in another, sentence by sentence. It needs no grammar, so it works for any language and
//! for texts of several sentences.

use unicode_segmentation::UnicodeSegmentation as _;

use super::parse::is_title;
use super::settings::is_time_word;
use crate::terms::fingerprint_of;

/// Words at the start of a sentence that may limit or deny those before it.
const LIMITING_STARTS: &str = "but only except unless if until however though although not no wrong false never \
    instead aber nur außer falls wenn jedoch nicht nein mais seulement sauf si non pas pero solo sólo salvo excepto no \
    mas só exceto se não ma però tranne maar alleen behalve als niet ale tylko chyba jeśli nie но только кроме если \
    нет ama fakat ancak sadece eğer değil men bara utom om inte";
/// The same in scripts without spaces, and words with endings.
const LIMITING_BEGINNINGS: &str =
    "但 不 除 如果 只 でも しかし ただ もし だけど 하지만 그러나 단 만약 แต่ ถ้า ยกเว้น लेकिन परंतु अगर सिवाय";

/// Words within a sentence that limit it.
const CONDITIONS: &str = "while when during without never sometimes mostly maybe before after in at wenn während ohne \
    kein keine manchmal meist meistens vielleicht bevor nachdem im quand pendant sans jamais parfois avant après en \
    cuando mientras sin nunca quizás antes después quando mentre senza mai forse prima dopo enquanto sem nunca talvez \
    terwijl zonder nooit soms voordat kiedy gdy podczas bez nigdy czasem przed когда пока без никогда иногда до после \
    när medan utan aldrig ibland innan efter";

/// Returns whether a text has all sentences and lines of another one, in succession and in the same words.
///
/// False if the longer text has a sentence that may give the others another meaning: it ends with a colon or a question
/// mark, or begins with a word such as "but".
#[must_use]
pub fn contains_text(longer: &str, shorter: &str) -> bool {
    let (outer, inner) = (sentences(longer), sentences(shorter));
    if inner.is_empty() || outer.len() <= inner.len() || outer.iter().any(|one| is_context(one)) {
        return false;
    }
    let fingerprints = |sentences: &[&str]| sentences.iter().map(|one| fingerprint_of(one)).collect();
    let (outer, inner): (Vec<u64>, Vec<u64>) = (fingerprints(&outer), fingerprints(&inner));
    outer.windows(inner.len()).any(|window| window == inner)
}

/// Returns whether a text of one sentence is another one with more words at its end: "Anna lives in Porto" and "Anna
/// lives in Porto with her sister".
///
/// False if the further words have a number, a time, or a word that may limit the rest, such as "only" or "when". The
/// longer text may still mean something else, so that a person should decide.
#[must_use]
pub fn extends_text(longer: &str, shorter: &str) -> bool {
    let (outer, inner) = (sentences(longer), sentences(shorter));
    let ([outer], [inner]) = (outer.as_slice(), inner.as_slice()) else { return false };
    let words = |text: &str| -> Vec<String> {
        let lower = text.to_lowercase();
        let words = lower.unicode_words().map(str::to_owned);
        words.collect()
    };
    let (outer_words, inner_words) = (words(outer), words(inner));
    let Some(rest) = outer_words.strip_prefix(inner_words.as_slice()) else { return false };
    let is_plain = |word: &String| {
        !word.contains(char::is_numeric)
            && !is_time_word(word)
            && ![LIMITING_STARTS, CONDITIONS]
                .iter()
                .any(|list| list.split_ascii_whitespace().any(|limiting| limiting == word))
    };
    !is_context(outer) && !inner_words.is_empty() && !rest.is_empty() && rest.iter().all(is_plain)
}

/// Returns whether a sentence says how to read those beside it.
fn is_context(sentence: &str) -> bool {
    let lower = sentence.to_lowercase();
    let start = lower.trim_start_matches(|c: char| !c.is_alphanumeric());
    let first = start.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    sentence.trim_end().ends_with([':', '?', '：', '？'])
        || LIMITING_STARTS.split_ascii_whitespace().any(|word| word == first)
        || LIMITING_BEGINNINGS.split_ascii_whitespace().any(|word| start.starts_with(word))
}

/// Returns the sentences of a text, line by line, without those that have no word.
fn sentences(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for line in text.lines() {
        let mut start = 0;
        let mut end = 0;
        for piece in line.split_sentence_bounds() {
            end += piece.len();
            if !ends_with_title(piece) {
                found.push(&line[start..end]);
                start = end;
            }
        }
        found.push(&line[start..]);
    }
    found.retain(|sentence| sentence.contains(char::is_alphanumeric));
    found
}

/// Returns whether a piece ends with a title such as "Dr.", which does not end its sentence.
fn ends_with_title(piece: &str) -> bool {
    let piece = piece.trim_end();
    let last = piece.strip_suffix('.').and_then(|piece| piece.rsplit(' ').next());
    last.is_some_and(|last| is_title(&last.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_sentences_are_contained() {
        let longer = "Anna lives in Porto. She has seen Dr. Okafor since May! Her cat is called Tom.";
        for shorter in [
            "Anna lives in Porto.",
            "she has seen Dr. Okafor since May",
            "Anna lives in Porto. She has seen Dr. Okafor since May.",
            "Her cat is called Tom",
        ] {
            assert!(contains_text(longer, shorter), "{shorter}");
        }
        assert!(contains_text("- milk\n- bread\n- two eggs", "Bread\nTwo eggs"));
        assert!(contains_text("我住在柏林。我有一只猫。", "我有一只猫"));
    }

    #[test]
    fn a_sentence_with_more_words_at_its_end_extends_another() {
        for (longer, shorter) in [
            ("Anna lives in Porto with her sister.", "Anna lives in Porto."),
            ("Tom hat einen Hund namens Rex", "Tom hat einen Hund."),
        ] {
            assert!(extends_text(longer, shorter), "{longer} / {shorter}");
        }
        for (longer, shorter) in [
            ("The alarm is off while we are away.", "The alarm is off."),
            ("The alarm is off only at night.", "The alarm is off."),
            ("Anna lives in Porto in May.", "Anna lives in Porto."),
            ("The rent is 900 for 2 rooms.", "The rent is 900."),
            ("Anna lives in Porto. She works.", "Anna lives in Porto."),
            ("Anna lives in Porto", "Anna lives in Porto."),
            ("Anna lives in Portorož.", "Anna lives in Porto."),
            ("Der Alarm ist aus wenn wir weg sind.", "Der Alarm ist aus."),
        ] {
            assert!(!extends_text(longer, shorter), "{longer} / {shorter}");
        }
    }

    #[test]
    fn parts_of_sentences_and_other_words_are_not_contained() {
        for (longer, shorter) in [
            ("It is not true that Anna lives in Porto.", "Anna lives in Porto."),
            ("Anna lives in Porto. She works.", "Anna lives in Porto. Her cat is called Tom."),
            ("Anna lives in Porto. It rains. She works.", "Anna lives in Porto. She works."),
            ("Take 20 mg. Drink water.", "Take 10 mg."),
            ("Anna does not live in Porto. She works.", "Anna lives in Porto."),
            ("What nobody should do:\nOpen the valve.\nLeave.", "Open the valve."),
            ("Is that so? Anna lives in Porto.", "Anna lives in Porto."),
            ("Anna lives in Porto.", "Anna lives in Porto."),
            ("Anna lives in Porto. She works.", "…"),
            ("She sees Dr. Okafor. She works.", "Okafor"),
            ("The alarm is off. But only while we are away.", "The alarm is off."),
            ("Der Alarm ist aus. Aber nur im Urlaub.", "Der Alarm ist aus."),
            ("L'alarme est coupée. Sauf la nuit.", "L'alarme est coupée."),
            ("闹钟关闭。但只在周末。", "闹钟关闭。"),
            ("if a && b. She works.", "if a || b."),
        ] {
            assert!(!contains_text(longer, shorter), "{longer} / {shorter}");
        }
    }
}
