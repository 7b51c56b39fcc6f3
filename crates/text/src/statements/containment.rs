//! Containment of one text in another, sentence by sentence. It needs no grammar, so it works for any language and
//! for texts of several sentences.

use unicode_segmentation::UnicodeSegmentation as _;

use super::parse::is_title;
use crate::terms::fingerprint_of;

/// Returns whether a text has all sentences and lines of another one, in succession and in the same words.
///
/// False if the longer text has a sentence that ends with a colon or a question mark: it may give the others another
/// meaning.
#[must_use]
pub fn contains_text(longer: &str, shorter: &str) -> bool {
    let (outer, inner) = (sentences(longer), sentences(shorter));
    if inner.is_empty() || outer.len() <= inner.len() || outer.iter().any(|one| ends_in_context(one)) {
        return false;
    }
    let fingerprints = |sentences: &[&str]| sentences.iter().map(|one| fingerprint_of(one)).collect();
    let (outer, inner): (Vec<u64>, Vec<u64>) = (fingerprints(&outer), fingerprints(&inner));
    outer.windows(inner.len()).any(|window| window == inner)
}

/// Returns whether a sentence says how to read those after it.
fn ends_in_context(sentence: &str) -> bool {
    sentence.trim_end().ends_with([':', '?', '：', '？'])
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
        ] {
            assert!(!contains_text(longer, shorter), "{longer} / {shorter}");
        }
    }
}
