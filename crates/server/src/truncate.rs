//! Fits a prompt into the model's context, for the APIs that do so: Ollama's unless `truncate` is false, OpenAI's Responses
//! with `truncation: "auto"`. A chat loses its oldest messages; its system messages and the end stay. What is still too
//! long loses its beginning, or is left to be refused.

use axum::http::HeaderValue;
use axum::response::Response;
use lar_base::{Code, KeyId, Problem};
use lar_engines::driver::{Chat, ChatMessage, Prompt};

use crate::App;
use crate::compat_caller::plain_name;
use crate::generate::{GenerationRequest, about_model};

/// A token is at least a byte, and a template adds no more than this to a message, in tokens.
const MESSAGE_TOKENS_MAX: usize = 64;
/// Tokens left for an answer whose length is not said, of a prompt that is cut.
const ANSWER_TOKENS: usize = 512;
/// Times that a text is cut closer before it is given up.
const CUTS_MAX: usize = 8;
/// What a token is taken for where the prompt is too long to be counted, in bytes.
const TOKEN_BYTES: usize = 3;

/// What a prompt may lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Whole messages: OpenAI drops items, and refuses an input whose last item is too long.
    Messages,
    /// Whole messages, then the beginning of the last text, as at Ollama.
    MessagesAndText,
}

/// Cuts a request's prompt if it is beyond the context: the model's, or `context_max` where that is smaller. Returns how many
/// messages were left out, where any was cut.
///
/// # Errors
/// When the model is not there, or the prompt cannot be rendered; one that cannot be cut to fit is left as it is.
pub(crate) async fn fit(
    app: &App,
    key: KeyId,
    request: &mut GenerationRequest,
    cut: Cut,
    context_max: Option<usize>,
) -> Result<Option<usize>, Problem> {
    let model = plain_name(&request.model).to_owned();
    let context = app.gateway.context_tokens(&model).await.map_err(about_model)?;
    let Some(context) = [context, context_max].into_iter().flatten().min() else { return Ok(None) };
    if tokens_at_most(&request.prompt) < context {
        return Ok(None);
    }
    let counter = Counter { app, key, model: &model, context };
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
        leave_out_oldest(&counter, chat, budget).await?;
    }
    if cut == Cut::MessagesAndText {
        cut_start(&counter, &mut request.prompt, budget).await?;
    }
    Ok(Some(before - messages(&request.prompt)))
}

/// Tells how many messages of a request were left out.
pub(crate) fn set_truncated_header(response: &mut Response, left_out: usize) {
    response.headers_mut().insert("x-lar-truncated", HeaderValue::from(left_out));
}

struct Counter<'a> {
    app: &'a App,
    key: KeyId,
    model: &'a str,
    context: usize,
}

impl Counter<'_> {
    /// The tokens of a prompt; an estimate where it is too long to be counted.
    async fn count(&self, prompt: &Prompt) -> Result<usize, Problem> {
        match self.app.gateway.count_tokens_for(self.key, self.model, prompt).await {
            Ok(counted) => Ok(counted.tokens),
            Err(problem) if problem.code == Code::ContextTooLong => {
                Ok((bytes(prompt) / TOKEN_BYTES).max(2 * self.context))
            }
            Err(problem) => Err(about_model(problem)),
        }
    }
}

/// Leaves out as few of the oldest messages as makes the rest fit.
async fn leave_out_oldest(counter: &Counter<'_>, chat: &mut Chat, budget: usize) -> Result<(), Problem> {
    let all = std::mem::take(&mut chat.messages);
    let removable = all[..end_of(&all)].iter().filter(|message| message.role != "system").count();
    // The fewest that do lie from `low` to `high`; leaving out all is tried without being counted.
    let (mut low, mut high) = (1.min(removable), removable);
    while low < high {
        let middle = low.midpoint(high);
        let shorter = Prompt::Chat(Chat { messages: without(&all, middle), ..chat.clone() });
        if counter.count(&shorter).await? <= budget { high = middle } else { low = middle + 1 }
    }
    chat.messages = without(&all, high);
    Ok(())
}

/// Where the end of a chat begins that always stays: its last message, or its last results with the calls they answer.
fn end_of(all: &[ChatMessage]) -> usize {
    let last = all.len().saturating_sub(1);
    let call = all.iter().rposition(|message| message.role != "tool");
    call.filter(|call| !all[*call].tool_calls.is_empty()).unwrap_or(last)
}

/// The messages without so many of the oldest that are no system message; nor does a result stand without its call.
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

/// Cuts the beginning off the last text of a prompt until it fits.
async fn cut_start(counter: &Counter<'_>, prompt: &mut Prompt, budget: usize) -> Result<(), Problem> {
    for _ in 0..CUTS_MAX {
        let tokens = counter.count(prompt).await?;
        if tokens <= budget {
            return Ok(());
        }
        let Some(text) = last_text(prompt) else { return Ok(()) };
        // All that is too much goes off this text, and a little more each time: tokens are not equally long.
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

/// What a prompt takes at most: more than this there are never.
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
            let named = |message: &ChatMessage| -> usize {
                [&message.name, &message.tool_call_id].into_iter().flatten().map(String::len).sum()
            };
            let said: usize = chat
                .messages
                .iter()
                .map(|message| message.content.len() + named(message) + calls(message))
                .sum();
            let tools = chat.tools.iter().map(|tool| {
                // Templates write schemas with more space than we do.
                tool.parameters.len() * 2 + tool.name.len() + tool.description.as_ref().map_or(0, String::len)
            });
            said + chat.assistant_prefill.len() + tools.sum::<usize>()
        }
        Prompt::Text(text) => text.len(),
        Prompt::Infill { prefix, suffix } => prefix.len() + suffix.len(),
        Prompt::Tokens(tokens) => tokens.len(),
    }
}

#[cfg(test)]
mod tests {
    use lar_engines::driver::ToolCall;

    use super::*;

    #[test]
    fn the_oldest_messages_go_but_system_messages_and_the_last_one_stay() {
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
        assert_eq!(kept(2), "s45", "a result does not stand without its call");
        assert_eq!(kept(4), "s5");
        assert_eq!(kept(9), "s5");
    }

    #[test]
    fn the_last_results_stay_with_the_calls_they_answer() {
        let call = ToolCall { id: "c".into(), name: "look".into(), arguments: "{}".into() };
        let called = ChatMessage { tool_calls: vec![call], ..ChatMessage::new("assistant", "2") };
        let said = |role: &str, text: &str| ChatMessage::new(role, text);
        let all = [said("user", "1"), called, said("tool", "3"), said("tool", "4")];
        let kept: String = without(&all, 9).into_iter().map(|message| message.content).collect();
        assert_eq!(kept, "234");
        let orphans = [said("user", "1"), said("tool", "2"), said("tool", "3")];
        assert_eq!(end_of(&orphans), 2, "results that answer no call are messages like others");
        assert_eq!(end_of(&[]), 0);
    }
}
