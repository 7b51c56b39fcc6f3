//! A model with a tool call format of its own: the starter model with a template that shows the format. Tests
//! call its driver directly.

use futures_util::StreamExt as _;
use lar_base::Instant;
use lar_chat_format::OutputParser;
use lar_engines::driver::{Ability, Driver as _};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_inference::ChatTemplate;
use lar_inference::Error;
use lar_inference::OutputPart;
use lar_inference::protocol::Compute;
use lar_inference::{Chat, ChatMessage, Event, GenerationRequest, Prompt, Sampling, Tool};

use crate::{chat_model, program};

/// The loaded model.
#[derive(Debug)]
pub struct ToolCaller {
    driver: Embedded,
}

/// An answer of the model.
#[derive(Debug)]
pub struct ToolAnswer {
    /// The text outside of tool calls.
    pub text: String,
    /// The names and arguments of the tool calls.
    pub calls: Vec<(String, String)>,
    /// The terminal event.
    pub end: Event,
    /// The number of tokens.
    pub tokens: u32,
    /// The seconds from the first token to the last.
    pub seconds: f64,
}

impl ToolCaller {
    /// Loads the model with a chat template that uses ChatML's special tokens.
    ///
    /// # Errors
    /// The error of the driver.
    pub async fn load(template: &str) -> Result<Self, Error> {
        let [start, end] = ["<|im_start|>", "<|im_end|>"].map(ToOwned::to_owned);
        let driver = Embedded::new(EmbeddedOptions {
            program: program(),
            path: chat_model(),
            template: Some(ChatTemplate { source: template.into(), start, end }),
            ability: Ability::Generate,
            concurrency: 1,
            context_tokens: 4096,
            compute: Compute::with_threads(2),
            tuning: None,
            draft: None,
            cache: lar_base::Bytes::mib(16),
            memory_max: None,
            confinement: ConfinementPolicy::BestEffort,
        });
        driver.load().await?;
        Ok(Self { driver })
    }

    /// Generates an answer greedily, with at most `tokens_max` tokens. If `constrained`, a grammar constrains
    /// the calls.
    ///
    /// # Errors
    /// The error of the driver before the answer starts.
    pub async fn ask(
        &self,
        question: &str,
        tools: Vec<Tool>,
        tokens_max: u32,
        constrained: bool,
    ) -> Result<ToolAnswer, Error> {
        let chat = Chat { tools, ..Chat::from(vec![ChatMessage::new("user", question)]) };
        let prepared = self.driver.prepare(Prompt::Chat(chat)).await?;
        let sampling = Sampling {
            temperature: Some(0.0),
            tokens_max,
            preserved: prepared.output_format.preserved.clone(),
            constraint: prepared.output_format.constraint.clone().filter(|_| constrained),
            ..Sampling::default()
        };
        let job = GenerationRequest { prompt: prepared.prompt, sampling, caller: None, cache_of: None };
        let mut generation = self.driver.generate(job)?;
        let mut reader = OutputParser::new(&prepared.output_format);
        let mut called = ToolAnswer {
            text: String::new(),
            calls: Vec::new(),
            end: Event::Cancelled,
            tokens: 0,
            seconds: 0.0,
        };
        let mut first = None;
        while let Some(event) = generation.events.next().await {
            let parts = match (event, &mut reader) {
                (Event::Delta { text, tokens, .. }, reader) => {
                    called.tokens += tokens;
                    let started_at = *first.get_or_insert_with(Instant::now);
                    called.seconds = started_at.elapsed().as_secs_f64();
                    reader
                        .as_mut()
                        .map_or_else(|| vec![OutputPart::Text(text.clone())], |reader| reader.push(&text))
                }
                (event, reader) if event.is_terminal() => {
                    called.end = event;
                    reader.as_mut().map(|reader| reader.finish(false)).unwrap_or_default()
                }
                _ => Vec::new(),
            };
            for part in parts {
                called.take(part);
            }
        }
        Ok(called)
    }

    /// Unloads the model.
    pub async fn unload(&self) {
        self.driver.unload().await;
    }
}

impl ToolAnswer {
    fn take(&mut self, part: OutputPart) {
        match part {
            OutputPart::Text(text) | OutputPart::Reasoning(text) => self.text.push_str(&text),
            OutputPart::Call(call) => {
                if let Some(name) = call.name {
                    self.calls.push((name, String::new()));
                }
                if let Some((_, arguments)) = self.calls.last_mut() {
                    arguments.push_str(&call.arguments);
                }
            }
        }
    }
}
