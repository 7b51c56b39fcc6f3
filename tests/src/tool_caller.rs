//! A model that calls tools in a way of its own: the starter model with a template that shows it how, asked of its driver.

use futures_util::StreamExt as _;
use lar_base::Instant;
use lar_engines::Error;
use lar_engines::chat_format::{OutputParser, OutputPart};
use lar_engines::driver::{
    Ability, Chat, ChatMessage, Driver as _, Event, GenerationRequest, Prompt, Sampling, Tool,
};
use lar_engines::embedded::{ConfinementPolicy, Embedded, EmbeddedOptions};
use lar_engines::protocol::Compute;
use lar_engines::template::ChatTemplate;

use crate::{chat_model, program};

/// The model, loaded.
#[derive(Debug)]
pub struct ToolCaller {
    driver: Embedded,
}

/// What it answered.
#[derive(Debug)]
pub struct ToolAnswer {
    /// What it said beside its calls.
    pub text: String,
    /// Names and arguments.
    pub calls: Vec<(String, String)>,
    /// How it ended.
    pub end: Event,
    /// Tokens of the answer.
    pub tokens: u32,
    /// From its first token to its last.
    pub seconds: f64,
}

impl ToolCaller {
    /// Loads it with a chat template of ChatML's marks.
    ///
    /// # Errors
    /// The driver's.
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

    /// Asks it, greedily and for `tokens_max` tokens at most, with what holds its calls or without.
    ///
    /// # Errors
    /// The driver's, before the answer.
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

    /// Lets the model go.
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
