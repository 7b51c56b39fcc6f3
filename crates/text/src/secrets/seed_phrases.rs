//! Seed phrases of wallets: twelve or more words in a row that are all on the English list of BIP-39.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::SecretMatch;

/// The shortest seed phrase of BIP-39.
const WORDS_MIN: usize = 12;
/// Test phrases repeat one word. A phrase has at least so many different words.
const DIFFERENT_WORDS_MIN: usize = 8;

/// The 2,048 English words of BIP-39, from `bips/bip-0039/english.txt` of `bitcoin/bips`.
static WORDS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("seed_words.txt").split_whitespace().collect());

/// Words that say that a list of words is a seed phrase, in lower case.
const WALLET_WORDS: &[&str] = &[
    "wallet",
    "seed",
    "recovery phrase",
    "ledger",
    "trezor",
    "metamask",
    "mnemonic",
    "bitcoin",
    "ethereum",
    "crypto",
    "krypto",
    "recovery words",
    "backup phrase",
    "monedero",
    "cartera",
    "carteira",
    "portafoglio",
    "portefeuille",
    "portfel",
    "cüzdan",
    "кошел",
    "гаман",
    "сид",
    "助记词",
    "助記詞",
    "钱包",
    "シード",
    "ウォレット",
    "시드",
    "지갑",
    "वॉलेट",
    "กระเป๋าเงิน",
    "wiederherstellung",
    "récupération",
    "recuperación",
    "recuperação",
    "recupero",
    "odzyskiwania",
    "восстановлен",
    "відновлен",
    "kurtarma",
    "복구",
];
/// Bytes before a list of words in which such a word is looked for.
const CONTEXT_BYTES: usize = 200;

/// Adds the seed phrases of a text.
pub(super) fn find(text: &str, found: &mut Vec<SecretMatch>) {
    lists(text, found);
    let mut run: Vec<(usize, &str)> = Vec::new();
    for (start, word) in words(text) {
        let gap = run.last().map_or("", |(before, last)| &text[before + last.len()..start]);
        if !run.is_empty() && !is_gap(gap) {
            close(&mut run, found);
        }
        let lower = word.to_ascii_lowercase();
        if (3..=8).contains(&word.len()) && WORDS.contains(lower.as_str()) {
            run.push((start, word));
        } else {
            close(&mut run, found);
        }
    }
    close(&mut run, found);
}

/// Iterates over the words of ASCII letters, with their index.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty())
        .map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

/// Returns whether only spaces, commas and numbering are between two words of a phrase.
fn is_gap(gap: &str) -> bool {
    gap.len() <= 12
        && gap.chars().all(|c| {
            c.is_whitespace()
                || c.is_ascii_digit()
                || ",.)-/|;\"'#[]·•–→>".contains(c)
                || c == ':' && gap.contains(|c: char| c.is_ascii_digit())
        })
}

/// Ends a run of words, and adds it if it is a phrase.
fn close(run: &mut Vec<(usize, &str)>, found: &mut Vec<SecretMatch>) {
    let words = std::mem::take(run);
    let different: HashSet<&str> = words.iter().map(|(_, word)| *word).collect();
    if let (Some((first, _)), Some((last, word))) = (words.first(), words.last())
        && words.len() >= WORDS_MIN
        && different.len() >= DIFFERENT_WORDS_MIN
    {
        found.push(SecretMatch { rule: "seed phrase".into(), at: *first..last + word.len() });
    }
}

/// Adds lists of twelve or more single words after a word for a wallet, in any language: the words of a
/// phrase that is not in English, or that was written down wrongly. Without signs between the words, more
/// than half must be on the list.
fn lists(text: &str, found: &mut Vec<SecretMatch>) {
    let mut run: Vec<(usize, &str)> = Vec::new();
    let mut signs = 0;
    let mut close = |run: &mut Vec<(usize, &str)>, signs: usize| {
        let words = std::mem::take(run);
        if words.len() < WORDS_MIN || words.len() > 26 {
            return;
        }
        let known =
            words.iter().filter(|(_, word)| WORDS.contains(word.to_ascii_lowercase().as_str())).count();
        let is_list = signs + 2 >= words.len() || known * 2 > words.len();
        let (start, last) = (words[0].0, words[words.len() - 1]);
        let floor = text.ceil_char_boundary(start.saturating_sub(CONTEXT_BYTES));
        let before = text[floor..start].to_lowercase();
        if is_list && WALLET_WORDS.iter().any(|word| before.contains(word)) {
            found.push(SecretMatch { rule: "seed phrase".into(), at: start..last.0 + last.1.len() });
        }
    };
    for (start, word) in words(text) {
        let gap = run.last().map_or("", |(before, last)| &text[before + last.len()..start]);
        if !run.is_empty() && !is_gap(gap) || gap.contains(':') {
            close(&mut run, std::mem::take(&mut signs));
        }
        if word.chars().count() <= 12 && word.chars().count() > 1 {
            signs += usize::from(!run.is_empty() && gap.trim() != "" || gap.contains('\n'));
            run.push((start, word));
        } else {
            close(&mut run, std::mem::take(&mut signs));
        }
    }
    close(&mut run, signs);
}
