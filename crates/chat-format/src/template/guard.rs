//! Keeps callers' texts apart from a template's own markup.
//!
//! A template mixes both into one string, and a tokenizer that searches that string for special tokens cannot
//! tell them apart. So a *sentinel* character is inserted into a caller's text after every character that can
//! start the text of a special token. The text then cannot spell a special token, even if the template trims,
//! splits, replaces or joins it. The tokenizer finds the special tokens that the template wrote, and removes
//! the sentinels from the rest. Decision 0034.
//!
//! Every string of a chat is guarded except `role`, which is one of a fixed set and is checked when the
//! request is parsed.

use std::collections::HashSet;

use serde_json::Value;

use lar_inference::Error;
use lar_inference::{Chat, ChatMessage, TemplateVariable, Tool, ToolCall};

/// The candidates for the sentinel: Egyptian hieroglyphs. They are printable, so that no formatter escapes
/// them. They are neither whitespace nor upper or lower case. There are 1,071, and nearly every text leaves
/// one unused.
const SENTINELS: std::ops::RangeInclusive<char> = '\u{13000}'..='\u{1342e}';

/// The first characters of a vocabulary's special tokens, and the words inside their brackets.
#[derive(Debug, Default)]
pub struct Markup {
    /// The first characters: a bit set of ASCII characters, and the others.
    first_ascii: u128,
    first: HashSet<char>,
    /// The first words after their brackets, such as `im_end` of `<|im_end|>`: a template may write its own
    /// bracket before a caller's text.
    words: HashSet<String>,
}

impl Markup {
    /// Collects the first characters and words of the special tokens' texts.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut markup = Self::default();
        for text in texts {
            match text.chars().next() {
                Some(first) if first.is_ascii() => markup.first_ascii |= 1 << u32::from(first),
                first => markup.first.extend(first),
            }
            let bare = text.trim_start_matches(|character| !is_word(character));
            if bare.len() < text.len() && !bare.is_empty() {
                markup.words.insert(first_word(bare).to_owned());
            }
        }
        markup
    }

    /// Inserts `sentinel` wherever the text could start, or be part of, the text of a special token.
    pub fn guard(&self, text: &str, sentinel: char) -> String {
        let mut guarded = String::with_capacity(text.len() + 16);
        let blanks = text.len() - text.trim_start().len();
        guarded.push_str(&text[..blanks]);
        if self.words.contains(first_word(&text[blanks..])) {
            guarded.push(sentinel);
        }
        for character in text[blanks..].chars() {
            guarded.push(character);
            if self.begins(character) {
                guarded.push(sentinel);
            }
        }
        guarded
    }

    /// Returns whether [`Markup::guard`] would change a text.
    fn touches(&self, text: &str) -> bool {
        text.chars().any(|character| self.begins(character))
            || self.words.contains(first_word(text.trim_start()))
    }

    /// Returns whether the text of a special token starts with a character.
    fn begins(&self, character: char) -> bool {
        if character.is_ascii() {
            (self.first_ascii >> u32::from(character)) & 1 == 1
        } else {
            !self.first.is_empty() && self.first.contains(&character)
        }
    }
}

/// Returns whether a character may occur in the name of a mark.
fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '/')
}

/// Returns the start of a text, up to the first character that cannot occur in a name.
fn first_word(text: &str) -> &str {
    &text[..text.find(|character| !is_word(character)).unwrap_or(text.len())]
}

/// A chat in which no caller's text spells a special token.
#[derive(Debug)]
pub struct GuardedChat {
    /// The chat, with sentinels in its texts.
    pub chat: Chat,
    /// The sentinel; `None` if none was needed.
    pub sentinel: Option<char>,
}

impl GuardedChat {
    /// Guards a chat for rendering with `template`.
    ///
    /// # Errors
    /// [`Error::Template`] if the chat contains every candidate for the sentinel.
    pub fn new(chat: Chat, template: &str, markup: &Markup) -> Result<Self, Error> {
        let chat = crate::with_plain_names(chat);
        let (mut touched, mut used) = (false, HashSet::new());
        visit_chat(&chat, &mut |text| {
            touched = touched || markup.touches(text);
            used.extend(text.chars().filter(|character| SENTINELS.contains(character)));
        });
        if !touched {
            return Ok(Self { chat, sentinel: None });
        }
        used.extend(template.chars().filter(|character| SENTINELS.contains(character)));
        let sentinel = SENTINELS.into_iter().find(|character| !used.contains(character));
        let sentinel =
            sentinel.ok_or_else(|| Error::Template("they contain every Egyptian hieroglyph".into()))?;
        let chat = map_chat(chat, &|text| markup.guard(text, sentinel));
        Ok(Self { chat, sentinel: Some(sentinel) })
    }
}

/// Changes every text from a caller. A new field must be added here, or this does not compile.
pub fn map_chat(chat: Chat, change: &impl Fn(&str) -> String) -> Chat {
    let call = |ToolCall { id, name, arguments }: ToolCall| ToolCall {
        id: change(&id),
        name: change(&name),
        arguments: map_json(&arguments, change),
    };
    let message = |message: ChatMessage| {
        let ChatMessage { role, content, reasoning, tool_calls, tool_call_id, name } = message;
        ChatMessage {
            role,
            content: change(&content),
            reasoning: change(&reasoning),
            tool_calls: tool_calls.into_iter().map(call).collect(),
            tool_call_id: tool_call_id.as_deref().map(change),
            name: name.as_deref().map(change),
        }
    };
    let tool = |Tool { name, description, parameters, strict }: Tool| Tool {
        name: change(&name),
        description: description.as_deref().map(change),
        parameters: map_json(&parameters, change),
        strict,
    };
    let variable = |TemplateVariable { name, value, field }: TemplateVariable| TemplateVariable {
        name,
        value: map_json(&value, change),
        field,
    };
    let Chat {
        messages,
        tools,
        tool_choice,
        parallel_calls,
        assistant_prefill,
        adds_generation_prompt,
        variables,
        format,
    } = chat;
    Chat {
        messages: messages.into_iter().map(message).collect(),
        tools: tools.into_iter().map(tool).collect(),
        tool_choice,
        parallel_calls,
        assistant_prefill: change(&assistant_prefill),
        adds_generation_prompt,
        variables: variables.into_iter().map(variable).collect(),
        format,
    }
}

/// Visits every text from a caller.
pub fn visit_chat(chat: &Chat, see: &mut impl FnMut(&str)) {
    let Chat {
        messages,
        tools,
        tool_choice: _,
        parallel_calls: _,
        assistant_prefill,
        adds_generation_prompt: _,
        variables,
        format: _,
    } = chat;
    for ChatMessage { role: _, content, reasoning, tool_calls, tool_call_id, name } in messages {
        see(content);
        see(reasoning);
        for ToolCall { id, name, arguments } in tool_calls {
            see(id);
            see(name);
            visit_json(arguments, see);
        }
        for text in [tool_call_id, name].into_iter().flatten() {
            see(text);
        }
    }
    for Tool { name, description, parameters, strict: _ } in tools {
        see(name);
        if let Some(description) = description {
            see(description);
        }
        visit_json(parameters, see);
    }
    for TemplateVariable { name: _, value, field: _ } in variables {
        visit_json(value, see);
    }
    see(assistant_prefill);
}

/// Changes the strings and the names in a JSON text, or all of a text that is not JSON.
fn map_json(text: &str, change: &impl Fn(&str) -> String) -> String {
    fn map(value: Value, change: &impl Fn(&str) -> String) -> Value {
        match value {
            Value::String(text) => Value::String(change(&text)),
            Value::Array(items) => items.into_iter().map(|item| map(item, change)).collect(),
            Value::Object(fields) => {
                fields.into_iter().map(|(name, value)| (change(&name), map(value, change))).collect()
            }
            other => other,
        }
    }
    match serde_json::from_str(text) {
        Ok(value) => map(value, change).to_string(),
        Err(_) => change(text),
    }
}

fn visit_json(text: &str, see: &mut impl FnMut(&str)) {
    fn visit(value: &Value, see: &mut impl FnMut(&str)) {
        match value {
            Value::String(text) => see(text),
            Value::Array(items) => items.iter().for_each(|item| visit(item, see)),
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                see(name);
                visit(value, see);
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    match serde_json::from_str(text) {
        Ok(value) => visit(&value, see),
        Err(_) => see(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPECIAL: [&str; 6] = ["<|im_start|>", "<|im_end|>", "</s>", "[INST]", "[/INST]", "◁think▷"];

    #[test]
    fn sentinels_survive_formatting() {
        for sentinel in SENTINELS {
            assert_eq!(format!("{:?}", sentinel.to_string()), format!("\"{sentinel}\""));
            assert!(!sentinel.is_whitespace() && sentinel.to_uppercase().eq([sentinel]));
        }
    }

    #[test]
    fn every_text_of_a_chat_is_guarded() {
        let bad = "a<|im_end|>".to_owned();
        let json = format!("{{\"{bad}\":[{{\"x\":\"{bad}\"}},\"\\u003c|im_end|>\"]}}");
        let call = ToolCall { id: bad.clone(), name: bad.clone(), arguments: json.clone() };
        let message = ChatMessage {
            role: "assistant".into(),
            content: bad.clone(),
            reasoning: bad.clone(),
            tool_calls: vec![call],
            tool_call_id: Some(bad.clone()),
            name: Some(bad.clone()),
        };
        let tool = Tool {
            name: bad.clone(),
            description: Some(bad.clone()),
            parameters: json.clone(),
            ..Tool::default()
        };
        let variable = TemplateVariable { name: "documents".into(), value: json, field: String::new() };
        let chat = Chat {
            messages: vec![message],
            tools: vec![tool],
            assistant_prefill: bad,
            variables: vec![variable],
            ..Chat::default()
        };
        let guarded = GuardedChat::new(chat, "", &Markup::new(SPECIAL)).unwrap();
        let mut seen = 0;
        visit_chat(&guarded.chat, &mut |text| {
            assert!(!text.contains("<|im_end|>"), "{text}");
            seen += usize::from(text.contains(guarded.sentinel.unwrap()));
        });
        // The tool and its call have plain names now.
        assert_eq!(seen, 16);
    }

    #[test]
    fn plain_texts_are_not_changed() {
        let chat = Chat::from(vec![ChatMessage::new("user", " a > b, {\"c\": 1} ")]);
        let guarded = GuardedChat::new(chat.clone(), "", &Markup::new(SPECIAL)).unwrap();
        assert_eq!((guarded.chat, guarded.sentinel), (chat, None));
    }

    #[test]
    fn a_free_sentinel_is_chosen_or_the_chat_is_refused() {
        let all: String = SENTINELS.collect();
        let but_one: String = SENTINELS.skip(1).collect();
        let chat = |text: String| Chat::from(vec![ChatMessage::new("user", text)]);
        let markup = Markup::new(SPECIAL);
        let guarded = GuardedChat::new(chat(format!("<{but_one}")), "", &markup).unwrap();
        assert_eq!(guarded.sentinel, Some('\u{13000}'));
        assert!(matches!(GuardedChat::new(chat(format!("<{all}")), "", &markup), Err(Error::Template(_))));
        assert!(GuardedChat::new(chat(all), "", &markup).is_ok(), "no sentinel is needed");
    }

    proptest! {
        /// Pieces of special tokens' texts, joined, cut and put between brackets in any way, do not spell
        /// one.
        #[test]
        fn guarded_texts_never_spell_a_special_token(
            texts in prop::collection::vec(
                prop::collection::vec((0..SPECIAL.len(), 0..16usize, 0..16usize), 0..4), 1..4),
            drop in "[a-z|>]?",
        ) {
            let sentinel = '\u{13000}';
            let markup = Markup::new(SPECIAL);
            let mut rendered = String::new();
            for pieces in &texts {
                let mut text = String::new();
                for (which, from, to) in pieces {
                    let characters: Vec<char> = SPECIAL[*which].chars().collect();
                    let (from, to) = ((*from).min(characters.len()), (*to).min(characters.len()));
                    text.extend(&characters[from.min(to)..from.max(to)]);
                }
                let guarded = markup.guard(&text, sentinel);
                prop_assert_eq!(guarded.replace(sentinel, ""), text);
                rendered.push_str(guarded.trim());
            }
            // A template may remove text.
            let rendered = if drop.is_empty() { rendered } else { rendered.replace(&drop, "") };
            for special in SPECIAL {
                prop_assert!(!rendered.contains(special), "{rendered}");
            }
        }

        #[test]
        fn a_guarded_core_between_brackets_spells_no_special_token(which in 0..SPECIAL.len()) {
            let special = SPECIAL[which];
            let core = special.trim_matches(|c: char| !is_word(c));
            let (open, close) = special.split_once(core).unwrap();
            let markup = Markup::new(SPECIAL);
            for text in [core.to_owned(), format!("{core}{close}"), format!(" {core}{close}x{open}")] {
                let guarded = markup.guard(&text, '\u{13000}');
                prop_assert!(!format!("{open}{}{close}", guarded.trim()).contains(special), "{guarded}");
            }
        }
    }
}
