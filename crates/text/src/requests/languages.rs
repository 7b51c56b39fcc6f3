//! The phrases of each language (`languages/*.toml`), compiled for the search in messages.
//!
//! One automaton finds the keywords of all phrases in one pass. The regular expression of a list of phrases is
//! compiled when a message first contains one of the list's keywords, and runs only on such sentences. There
//! is at most one expression for each language and list, and none keeps anything of a message.

use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, MatchKind};
use regex::{Captures, Regex, RegexBuilder};

use super::template::{Phrase, gap};

/// The most bytes of a compiled regular expression.
const REGEX_BYTES_MAX: usize = 16 << 20;
/// The most bytes of the cache of a regular expression.
const REGEX_CACHE_BYTES_MAX: usize = 1 << 20;
/// Characters that end a word.
const WORD_ENDS: &str = r#"[\s.,;:!?…)(\]\["“”«»。，、！？：；）（」』~–—-]"#;
/// Characters that end a clause: marks, symbols and emoji.
const CLAUSE_ENDS: &str =
    r"[.,;:!?…)(।。，、！？：；）（」』~～–—\u{2190}-\u{2bff}\u{1f000}-\u{1faff}]|-\s";

/// Marks before the first word of a sentence.
const SENTENCE_START: &str = r#"^[\s.,;:…!?"'¡¿•*–—-]*"#;

/// Languages with a script of their own.
const OTHER_SCRIPTS: [&str; 6] = ["ja", "zh", "ko", "ru", "hi", "th"];

/// Codes and phrases of the languages.
const SOURCES: &[(&str, &str)] = &[
    ("en", include_str!("languages/en.toml")),
    ("de", include_str!("languages/de.toml")),
    ("fr", include_str!("languages/fr.toml")),
    ("es", include_str!("languages/es.toml")),
    ("pt", include_str!("languages/pt.toml")),
    ("it", include_str!("languages/it.toml")),
    ("nl", include_str!("languages/nl.toml")),
    ("pl", include_str!("languages/pl.toml")),
    ("ru", include_str!("languages/ru.toml")),
    ("tr", include_str!("languages/tr.toml")),
    ("sv", include_str!("languages/sv.toml")),
    ("zh", include_str!("languages/zh.toml")),
    ("ja", include_str!("languages/ja.toml")),
    ("ko", include_str!("languages/ko.toml")),
    ("hi", include_str!("languages/hi.toml")),
    ("th", include_str!("languages/th.toml")),
];

macro_rules! lists {
    ($($(#[$doc:meta])* $list:ident = $key:literal, $form:ident;)*) => {
        /// A list of phrases, with the key that it has in `languages/*.toml`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum List { $($(#[$doc])* $list),* }

        impl List {
            const ALL: &[Self] = &[$(Self::$list),*];

            const fn key(self) -> &'static str {
                match self { $(Self::$list => $key),* }
            }

            const fn form(self) -> Form {
                match self { $(Self::$list => Form::$form),* }
            }
        }
    };
}

lists! {
    /// Chatter before a request: "oh and".
    Openers = "openers", Part;
    /// Polite words before a request: "could you please".
    Polite = "polite", Part;
    /// Words before a request at the start of a clause: "you should".
    Wrappers = "wrappers", Part;
    /// Chatter after a request: "thanks".
    Closers = "closers", Part;
    /// Words that join a request and its text: "that".
    Joins = "joins", Part;
    /// Requests to remember a text.
    Remember = "remember", Clause;
    /// Requests to remember what stands before or after: "remember that please".
    RememberThis = "remember_this", Clause;
    /// Weak requests to remember, which may also concern the answer at hand: "note that …".
    Note = "note", Clause;
    /// Standing instructions, which are saved as a whole: "whenever I ask …".
    Whenever = "whenever", Clause;
    /// Starts of texts that are no facts: "remember when …".
    NoFact = "no_fact", TextStart;
    /// Words that restrict a request to the present answer: "in this chat".
    OnlyNow = "only_now", Words;
    /// Corrections: "that's wrong, …".
    Correct = "correct", Clause;
    /// Corrections of what was said just before: "I meant …".
    Meant = "meant", Clause;
    /// Corrections if the text is about the user: "no, …".
    CorrectOwn = "correct_own", Clause;
    /// Requests to correct the memory after what stands before or after: "update your notes".
    CorrectThis = "correct_this", Clause;
    /// Starts of texts about the user and their things: "my".
    Own = "own", TextStart;
    /// Requests to forget one thing.
    Forget = "forget", Clause;
    /// Requests to forget all about a subject.
    ForgetAll = "forget_all", Clause;
    /// Requests to forget what was saved last.
    ForgetThis = "forget_this", Clause;
    /// Requests to forget everything about the user.
    ForgetMe = "forget_me", Clause;
    /// Starts of texts that name no memory: "forget it".
    NoMemory = "no_memory", TextStart;
    /// Questions about what is known of a subject.
    Known = "list", Clause;
    /// Questions about what is known of the user.
    KnownOfMe = "list_me", Clause;
    /// Words for the user: "me".
    Me = "me", TextWhole;
    /// Starts of questions and of tasks: "what", "can you".
    Question = "question", Start;
    /// Words of wishes, doubts, hypotheses, dreams and fiction.
    Unsure = "unsure", Words;
    /// Words of reported speech: "she says".
    Reported = "reported", Words;
    /// The user's own speech, which is not reported: "i told you".
    OwnSpeech = "own_speech", Words;
    /// Starts of lasting statements: "i live".
    Lasting = "lasting", Start;
    /// Words of statements about the present chat or moment.
    Passing = "passing", Words;
    /// Words that only a request to the memory has: "your memory".
    Memory = "memory", Words;
        /// Words for the text or answer at hand: "paragraph".
    Work = "work", Words;
    /// Starts of tasks to write a text, which is not fiction: "write a mail".
    WriteTask = "write_task", Start;
    /// Starts of tasks on a text: "translate".
    TextTask = "text_task", Start;
    /// Words that introduce a text: "here is the mail".
    Introduces = "introduces", Words;
    /// Words before an aside: "by the way".
    Aside = "aside", Start;
    /// Starts of role play, fiction and system prompts: "you are a".
    RolePlay = "role_play", Start;
    /// Salutations of letters: "dear".
    Salutation = "salutation", LineStart;
    /// Salutations that also open a chat: "hi".
    Greeting = "greeting", LineStart;
    /// Ends of letters: "kind regards".
    SignOff = "sign_off", LineStart;
    /// Thanks, which end a letter if it has a salutation.
    Thanks = "thanks", LineStart;
    /// Frequent words, which tell the language.
    Common = "common", Words;
}

/// How the phrases of a list are searched for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Parts of the other expressions.
    Part,
    /// At the start of a clause, after openers and polite words.
    Clause,
    /// At the start of a sentence, after openers and polite words.
    Start,
    /// At the start of a line.
    LineStart,
    /// At the start of a text.
    TextStart,
    /// A whole text.
    TextWhole,
    /// As words, anywhere. Found by the automaton alone.
    Words,
}

/// A set of languages, one bit for each.
pub(crate) type LanguageSet = u32;

/// A keyword or word of a list, found in a text.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    /// The index of the language.
    pub(crate) language: usize,
    /// The list of the phrase.
    pub(crate) list: List,
    /// Where it stands, in bytes.
    pub(crate) at: Range<usize>,
}

/// A language with its phrases.
pub(crate) struct Language {
    /// The ISO 639-1 code.
    pub(crate) code: &'static str,
    /// Whether the word that makes a sentence a question stands at its end.
    pub(crate) question_at_end: bool,
    /// Whether blanks separate words.
    spaced: bool,
    phrases: Vec<Vec<Phrase>>,
    regexes: Vec<OnceLock<Option<Regex>>>,
    /// The expressions of requests whose text lasts to the end of the sentence.
    open_regexes: Vec<OnceLock<Option<Regex>>>,
    ending: OnceLock<Option<Regex>>,
}

/// All languages and the automaton of their keywords.
pub(crate) struct Languages {
    /// The languages. A [`LanguageSet`] has their indices as bits.
    pub(crate) all: Vec<Language>,
    keywords: Option<AhoCorasick>,
    of_keyword: Vec<Keyword>,
}

struct Keyword {
    language: usize,
    list: List,
    /// Whether a word must start with the keyword.
    starts_word: bool,
    /// Whether a word must end with the keyword.
    ends_word: bool,
}

/// Returns the languages with their phrases.
pub(crate) fn languages() -> &'static Languages {
    static LANGUAGES: LazyLock<Languages> = LazyLock::new(Languages::read);
    &LANGUAGES
}

impl Languages {
    fn read() -> Self {
        let all: Vec<Language> =
            SOURCES.iter().filter_map(|(code, source)| Language::read(code, source)).collect();
        let (mut words, mut of_keyword) = (Vec::new(), Vec::new());
        for (language, read) in all.iter().enumerate() {
            for list in List::ALL.iter().copied().filter(|list| list.form() != Form::Part) {
                for phrase in read.phrases(list) {
                    let is_word = list.form() == Form::Words;
                    let found = if is_word { phrase.expand() } else { phrase.keywords() };
                    for word in found {
                        let starts_word = is_word && read.spaced && !word.starts_with('*');
                        let ends_word = is_word && read.spaced && !word.ends_with('*');
                        words.push(word.trim_matches('*').to_owned());
                        of_keyword.push(Keyword { language, list, starts_word, ends_word });
                    }
                }
            }
        }
        let keywords = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&words).ok();
        Self { all, keywords, of_keyword }
    }

    /// Finds the keywords of all languages in a text in lower case, in the order of their ends.
    pub(crate) fn scan(&self, folded: &str) -> Vec<Hit> {
        let Some(keywords) = &self.keywords else { return Vec::new() };
        let letter_before = |at: usize| folded[..at].chars().next_back().is_some_and(char::is_alphanumeric);
        let letter_after = |at: usize| folded[at..].chars().next().is_some_and(char::is_alphanumeric);
        let mut hits = Vec::new();
        for found in keywords.find_overlapping_iter(folded) {
            let keyword = &self.of_keyword[found.pattern().as_usize()];
            let at = found.start()..found.end();
            let is_part = (keyword.starts_word && letter_before(at.start))
                || (keyword.ends_word && letter_after(at.end));
            if !is_part {
                hits.push(Hit { language: keyword.language, list: keyword.list, at });
            }
        }
        hits
    }

    /// Returns the languages that a text is probably written in.
    ///
    /// `hits` are those of the text. The set is never empty, and has several members if the text is short.
    pub(crate) fn guess(&self, text: &str, hits: &[Hit]) -> LanguageSet {
        let set_of = |wanted: &dyn Fn(&str) -> bool| {
            let members = self.all.iter().enumerate().filter(|(_, language)| wanted(language.code));
            members.fold(0, |set: LanguageSet, (at, _)| set | 1 << at)
        };
        if let Some(code) = script_of(text) {
            return set_of(&|other| other == code);
        }
        let mut counts = vec![0_usize; self.all.len()];
        for hit in hits.iter().filter(|hit| hit.list == List::Common) {
            counts[hit.language] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(0);
        if most == 0 {
            return set_of(&|code| !OTHER_SCRIPTS.contains(&code));
        }
        let best = counts.iter().enumerate().filter(|(_, count)| **count == most);
        best.fold(0, |set, (at, _)| set | 1 << at)
    }
}

/// Returns the language of a text that is mostly in a script of its own.
fn script_of(text: &str) -> Option<&'static str> {
    let (mut letters, mut counts) = (0_usize, [0_usize; 6]);
    for letter in text.chars().filter(|letter| letter.is_alphabetic()) {
        let script = match letter {
            '\u{3040}'..='\u{30ff}' => 0,
            '\u{3400}'..='\u{9fff}' => 1,
            '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}' => 2,
            '\u{400}'..='\u{52f}' => 3,
            '\u{900}'..='\u{97f}' => 4,
            '\u{e00}'..='\u{e7f}' => 5,
            _ => {
                // A word in Latin letters counts about as much as one or two ideographs.
                letters += 1;
                continue;
            }
        };
        counts[script] += 4;
    }
    if counts[0] > 0 {
        counts[0] += counts[1];
        counts[1] = 0;
    }
    let (script, count) = counts.iter().enumerate().max_by_key(|(_, count)| **count)?;
    (*count > letters).then_some(OTHER_SCRIPTS[script])
}

impl Language {
    fn read(code: &'static str, source: &str) -> Option<Self> {
        let table: toml::Table = source.parse().ok()?;
        let flag = |key: &str| table.get(key).and_then(toml::Value::as_bool);
        let spaced = flag("spaced").unwrap_or(true);
        let question_at_end = flag("question_at_end").unwrap_or(false);
        let phrases = List::ALL.iter().map(|list| {
            let texts = table.get(list.key()).and_then(toml::Value::as_array).into_iter().flatten();
            texts.filter_map(|text| Phrase::parse(text.as_str()?)).collect()
        });
        let phrases: Vec<Vec<Phrase>> = phrases.collect();
        let unread = || List::ALL.iter().map(|_| OnceLock::new()).collect();
        let ending = OnceLock::new();
        Some(Self { code, question_at_end, spaced, phrases, regexes: unread(), open_regexes: unread(), ending })
    }

    /// Returns whether the language is written in Latin letters.
    pub(crate) fn is_latin(&self) -> bool {
        !OTHER_SCRIPTS.contains(&self.code)
    }

    fn phrases(&self, list: List) -> &[Phrase] {
        &self.phrases[list as usize]
    }

    /// Returns the regular expression of a list. `None` if the list is empty.
    pub(crate) fn regex(&self, list: List) -> Option<&Regex> {
        self.regexes[list as usize].get_or_init(|| self.compile(list)).as_ref()
    }

    /// Returns the regular expression of chatter at the end of a text, with the pause before it.
    pub(crate) fn ending(&self) -> Option<&Regex> {
        let compile = || build(&format!(r"{}{}\s*$", gap(self.spaced), self.either(&[List::Closers])));
        self.ending.get_or_init(compile).as_ref()
    }

    /// Returns whether a text in lower case starts with chatter, as people do before a request.
    pub(crate) fn starts_with_chatter(&self, folded: &str) -> bool {
        self.regex(List::Openers).is_some_and(|regex| regex.is_match(folded.trim_start()))
    }

    /// Returns whether a phrase of a list stands at its place in a text in lower case.
    pub(crate) fn is_match(&self, list: List, folded: &str) -> bool {
        let open = || self.open_regex(list).is_some_and(|regex| regex.is_match(folded));
        self.regex(list).is_some_and(|regex| regex.is_match(folded)) || open()
    }

    fn open_regex(&self, list: List) -> Option<&Regex> {
        let compile = || if list.form() == Form::Clause { self.compile_clause(list, true) } else { None };
        self.open_regexes[list as usize].get_or_init(compile).as_ref()
    }

    /// Returns the matches of a list of requests: first of phrases with an end of their own, which are more
    /// exact, then of those that take the rest of the sentence.
    pub(crate) fn captures<'a>(&self, list: List, folded: &'a str) -> impl Iterator<Item = Captures<'a>> {
        [self.regex(list), self.open_regex(list)].into_iter().flatten().filter_map(|regex| regex.captures(folded))
    }

    fn compile(&self, list: List) -> Option<Regex> {
        if self.phrases(list).is_empty() {
            return None;
        }
        let any = self.any(list);
        let pattern = match list.form() {
            Form::Clause => return self.compile_clause(list, false),
            Form::Start => format!("{SENTENCE_START}{}(?:{any})(?:$|{})", self.opened(), self.word_end()),
            Form::LineStart => format!(r"^[\s*•–—-]*(?:{any})(?:$|{})", self.word_end()),
            Form::TextStart => format!("^(?:{any})(?:$|{})", self.word_end()),
            Form::TextWhole => format!(r"^(?:{any})(?:$|{WORD_ENDS}+$)"),
            Form::Part => format!("^(?:{any})(?:$|{})", self.word_end()),
            Form::Words => return None,
        };
        build(&pattern)
    }

    /// Compiles the requests whose text lasts to the end of the sentence, or the others. A request starts a
    /// clause, or follows polite words.
    fn compile_clause(&self, list: List, is_open: bool) -> Option<Regex> {
        let phrases = self.phrases(list).iter().filter(|phrase| phrase.ends_with_text() == is_open);
        let patterns: Vec<String> = phrases.map(|phrase| phrase.to_pattern(self.spaced)).collect();
        if patterns.is_empty() {
            return None;
        }
        let gap = gap(self.spaced);
        let polite = self.either(&[List::Polite]);
        let closers = self.either(&[List::Closers, List::Polite]);
        let politely = format!("{}(?:{polite}{gap})+", if self.spaced { r"\s" } else { "" });
        let blank = if self.spaced { "" } else { r"|\s+" };
        let pause = format!(r"[,;:!?…)–—，、。；：！？]+\s*|\.\s+|\s-+\s+{blank}");
        let start = format!("(?:{SENTENCE_START}|{pause}){}", self.opened());
        let end = match is_open {
            true => r"\s*$".to_owned(),
            false => format!(r"(?:{gap}{closers})*\s*(?:$|{CLAUSE_ENDS})"),
        };
        build(&format!("(?:{start}|{politely})(?:{}){end}", patterns.join("|")))
    }

    /// Returns the pattern of chatter and polite words before a request.
    fn opened(&self) -> String {
        format!("(?:{}{})*", self.either(&[List::Openers, List::Polite, List::Wrappers]), gap(self.spaced))
    }

    fn word_end(&self) -> &'static str {
        if self.spaced { WORD_ENDS } else { "" }
    }

    /// Returns a pattern of all phrases of a list.
    fn any(&self, list: List) -> String {
        let patterns: Vec<String> =
            self.phrases(list).iter().map(|phrase| phrase.to_pattern(self.spaced)).collect();
        format!("(?:{})", patterns.join("|"))
    }

    fn either(&self, lists: &[List]) -> String {
        let patterns: Vec<String> = lists
            .iter()
            .filter(|list| !self.phrases(**list).is_empty())
            .map(|list| self.any(*list))
            .collect();
        // An empty class matches nothing.
        if patterns.is_empty() { r"[^\s\S]".into() } else { format!("(?:{})", patterns.join("|")) }
    }
}

fn build(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(&format!("(?s){pattern}"))
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_CACHE_BYTES_MAX)
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_of_a_language_has_a_known_key_and_readable_phrases() {
        for (code, source) in SOURCES {
            let table: toml::Table = source.parse().unwrap();
            for (key, value) in table.iter().filter(|(_, value)| !value.is_bool()) {
                let list = List::ALL.iter().find(|list| list.key() == key);
                let list = list.unwrap_or_else(|| panic!("{code}: {key}"));
                for text in value.as_array().unwrap() {
                    let text = text.as_str().unwrap();
                    let phrase = Phrase::parse(text).unwrap_or_else(|| panic!("{code}: {key}: {text}"));
                    assert!(!text.contains(['?', '$', '\\']), "{code}: {key}: {text}");
                    let needs_keyword = matches!(list.form(), Form::Clause | Form::Start | Form::LineStart);
                    assert!(!needs_keyword || !phrase.keywords().is_empty(), "{code}: {key}: {text}");
                }
            }
        }
    }

    #[test]
    fn every_list_compiles() {
        for language in &languages().all {
            for list in List::ALL.iter().copied().filter(|list| list.form() != Form::Words) {
                let is_empty = language.phrases(list).is_empty();
                let is_compiled = language.regex(list).is_some() || language.open_regex(list).is_some();
                assert_eq!(is_compiled, !is_empty, "{}: {}", language.code, list.key());
            }
            assert!(language.ending().is_some(), "{}", language.code);
        }
    }
}
