//! Truncates a prompt to the model's context, for the APIs that specify it.
//!
//! Ollama's API truncates unless `truncate` is false; OpenAI's Responses API with `truncation: "auto"`. The
//! oldest messages of a chat are removed; system messages and the end of the chat stay. For Ollama, the last
//! text of a prompt that is still too long loses its beginning. Admission rejects a prompt that is too long after that.

use lar_base::{Code, KeyId, Problem};
use lar_compat::{Request, plain_name};
use lar_gateway::Gateway;
use lar_inference::{Chat, ChatMessage, Prompt};

use crate::request_errors::about_model;

/// The maximum number of tokens that a chat template adds to a message.
const MESSAGE_TOKENS_MAX: usize = 64;
/// The tokens that a truncated prompt leaves for an answer without a token limit.
const ANSWER_TOKENS: usize = 512;
/// The maximum number of attempts to shorten a text.
const CUTS_MAX: usize = 8;
/// The assumed bytes per token of a prompt that is too long to be counted.
const TOKEN_BYTES: usize = 3;

/// The parts of a prompt that truncation may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Whole messages. OpenAI drops items, and rejects an input whose last item is too long.
    Messages,
    /// Whole messages, then the beginning of the last text, as Ollama does.
    MessagesAndText,
}

/// Truncates a request's prompt to the model's context, or to `context_max` if that is smaller.
///
/// Returns the number of removed messages, or `None` if the prompt fits. A prompt that cannot be shortened
/// enough is not an error here.
///
/// # Errors
/// If the model does not exist or the prompt cannot be rendered.
pub async fn fit(
    gateway: &Gateway,
    key: KeyId,
    request: &mut Request,
    cut: Cut,
    context_max: Option<usize>,
) -> Result<Option<usize>, Problem> {
    let model = plain_name(&request.model).to_owned();
    let context = gateway.context_tokens(&model).await.map_err(about_model)?;
    let Some(context) = [context, context_max].into_iter().flatten().min() else { return Ok(None) };
    if tokens_at_most(&request.prompt) < context {
        return Ok(None);
    }
    let counter = Counter { gateway, key, model: &model, context };
    if counter.count(&request.prompt).await? < context {
        return Ok(None);
    }
    let answer = match request.sampling.tokens_max {
        0 => ANSWER_TOKENS,
        tokens => tokens as usize,
    };
    let budget = context - answer.min(context / 4).max(1);
    let before = messages(&request.prompt);
    if let Prompt::Chat(chat) = &mut request.prompt {
        remove_oldest(&counter, chat, budget).await?;
    }
    if cut == Cut::MessagesAndText {
        cut_start(&counter, &mut request.prompt, budget).await?;
    }
    Ok(Some(before - messages(&request.prompt)))
}

struct Counter<'a> {
    gateway: &'a Gateway,
    key: KeyId,
    model: &'a str,
    context: usize,
}

impl Counter<'_> {
    /// Counts the tokens of a prompt, or estimates them if the prompt is too long to be counted.
    async fn count(&self, prompt: &Prompt) -> Result<usize, Problem> {
        match self.gateway.count_tokens_for(self.key, self.model, prompt).await {
            Ok(counted) => Ok(counted.tokens),
            Err(problem) if problem.code == Code::ContextTooLong => {
                Ok((bytes(prompt) / TOKEN_BYTES).max(2 * self.context))
            }
            Err(problem) => Err(about_model(problem)),
        }
    }
}

/// Removes the oldest messages, as few as possible, so that the rest fits.
async fn remove_oldest(counter: &Counter<'_>, chat: &mut Chat, budget: usize) -> Result<(), Problem> {
    let all = std::mem::take(&mut chat.messages);
    let removable = all[..end_of(&all)].iter().filter(|message| message.role != "system").count();
    // The smallest sufficient number is between `low` and `high`. Removing all is the last resort and not counted.
    let (mut low, mut high) = (1.min(removable), removable);
    while low < high {
        let middle = low.midpoint(high);
        let shorter = Prompt::Chat(Chat { messages: without(&all, middle), ..chat.clone() });
        if counter.count(&shorter).await? <= budget { high = middle } else { low = middle + 1 }
    }
    chat.messages = without(&all, high);
    Ok(())
}

/// Returns the index at which the end of a chat starts that is never removed.
///
/// The end is the last message, or the last tool results with the message that made the calls.
fn end_of(all: &[ChatMessage]) -> usize {
    let last = all.len().saturating_sub(1);
    let call = all.iter().rposition(|message| message.role != "tool");
    call.filter(|call| !all[*call].tool_calls.is_empty()).unwrap_or(last)
}

/// Returns the messages without the `count` oldest ones, not counting system messages.
///
/// Tool results whose call was removed are removed, too.
fn without(all: &[ChatMessage], mut count: usize) -> Vec<ChatMessage> {
    let end = end_of(all);
    let mut kept = Vec::with_capacity(all.len());
    let mut is_orphan = count > 0;
    for (index, message) in all.iter().enumerate() {
        if message.role == "system" || index >= end {
            kept.push(message.clone());
        } else if count > 0 {
            count -= 1;
        } else if !(is_orphan && message.role == "tool") {
            is_orphan = false;
            kept.push(message.clone());
        }
    }
    kept
}

/// Removes the beginning of a prompt's last text until the prompt fits.
async fn cut_start(counter: &Counter<'_>, prompt: &mut Prompt, budget: usize) -> Result<(), Problem> {
    for _ in 0..CUTS_MAX {
        let tokens = counter.count(prompt).await?;
        if tokens <= budget {
            return Ok(());
        }
        let Some(text) = last_text(prompt) else { return Ok(()) };
        // The whole excess comes off this text, plus a little more, because tokens differ in length.
        let length = text.len();
        let excess = (tokens - budget).saturating_mul(length) / tokens.max(1) + length / 50 + 1;
        let start = text.char_indices().map(|(at, _)| at).find(|at| *at >= excess).unwrap_or(length);
        text.drain(..start);
    }
    Ok(())
}

fn last_text(prompt: &mut Prompt) -> Option<&mut String> {
    match prompt {
        Prompt::Chat(chat) => chat.messages.last_mut().map(|message| &mut message.content),
        Prompt::Text(text) => Some(text),
        Prompt::Infill { prefix, .. } => Some(prefix),
        Prompt::Tokens(_) => None,
    }
}

fn messages(prompt: &Prompt) -> usize {
    match prompt {
        Prompt::Chat(chat) => chat.messages.len(),
        Prompt::Text(_) | Prompt::Infill { .. } | Prompt::Tokens(_) => 0,
    }
}

/// Returns an upper bound of a prompt's tokens: a token has at least one byte.
fn tokens_at_most(prompt: &Prompt) -> usize {
    bytes(prompt) + (messages(prompt) + 1) * MESSAGE_TOKENS_MAX
}

fn bytes(prompt: &Prompt) -> usize {
    match prompt {
        Prompt::Chat(chat) => {
            let calls = |message: &ChatMessage| -> usize {
                message
                    .tool_calls
                    .iter()
                    .map(|call| call.id.len() + call.name.len() + call.arguments.len() + MESSAGE_TOKENS_MAX)
                    .sum()
            };
            let names = |message: &ChatMessage| -> usize {
                [&message.name, &message.tool_call_id].into_iter().flatten().map(String::len).sum()
            };
            let messages: usize = chat
                .messages
                .iter()
                .map(|message| message.content.len() + names(message) + calls(message))
                .sum();
            let tools = chat.tools.iter().map(|tool| {
                // Templates write schemas with more whitespace.
                tool.parameters.len() * 2 + tool.name.len() + tool.description.as_ref().map_or(0, String::len)
            });
            messages + chat.assistant_prefill.len() + tools.sum::<usize>()
        }
        Prompt::Text(text) => text.len(),
        Prompt::Infill { prefix, suffix } => prefix.len() + suffix.len(),
        Prompt::Tokens(tokens) => tokens.len(),
    }
}

#[cfg(test)]
mod tests {
    use lar_inference::ToolCall;

    use super::*;

    #[test]
    fn the_oldest_messages_are_removed_but_system_messages_and_the_last_one_stay() {
        let all: Vec<ChatMessage> = [
            ("system", "s"),
            ("user", "1"),
            ("assistant", "2"),
            ("tool", "3"),
            ("assistant", "4"),
            ("user", "5"),
        ]
        .into_iter()
        .map(|(role, text)| ChatMessage::new(role, text))
        .collect();
        let kept =
            |count| without(&all, count).into_iter().map(|message| message.content).collect::<String>();
        assert_eq!(kept(0), "s12345");
        assert_eq!(kept(1), "s2345");
        assert_eq!(kept(2), "s45", "a result is removed with its call");
        assert_eq!(kept(4), "s5");
        assert_eq!(kept(9), "s5");
    }

    #[test]
    fn the_last_results_stay_with_the_calls_they_answer() {
        let call = ToolCall { id: "c".into(), name: "look".into(), arguments: "{}".into() };
        let called = ChatMessage { tool_calls: vec![call], ..ChatMessage::new("assistant", "2") };
        let message = |role: &str, text: &str| ChatMessage::new(role, text);
        let all = [message("user", "1"), called, message("tool", "3"), message("tool", "4")];
        let kept: String = without(&all, 9).into_iter().map(|message| message.content).collect();
        assert_eq!(kept, "234");
        let orphans = [message("user", "1"), message("tool", "2"), message("tool", "3")];
        assert_eq!(end_of(&orphans), 2, "results without a call are ordinary messages");
        assert_eq!(end_of(&[]), 0);
    }
}
