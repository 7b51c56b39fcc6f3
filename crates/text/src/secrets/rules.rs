//! The rules of the crate `secrets_scanner`: about a thousand patterns of gitleaks and others, many with a
//! minimum entropy.
//!
//! Their memory use is bounded: 55 MB for all rules, on any number of threads. A pattern is compiled for
//! bytes, as in gitleaks, when a text first contains one of its rule's keywords. Each search drops its caches
//! at its end.
//!
//! The library's own scanner is not used. It compiles patterns with Unicode classes and keeps the caches of
//! each search on each thread: 2.6 GB on one thread after texts with the keywords of all rules.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use regex::bytes::Regex;
use secrets_scanner::rules::allowlist::CompiledAllowlist;
use secrets_scanner::rules::validation::compile_bytes_regex;
use secrets_scanner::{GlobalAllowlist, RuleConfig, RulesetConfig, entropy};

/// Rules with a minimum entropy ignore shorter secrets, whose entropy means little. The library's
/// `MIN_TOKEN_LEN`.
const MEASURED_BYTES_MIN: usize = 8;

/// Bytes of a line before and after a match that the allow lists see.
const LINE_BYTES_MAX: usize = 1 << 10;

/// A text that looks like a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretMatch {
    /// The id of the rule whose pattern matched.
    pub rule: String,
    /// The range of bytes to redact in the text.
    pub at: Range<usize>,
}

/// The library's rules that do not depend on a file name.
pub(super) struct SecretRules {
    keywords: AhoCorasick,
    /// The rules of each keyword.
    of_keyword: Vec<Vec<usize>>,
    /// The rules without keywords.
    always: Vec<usize>,
    rules: Vec<SecretRule>,
    /// The allowlists of all rules.
    allowed: Vec<CompiledAllowlist>,
}

struct SecretRule {
    config: RuleConfig,
    /// `None` if the pattern cannot be compiled.
    compiled: OnceLock<Option<Compiled>>,
}

struct Compiled {
    pattern: Regex,
    /// The allowlists of this rule.
    allowed: Vec<CompiledAllowlist>,
}

impl SecretRules {
    /// Reads the rules without compiling their patterns. Returns `None` if the library's rules cannot be
    /// parsed.
    pub(super) fn read() -> Option<Self> {
        let read: RulesetConfig = toml::from_str(secrets_scanner::rules::BUNDLED_RULES).ok()?;
        // A memory is not in a file, so rules for paths do not apply.
        let configs = read.rules.into_iter().filter(|rule| rule.path.is_none() && rule.regex.is_some());
        let rules: Vec<SecretRule> =
            configs.map(|config| SecretRule { config, compiled: OnceLock::new() }).collect();
        let mut words: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut always = Vec::new();
        for (at, rule) in rules.iter().enumerate() {
            let mut keywords = rule.config.keywords.iter().filter(|keyword| !keyword.is_empty()).peekable();
            if keywords.peek().is_none() {
                always.push(at);
            }
            keywords.for_each(|keyword| words.entry(keyword.to_ascii_lowercase()).or_default().push(at));
        }
        let keywords = AhoCorasick::builder().ascii_case_insensitive(true).build(words.keys()).ok()?;
        let allowed = read.allowlist.into_iter().chain(read.allowlists);
        let allowed = allowed.map(|list| GlobalAllowlist { paths: Vec::new(), ..list });
        Some(Self {
            keywords,
            of_keyword: words.into_values().collect(),
            always,
            rules,
            allowed: allowed.map(|list| CompiledAllowlist::compile_global_allowlist(&list)).collect(),
        })
    }

    /// Finds the secrets in a text, in no order. Several rules may find the same one.
    pub(super) fn find(&self, text: &str) -> Vec<SecretMatch> {
        let mut candidates: BTreeSet<usize> = self.always.iter().copied().collect();
        for keyword in self.keywords.find_overlapping_iter(text) {
            candidates.extend(&self.of_keyword[keyword.pattern().as_usize()]);
        }
        let characters = (!text.is_ascii()).then(|| Characters::of(text));
        let mut found = Vec::new();
        for rule in candidates.into_iter().map(|rule| &self.rules[rule]) {
            let Some(compiled) = rule.compiled() else { continue };
            // A pattern keeps its search caches. Dropping the clone drops its caches.
            let pattern = compiled.pattern.clone();
            let mut search = |bytes: &[u8], original: &dyn Fn(Range<usize>) -> Range<usize>| {
                let matches = pattern.captures_iter(bytes).filter_map(|captures| {
                    let whole = captures.get(0)?;
                    let group = rule.config.secret_group.and_then(|group| captures.get(group));
                    let secret = group.filter(|group| !group.is_empty()).unwrap_or(whole);
                    Some((original(whole.range()), original(secret.range())))
                });
                let secrets =
                    matches.filter(|(whole, secret)| self.is_secret(rule, compiled, text, whole, secret));
                found.extend(secrets.map(|(_, at)| SecretMatch { rule: rule.config.id.clone(), at }));
            };
            search(text.as_bytes(), &|at| {
                text.floor_char_boundary(at.start)..text.ceil_char_boundary(at.end)
            });
            if let Some(characters) = &characters {
                search(&characters.bytes, &|at| characters.original(&at));
            }
        }
        found
    }

    /// Returns whether a match has the required entropy and is on no allowlist.
    fn is_secret(
        &self,
        rule: &SecretRule,
        compiled: &Compiled,
        text: &str,
        whole: &Range<usize>,
        secret: &Range<usize>,
    ) -> bool {
        let bytes = |at: &Range<usize>| &text.as_bytes()[at.clone()];
        let has_entropy = rule.config.entropy.is_none_or(|least| {
            secret.len() >= MEASURED_BYTES_MIN && entropy::shannon_entropy_bytes(bytes(secret)) >= least
        });
        if whole.is_empty() || !has_entropy {
            return false;
        }
        // A longer line is cut, so that the time is linear.
        let floor = text.ceil_char_boundary(whole.start.saturating_sub(LINE_BYTES_MAX));
        let limit = text.floor_char_boundary(whole.end + LINE_BYTES_MAX);
        let line = text[floor..whole.start].rfind('\n').map_or(floor, |at| floor + at + 1)
            ..text[whole.start..limit].find('\n').map_or(limit, |at| whole.start + at);
        let id = &rule.config.id;
        let concerns =
            |list: &&CompiledAllowlist| list.target_rules.is_empty() || list.target_rules.contains(id);
        let mut lists = self.allowed.iter().filter(concerns).chain(&compiled.allowed);
        !lists.any(|list| list.evaluate("", bytes(&line), bytes(whole), bytes(secret)))
    }
}

impl SecretRule {
    fn compiled(&self) -> Option<&Compiled> {
        let compile = || {
            // The rules are written for Go's RE2, whose `\w`, `\s`, `\d` and `\b` match only ASCII. Unicode
            // classes would take twelve times the memory.
            let pattern = compile_bytes_regex(&format!("(?-u){}", self.config.regex.as_deref()?));
            if let Err(error) = &pattern {
                tracing::warn!(%error, rule = self.config.id, "could not compile a secret rule");
            }
            let allowed = self.config.allowlists.iter();
            let allowed =
                allowed.map(|list| CompiledAllowlist::compile_rule_allowlist(list, &self.config.id));
            Some(Compiled { pattern: pattern.ok()?, allowed: allowed.collect() })
        };
        self.compiled.get_or_init(compile).as_ref()
    }
}

/// A text mapped to one byte for each character, so that byte patterns match letters of any script: "token
/// für Büro = …".
struct Characters {
    bytes: Vec<u8>,
    /// The offset of each character in the text, and the text's length.
    starts: Vec<usize>,
}

impl Characters {
    fn of(text: &str) -> Self {
        let byte = |c: char| match c {
            c if c.is_ascii() => c as u8,
            c if c.is_alphanumeric() => b'_',
            c if c.is_whitespace() => b' ',
            _ => 0x80,
        };
        let (bytes, mut starts): (Vec<u8>, Vec<usize>) =
            text.char_indices().map(|(at, c)| (byte(c), at)).unzip();
        starts.push(text.len());
        Self { bytes, starts }
    }

    fn original(&self, at: &Range<usize>) -> Range<usize> {
        self.starts[at.start]..self.starts[at.end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the resident memory of this process in bytes, if the system reports it.
    fn memory() -> Option<usize> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(kib.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024)
    }

    /// Returns a text with the keywords of all rules.
    fn every_keyword(rules: &SecretRules) -> String {
        let words: BTreeSet<&String> = rules.rules.iter().flat_map(|rule| &rule.config.keywords).collect();
        let lines =
            words.iter().map(|word| format!("{word} {word}: 4f3a9d28c1be77a05566 \"x\" for {word}\n"));
        lines.collect()
    }

    #[test]
    fn rules_take_bounded_memory_however_many_threads_search() {
        let before = memory();
        let rules = SecretRules::read().unwrap();
        let text = every_keyword(&rules);
        std::thread::scope(|scope| {
            (0..16).for_each(|_| drop(scope.spawn(|| rules.find(&text))));
        });
        assert!(rules.rules.len() > 900 && rules.rules.iter().all(|rule| rule.compiled().is_some()));
        if let Some((before, after)) = before.zip(memory()) {
            let mib = after.saturating_sub(before) >> 20;
            assert!(mib < 200, "{mib} MiB more, including what other tests of this process allocate");
        }
    }

    #[test]
    fn rules_match_letters_of_any_script_and_whole_characters() {
        let rules = SecretRules::read().unwrap();
        let found = |text: &str| -> BTreeSet<String> {
            rules.find(text).into_iter().map(|secret| text[secret.at].to_owned()).collect()
        };
        let assigned = "api_key für Büro = q8Xz1Lm0Vb7Kp3Rt9Zy";
        let key = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");
        assert_eq!(found(assigned), BTreeSet::from([assigned.to_owned()]));
        assert_eq!(found(&format!("我的密钥是{key}。谢谢")), BTreeSet::from([key]));
        assert_eq!(found("Der Schlüssel liegt unter der Matte: schön!"), BTreeSet::new());
    }
}
