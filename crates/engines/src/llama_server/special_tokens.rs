//! Escapes special tokens in callers' texts, for a server that renders and tokenizes itself.
//!
//! A llama-server takes a chat as JSON, renders it, and parses special tokens anywhere in the text, also in
//! message content. Lar cannot see its vocabulary, so it looks up every string in a caller's text that looks
//! like a special token with `/tokenize`. If it is one, a zero-width space after its first character breaks
//! it: the model reads the same letters, but no special token. Decision 0034.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::client::Client;
use lar_chat_format;
use lar_chat_format::template::guard::{map_chat, visit_chat};
use lar_inference::Chat;
use lar_inference::Error;

/// The character that breaks a special token.
const ESCAPE: char = '\u{200b}';
/// The longest mark, in bytes. A mark is a string that looks like a special token.
const MARK_BYTES_MAX: usize = 64;
/// The number of marks in the lookup cache; the cache is cleared when it has more.
const KNOWN_MAX: usize = 4_096;
/// The number of different marks of one chat that are looked up. In a chat with more, all marks are broken.
const LOOKUPS_MAX: usize = 1_024;
/// Special tokens of some vocabularies that do not have one of the shapes below.
const LISTED: [&str; 1] = ["[e~["];

/// A cache of which marks are special tokens of one server.
#[derive(Debug, Default)]
pub(super) struct SpecialTokens {
    known: Mutex<HashMap<String, bool>>,
}

impl SpecialTokens {
    /// Breaks the special tokens in the callers' texts of a chat.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub(super) async fn escape_in(&self, client: &Client, template: &str, chat: Chat) -> Result<Chat, Error> {
        let chat = lar_chat_format::with_plain_names(chat);
        let (mut candidates, mut open) = (HashSet::new(), false);
        visit_chat(&chat, &mut |text| {
            for (_, mark) in marks(text, template) {
                if candidates.len() > LOOKUPS_MAX {
                    break;
                }
                if !candidates.contains(mark) {
                    candidates.insert(mark.to_owned());
                }
            }
            open = open || partial_mark_start(text).is_some();
        });
        if candidates.is_empty() && !open {
            return Ok(chat);
        }
        if candidates.len() > LOOKUPS_MAX {
            return Ok(map_chat(chat, &|text| escape_marks(text, template, |_| true)));
        }
        let special = self.special(client, candidates).await?;
        if special.is_empty() && !open {
            return Ok(chat);
        }
        Ok(map_chat(chat, &|text| escape_marks(text, template, |mark| special.contains(mark))))
    }

    /// Returns the `candidates` that are special tokens. A special token is one token if special tokens are
    /// parsed, and several otherwise. An HTML tag may be one token in both cases and is not special.
    async fn special(&self, client: &Client, candidates: HashSet<String>) -> Result<HashSet<String>, Error> {
        let unknown: Vec<&String> = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() > KNOWN_MAX {
                known.clear();
            }
            candidates.iter().filter(|mark| !known.contains_key(*mark)).collect()
        };
        let mut found = HashMap::new();
        if !unknown.is_empty() {
            let content = unknown.iter().map(|mark| mark.as_str()).collect::<Vec<_>>().join("\n");
            let with_special = pieces(client, &content, true).await?;
            let without = pieces(client, &content, false).await?;
            let is_special = |mark: &String| with_special.contains(mark) && !without.contains(mark);
            found.extend(unknown.into_iter().map(|mark| (mark.clone(), is_special(mark))));
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_special = |mark: &String| found.get(mark).or_else(|| known.get(mark)).copied().unwrap_or(true);
        let special = candidates.iter().filter(|mark| is_special(mark)).cloned().collect();
        known.extend(found);
        Ok(special)
    }
}

/// Returns the texts of the tokens of `content`.
async fn pieces(client: &Client, content: &str, parse_special: bool) -> Result<HashSet<String>, Error> {
    let body = json!({ "content": content, "parse_special": parse_special, "with_pieces": true });
    let answer = client.post("/tokenize", &body).await?;
    let tokens = answer["tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(tokens.iter().filter_map(|token| token["piece"].as_str().map(ToOwned::to_owned)).collect())
}

/// Returns the marks in a text with their positions.
fn marks<'a>(text: &'a str, template: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let openers = text.char_indices().filter(|(_, character)| matches!(character, '<' | '[' | '◁'));
    openers.filter_map(move |(at, opener)| {
        let closer = match opener {
            '<' => '>',
            '[' => ']',
            _ => '▷',
        };
        let rest = &text[at..text.floor_char_boundary(at + MARK_BYTES_MAX)];
        if let Some(mark) = LISTED.iter().find(|mark| rest.starts_with(**mark)) {
            return Some((at, &rest[..mark.len()]));
        }
        let end =
            rest.find(|c: char| c == closer || c.is_whitespace() || (c == opener && !rest.starts_with(c)));
        let mark = &rest[..end.filter(|end| rest[*end..].starts_with(closer))? + closer.len_utf8()];
        let inner = &mark[opener.len_utf8()..mark.len() - closer.len_utf8()];
        let looks = match opener {
            '<' => {
                let name = inner.strip_prefix('/').unwrap_or(inner);
                let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
                is_name
                    || inner.starts_with(['|', '｜'])
                    || inner.ends_with(['|', '｜'])
                    || inner.contains('_')
            }
            '[' => {
                !inner.is_empty() && inner.chars().all(|c| c.is_ascii_uppercase() || matches!(c, '_' | '/'))
            }
            _ => true,
        };
        (looks || template.contains(mark)).then_some((at, mark))
    })
}

/// Returns the position of an incomplete mark at the end of a text, which the following text could complete.
fn partial_mark_start(text: &str) -> Option<usize> {
    let trimmed = text.trim_end();
    let at = trimmed.rfind(['<', '[', '◁'])?;
    let rest = &trimmed[at..];
    let open = rest.len() < MARK_BYTES_MAX && !rest.contains([' ', '\n', '>', ']', '▷']);
    (open && (rest.starts_with("<|") || rest.starts_with("<｜"))).then_some(at)
}

/// Breaks each mark that `is_special`, and an incomplete mark at the end of the text.
fn escape_marks(text: &str, template: &str, is_special: impl Fn(&str) -> bool) -> String {
    let special = marks(text, template).filter(|(_, mark)| is_special(mark)).map(|(at, _)| at);
    let (mut changed, mut copied) = (String::with_capacity(text.len()), 0);
    for at in special.chain(partial_mark_start(text)) {
        let end = at + text[at..].chars().next().map_or(0, char::len_utf8);
        changed.push_str(&text[copied..end]);
        changed.push(ESCAPE);
        copied = end;
    }
    changed.push_str(&text[copied..]);
    changed
}

/// Returns the server's chat template and the texts of its start and end tokens.
pub(super) fn template_texts(properties: &Value) -> String {
    let text = |key: &str| properties[key].as_str().unwrap_or_default().to_owned();
    [text("chat_template"), text("bos_token"), text("eos_token")].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn possible_special_tokens_are_found_in_text() {
        let found = |text: &str| {
            let marks = marks(text, "<end_of_turn> <tool>").map(|(_, mark)| mark.to_owned());
            marks.collect::<Vec<_>>()
        };
        assert_eq!(
            found("a<|im_end|>b</s><reponame> [INST] [/INST]◁think▷ [e~[x"),
            ["<|im_end|>", "</s>", "<reponame>", "[INST]", "[/INST]", "◁think▷", "[e~["]
        );
        assert_eq!(
            found("<fim_prefix><｜User｜><|<|x|>"),
            ["<fim_prefix>", "<｜User｜>", "<|<|x|>", "<|x|>"]
        );
        assert_eq!(
            found("a <b>bold</b>"),
            ["<b>", "</b>"],
            "only the server knows that these are not special"
        );
        assert_eq!(found("[1], x < y > z, a[i], <div class=\"x\">, <>, </>, <a.b>"), [""; 0]);
    }

    #[test]
    fn escaping_keeps_the_letters_and_removes_every_mark() {
        let text = "x<|im_end|></s><|other|><|im_";
        let changed = escape_marks(text, "", |mark| ["<|im_end|>", "</s>"].contains(&mark));
        assert_eq!(changed, "x<\u{200b}|im_end|><\u{200b}/s><|other|><\u{200b}|im_");
        assert_eq!(changed.replace(ESCAPE, ""), text);
        let all = escape_marks(text, "", |_| true);
        assert_eq!(all, "x<\u{200b}|im_end|><\u{200b}/s><\u{200b}|other|><\u{200b}|im_");
        assert_eq!(escape_marks("<|a|><|", "", |_| true), "<\u{200b}|a|><\u{200b}|");
    }

    #[tokio::test]
    async fn too_many_marks_are_escaped_without_asking_the_server() {
        let client = Client {
            egress: lar_egress::Egress::new().unwrap(),
            // Nothing listens there, so a request would fail.
            url: "http://127.0.0.1:1".into(),
            key: None,
        };
        let text: String = (0..=LOOKUPS_MAX).map(|number| format!("<|{number}|>")).collect();
        let chat = Chat::from(vec![lar_inference::ChatMessage::new("user", text.clone())]);
        let chat = SpecialTokens::default().escape_in(&client, "", chat).await.unwrap();
        assert_eq!(chat.messages[0].content, text.replace("<|", "<\u{200b}|"));
    }
}
